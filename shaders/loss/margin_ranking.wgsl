// Margin ranking loss of scores x and u; t = 1 wants x above u, t = -1 below:
//
//   loss = max(0, s),  s = margin - t (x - u)
//   grad = -t where s > 0,   by u: t,   by t: u - x

fn short_by(x: f32, t: f32, u: f32) -> f32 {
    return margin() - t * (x - u);
}

fn loss(x: f32, t: f32, u: f32) -> f32 {
    let short = short_by(x, t, u);
    return select(max(short, 0.0), short, is_nan(short)); // inf - inf
}

// 1 where the margin is missed. As in PyTorch a factor: 0 times NaN or infinity is NaN.
fn missed(x: f32, t: f32, u: f32) -> f32 {
    return select(0.0, 1.0, short_by(x, t, u) > 0.0);
}

fn grad(x: f32, t: f32, u: f32) -> f32 {
    return missed(x, t, u) * -t;
}

// But 0 times a difference of finite scores that is beyond f32 is 0.
fn grad_t(x: f32, t: f32, u: f32) -> f32 {
    let kept = short_by(x, t, u) <= 0.0;
    return select(missed(x, t, u) * (u - x), 0.0, kept & is_finite(x) & is_finite(u));
}

fn grad_u(x: f32, t: f32, u: f32) -> f32 {
    return missed(x, t, u) * t;
}
