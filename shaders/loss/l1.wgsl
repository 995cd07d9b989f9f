// Absolute error:
//
//   loss = |x - t|
//   grad = sign(x - t), 0 at 0;   by t, its negative

fn loss(x: f32, t: f32, u: f32) -> f32 {
    return abs(x - t);
}

fn grad(x: f32, t: f32, u: f32) -> f32 {
    return sign(x - t);
}

fn grad_t(x: f32, t: f32, u: f32) -> f32 {
    return sign(t - x);
}
