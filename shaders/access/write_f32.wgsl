// Output `OPERAND`: f32, written element by element.
@group(0) @binding(SLOT) var<storage, read_write> OPERAND: array<f32>;

fn put_OPERAND1(i: u32, value: f32) {
    OPERAND[i] = value;
}

// Four elements from i on, `step` apart.
fn put_OPERAND4(i: u32, step: u32, value: vec4<f32>) {
    OPERAND[i] = value.x;
    OPERAND[i + step] = value.y;
    OPERAND[i + 2u * step] = value.z;
    OPERAND[i + 3u * step] = value.w;
}
