// Operand `input` (declared by a bind_input piece): the logits, f32, read element by element.
fn input1(i: u32) -> f32 {
    return input[i];
}

// Four elements from i on, `step` apart.
fn input4(i: u32, step: u32) -> vec4<f32> {
    return vec4<f32>(input[i], input[i + step], input[i + 2u * step], input[i + 3u * step]);
}
