// Decides from the norm of all gradients whether a step is taken and what its gradients are multiplied by, or
// (UPDATES) how the loss is scaled from now on: `Gate` of src/layout.rs. One invocation.
//
// CLIPS: the norm is held to max_norm. SKIPS: no step where the norm is not finite.

// `GateParams` in src/layout.rs is the Rust side.
struct Params {
    max_norm: f32,
    most: f32,     // no element of a gradient is larger
    growth: f32,
    backoff: f32,
    interval: u32,
    nan: f32,
    zero: u32,     // see math/guard.wgsl
    pad0: u32,
}

@group(0) @binding(25) var<storage, read_write> gate: Gate;

// PyTorch's GradScaler.update: down where a step was skipped, up after so many that were not.
fn rescale() {
    let finite = gate.found == 0u;
    let run = gate.tracker + 1u;
    let grows = finite & (run >= params.interval);
    let most = 8.507059e37; // 2^126; the inverse of whatever lies between is a normal number
    let factor = select(select(1.0, params.growth, grows), params.backoff, !finite);
    gate.scale = max(gate.scale * min(factor, most / gate.scale), 1.1754944e-38);
    gate.tracker = select(run, 0u, grows | !finite);
    gate.found = 0u;
}

@compute @workgroup_size(1)
fn main() {
    params = uniforms;
    if (UPDATES) {
        rescale();
    } else {
        let one = 1.0 / gate.scale;
        let scaled = gate.norm;
        let finite = is_finite(scaled);
        let norm = select(scaled, scaled * one, finite);
        var factor = one;
        if (CLIPS) {
            let held = params.max_norm / (select(0.0, norm, finite) + 1e-6);
            factor = one * min(1.0, held);
            if (!finite) { // after an infinite norm nothing is left, and NaN stays
                factor = select(0.0, params.nan, is_nan(scaled));
            }
        }
        let skipped = SKIPS & !finite;
        gate.norm = norm;
        gate.factor = factor;
        gate.most = params.most;
        gate.goes = select(1u, 0u, skipped);
        gate.found = select(gate.found, 1u, skipped);
        gate.skipped += select(0u, 1u, skipped);
    }
}
