//! Reductions of rows as problems: what the loss of that name is made of, and what plans add up contributions with.

use crate::definition::{Row, RowDefinition, RowLoss};
use crate::dtype::Dtype;
use crate::layout::Slot;
use crate::math::{RowSoftmax, best, sum};
use crate::problem::{Family, Operand, Problem, Rows, SOFTMAX};
use crate::scalars::{Scalars, scalars};
use crate::shader::{Const, Piece, piece};
use crate::view::View;
use crate::words::{ReduceOp, Role};

scalars! { Numbers { share = "1, or of a mean 1 / C" } }

/// The scalars of a reduction whose sums are multiplied by a share.
pub(crate) fn share_of(share: f64) -> Scalars {
    Numbers { share }.into()
}

const SUM: &[Piece] = &[piece!("state/sum.wgsl"), piece!("state/push_quads.wgsl")];
const EXTREME: &[Piece] = &[piece!("state/extreme.wgsl"), piece!("state/push_quads.wgsl")];

/// What the row driver and the reference need to know of a reduction.
pub(crate) fn rows_of(op: ReduceOp) -> Rows {
    let op_piece = match op {
        ReduceOp::Sum | ReduceOp::Mean => piece!("loss/reduce_sum.wgsl"),
        ReduceOp::Max | ReduceOp::Min | ReduceOp::Argmax => piece!("loss/reduce_extreme.wgsl"),
        ReduceOp::LogSumExp => piece!("loss/reduce_logsumexp.wgsl"),
    };
    let pieces = vec![piece!("loss/reduce.wgsl"), op_piece];
    let state = match op {
        ReduceOp::Sum | ReduceOp::Mean => SUM,
        ReduceOp::Max | ReduceOp::Min | ReduceOp::Argmax => EXTREME,
        ReduceOp::LogSumExp => SOFTMAX,
    };
    let definition = match op {
        ReduceOp::Sum | ReduceOp::Mean => add,
        ReduceOp::Max => |row: &Row<'_>, out: &mut RowLoss<'_>| extreme(row, out, |a, b| a > b),
        ReduceOp::Min => |row: &Row<'_>, out: &mut RowLoss<'_>| extreme(row, out, |a, b| a < b),
        ReduceOp::Argmax => argmax,
        ReduceOp::LogSumExp => log_sum_exp,
    };
    Rows {
        state,
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

/// A reduction of the rows of a (slabs, cols, inner) array that lies where `from` begins, in its dtype; `share` is the
/// factor of a sum.
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
        scalars: share_of(share),
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
