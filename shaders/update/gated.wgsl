// Gradients go through a gate, which driver/gate.wgsl has set. What is read of it once stays in registers: stores to
// the parameter could be stores to the gate, for all that a compiler knows.
@group(0) @binding(25) var<storage, read> gate: Gate;

var<private> factor: f32;
var<private> most: f32;

// Whether the step is taken.
fn goes() -> bool {
    factor = gate.factor;
    most = gate.most;
    return gate.goes != 0u;
}

// NaN stays NaN, where a step is taken with it.
fn let_through(grad: vec4<f32>) -> vec4<f32> {
    let g = grad * factor;
    let held = clamp(g, vec4<f32>(-most), vec4<f32>(most));
    return select(held, g, is_nan4(g));
}
