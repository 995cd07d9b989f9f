// Gradients go through a gate, which driver/gate.wgsl has set.
@group(0) @binding(25) var<storage, read> gate: Gate;

fn goes() -> bool {
    return gate.goes != 0u;
}

// NaN stays NaN, where a step is taken with it.
fn let_through(grad: vec4<f32>) -> vec4<f32> {
    let g = grad * gate.factor;
    let held = clamp(g, vec4<f32>(-gate.most), vec4<f32>(gate.most));
    return select(held, g, abs_bits(g) > vec4<i32>(0x7f800000));
}
