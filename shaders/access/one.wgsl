// No `OPERAND` was given: 1 everywhere.
fn OPERAND1(i: u32) -> f32 {
    return 1.0;
}

fn OPERAND4(i: u32, step: u32) -> vec4<f32> {
    return vec4<f32>(1.0);
}
