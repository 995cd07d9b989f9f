// Squared error:
//
//   loss = (x - t)^2
//   grad = 2 (x - t);   by t, its negative

fn loss(x: f32, t: f32, u: f32) -> f32 {
    return (x - t) * (x - t);
}

fn grad(x: f32, t: f32, u: f32) -> f32 {
    return 2.0 * (x - t);
}

fn grad_t(x: f32, t: f32, u: f32) -> f32 {
    return 2.0 * (t - x);
}
