// No `OPERAND` was given: reading it gives 1 everywhere, and what is written to it goes nowhere.
fn OPERAND1(i: u32) -> f32 {
    return 1.0;
}

fn OPERAND4(i: u32, step: u32) -> vec4<f32> {
    return vec4<f32>(1.0);
}

fn put_OPERAND1(i: u32, value: f32) {}
fn put_OPERAND4(i: u32, step: u32, value: vec4<f32>) {}
