//! Reductions along dimensions with others between them, such as the first and the last of three.
//!
//! Forward, each run of neighbouring dimensions is a reduction of rows by itself, from the innermost run outward: the
//! sum of sums, the largest of the largest. Backward, the elementwise driver has the gradient, from two numbers for
//! each result that broadcast over the input: the extreme and how many elements have it, or the largest element and the
//! sum of exp(x - largest). The second is the sum of terms of the input's shape, which lie in scratch: partial
//! log-sum-exps would be too coarse where they are large, and shares of partial ties would not be equal.

use crate::dtype::Dtype;
use crate::error::Result;
use crate::fold::fold_of_rows;
use crate::layout::Slot;
use crate::limits::Limits;
use crate::plan::{Origin, Plan, axis, plan as plan_of};
use crate::problem::{Elements, Family, Operand, Problem, Scattered};
use crate::shader::{Const, Piece, piece};
use crate::tuning::Tuning;
use crate::view::View;
use crate::words::{Mode, ReduceOp, Role};

struct ScatteredPlanner<'a> {
    problem: &'a Problem,
    /// (slabs, cols, inner) of each run of dimensions, the innermost first.
    runs: Vec<(usize, usize, usize)>,
    /// Of a number for each result, in f32, that broadcasts over the input.
    kept: View,
    limits: &'a Limits,
    tuning: &'a Tuning,
}

pub(super) fn plan(problem: &Problem, own: &Scattered, limits: &Limits, tuning: &Tuning) -> Result<Plan> {
    let input = problem.input();
    let mut kept = input.shape.clone();
    own.dims.iter().for_each(|&dim| kept[dim] = 1);
    let planner = ScatteredPlanner {
        problem,
        runs: axis::runs(&input.shape, |dim| !own.dims.contains(&dim)),
        kept: View::contiguous(Dtype::F32, &kept),
        limits,
        tuning,
    };
    let (mut plan, x) = (Plan::default(), (Origin::Tensor(Role::Input), input));
    let result = Origin::Tensor(Role::Loss);
    if problem.mode.wants_loss() {
        planner.fold(
            &mut plan,
            own.op,
            x,
            share_of(problem),
            Some((result, problem.offset_of(Role::Loss))),
        )?;
    }
    if !problem.mode.wants_grad() || input.is_empty() {
        return Ok(plan);
    }
    let (share, numbers) = match own.op {
        ReduceOp::Sum | ReduceOp::Mean | ReduceOp::Argmax => (SHARE, None),
        ReduceOp::Max | ReduceOp::Min => {
            let extreme = match problem.mode.wants_loss() {
                true if problem.offset_of(Role::Loss) == 0 => result,
                _ => planner.fold(&mut plan, own.op, x, 1.0, None)?,
            };
            (EXTREME, Some((extreme, planner.total(&mut plan, EXTREME, extreme)?)))
        }
        ReduceOp::LogSumExp => {
            let largest = planner.fold(&mut plan, ReduceOp::Max, x, 1.0, None)?;
            (
                EXPONENTIAL,
                Some((largest, planner.total(&mut plan, EXPONENTIAL, largest)?)),
            )
        }
    };
    planner.grad(&mut plan, share, numbers)?;
    Ok(plan)
}

/// The factor of a mean.
fn share_of(problem: &Problem) -> f64 {
    problem.scalars.get("share").unwrap_or(1.0)
}

/// The reductions of rows that make such a reduction, in order.
pub(crate) fn folds(problem: &Problem, own: &Scattered) -> Vec<Problem> {
    let input = problem.input();
    let runs = axis::runs(&input.shape, |dim| !own.dims.contains(&dim));
    folds_of(&runs, own.op, input, share_of(problem))
}

fn folds_of(runs: &[(usize, usize, usize)], op: ReduceOp, from: &View, share: f64) -> Vec<Problem> {
    let (partial, last) = (View::contiguous(Dtype::F32, &[]), runs.len().saturating_sub(1));
    let fold = |(nth, &dims)| {
        let from = if nth == 0 { from } else { &partial };
        // Only the sum of all has the factor of a mean.
        let share = if nth == last { share } else { 1.0 };
        fold_of_rows(op, dims, from, Dtype::F32, share)
    };
    runs.iter().enumerate().map(fold).collect()
}

const SHARE: Share = Share {
    piece: piece!("loss/reduce_share.wgsl"; Const::U32("OF", 0)),
    name: "sum",
};
const EXTREME: Share = Share {
    piece: piece!("loss/reduce_share.wgsl"; Const::U32("OF", 1)),
    name: "extreme",
};
const EXPONENTIAL: Share = Share {
    piece: piece!("loss/reduce_share.wgsl"; Const::U32("OF", 2)),
    name: "logsumexp",
};

/// The shader of a share, and what tells its pipelines apart.
#[derive(Clone, Copy)]
struct Share {
    piece: Piece,
    name: &'static str,
}

impl ScatteredPlanner<'_> {
    /// Folds all runs; into new scratch, where no place is given.
    fn fold(
        &self,
        plan: &mut Plan,
        op: ReduceOp,
        (from, view): (Origin, &View),
        share: f64,
        into: Option<(Origin, u64)>,
    ) -> Result<Origin> {
        let (mut from, last) = (from, self.runs.len().saturating_sub(1));
        for (nth, mut part) in folds_of(&self.runs, op, view, share).into_iter().enumerate() {
            let to = match into.filter(|_| nth == last) {
                Some((place, at)) => {
                    part.placed
                        .push((Role::Loss, View::placed(part.dtype, &part.terms, at)));
                    place
                }
                None => plan.add_scratch(part.term_count() * 4),
            };
            let part = plan_of(&part, self.limits, self.tuning)?;
            plan.append(part, |role| if role == Role::Input { from } else { to });
            from = to;
        }
        Ok(from)
    }

    /// The sum of the terms that a piece makes of each element and the number of its result.
    fn total(&self, plan: &mut Plan, share: Share, number: Origin) -> Result<Origin> {
        let whole = View::contiguous(Dtype::F32, &self.problem.input().shape);
        let terms = plan.add_scratch(whole.end());
        let part = self.elements(share, Mode::Forward, &[Slot::Target]);
        plan.append(plan_of(&part, self.limits, self.tuning)?, |role| match role {
            Role::Target => number,
            Role::Loss => terms,
            own => Origin::Tensor(own),
        });
        self.fold(plan, ReduceOp::Sum, (terms, &whole), 1.0, None)
    }

    fn grad(&self, plan: &mut Plan, share: Share, numbers: Option<(Origin, Origin)>) -> Result<()> {
        let slots: &[Slot] = if numbers.is_some() {
            &[Slot::Target, Slot::Third]
        } else {
            &[]
        };
        let part = self.elements(share, Mode::Backward, slots);
        plan.append(plan_of(&part, self.limits, self.tuning)?, |role| {
            match (role, numbers) {
                (Role::Target, Some((number, _))) => number,
                (Role::Var, Some((_, total))) => total,
                (own, _) => Origin::Tensor(own),
            }
        });
        Ok(())
    }

    /// A function of each element and of numbers of its result, in the slots that are named.
    fn elements(&self, share: Share, mode: Mode, numbers: &[Slot]) -> Problem {
        let problem = self.problem;
        let number = |&slot: &Slot| Operand {
            role: if slot == Slot::Third { Role::Var } else { Role::Target },
            slot,
            view: self.kept.clone(),
            grad: None,
        };
        let mut operands = problem.operands.clone();
        operands.extend(numbers.iter().map(number));
        let wants_grad = mode.wants_grad();
        if !wants_grad {
            operands.iter_mut().for_each(|own| own.grad = None);
        }
        let upstream = |view: &View| match view.shape.is_empty() {
            true => view.clone(),
            false => View {
                offset: view.offset,
                ..View::contiguous(view.dtype, &self.kept.shape)
            },
        };
        let elements = Elements {
            piece: share.piece,
            kind: share.name.into(),
            nan_grads: !numbers.is_empty(),
            ..Elements::default()
        };
        Problem {
            mode,
            grad_output: problem.grad_output.as_ref().filter(|_| wants_grad).map(upstream),
            in_place: problem.in_place && wants_grad,
            accumulates: problem.accumulates,
            scalars: problem.scalars,
            ..Problem::unreduced("reduce", Family::Elements(elements), operands, &problem.input().shape)
        }
    }
}
