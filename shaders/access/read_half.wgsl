// Operand `OPERAND`: 16-bit floats, two to a word, read element by element.
@group(0) @binding(SLOT) var<storage, read> OPERAND: array<u32>;

fn OPERAND_bits(i: u32) -> u32 {
    return (OPERAND[i >> 1u] >> (16u * (i & 1u))) & 0xffffu;
}

fn OPERAND1(i: u32) -> f32 {
    return from_half(OPERAND_bits(i));
}

// The two elements of a word, from an even i on.
fn OPERAND2(i: u32) -> vec2<f32> {
    let word = OPERAND[i >> 1u];
    return from_half4(vec4<u32>(word & 0xffffu, word >> 16u, 0u, 0u)).xy;
}

// Four elements from i on, `step` apart.
fn OPERAND4(i: u32, step: u32) -> vec4<f32> {
    return from_half4(vec4<u32>(
        OPERAND_bits(i), OPERAND_bits(i + step), OPERAND_bits(i + 2u * step), OPERAND_bits(i + 3u * step)));
}
