// The gradient of the third operand.
fn grad_u4(x: vec4<f32>, t: vec4<f32>, u: vec4<f32>) -> vec4<f32> {
    return vec4<f32>(
        unless_nan(grad_u(x.x, t.x, u.x), x.x, t.x, u.x), unless_nan(grad_u(x.y, t.y, u.y), x.y, t.y, u.y),
        unless_nan(grad_u(x.z, t.z, u.z), x.z, t.z, u.z), unless_nan(grad_u(x.w, t.w, u.w), x.w, t.w, u.w));
}

fn write_grad_third(e: u32, count: u32, value: vec4<f32>) {
    if (is_run(GRAD_THIRD, count)) {
        put_grad_third4(base_of(GRAD_THIRD) + e, 1u, value);
        return;
    }
    let at = places(GRAD_THIRD, e, count);
    put_grad_third1(at.x, value.x);
    if (count > 1u) { put_grad_third1(at.y, value.y); }
    if (count > 2u) { put_grad_third1(at.z, value.z); }
    if (count > 3u) { put_grad_third1(at.w, value.w); }
}
