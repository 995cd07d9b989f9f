// Pointwise Kullback-Leibler divergence of log-probabilities x from targets t, which are p or, if LOG_TARGET, log p:
//
//   loss   = p (log p - x), 0 where p = 0
//   grad   = -p
//   grad_t = log p - x + 1, by p;   LOG_TARGET: p (log p - x + 1), by log p
//
// A negative p has no logarithm: NaN.

fn loss(x: f32, t: f32, u: f32) -> f32 {
    if (LOG_TARGET) {
        let p = exp(t);
        return select(p * (t - x), 0.0, is_zero(p));
    }
    return select(select(t * log_minus(t, x), 0.0, is_zero(t)), params.nan, t < 0.0);
}

fn grad(x: f32, t: f32, u: f32) -> f32 {
    if (LOG_TARGET) {
        return -exp(t);
    }
    return -t;
}

fn grad_t(x: f32, t: f32, u: f32) -> f32 {
    if (LOG_TARGET) {
        let p = exp(t);
        return select(p * ((t - x) + 1.0), 0.0, is_zero(p));
    }
    return select(log_minus(t, x) + 1.0, params.nan, t < 0.0);
}
