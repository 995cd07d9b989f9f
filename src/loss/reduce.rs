//! Reductions, over everything or along dimensions.

use super::family::{Columns, scattered};
use super::math::{RowSoftmax, best, sum};
use super::prelude::*;
use crate::layout::Slot;
use crate::plan::ReduceOp;
use crate::problem::{Family, Operand, Role, Scattered};
use crate::shader::Piece;
use crate::tensor::View;

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
    /// **Shapes.** Any. Without `dim` everything is reduced, to a 0-d tensor; with `dim` those dimensions go, which need not
    /// be neighbours (argmax takes one). Where `keepdim` says so, what is reduced stays with size 1. The result is f32
    /// whatever the input's dtype, i64 for argmax.
    ///
    /// **Dimensions that are not neighbours** are folded run by run, from the innermost, and the gradient of max, min and
    /// logsumexp takes scratch of four bytes for each element.
    ///
    /// **Differences from PyTorch.** `max` and `min` are its `amax` and `amin`: values alone, equals share the gradient. Of
    /// 16-bit inputs the result is f32. The gradient of logsumexp over nothing but -inf is 0, where PyTorch has NaN: such a
    /// sum is 0, so whatever is made of it in log space weighs these elements with exp(x - total) = 0, which the product with
    /// the upstream gradient is then, too.
    ///
    /// **Errors.** [`Error::Option`] for a `dim` that the input does not have or that is named twice, or for several with
    /// argmax; [`Error::Operand`] for the maximum of nothing, or for the gradient of argmax; [`Error::Limit`] for 2^32
    /// elements or more where rows have gaps, a row is so long, or a gradient of everything is asked.
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
    scalars { share = "1, or of a mean 1 / C" }
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

const SUM: &[Piece] = &[piece!("state/sum.wgsl"), piece!("state/push_quads.wgsl")];
const EXTREME: &[Piece] = &[piece!("state/extreme.wgsl"), piece!("state/push_quads.wgsl")];

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
        let mut problem = rows.problem(self, call, columns, Numbers { share })?;
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

fn rows_of(op: ReduceOp) -> Rows {
    let op_piece = match op {
        ReduceOp::Sum | ReduceOp::Mean => piece!("loss/reduce_sum.wgsl"),
        ReduceOp::Max | ReduceOp::Min | ReduceOp::Argmax => piece!("loss/reduce_extreme.wgsl"),
        ReduceOp::LogSumExp => piece!("loss/reduce_logsumexp.wgsl"),
    };
    let pieces = vec![piece!("loss/reduce.wgsl"), op_piece];
    let monoid = match op {
        ReduceOp::Sum | ReduceOp::Mean => SUM,
        ReduceOp::Max | ReduceOp::Min | ReduceOp::Argmax => EXTREME,
        ReduceOp::LogSumExp => super::family::SOFTMAX,
    };
    let definition = match op {
        ReduceOp::Sum | ReduceOp::Mean => add,
        ReduceOp::Max => |row: &Row<'_>, out: &mut RowLoss<'_>| extreme(row, out, |a, b| a > b),
        ReduceOp::Min => |row: &Row<'_>, out: &mut RowLoss<'_>| extreme(row, out, |a, b| a < b),
        ReduceOp::Argmax => argmax,
        ReduceOp::LogSumExp => log_sum_exp,
    };
    Rows {
        monoid,
        pieces,
        consts: vec![Const::Bool("LARGEST", op != ReduceOp::Min)],
        kind: op.name().into(),
        definition: RowDefinition::Loss(definition),
        ..Rows::default()
    }
}

/// The sums of the rows of a (slabs, cols, inner) array in f32, as a problem: what plans use to add up contributions.
pub(crate) fn sum_of_rows(dims: (usize, usize, usize), dtype: Dtype) -> Problem {
    fold_of_rows(ReduceOp::Sum, dims, &View::contiguous(Dtype::F32, &[]), dtype, 1.0)
}

/// A reduction of the rows of a (slabs, cols, inner) array that lies where `from` begins, in its dtype; `share` is the factor
/// of a sum.
pub(crate) fn fold_of_rows(
    op: ReduceOp,
    (slabs, cols, inner): (usize, usize, usize),
    from: &View,
    dtype: Dtype,
    share: f64,
) -> Problem {
    let rows = Rows {
        slabs,
        cols,
        inner,
        ..rows_of(op)
    };
    let input = Operand {
        role: Role::Input,
        slot: Slot::Input,
        view: View {
            offset: from.offset,
            ..View::contiguous(from.dtype, &[slabs, cols, inner])
        },
        grad: None,
    };
    Problem {
        dtype,
        scalars: Numbers { share }.into(),
        ..Problem::unreduced(op.name(), Family::Rows(rows), vec![input], &[slabs, inner])
    }
}

fn add(row: &Row<'_>, out: &mut RowLoss<'_>) {
    let Numbers { share } = row.scalars.into();
    if let Some(loss) = &mut out.loss {
        **loss = sum(row.x) * share;
    }
    if let Some(grad) = &mut out.grad_input {
        grad.fill(share);
    }
}

fn extreme(row: &Row<'_>, out: &mut RowLoss<'_>, beyond: impl Fn(f64, f64) -> bool) {
    let value = row.x[best(row.x, beyond)];
    if let Some(loss) = &mut out.loss {
        **loss = value;
    }
    if let Some(grad) = &mut out.grad_input {
        let ties = row.x.iter().filter(|&&x| x == value).count() as f64;
        for (g, &x) in grad.iter_mut().zip(row.x) {
            // Of a NaN there are no equals: 0 / 0.
            *g = f64::from(u8::from(x == value)) / ties;
        }
    }
}

fn argmax(row: &Row<'_>, out: &mut RowLoss<'_>) {
    if let Some(loss) = &mut out.loss {
        **loss = best(row.x, |a, b| a > b) as f64;
    }
}

fn log_sum_exp(row: &Row<'_>, out: &mut RowLoss<'_>) {
    let softmax = RowSoftmax::new(row.x, &mut out.scratch.exps);
    let value = softmax.log_sum_exp();
    if let Some(loss) = &mut out.loss {
        **loss = value;
    }
    if let Some(grad) = &mut out.grad_input {
        if value == f64::NEG_INFINITY {
            grad.fill(0.0);
        } else if value.is_infinite() {
            grad.iter_mut().zip(row.x).for_each(|(g, x)| *g = (x - value).exp());
        } else {
            grad.iter_mut().zip(softmax.scaled(1.0)).for_each(|(g, p)| *g = p);
        }
    }
}
