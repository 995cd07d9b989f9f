// Negative log-likelihood of t under a normal distribution of mean x and variance u, with v = max(u, eps), d = x - t:
//
//   loss   = (log v + d^2 / v) / 2, and log(2 pi) / 2 more if FULL
//   grad   = d / v;   by t, its negative
//   grad_u = (1 - d^2 / v) / (2 v), also where u is below eps: the clamp is no part of the gradient

// log(2 pi) / 2
const CONSTANT: f32 = 0.9189385;

fn variance(u: f32) -> f32 {
    return max(u, eps());
}

fn loss(x: f32, t: f32, u: f32) -> f32 {
    let d = x - t;
    let v = variance(u);
    return 0.5 * (ln(v) + d * whole(d / v)) + select(0.0, CONSTANT, FULL);
}

fn grad(x: f32, t: f32, u: f32) -> f32 {
    return (x - t) / variance(u);
}

fn grad_t(x: f32, t: f32, u: f32) -> f32 {
    return (t - x) / variance(u);
}

// Near d^2 = v, where the variance is right, 1 - d^2 / v cancels and 1 / v may be large. The square of the leading 12
// bits of d is exact, and so is its distance to v.
fn grad_u(x: f32, t: f32, u: f32) -> f32 {
    let d = x - t;
    let v = variance(u);
    let lead = bitcast<f32>(bitcast<u32>(d) & 0xfffff000u);
    let exact = (whole(v - lead * lead) - (d - lead) * (d + lead)) / v;
    let ratio = d * whole(d / v);
    return 0.5 * select(1.0 - ratio, exact, abs(ratio - 1.0) < 0.5) / v;
}
