// The logits that the loss sees: x = cap tanh(input / cap), dx / dinput = sech^2(input / cap) = 1 - (x / cap)^2.
fn mapped1(x: f32) -> f32 {
    return softcap() * tanh_stable(x / softcap());
}

fn mapped4(x: vec4<f32>) -> vec4<f32> {
    return vec4<f32>(mapped1(x.x), mapped1(x.y), mapped1(x.z), mapped1(x.w));
}

fn map_slope4(x: vec4<f32>) -> vec4<f32> {
    let u = x / softcap();
    return vec4<f32>(sech2(u.x), sech2(u.y), sech2(u.z), sech2(u.w));
}
