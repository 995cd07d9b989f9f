//! How losses state their definitions in f64 to the processor's path: one function for each family, called with a span
//! of elements, a row or a pair of rows, that gives the loss and the gradients together, so that what they share is
//! computed once. Nothing is called for each element that a compiler cannot see through.
//!
//! Not promised by semver.

use std::fmt::{self, Debug, Formatter};

use crate::scalars::Scalars;

/// The definition of a loss of elements.
pub trait ElementDefinition: Debug + Sync {
    /// There are derivatives by x, t and the third operand.
    fn grads(&self) -> [bool; 3];

    /// Computes what is wanted of a span.
    fn compute(&self, span: &Span<'_>, out: &mut SpanOut<'_>);
}

/// Elements in a row; an operand that a loss does not have is 1 everywhere.
#[derive(Debug)]
pub struct Span<'a> {
    pub x: &'a [f64],
    pub t: &'a [f64],
    pub u: &'a [f64],
    pub scalars: &'a Scalars,
    /// A NaN operand makes every gradient NaN, as it makes the loss, whatever comparisons a definition makes.
    pub nan_grads: bool,
}

/// Where a span's results go; all of its length. What is not wanted keeps what it holds.
#[derive(Debug)]
pub struct SpanOut<'a> {
    pub wanted: Wanted,
    pub loss: &'a mut [f64],
    pub grads: [&'a mut [f64]; 3],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    pub loss: bool,
    /// The derivative by x.
    pub grad: bool,
    /// Those by the other operands.
    pub others: bool,
}

/// What an element comes to: its loss, and the derivatives by x, t and the third operand.
#[derive(Clone, Copy, Debug)]
pub struct At {
    pub loss: f64,
    pub grads: [f64; 3],
}

/// A definition by what one element comes to, of x, t, the third operand and the scalars. Each function has loops of
/// its own, from which the compiler drops what is not wanted.
pub struct Elementwise<F>(pub [bool; 3], pub F);

impl<F> Debug for Elementwise<F> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Elementwise").field(&self.0).finish_non_exhaustive()
    }
}

impl<F: Fn(f64, f64, f64, &Scalars) -> At + Sync> ElementDefinition for Elementwise<F> {
    fn grads(&self) -> [bool; 3] {
        self.0
    }

    fn compute(&self, span: &Span<'_>, out: &mut SpanOut<'_>) {
        let Wanted { loss, grad, others } = out.wanted;
        match (loss, grad, others) {
            (true, false, false) => self.each::<true, false, false>(span, out),
            (false, true, false) => self.each::<false, true, false>(span, out),
            (true, true, false) => self.each::<true, true, false>(span, out),
            _ => self.each::<true, true, true>(span, out),
        }
    }
}

impl<F: Fn(f64, f64, f64, &Scalars) -> At> Elementwise<F> {
    fn each<const LOSS: bool, const GRAD: bool, const OTHERS: bool>(&self, span: &Span<'_>, out: &mut SpanOut<'_>) {
        let (n, scalars) = (span.x.len(), *span.scalars);
        let (x, t, u) = (span.x, &span.t[..n], &span.u[..n]);
        let loss = &mut out.loss[..n];
        let [by_x, by_t, by_u] = out.grads.each_mut().map(|grad| &mut grad[..n]);
        for i in 0..n {
            let at = (self.1)(x[i], t[i], u[i], &scalars);
            let nan = x[i].is_nan() | t[i].is_nan() | u[i].is_nan();
            let or_nan = |poisoned: bool, value: f64| if poisoned { f64::NAN } else { value };
            let nan_grads = nan & span.nan_grads;
            if LOSS {
                loss[i] = or_nan(nan, at.loss);
            }
            if GRAD {
                by_x[i] = or_nan(nan_grads, at.grads[0]);
            }
            if OTHERS {
                by_t[i] = or_nan(nan_grads, at.grads[1]);
                by_u[i] = or_nan(nan_grads, at.grads[2]);
            }
        }
    }
}

/// The definition of a loss of rows, or of a map of rows.
#[derive(Clone, Copy, Debug)]
pub enum RowDefinition {
    Loss(fn(&Row<'_>, &mut RowLoss<'_>)),
    Map(fn(&Row<'_>, &mut RowMap<'_>)),
}

/// A row as the definition sees it.
#[derive(Debug)]
pub struct Row<'a> {
    pub x: &'a [f64],
    pub class: Option<usize>,
    /// A full target; of a list of classes, how often it names each of them; else empty.
    pub p: &'a [f64],
    pub weight: Option<&'a [f64]>,
    /// The upstream gradient of a map; empty elsewhere.
    pub g: &'a [f64],
    /// The denominator of the losses over that of the z-loss.
    pub z_ratio: f64,
    pub scalars: &'a Scalars,
}

impl Row<'_> {
    /// The factor of a class.
    pub fn weight(&self, class: usize) -> f64 {
        self.weight.map_or(1.0, |w| w[class])
    }
}

/// What is wanted of a row, and where that goes.
#[derive(Debug)]
pub struct RowLoss<'a> {
    pub loss: Option<&'a mut f64>,
    /// Its derivative by each element of the row.
    pub grad_input: Option<&'a mut [f64]>,
    /// Its derivative by each number of a full target.
    pub grad_target: Option<&'a mut [f64]>,
    pub stats: Option<&'a mut RowStats>,
    /// The derivatives of its log-sum-exp and entropy by each element of the row, times a number each.
    pub grad_stats: Option<StatsGrad<'a>>,
    pub scratch: &'a mut RowScratch,
}

/// The upstream gradients of a row's statistics, and where the gradient goes.
#[derive(Debug)]
pub struct StatsGrad<'a> {
    pub by_lse: f64,
    pub by_entropy: f64,
    pub grad: &'a mut [f64],
}

/// The same of a map of rows.
#[derive(Debug)]
pub struct RowMap<'a> {
    pub value: Option<&'a mut [f64]>,
    /// Its derivative by each element of the row, times the upstream gradient.
    pub grad_input: Option<&'a mut [f64]>,
    pub scratch: &'a mut RowScratch,
}

/// Memory that rows use one after the other.
#[derive(Debug, Default)]
pub struct RowScratch {
    pub exps: Vec<f64>,
    pub mapped: Vec<f64>,
}

/// Statistics of a row.
#[derive(Clone, Copy, Debug, Default)]
pub struct RowStats {
    pub lse: f64,
    pub argmax: usize,
    pub entropy: f64,
    pub z_loss: f64,
}

/// The definition of a loss of pairs of rows.
pub type PairDefinition = fn(&PairRow<'_>, &mut PairOut<'_>);

/// Rows that belong together; `c` is empty where a loss has but two.
#[derive(Debug)]
pub struct PairRow<'a> {
    pub a: &'a [f64],
    pub b: &'a [f64],
    pub c: &'a [f64],
    pub t: f64,
    pub scalars: &'a Scalars,
}

/// The loss of a pair, and where the gradients that are wanted go.
#[derive(Debug)]
pub struct PairOut<'a> {
    pub loss: f64,
    pub grads: [Option<&'a mut [f64]>; 3],
}
