// Absolute error:
//
//   loss = |x - t|
//   grad = sign(x - t), 0 at 0;   by t, its negative

// The sign; of NaN 0, as PyTorch's.
fn side(d: f32) -> f32 {
    return select(0.0, 1.0, d > 0.0) - select(0.0, 1.0, d < 0.0);
}

fn loss(x: f32, t: f32, u: f32) -> f32 {
    return abs(x - t);
}

fn grad(x: f32, t: f32, u: f32) -> f32 {
    return side(x - t);
}

fn grad_t(x: f32, t: f32, u: f32) -> f32 {
    return side(t - x);
}
