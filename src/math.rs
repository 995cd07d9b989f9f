//! Functions that several definitions share, in f64.

use rayon::prelude::*;

/// Numbers added up side by side, so that sums of many are exact to nearly the last digit, and quick.
const LANES: usize = 8;

/// Elements of a long row that a thread takes at a time.
pub(crate) const LONG: usize = 64 << 10;

/// Folds numbers in lanes, and the lanes in their order; those of a long row in parts of one length, so that the result
/// does not depend on who takes them.
fn fold(x: &[f64], start: f64, join: impl Fn(f64, f64) -> f64 + Sync) -> f64 {
    let short = |x: &[f64]| {
        let mut lanes = [start; LANES];
        let (blocks, rest) = x.as_chunks::<LANES>();
        for block in blocks {
            for (lane, x) in lanes.iter_mut().zip(block) {
                *lane = join(*lane, *x);
            }
        }
        for (lane, x) in lanes.iter_mut().zip(rest) {
            *lane = join(*lane, *x);
        }
        lanes.into_iter().fold(start, &join)
    };
    if x.len() <= LONG {
        return short(x);
    }
    let parts: Vec<f64> = x.par_chunks(LONG).map(short).collect();
    parts.into_iter().fold(start, &join)
}

/// Σ x; of nothing 0, where `Iterator::sum` has -0.
pub(crate) fn sum(x: &[f64]) -> f64 {
    fold(x, 0.0, |sum, x| sum + x)
}

/// The largest that is no NaN; of nothing -inf.
pub(crate) fn peak(x: &[f64]) -> f64 {
    fold(x, f64::NEG_INFINITY, |top, x| if x > top { x } else { top })
}

/// A coefficient of 0 contributes 0, also where the logarithm is infinite, but not where it is NaN.
pub(crate) fn product(b: f64, log_p: f64) -> f64 {
    if b == 0.0 && log_p.is_infinite() {
        0.0
    } else {
        b * log_p
    }
}

/// The softmax of a row by its definition, shifted by the largest logit. NaN, +inf, or nothing but -inf makes all of it
/// NaN.
pub(crate) struct RowSoftmax<'a> {
    x: &'a [f64],
    /// exp(x - peak)
    exps: &'a [f64],
    peak: f64,
    /// The first of the largest.
    first: Option<usize>,
    /// The sum of the exponentials but for that of the first of the largest, which is 1.
    rest: f64,
    log_total: f64,
    /// One over the sum of all.
    share: f64,
}

impl<'a> RowSoftmax<'a> {
    /// Computes the exponentials, once, into memory that is used again.
    pub fn new(x: &'a [f64], exps: &'a mut Vec<f64>) -> Self {
        let peak = peak(x);
        exps.resize(x.len(), 0.0);
        let fill = |(exps, x): (&mut [f64], &[f64])| exps.iter_mut().zip(x).for_each(|(e, x)| *e = (x - peak).exp());
        if x.len() <= LONG {
            fill((exps, x));
        } else {
            exps.par_chunks_mut(LONG).zip(x.par_chunks(LONG)).for_each(fill);
        }
        let first = x.iter().position(|&x| x == peak);
        let rest = first.map_or(f64::NAN, |first| sum(&exps[..first]) + sum(&exps[first + 1..]));
        // The largest term is 1: its log is log1p of the others, exact also where they vanish beside it.
        let log_total = if peak.is_infinite() { f64::NAN } else { rest.ln_1p() };
        let share = if log_total.is_nan() {
            f64::NAN
        } else {
            1.0 / (1.0 + rest)
        };
        Self {
            x,
            exps,
            peak,
            first,
            rest,
            log_total,
            share,
        }
    }

    pub fn log_p(&self, c: usize) -> f64 {
        self.x[c] - self.peak - self.log_total
    }

    /// The logarithms of all probabilities.
    pub fn logs(&self) -> impl Iterator<Item = f64> {
        self.x.iter().map(|x| x - self.peak - self.log_total)
    }

    /// -Σ p log p
    pub fn entropy(&self) -> f64 {
        let terms = self.scaled(1.0).zip(self.logs());
        0.0 - terms.fold(0.0, |sum, (p, log_p)| sum + product(p, log_p))
    }

    pub fn p(&self, c: usize) -> f64 {
        self.exps[c] * self.share
    }

    /// All probabilities, each times a factor.
    pub fn scaled(&self, factor: f64) -> impl Iterator<Item = f64> {
        let factor = factor * self.share;
        self.exps.iter().map(move |e| e * factor)
    }

    /// 1 - p, of the largest the sum of the others: p may be 1 to the last bit.
    pub fn miss(&self, c: usize) -> f64 {
        if self.first == Some(c) {
            self.rest * self.share
        } else {
            1.0 - self.p(c)
        }
    }

    /// The first of the largest.
    pub fn first(&self) -> Option<usize> {
        self.first
    }

    /// The first of the largest logits; the first NaN wins over any number.
    pub fn argmax(&self) -> usize {
        let nan = || self.x.iter().position(|x| x.is_nan());
        let nan = if self.log_total.is_nan() { nan() } else { None };
        nan.or(self.first).unwrap_or_default()
    }

    /// log Σ exp(x): NaN of a NaN, the infinity of an infinite largest.
    pub fn log_sum_exp(&self) -> f64 {
        if !self.log_total.is_nan() {
            self.peak + self.log_total
        } else if self.x.iter().any(|x| x.is_nan()) {
            f64::NAN
        } else {
            self.peak
        }
    }
}

/// The first element beyond all others; the first NaN wins over any number.
pub(crate) fn best(x: &[f64], beyond: impl Fn(f64, f64) -> bool) -> usize {
    x.iter().position(|x| x.is_nan()).unwrap_or_else(|| {
        let pick = |best: usize, i: usize| if beyond(x[i], x[best]) { i } else { best };
        (0..x.len()).fold(0, pick)
    })
}

/// The logistic function and its integral, of x and of -x, from one exponential: each with its full relative accuracy.
pub(crate) struct Logistic {
    /// log(1 + exp(x)) and log(1 + exp(-x))
    pub softplus: [f64; 2],
    /// 1 / (1 + exp(-x)) and 1 / (1 + exp(x))
    pub sigmoid: [f64; 2],
}

impl Logistic {
    pub fn new(x: f64) -> Self {
        let e = (-x.abs()).exp();
        let (log, large) = (e.ln_1p(), 1.0 / (1.0 + e));
        let small = e * large;
        let positive = x > 0.0;
        let either = |yes: f64, no: f64| if positive { yes } else { no };
        Self {
            // Of NaN both are NaN by their logarithm.
            softplus: [log + either(x, 0.0), log + either(0.0, -x)],
            sigmoid: [either(large, small), either(small, large)],
        }
    }
}

/// -1, 0 or 1, where `f64::signum` has no 0; of NaN 0, as PyTorch's.
pub(crate) fn sign(d: f64) -> f64 {
    f64::from(u8::from(d > 0.0)) - f64::from(u8::from(d < 0.0))
}
