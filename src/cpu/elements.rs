//! Losses of elements.

use rayon::prelude::*;

use super::{Floats, Operands, Results, place, reduce_losses};
use crate::error::{Error, Result};
use crate::layout::Slot;
use crate::problem::{ElementFn, Elements, Problem};
use crate::tensor::View;

pub(super) fn run(problem: &Problem, elements: &Elements, operands: &Operands<'_>) -> Result<Results> {
    let shape = &problem.terms;
    let count = problem.term_count() as usize;
    let scale = problem.static_scale();
    let slots = [Slot::Input, Slot::Target, Slot::Third, Slot::Weight];
    let given = slots.map(|slot| Floats::of(problem, operands, slot));
    let [x, t, u, w] = given;
    let (x, t, u, w) = (x?, t?, u?, w?);
    let upstream = Floats::upstream(problem, operands)?;
    let at = |from: &Option<Floats<'_>>, i: usize| from.as_ref().map_or(1.0, |from| from.broadcast(shape, i));
    // NaN in gives NaN out, whatever comparisons a definition makes.
    let value = |function: ElementFn, poisons: bool, i: usize| {
        let (x, t, u) = (at(&x, i), at(&t, i), at(&u, i));
        if poisons && (x.is_nan() || t.is_nan() || u.is_nan()) {
            return f64::NAN;
        }
        function(x, t, u, &problem.hyper)
    };
    let mut results = Results::default();
    if problem.mode.wants_loss() {
        let loss = |i| at(&w, i) * value(elements.reference.loss, true, i);
        let losses: Vec<f64> = (0..count).into_par_iter().map(loss).collect();
        results.loss = reduce_losses(problem, &losses, scale);
    }
    for (operand, role, view) in problem.grads() {
        let nth = slots.iter().position(|slot| *slot == operand.slot).unwrap_or_default();
        let Some(function) = elements.reference.grads.get(nth).copied().flatten() else {
            return Err(Error::operand(operand.role.name(), "has no gradient here"));
        };
        let grad = |i| scale * at(&upstream, i) * at(&w, i) * value(function, elements.nan_grads, i);
        let each: Vec<f64> = (0..count).into_par_iter().map(grad).collect();
        let own = View::contiguous(view.dtype, &view.shape);
        let mut sums = vec![0.0; view.len() as usize];
        for (i, g) in each.into_iter().enumerate() {
            sums[place(&own, shape, i)] += g;
        }
        results.grads.push((role, sums));
    }
    Ok(results)
}
