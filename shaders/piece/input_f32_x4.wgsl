// Operand `input` (declared by a bind_input piece): the logits, f32, read four at a time. The plan chooses this
// only where every quad is aligned and whole, and the step is 1.
fn input1(i: u32) -> f32 {
    return input[i / 4u][i % 4u];
}

fn input4(i: u32, step: u32) -> vec4<f32> {
    return input[i / 4u];
}
