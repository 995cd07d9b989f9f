// Negative log-likelihood of a count t under a Poisson distribution whose rate is exp(x) (LOG_INPUT) or x:
//
//   LOG_INPUT:  loss = exp(x) - t x             grad = exp(x) - t               grad_t = -x
//   else:       loss = x - t log(x + eps)       grad = 1 - t / (x + eps)        grad_t = -log(x + eps)
//   FULL adds, where t > 1, Stirling's log t! = t log t - t + log(2 pi t) / 2;  grad_t: log t + 1 / (2 t)
//
// For large counts near their rate these terms are large and cancel. With lag = log t - log rate, which is small there,
//
//   FULL, t > 1:   loss = (rate - t) + t lag + log(2 pi t) / 2,   grad_t = lag + 1 / (2 t)

// log(2 pi) / 2
const CONSTANT: f32 = 0.9189385;

// rate - t
fn excess(x: f32, t: f32) -> f32 {
    if (LOG_INPUT) {
        return exp_minus(x, t);
    }
    return x - t;
}

fn log_rate(x: f32) -> f32 {
    if (LOG_INPUT) {
        return x;
    }
    return select(ln(x + eps()), params.nan, x + eps() < 0.0);
}

fn lag(x: f32, t: f32) -> f32 {
    if (LOG_INPUT) {
        return log_minus(t, x);
    }
    let plain = ln(t) - log_rate(x);
    // Halves, whose sum stays within f32.
    let ratio = (0.5 * (whole(t - x) - eps())) / (whole(0.5 * t) + 0.5 * (x + eps()));
    return select(plain, twice_atanh(ratio), abs(plain) < 0.5);
}

fn loss(x: f32, t: f32, u: f32) -> f32 {
    if (FULL & (t > 1.0)) {
        return (excess(x, t) + t * lag(x, t)) + (0.5 * ln(t) + CONSTANT);
    }
    return excess(x, t * log_rate(x));
}

fn grad(x: f32, t: f32, u: f32) -> f32 {
    if (LOG_INPUT) {
        return exp_minus(x, t);
    }
    // The first does not cancel near x = t, the second is no quotient of infinities.
    // Beyond all f32 the rate's part alone is left.
    let near = (x < 2.0 * t) & is_finite(x);
    return select(1.0 - t / (x + eps()), ((x - t) + eps()) / (x + eps()), near);
}

fn grad_t(x: f32, t: f32, u: f32) -> f32 {
    if (FULL & (t > 1.0)) {
        return lag(x, t) + 0.5 / t;
    }
    return -log_rate(x);
}
