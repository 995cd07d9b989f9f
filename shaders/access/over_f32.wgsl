// Operand `OPERAND` and, over it, `OVER` (its gradient, or itself anew): f32, element by element. One binding, because
// a dispatch may not bind a buffer once for reading and again for writing.
@group(0) @binding(SLOT) var<storage, read_write> OPERAND: array<f32>;

fn OPERAND1(i: u32) -> f32 {
    return OPERAND[i];
}

// Four elements from i on, `step` apart.
fn OPERAND4(i: u32, step: u32) -> vec4<f32> {
    return vec4<f32>(OPERAND[i], OPERAND[i + step], OPERAND[i + 2u * step], OPERAND[i + 3u * step]);
}

fn put_OVER1(i: u32, value: f32) {
    OPERAND[i] = value;
}

fn put_OVER4(i: u32, step: u32, value: vec4<f32>) {
    OPERAND[i] = value.x;
    OPERAND[i + step] = value.y;
    OPERAND[i + 2u * step] = value.z;
    OPERAND[i + 3u * step] = value.w;
}
