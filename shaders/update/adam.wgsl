// Adam and AdamW, of parameter p, gradient g, its running mean m, that of its square v and, for AMSGrad, its peak w:
//
//   g = -g                          if maximize
//   p = p decay                     AdamW; decay = 1 - lr weight_decay
//   g = g + decay p                 Adam;  decay = weight_decay
//   m = m + (1 - beta1) (g - m)
//   v = beta2 v + (1 - beta2) g^2
//   w = max(w, v)                   if amsgrad, else v
//   p = p - step_size m / (sqrt(w) / root + eps)
//
// step_size = lr / (1 - beta1^t) and root = sqrt(1 - beta2^t) of step t come from the host, which has f64, and so do
// rest1 = 1 - beta1 and rest2 = 1 - beta2. Where t is COUNTED on the device, step_size is lr and root 1.

// From one number to another, from the end that is nearer, as PyTorch's lerp.
fn between(a: vec4<f32>, b: vec4<f32>, part: f32, rest: f32) -> vec4<f32> {
    return select(b - rest * (b - a), a + part * (b - a), part < 0.5);
}

// The larger; NaN where either is.
fn larger(a: f32, b: f32) -> f32 {
    return select(max(a, b), a + b, is_nan(a) | is_nan(b));
}

fn update(old: Element, grad: vec4<f32>) -> Element {
    var next = old;
    var g = select(grad, -grad, MAXIMIZES);
    if (DECAYS & DECOUPLED) {
        next.param = old.param * decay();
    } else if (DECAYS) {
        g += decay() * old.param;
    }
    next.moment = between(old.moment, g, rest1(), beta1());
    next.square = beta2() * old.square + rest2() * g * g;
    var peak = next.square;
    if (AMSGRAD) {
        let known = old.peak;
        peak = vec4<f32>(
            larger(known.x, peak.x), larger(known.y, peak.y), larger(known.z, peak.z), larger(known.w, peak.w));
        next.peak = peak;
    }
    var size = step_size();
    var spread = root();
    if (COUNTED) {
        size /= correction(rest1());
        spread = sqrt(correction(rest2()));
    }
    next.param -= size * next.moment / (sqrt(peak) / spread + eps());
    return next;
}
