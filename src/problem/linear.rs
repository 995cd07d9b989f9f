//! Rows that are products, and the problem that they are once they are there.

use super::{Family, Problem, Rows};
use crate::dtype::Dtype;
use crate::layout::Slot;
use crate::view::View;

/// What makes rows of logits: row n of the input comes to `heads` of them, side by side,
///
/// ```text
/// x[n heads + d, c] = Σ_h input[n, h] linear_weight[c, d, h] + linear_bias[c, d]
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Linear {
    /// Rows of the input.
    pub inputs: usize,
    pub heads: usize,
    pub features: usize,
    /// Operands and results lie elsewhere: results are written once, and operands read in runs.
    pub is_streamed: bool,
    /// Runs of [`FILTERED`] columns of a row's gradient that stay below it are 0, where it is above 0.
    pub filter_eps: f32,
    /// Of the reference alone: its logits are others.
    pub moved: Option<Moved>,
}

/// Logits that are off by so much of the sum of their terms' sizes, each to a side that it has from a look to itself.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Moved {
    pub by: f64,
    pub look: u64,
}

/// Columns of such a run, and rows whose runs are looked at together by products.
pub const FILTERED: usize = 64;

impl Problem {
    /// The same of rows of logits in f32 that lie somewhere, in the place of those that are products of the input.
    /// Their gradient goes over them; those of the operands of the products are none of this problem.
    pub(crate) fn of_logits(&self) -> Self {
        let Family::Rows(rows) = &self.family else {
            return self.clone();
        };
        let mut rows = rows.clone();
        let linear = rows.linear.take();
        let mut problem = self.clone();
        let mut wants_grad = false;
        for own in problem.operands.iter_mut().filter(|own| own.slot.is_of_product()) {
            wants_grad |= own.grad.take().is_some();
        }
        if let Some(input) = problem.operands.first_mut() {
            input.slot = Slot::Input;
            input.view = View::contiguous(Dtype::F32, &[rows.slabs, rows.cols]);
            input.grad = wants_grad.then(|| input.view.clone());
        }
        problem.in_place = wants_grad;
        problem.accumulates = false;
        // Of a full target, whose rows lie as the heads do.
        rows.heads = linear.map_or(1, |own| own.heads);
        problem.family = Family::Rows(rows);
        problem
    }

    /// The same of a call of which tensors lie elsewhere.
    pub(crate) fn streamed(mut self) -> Self {
        if let Family::Rows(Rows {
            linear: Some(linear), ..
        }) = &mut self.family
        {
            linear.is_streamed = true;
        }
        self
    }
}
