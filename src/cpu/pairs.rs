//! Losses of pairs of rows.

use rayon::prelude::*;

use super::{Floats, Operands, Results, reduce_losses};
use crate::error::Result;
use crate::layout::Slot;
use crate::problem::{PairRow, Pairs, Problem};

pub(super) fn run(problem: &Problem, pairs: &Pairs, operands: &Operands<'_>) -> Result<Results> {
    let cols = pairs.cols;
    let scale = problem.static_scale();
    let slots = [Slot::Input, Slot::Second, Slot::Third];
    let [a, b, c] = slots.map(|slot| Floats::of(problem, operands, slot));
    let (a, b, c, t) = (a?, b?, c?, Floats::of(problem, operands, Slot::Target)?);
    let upstream = Floats::upstream(problem, operands)?;
    let row_of = |from: &Option<Floats<'_>>, row: usize| match from {
        Some(from) => {
            let stride = if from.view.is_contiguous() {
                cols
            } else {
                from.view.row_stride
            };
            from.row(row * stride, 1, cols)
        }
        None => Vec::new(),
    };
    let each = |from: &Option<Floats<'_>>, row: usize| {
        from.as_ref()
            .map_or(1.0, |from| from.at(if from.view.len() == 1 { 0 } else { row }))
    };
    let wanted: Vec<_> = problem
        .grads()
        .map(|(operand, role, _)| {
            (
                slots.iter().position(|slot| *slot == operand.slot).unwrap_or_default(),
                role,
            )
        })
        .collect();
    let computed: Vec<(f64, Vec<Vec<f64>>)> = (0..pairs.rows)
        .into_par_iter()
        .map(|row| {
            let rows = [&a, &b, &c].map(|from| row_of(from, row));
            let seen = PairRow {
                a: &rows[0],
                b: &rows[1],
                c: &rows[2],
                t: each(&t, row),
                hyper: &problem.hyper,
            };
            let factor = scale * each(&upstream, row);
            let grads = wanted.iter().map(|(nth, _)| {
                let mut grad = vec![0.0; cols];
                if let Some(function) = pairs.reference.grads[*nth] {
                    function(&seen, &mut grad);
                }
                grad.iter_mut().for_each(|g| *g *= factor);
                grad
            });
            let grads = grads.collect();
            ((pairs.reference.loss)(&seen), grads)
        })
        .collect();
    let losses: Vec<f64> = computed.iter().map(|(loss, _)| *loss).collect();
    let mut results = Results {
        loss: reduce_losses(problem, &losses, scale),
        ..Default::default()
    };
    for (nth, (_, role)) in wanted.iter().enumerate() {
        let rows = computed.iter().flat_map(|(_, grads)| grads[nth].iter().copied());
        results.grads.push((*role, rows.collect()));
    }
    Ok(results)
}
