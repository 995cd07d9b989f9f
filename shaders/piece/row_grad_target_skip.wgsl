// The gradient of the target is not wanted.
fn put_grad_target4(row: Row, s: State, scale: f32, column: u32, count: u32, x: vec4<f32>) {}
