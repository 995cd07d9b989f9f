// The gradient of the input is not wanted.
fn put_grad_input1(i: u32, g: f32) {}
fn put_grad_input4(i: u32, step: u32, g: vec4<f32>) {}
