// Output `grad_input` written over the logits: the binding is `input` of bind_input_in_place_f32_x4.

fn put_grad_input1(i: u32, g: f32) {
    input[i / 4u][i % 4u] = g;
}

fn put_grad_input4(i: u32, step: u32, g: vec4<f32>) {
    input[i / 4u] = g;
}
