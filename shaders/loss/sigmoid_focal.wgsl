// Sigmoid focal loss of logits x and targets t in [0, 1] (Lin et al. 2017, as torchvision computes it):
//
//   miss = 1 - p_t = (1 - t) s + t (1 - s),  s = sigmoid(x)
//   loss = a_t miss^gamma bce(x, t),         a_t = alpha t + (1 - alpha)(1 - t), or 1 where alpha < 0
//   grad = a_t miss^gamma (s - t + gamma bce(x, t) ratio),   ratio = (d miss / d x) / miss
//
// The textbook's gamma miss^(gamma - 1) d miss is infinity times zero for gamma < 1 and saturated x. The ratio is
// bounded: with e = exp(-|x|) and r = t where x >= 0, else 1 - t (so 1 - r weighs the likelier side),
//
//   miss = ((1 - r) + r e) / (1 + e)
//   ratio = sign(x) e (1 - 2 r) / ((1 + e) ((1 - r) + r e))        |ratio| <= 1
//
// By t, with (d a_t / d t) = 2 alpha - 1, or 0 where alpha < 0, (d miss / d t) = 1 - 2 s and (d bce / d t) = -x:
//
//   grad_t = miss^gamma ((d a_t / d t) bce + a_t (gamma (1 - 2 s) bce / miss - x))
//
// where bce / miss goes to 1 where r = 1 and e goes to 0. Where e has left the range of f32 that is, with a = |x|,
//
//   grad_t = miss^gamma a ((d a_t / d t) (1 - r) - a_t sign(x) (gamma + 1))
//
// No product here may overflow and meet a 0, in any order that a compiler takes its factors in: parentheses protect
// nothing. What minimum, maximum and clamp give is no product, and is taken apart by none.

// 0, 1 and 2 are constants, for which compilers leave the logarithms of other powers out.
fn exponent() -> f32 {
    if (WHOLE_GAMMA <= 2u) {
        return f32(WHOLE_GAMMA);
    }
    return gamma();
}

fn alpha_of(t: f32) -> f32 {
    return select(alpha() * t + (1.0 - alpha()) * (1.0 - t), 1.0, alpha() < 0.0);
}

fn bce(x: f32, t: f32) -> f32 {
    return logit_cost(x, t, 1.0 - t);
}

// (r, 1 - r), each from t itself: 1 - (1 - t) would lose a small t.
fn sides(x: f32, t: f32) -> vec2<f32> {
    return select(vec2<f32>(1.0 - t, t), vec2<f32>(t, 1.0 - t), x >= 0.0);
}

fn miss_power(x: f32, t: f32) -> f32 {
    let e = exp(-abs(x));
    let r = sides(x, t);
    let odds = r.y + r.x * e;
    // Where e has left the range of f32 and r is 1, log(odds) is still -|x|.
    let log_odds = select(log(odds), -abs(x), r.y == 0.0);
    return pow_unit(odds / (1.0 + e), log_odds - log1p_unit(e), exponent());
}

fn loss(x: f32, t: f32, u: f32) -> f32 {
    return alpha_of(t) * miss_power(x, t) * bce(x, t);
}

fn grad(x: f32, t: f32, u: f32) -> f32 {
    let e = exp(-abs(x));
    let r = sides(x, t);
    let side = select(-1.0, 1.0, x >= 0.0);
    // Where r is 1, e / e is 1 also once the exponential is 0.
    let share = select(e / (r.y + r.x * e), 1.0, r.y == 0.0);
    let ratio = side * (r.y - r.x) * share / (1.0 + e);
    let slope = logit_slope(x, t, 1.0 - t);
    // Where the ratio is not 0 in f32 the cost is below 200.
    let cost = bce(x, t);
    let bounded = select(cost, min(cost, 200.0), is_finite(x));
    let focus = select(exponent() * (bounded * ratio), 0.0, exponent() == 0.0); // the cost may be infinite
    return alpha_of(t) * miss_power(x, t) * (slope + focus);
}

fn bce_over_miss(x: f32, t: f32) -> f32 {
    let e = exp(-abs(x));
    let r = sides(x, t);
    let rest = log1p_unit(e);
    // Where e is too small to square, log(1 + e) / e is 1, also once e has left the range of f32.
    let share = select(rest / e, 1.0, e < 1e-8);
    return (1.0 + e) * select((r.y * abs(x) + rest) / (r.y + r.x * e), share, r.y == 0.0);
}

// The gradient by t for x from 200 on: of 2^-30 of it, with 2^98 as the bound above which the whole is beyond f32.
fn grad_t_far(x: f32, t: f32, slope: f32) -> f32 {
    let r = sides(x, t);
    let side = select(-1.0, 1.0, x >= 0.0);
    let steep = slope * r.y - alpha_of(t) * (side * (exponent() + 1.0));
    let part = max(abs(x) * 9.313225746154785e-10, 1e-9);
    let bound = 316912650057057350374175801344.0;
    return clamp(miss_power(x, t) * (steep * part), -bound, bound) * 1073741824.0;
}

fn grad_t(x: f32, t: f32, u: f32) -> f32 {
    let side = select(-1.0, 1.0, x >= 0.0);
    let less = -abs(x);
    let turn = side * exp_minus(less, 1.0) / (1.0 + exp(less)); // 1 - 2 s
    let slope = select(2.0 * alpha() - 1.0, 0.0, alpha() < 0.0);
    let focus = select(exponent() * (turn * bce_over_miss(x, t)), 0.0, exponent() == 0.0);
    let near = miss_power(x, t) * (slope * bce(x, t) + alpha_of(t) * (focus - x));
    return select(near, grad_t_far(x, t, slope), (less <= -200.0) & is_finite(x));
}
