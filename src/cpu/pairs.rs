//! Losses of pairs of rows.

use std::sync::{Mutex, PoisonError};

use rayon::prelude::*;

use super::numbers::{Numbers, Part};
use super::{ByRole, Floats, Keeping, Losses, Made};
use crate::definition::{PairOut, PairRow};
use crate::error::Result;
use crate::layout::Slot;
use crate::problem::{Pairs, Problem};
use crate::words::Role;

/// Elements of each operand that a thread takes at a time; and the most rows.
const TILE: usize = 8 << 10;
const TILE_ROWS: usize = 1024;

/// Memory that a thread uses for one tile after the other: the rows of the operands, and the gradients of a pair.
#[derive(Default)]
struct Scratch {
    rows: [Vec<f64>; 3],
    grads: [Vec<f64>; 3],
}

/// Rows one behind the other, and where what is made of them goes.
struct Tile<'a> {
    first: usize,
    losses: &'a mut [f64],
    grads: [Option<Part<'a>>; 3],
}

struct Run<'a> {
    problem: &'a Problem,
    pairs: &'a Pairs,
    operands: [Option<Floats<'a>>; 3],
    target: Option<Floats<'a>>,
    upstream: Option<Floats<'a>>,
    /// Scratch that no thread holds.
    free: Mutex<Vec<Scratch>>,
}

impl Run<'_> {
    fn tile(&self, tile: &mut Tile<'_>) {
        let held = || self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let mut scratch = held().pop().unwrap_or_default();
        let cols = self.pairs.cols;
        for (operand, rows) in self.operands.iter().zip(&mut scratch.rows) {
            if let Some(operand) = operand {
                rows.resize(tile.losses.len() * cols, 0.0);
                operand.rows(tile.first, cols, rows);
            }
        }
        for (grad, part) in scratch.grads.iter_mut().zip(&tile.grads) {
            grad.resize(if part.is_some() { cols } else { 0 }, 0.0);
        }
        let scale = self.problem.static_scale();
        let each = |from: &Option<Floats<'_>>, row: usize| {
            from.as_ref()
                .map_or(1.0, |from| from.at(if from.view.len() == 1 { 0 } else { row }))
        };
        for (nth, loss) in tile.losses.iter_mut().enumerate() {
            let row = tile.first + nth;
            let [a, b, c] = scratch
                .rows
                .each_ref()
                .map(|rows| rows.get(nth * cols..(nth + 1) * cols));
            let seen = PairRow {
                a: a.unwrap_or_default(),
                b: b.unwrap_or_default(),
                c: c.unwrap_or_default(),
                t: each(&self.target, row),
                scalars: &self.problem.scalars,
            };
            let mut wanted = tile.grads.iter().map(Option::is_some);
            let mut out = PairOut {
                loss: 0.0,
                grads: scratch
                    .grads
                    .each_mut()
                    .map(|grad| wanted.next().unwrap_or_default().then_some(grad.as_mut_slice())),
            };
            (self.pairs.definition)(&seen, &mut out);
            *loss = out.loss;
            let factor = scale * each(&self.upstream, row);
            for (part, grad) in tile.grads.iter_mut().zip(&mut scratch.grads) {
                if let Some(part) = part {
                    grad.iter_mut().for_each(|g| *g *= factor);
                    part.write(nth * cols, grad);
                }
            }
        }
        held().push(scratch);
    }
}

pub(super) fn run(problem: &Problem, pairs: &Pairs, operands: &ByRole<'_>, keeping: &Keeping<'_>) -> Result<Made> {
    let (rows, cols) = (pairs.rows, pairs.cols);
    let slots = [Slot::Input, Slot::Second, Slot::Third];
    let [a, b, c] = slots.map(|slot| Floats::of(problem, operands, slot));
    let run = Run {
        problem,
        pairs,
        operands: [a?, b?, c?],
        target: Floats::of(problem, operands, Slot::Target)?,
        upstream: Floats::upstream(problem, operands, Role::GradOutput)?,
        free: Mutex::default(),
    };
    let mut grads: [Option<(Role, Numbers)>; 3] = [None, None, None];
    for (operand, role, _) in problem.grads() {
        let nth = slots.iter().position(|slot| *slot == operand.slot).unwrap_or_default();
        grads[nth] = Some((role, Numbers::new(keeping(role), rows * cols)));
    }
    let mut each = vec![0.0; rows];
    let tile = (TILE / cols.max(1)).clamp(1, TILE_ROWS);
    let mut parts = grads
        .each_mut()
        .map(|grad| grad.as_mut().map(|(_, grad)| grad.parts(0..rows * cols, tile * cols)));
    let tiles = each.chunks_mut(tile).enumerate().map(|(nth, losses)| Tile {
        first: nth * tile,
        losses,
        grads: parts.each_mut().map(|parts| parts.as_mut().and_then(Iterator::next)),
    });
    let tiles: Vec<Tile<'_>> = tiles.collect();
    tiles.into_par_iter().for_each(|mut tile| run.tile(&mut tile));
    drop(parts);
    let mut made = Made::default();
    if problem.mode.wants_loss() {
        let mut losses = Losses::new(problem, keeping(Role::Loss));
        each.iter().enumerate().for_each(|(row, loss)| losses.push(row, *loss));
        made.loss = losses.finish(problem.static_scale());
    }
    made.grads = grads.into_iter().flatten().collect();
    // In the order of the signature.
    made.grads.sort_by_key(|(role, _)| *role);
    Ok(made)
}
