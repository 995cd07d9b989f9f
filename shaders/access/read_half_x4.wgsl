// Operand `OPERAND`: 16-bit floats, read four at a time, under the same condition as read_f32_x4.
@group(0) @binding(SLOT) var<storage, read> OPERAND: array<vec2<u32>>;

fn OPERAND1(i: u32) -> f32 {
    return from_half((OPERAND[i >> 2u][(i >> 1u) & 1u] >> (16u * (i & 1u))) & 0xffffu);
}

fn OPERAND4(i: u32, step: u32) -> vec4<f32> {
    return from_words(OPERAND[i >> 2u]);
}
