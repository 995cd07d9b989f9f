// Smooth L1 loss, with d = x - t:
//
//   loss = d^2 / (2 beta)    where |d| < beta,   else |d| - beta / 2
//   grad = d / beta          where |d| < beta,   else sign(d);   by t, its negative
//
// No d is below a beta of 0, which leaves |d|, and 0 as the gradient at 0.

fn loss(x: f32, t: f32, u: f32) -> f32 {
    let size = abs(x - t);
    // d / beta comes first: d^2 could leave f32 where beta is tiny or large.
    return select(size - 0.5 * beta(), 0.5 * size * whole(size / beta()), size < beta());
}

fn grad(x: f32, t: f32, u: f32) -> f32 {
    let d = x - t;
    let side = select(0.0, 1.0, d > 0.0) - select(0.0, 1.0, d < 0.0);
    // inf - inf; without a parabola PyTorch's sign of NaN is 0.
    let poisoned = is_nan(d) & (beta() > 0.0);
    return select(select(side, d / beta(), abs(d) < beta()), params.nan, poisoned);
}

fn grad_t(x: f32, t: f32, u: f32) -> f32 {
    return grad(t, x, u);
}
