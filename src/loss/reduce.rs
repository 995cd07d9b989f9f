//! Reductions, over everything or along a dimension.

use super::math::{best, log_softmax, log_sum_exp};
use super::prelude::*;
use crate::layout::Slot;
use crate::plan::ReduceOp;
use crate::problem::{Divisor, Family, Mode, Operand, Role, RowFill, RowLoss};
use crate::shader::Piece;
use crate::tensor::View;

define! {
    /// A reduction of all elements, or of one dimension
    /// ([PyTorch](https://pytorch.org/docs/stable/torch.html#reduction-ops)).
    ///
    /// | op | result y | gradient | of nothing | NaN in |
    /// |---|---|---|---|---|
    /// | sum | Σ x | 1 | 0 | NaN |
    /// | mean | Σ x / n | 1 / n | NaN | NaN |
    /// | max, min | the largest, the smallest | 1 / ties for each of the equals, 0 elsewhere | an error | NaN |
    /// | argmax | the index of the largest, the first among equals | none | an error | index of the first NaN |
    /// | logsumexp | log Σ exp(x), without overflow | exp(x - y) | -inf | NaN |
    ///
    /// **Shapes.** Any. Without `dim` everything is reduced, to a 0-d tensor; with `dim` that dimension goes. Where
    /// `keepdim` says so, what is reduced stays with size 1. The result is f32 whatever the input's dtype, i64 for argmax (with keepdim or not).
    ///
    /// **Differences from PyTorch.** `max` and `min` are its `amax` and `amin`: values alone, equals share the gradient. `dim`
    /// is one dimension, not a list. Of 16-bit inputs the result is f32.
    ///
    /// **Errors.** [`Error::Option`] for a `dim` that the input does not have;
    /// [`Error::Operand`] for a dtype that is no float, for the maximum of nothing, or for the gradient of argmax;
    /// [`Error::Limit`] for 2^32 elements or more where rows have gaps, a `dim` is so long, or a gradient of everything is asked.
    Reduce, reduce;
    summary: "sum, mean, max, min, argmax or logsumexp, of everything or along a dimension";
    url: "https://pytorch.org/docs/stable/torch.html#reduction-ops";
    presets: [
        "sum" => op "sum", "mean" => op "mean", "max" => op "max", "amax" => op "max", "min" => op "min",
        "amin" => op "min", "argmax" => op "argmax", "logsumexp" => op "logsumexp",
    ];
    operands {
        input: Real, true, "any numbers";
    }
    options {
        op: ReduceOp = ReduceOp::Sum, "which reduction";
        dim: Option<i64> = None, "the dimension that goes; everything where it is left open";
        keepdim: bool = false, "what is reduced stays, with size 1";
    }
    tensors { }
    reduction: None;
    reductions: UNREDUCED;
}

choice!(
    ReduceOp,
    "sum" => ReduceOp::Sum,
    "mean" => ReduceOp::Mean,
    "max" or "amax" => ReduceOp::Max,
    "min" or "amin" => ReduceOp::Min,
    "argmax" => ReduceOp::Argmax,
    "logsumexp" => ReduceOp::LogSumExp
);

const SUM: &[Piece] = &[piece!("monoid/sum.wgsl"), piece!("piece/row_push_quads.wgsl")];
const EXTREME: &[Piece] = &[piece!("monoid/extreme.wgsl"), piece!("piece/row_push_quads.wgsl")];

impl Reduce {
    fn check(&self) -> Result<()> {
        Ok(())
    }

    fn problem(&self, call: &Call<'_>) -> Result<Problem> {
        let input = call.input()?;
        let shape = &input.shape;
        let dim = self.dim.map(|dim| row_dim(dim, shape)).transpose()?;
        let len = dim.map_or(input.len(), |dim| shape.get(dim).map_or(1, |&n| n as u64));
        let needs_one = matches!(self.op, ReduceOp::Max | ReduceOp::Min | ReduceOp::Argmax);
        if len == 0 && needs_one {
            return Err(Error::operand(
                "input",
                format!(
                    "shape {shape:?} has no elements there, of which there is no {}",
                    self.op.name()
                ),
            ));
        }
        let grad = call.mode.wants_grad();
        if grad && self.op == ReduceOp::Argmax {
            return Err(Error::operand("input", "argmax has no gradient"));
        }
        if grad && dim.is_none() && !input.is_contiguous() {
            return Err(Error::operand(
                "input",
                "has gaps between its rows, which the gradient of a reduction of everything does not take",
            ));
        }
        let mut rows = rows_of(self.op);
        rows.keeps_dim = self.keepdim;
        if dim.is_none() {
            rows.whole = Some(self.op);
        }
        let share = match (self.op, len) {
            (ReduceOp::Mean, 0) => f64::NAN,
            (ReduceOp::Mean, len) => 1.0 / len as f64,
            _ => 1.0,
        };
        let mut problem = rows.problem(self, call, dim, [share, 0.0, 0.0, 0.0])?;
        problem.dtype = self.op.result_dtype();
        Ok(problem)
    }
}

fn rows_of(op: ReduceOp) -> Rows {
    let op_piece = match op {
        ReduceOp::Sum | ReduceOp::Mean => piece!("loss/reduce_sum.wgsl"),
        ReduceOp::Max | ReduceOp::Min | ReduceOp::Argmax => piece!("loss/reduce_extreme.wgsl"),
        ReduceOp::LogSumExp => piece!("loss/reduce_logsumexp.wgsl"),
    };
    let mut pieces = vec![piece!("loss/reduce.wgsl"), op_piece];
    let monoid = match op {
        ReduceOp::Sum | ReduceOp::Mean => SUM,
        ReduceOp::Max | ReduceOp::Min | ReduceOp::Argmax => EXTREME,
        ReduceOp::LogSumExp => {
            pieces.push(piece!("piece/row_coef_none.wgsl"));
            super::family::SOFTMAX
        }
    };
    let (loss, grad_input): (RowLoss, RowFill) = match op {
        ReduceOp::Sum | ReduceOp::Mean => (sum, grad_sum),
        ReduceOp::Max => (
            |row| row.x[best(row.x, |a, b| a > b)],
            |row, grad| grad_extreme(row, grad, |a, b| a > b),
        ),
        ReduceOp::Min => (
            |row| row.x[best(row.x, |a, b| a < b)],
            |row, grad| grad_extreme(row, grad, |a, b| a < b),
        ),
        ReduceOp::Argmax => (|row| best(row.x, |a, b| a > b) as f64, |_, grad| grad.fill(f64::NAN)),
        ReduceOp::LogSumExp => (|row| log_sum_exp(row.x), grad_log_sum_exp),
    };
    Rows {
        monoid,
        pieces,
        consts: vec![Const::Bool("LARGEST", op != ReduceOp::Min)],
        kind: op.name().into(),
        reference: RowReference::of(loss, grad_input),
        ..Rows::default()
    }
}

/// The sums of the rows of a (slabs, cols, inner) array in f32, as a problem: what plans use to add up contributions.
pub(crate) fn sum_of_rows((slabs, cols, inner): (usize, usize, usize), dtype: Dtype) -> Problem {
    Problem {
        name: "sum",
        mode: Mode::Forward,
        reduction: Reduction::None,
        divisor: Divisor::Known(1.0),
        zero_on_empty: false,
        family: Family::Rows(Rows {
            slabs,
            cols,
            inner,
            ..rows_of(ReduceOp::Sum)
        }),
        operands: vec![Operand {
            role: Role::Input,
            slot: Slot::Input,
            view: View::contiguous(Dtype::F32, &[slabs, cols, inner]),
            grad: None,
        }],
        terms: vec![slabs, inner],
        dtype,
        grad_output: None,
        in_place: false,
        accumulates: false,
        stats: Stats::default(),
        checks: Vec::new(),
        hyper: [1.0, 0.0, 0.0, 0.0],
    }
}

fn sum(row: &Row<'_>) -> f64 {
    // Of nothing 0, where `Iterator::sum` has -0.
    row.x.iter().fold(0.0, |sum, x| sum + x) * row.hyper[0]
}

fn grad_sum(row: &Row<'_>, grad: &mut [f64]) {
    grad.fill(row.hyper[0]);
}

fn grad_extreme(row: &Row<'_>, grad: &mut [f64], beyond: fn(f64, f64) -> bool) {
    let value = row.x[best(row.x, beyond)];
    let ties = row.x.iter().filter(|&&x| x == value).count() as f64;
    for (g, &x) in grad.iter_mut().zip(row.x) {
        // Of a NaN there are no equals: 0 / 0.
        *g = f64::from(u8::from(x == value)) / ties;
    }
}

fn grad_log_sum_exp(row: &Row<'_>, grad: &mut [f64]) {
    let value = log_sum_exp(row.x);
    if value.is_infinite() {
        grad.iter_mut().zip(row.x).for_each(|(g, x)| *g = (x - value).exp());
        return;
    }
    for (g, log_p) in grad.iter_mut().zip(log_softmax(row.x)) {
        *g = log_p.exp();
    }
}
