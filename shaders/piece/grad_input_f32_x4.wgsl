// Output `grad_input`: f32, written four at a time, under the same condition as input_f32_x4.
@group(0) @binding(7) var<storage, read_write> grad_input: array<vec4<f32>>; // (rows, cols / 4) f32

fn put_grad_input1(i: u32, g: f32) {
    grad_input[i / 4u][i % 4u] = g;
}

fn put_grad_input4(i: u32, step: u32, g: vec4<f32>) {
    grad_input[i / 4u] = g;
}
