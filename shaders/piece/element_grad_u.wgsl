// The gradient of the third operand.
fn write_grad_u(
    e: u32, count: u32, scale: vec4<f32>, zeros: vec4<bool>, x: vec4<f32>, t: vec4<f32>, u: vec4<f32>,
) {
    let each = vec4<f32>(
        grad_u(x.x, t.x, u.x), grad_u(x.y, t.y, u.y), grad_u(x.z, t.z, u.z), grad_u(x.w, t.w, u.w));
    write_grad_third(e, count, times(scale, zeros, grad_or_nan(each, x, t, u), x, t, u));
}
