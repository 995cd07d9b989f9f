// The gradient of the target.
fn write_grad_t(
    e: u32, count: u32, scale: vec4<f32>, zeros: vec4<bool>, x: vec4<f32>, t: vec4<f32>, u: vec4<f32>,
) {
    let each = vec4<f32>(
        grad_t(x.x, t.x, u.x), grad_t(x.y, t.y, u.y), grad_t(x.z, t.z, u.z), grad_t(x.w, t.w, u.w));
    write_grad_targets(e, count, times(scale, zeros, grad_or_nan(each, x, t, u), x, t, u));
}
