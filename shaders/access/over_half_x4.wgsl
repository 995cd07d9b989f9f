// Operand `OPERAND` and, over it, `OVER` (its gradient, or itself anew): 16-bit floats, four at a time, under the
// same condition as write_half_x4.
@group(0) @binding(SLOT) var<storage, read_write> OPERAND: array<vec2<u32>>;

fn OPERAND1(i: u32) -> f32 {
    return from_half((OPERAND[i >> 2u][(i >> 1u) & 1u] >> (16u * (i & 1u))) & 0xffffu);
}

fn OPERAND4(i: u32, step: u32) -> vec4<f32> {
    return from_words(OPERAND[i >> 2u]);
}

fn put_OVER1(i: u32, value: f32) {}

fn put_OVER4(i: u32, step: u32, value: vec4<f32>) {
    OPERAND[i >> 2u] = to_words(value);
}
