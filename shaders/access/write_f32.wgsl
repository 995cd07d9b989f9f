// Output `OPERAND`: f32, written element by element or, where ADDS says so, added to what is there.
@group(0) @binding(SLOT) var<storage, read_write> OPERAND: array<f32>;

fn put_OPERAND1(i: u32, value: f32) {
    if (ADDS_OPERAND) {
        OPERAND[i] += value;
    } else {
        OPERAND[i] = value;
    }
}

// Four elements from i on, `step` apart.
fn put_OPERAND4(i: u32, step: u32, value: vec4<f32>) {
    put_OPERAND1(i, value.x);
    put_OPERAND1(i + step, value.y);
    put_OPERAND1(i + 2u * step, value.z);
    put_OPERAND1(i + 3u * step, value.w);
}
