// `OPERAND` is not wanted.
fn put_OPERAND1(i: u32, value: f32) {}
fn put_OPERAND4(i: u32, step: u32, value: vec4<f32>) {}
