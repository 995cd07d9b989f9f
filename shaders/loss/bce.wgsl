// Binary cross-entropy of probabilities x and targets t, each logarithm at least -100:
//
//   loss   = -t log x - (1 - t) log(1 - x)
//   grad   = (x - t) / max(x (1 - x), 1e-12)     the clamp of the logarithms is no part of it
//   grad_t = log(1 - x) - log x                  nor of this one
//
// What is no probability gives a loss of NaN and gradients of 0, and is reported. (The driver makes all of them NaN
// where x is.)

fn is_probability(x: f32) -> bool {
    return !breaks(x);
}

fn log_yes(x: f32) -> f32 {
    return max(ln(x), -100.0);
}

fn log_no(x: f32) -> f32 {
    return max(log1m(x), -100.0);
}

fn loss(x: f32, t: f32, u: f32) -> f32 {
    return select(params.nan, -t * log_yes(x) - (1.0 - t) * log_no(x), is_probability(x));
}

fn grad(x: f32, t: f32, u: f32) -> f32 {
    return select(0.0, (x - t) / max(x * (1.0 - x), 1e-12), is_probability(x));
}

fn grad_t(x: f32, t: f32, u: f32) -> f32 {
    return select(0.0, log1m(x) - ln(x), is_probability(x));
}
