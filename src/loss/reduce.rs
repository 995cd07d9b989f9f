//! Reductions, over everything or along dimensions.

use super::family::{Columns, scattered};
use super::prelude::*;
use crate::fold::{rows_of, share_of};
use crate::problem::Scattered;
use crate::words::ReduceOp;

define! {
    /// A reduction of all elements, or along some dimensions
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
    /// **Shapes.** Any. Without `dim` everything is reduced, to a 0-d tensor; with `dim` those dimensions go, which
    /// need not be neighbours (argmax takes one). Where `keepdim` says so, what is reduced stays with size 1. The
    /// result is f32 whatever the input's dtype, i64 for argmax.
    ///
    /// **Dimensions that are not neighbours** are folded run by run, from the innermost, and the gradient of max, min
    /// and logsumexp takes scratch of four bytes for each element.
    ///
    /// **Differences from PyTorch.** `max` and `min` are its `amax` and `amin`: values alone, equals share the
    /// gradient. Of 16-bit inputs the result is f32. The gradient of logsumexp over nothing but -inf is 0, where
    /// PyTorch has NaN: such a sum is 0, so whatever is made of it in log space weighs these elements with exp(x -
    /// total) = 0, which the product with the upstream gradient is then, too.
    ///
    /// **Errors.** [`Error::Option`] for a `dim` that the input does not have or that is named twice, or for several
    /// with argmax; [`Error::Operand`] for the maximum of nothing, or for the gradient of argmax; [`Error::Limit`] for
    /// 2^32 elements or more where rows have gaps, a row is so long, or a gradient of everything is asked.
    Reduce, reduce;
    summary: "sum, mean, max, min, argmax or logsumexp, of everything or along dimensions";
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
        dim: Vec<i64> = Vec::new(), "the dimensions that go; everything where it is left open";
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

impl Reduce {
    fn check(&self) -> Result<()> {
        Ok(())
    }

    fn problem(&self, call: &Call<'_>) -> Result<Problem> {
        let input = call.input()?;
        let shape = &input.shape;
        let columns = self.columns(shape)?;
        let len = match &columns {
            Columns::All => input.len(),
            Columns::Along(dims) => dims
                .iter()
                .map(|&dim| shape.get(dim).map_or(1, |&n| n as u64))
                .product(),
        };
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
        let is_all = matches!(columns, Columns::All);
        if grad && is_all && !input.is_contiguous() {
            return Err(Error::operand(
                "input",
                "has gaps between its rows, which the gradient of a reduction of everything does not take",
            ));
        }
        let mut rows = rows_of(self.op);
        rows.keeps_dim = self.keepdim;
        match &columns {
            Columns::All => rows.whole = Some(self.op),
            Columns::Along(dims) => {
                let op = self.op;
                rows.scattered = scattered(dims, shape).map(|dims| Scattered { dims, op });
            }
        }
        let share = match (self.op, len) {
            (ReduceOp::Mean, 0) => f64::NAN,
            (ReduceOp::Mean, len) => 1.0 / len as f64,
            _ => 1.0,
        };
        let mut problem = rows.problem(self, call, columns, share_of(share))?;
        problem.dtype = self.op.result_dtype();
        Ok(problem)
    }

    /// What is reduced of an input.
    fn columns(&self, shape: &[usize]) -> Result<Columns> {
        let mut dims = Vec::new();
        for &dim in &self.dim {
            let own = row_dim(dim, shape)?;
            if dims.contains(&own) {
                return Err(Error::option(
                    "dim",
                    format!(
                        "{} given, which names dimension {own} of an input {shape:?} twice",
                        listed(&self.dim)
                    ),
                ));
            }
            dims.push(own);
        }
        if dims.len() > 1 && self.op == ReduceOp::Argmax {
            return Err(Error::option(
                "dim",
                format!(
                    "{} given, argmax takes one dimension or, without dim, everything",
                    listed(&self.dim)
                ),
            ));
        }
        dims.sort_unstable();
        // Of several that are all there are, the result is that of everything.
        if dims.is_empty() || dims.len() > 1 && dims.len() == shape.len() {
            return Ok(Columns::All);
        }
        Ok(Columns::Along(dims))
    }
}

fn listed(dims: &[i64]) -> String {
    dims.iter().map(i64::to_string).collect::<Vec<_>>().join(",")
}
