// Output `grad_input`: f32, written element by element.
@group(0) @binding(7) var<storage, read_write> grad_input: array<f32>; // (rows, cols) f32

fn put_grad_input1(i: u32, g: f32) {
    grad_input[i] = g;
}

// Four elements from i on, `step` apart.
fn put_grad_input4(i: u32, step: u32, g: vec4<f32>) {
    grad_input[i] = g.x;
    grad_input[i + step] = g.y;
    grad_input[i + 2u * step] = g.z;
    grad_input[i + 3u * step] = g.w;
}
