// Of the other operands, the third's gradient is wanted.
fn write_other_grads(e: u32, count: u32, scale: vec4<f32>, x: vec4<f32>, t: vec4<f32>, u: vec4<f32>) {
    write_grad_third(e, count, scale * grad_u4(x, t, u));
}
