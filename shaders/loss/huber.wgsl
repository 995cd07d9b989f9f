// Huber loss, with d = x - t:
//
//   loss = d^2 / 2   where |d| <= delta,   else delta (|d| - delta / 2)
//   grad = d         where |d| <= delta,   else delta sign(d);   by t, its negative

fn loss(x: f32, t: f32, u: f32) -> f32 {
    let size = abs(x - t);
    return select(delta() * (size - 0.5 * delta()), 0.5 * size * size, size <= delta());
}

fn grad(x: f32, t: f32, u: f32) -> f32 {
    let d = x - t;
    return select(clamp(d, -delta(), delta()), params.nan, is_nan(d)); // inf - inf
}

fn grad_t(x: f32, t: f32, u: f32) -> f32 {
    return grad(t, x, u);
}
