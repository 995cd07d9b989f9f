// Operand `OPERAND`: bf16, the upper half of an f32, read four at a time, under the same condition as read_f32_x4,
// beside operands of f16, which math/half.wgsl converts.
@group(0) @binding(SLOT) var<storage, read> OPERAND: array<vec2<u32>>;

fn OPERAND1(i: u32) -> f32 {
    return bitcast<f32>((OPERAND[i >> 2u][(i >> 1u) & 1u] >> (16u * (i & 1u))) << 16u);
}

fn OPERAND4(i: u32, step: u32) -> vec4<f32> {
    let words = OPERAND[i >> 2u];
    let upper = vec2<u32>(0xffff0000u);
    let low = words << vec2<u32>(16u);
    let high = words & upper;
    return bitcast<vec4<f32>>(vec4<u32>(low.x, high.x, low.y, high.y));
}
