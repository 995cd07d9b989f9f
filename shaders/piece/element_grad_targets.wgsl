// The gradient of the target.
fn grad_t4(x: vec4<f32>, t: vec4<f32>, u: vec4<f32>) -> vec4<f32> {
    return vec4<f32>(
        unless_nan(grad_t(x.x, t.x, u.x), x.x, t.x, u.x), unless_nan(grad_t(x.y, t.y, u.y), x.y, t.y, u.y),
        unless_nan(grad_t(x.z, t.z, u.z), x.z, t.z, u.z), unless_nan(grad_t(x.w, t.w, u.w), x.w, t.w, u.w));
}

fn write_grad_targets(e: u32, count: u32, value: vec4<f32>) {
    if (is_run(GRAD_TARGETS, count)) {
        put_grad_targets4(base_of(GRAD_TARGETS) + e, 1u, value);
        return;
    }
    let at = places(GRAD_TARGETS, e, count);
    put_grad_targets1(at.x, value.x);
    if (count > 1u) { put_grad_targets1(at.y, value.y); }
    if (count > 2u) { put_grad_targets1(at.z, value.z); }
    if (count > 3u) { put_grad_targets1(at.w, value.w); }
}
