// The gradient of the third operand is not wanted.
fn write_grad_u(
    e: u32, count: u32, scale: vec4<f32>, zeros: vec4<bool>, x: vec4<f32>, t: vec4<f32>, u: vec4<f32>,
) {}
