// Output `OPERAND`: f32, written four at a time, under the same condition as read_f32_x4, or added to what is there
// (ADDS).
@group(0) @binding(SLOT) var<storage, read_write> OPERAND: array<vec4<f32>>;

fn put_OPERAND1(i: u32, value: f32) {
    if (ADDS_OPERAND) {
        OPERAND[i >> 2u][i & 3u] += value;
    } else {
        OPERAND[i >> 2u][i & 3u] = value;
    }
}

fn put_OPERAND4(i: u32, step: u32, value: vec4<f32>) {
    if (ADDS_OPERAND) {
        OPERAND[i >> 2u] += value;
    } else {
        OPERAND[i >> 2u] = value;
    }
}
