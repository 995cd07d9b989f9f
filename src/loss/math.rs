//! Functions that several definitions share, in f64.

/// log softmax by its definition, shifted by the largest logit.
pub(super) fn log_softmax(x: &[f64]) -> Vec<f64> {
    let peak = x.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let total: f64 = x.iter().map(|x| (x - peak).exp()).sum();
    // The largest term is 1: its log is log1p of the others, exact also where they vanish beside it.
    let first = x.iter().position(|&x| x == peak);
    let rest: f64 = x
        .iter()
        .enumerate()
        .filter(|(c, _)| Some(*c) != first)
        .map(|(_, x)| (x - peak).exp())
        .sum();
    let log_total = if total.is_nan() { f64::NAN } else { rest.ln_1p() };
    x.iter().map(|x| x - peak - log_total).collect()
}

/// log Σ exp(x): NaN of a NaN, the infinity of an infinite largest.
pub(super) fn log_sum_exp(x: &[f64]) -> f64 {
    let peak = x.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if x.iter().any(|x| x.is_nan()) {
        f64::NAN
    } else if peak.is_infinite() {
        peak
    } else {
        peak + x.iter().map(|x| (x - peak).exp()).sum::<f64>().ln()
    }
}

/// The first element beyond all others; the first NaN wins over any number.
pub(super) fn best(x: &[f64], beyond: fn(f64, f64) -> bool) -> usize {
    x.iter().position(|x| x.is_nan()).unwrap_or_else(|| {
        let pick = |best: usize, i: usize| if beyond(x[i], x[best]) { i } else { best };
        (0..x.len()).fold(0, pick)
    })
}

/// log(1 + exp(-|x|)) + max(x, 0)
pub(super) fn softplus(x: f64) -> f64 {
    (-x.abs()).exp().ln_1p() + if x > 0.0 || x.is_nan() { x } else { 0.0 }
}

pub(super) fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// -1, 0 or 1, where `f64::signum` has no 0; of NaN 0, as PyTorch's.
pub(super) fn sign(d: f64) -> f64 {
    f64::from(u8::from(d > 0.0)) - f64::from(u8::from(d < 0.0))
}
