// Operand `OPERAND` and, over it, `OVER` (its gradient, or itself anew): f32, four at a time, under the same condition
// as read_f32_x4.
@group(0) @binding(SLOT) var<storage, read_write> OPERAND: array<vec4<f32>>;

fn OPERAND1(i: u32) -> f32 {
    return OPERAND[i >> 2u][i & 3u];
}

fn OPERAND4(i: u32, step: u32) -> vec4<f32> {
    return OPERAND[i >> 2u];
}

fn put_OVER1(i: u32, value: f32) {
    OPERAND[i >> 2u][i & 3u] = value;
}

fn put_OVER4(i: u32, step: u32, value: vec4<f32>) {
    OPERAND[i >> 2u] = value;
}
