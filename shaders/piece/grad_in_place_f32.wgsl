// Output `grad_input` written over the logits: the binding is `input` of bind_input_in_place_f32.

fn put_grad_input1(i: u32, g: f32) {
    input[i] = g;
}

// Four elements from i on, `step` apart.
fn put_grad_input4(i: u32, step: u32, g: vec4<f32>) {
    input[i] = g.x;
    input[i + step] = g.y;
    input[i + 2u * step] = g.z;
    input[i + 3u * step] = g.w;
}
