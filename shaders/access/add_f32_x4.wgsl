// Output `OPERAND`: f32, added four at a time to what is there, under the same condition as read_f32_x4.
@group(0) @binding(SLOT) var<storage, read_write> OPERAND: array<vec4<f32>>;

fn put_OPERAND1(i: u32, value: f32) {
    OPERAND[i >> 2u][i & 3u] += value;
}

fn put_OPERAND4(i: u32, step: u32, value: vec4<f32>) {
    OPERAND[i >> 2u] += value;
}
