// Operand `OPERAND`: bf16, the upper half of an f32, two to a word, beside operands of f16, which math/half.wgsl
// converts.
@group(0) @binding(SLOT) var<storage, read> OPERAND: array<u32>;

fn OPERAND1(i: u32) -> f32 {
    return bitcast<f32>((OPERAND[i >> 1u] >> (16u * (i & 1u))) << 16u);
}

// Four elements from i on, `step` apart.
fn OPERAND4(i: u32, step: u32) -> vec4<f32> {
    return vec4<f32>(OPERAND1(i), OPERAND1(i + step), OPERAND1(i + 2u * step), OPERAND1(i + 3u * step));
}
