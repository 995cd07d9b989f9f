//! Losses of elements.

use std::ops::Range;

use rayon::prelude::*;

use super::floats::Walk;
use super::numbers::{Kept, Numbers, Part};
use super::{ByRole, Floats, Keeping, Made};
use crate::definition::{Span, SpanOut, Wanted};
use crate::error::{Error, Result};
use crate::layout::Slot;
use crate::math::sum;
use crate::problem::{Elements, Problem};
use crate::view::View;
use crate::words::Role;

/// Elements that a definition is called with at a time: nine arrays of them stay in the nearest caches.
const SPAN: usize = 512;

/// Elements that a thread takes at a time.
const BLOCK: usize = 64 * SPAN;

/// Elements whose gradients are computed before those of an operand that broadcasts are added up, one after the other.
const GROUP: usize = 32 * BLOCK;

/// An operand under the shape of the terms; where there is none, 1 everywhere.
struct Input<'a>(Option<(Floats<'a>, Walk)>);

impl<'a> Input<'a> {
    fn new(floats: Option<Floats<'a>>, shape: &[usize]) -> Self {
        Self(floats.map(|floats| {
            let walk = Walk::new(floats.view, shape);
            (floats, walk)
        }))
    }

    fn read(&self, start: usize, out: &mut [f64]) {
        let Some((floats, walk)) = &self.0 else { return };
        walk.stretches(start, out.len(), |own| {
            let out = &mut out[own.from..own.from + own.len];
            match own.step {
                0 => out.fill(floats.at(own.place)),
                step => floats.read(own.place, step, out),
            }
        });
    }
}

/// A gradient on its way.
struct Grad {
    role: Role,
    /// The operand: x, t or the third.
    nth: usize,
    kept: Kept,
    /// The result; of an operand that broadcasts, the gradients of a group by term.
    made: Numbers,
    sums: Option<(Walk, Vec<f64>)>,
}

struct Run<'a> {
    problem: &'a Problem,
    elements: &'a Elements,
    /// x, t, the third, weight and upstream gradient.
    inputs: [Input<'a>; 5],
    wanted: Wanted,
    scale: f64,
}

/// Where the results of a block go.
struct Block<'a> {
    start: usize,
    len: usize,
    loss: Option<Part<'a>>,
    grads: [Option<Part<'a>>; 3],
}

impl Run<'_> {
    /// Computes a range of terms in blocks, and returns the sums of their losses.
    fn group(&self, terms: Range<usize>, losses: Option<&mut Numbers>, grads: &mut [Grad]) -> Vec<f64> {
        let mut loss = losses.map(|own| own.parts(terms.clone(), BLOCK));
        let mut parts: Vec<_> = grads
            .iter_mut()
            .map(|grad| {
                let range = match grad.sums {
                    None => terms.clone(),
                    Some(_) => 0..terms.len(),
                };
                (grad.nth, grad.made.parts(range, BLOCK))
            })
            .collect();
        let starts = terms.clone().step_by(BLOCK);
        let blocks: Vec<Block<'_>> = starts
            .map(|start| {
                let mut grads = [None, None, None];
                for (nth, parts) in &mut parts {
                    grads[*nth] = parts.next();
                }
                Block {
                    start,
                    len: BLOCK.min(terms.end - start),
                    loss: loss.as_mut().and_then(Iterator::next),
                    grads,
                }
            })
            .collect();
        blocks.into_par_iter().map(|block| self.block(block)).collect()
    }

    /// Computes a block, and returns the sum of its losses.
    fn block(&self, mut block: Block<'_>) -> f64 {
        let mut inputs = [[1.0; SPAN]; 5];
        let mut outputs = [[0.0; SPAN]; 4];
        let mut total = 0.0;
        for from in (0..block.len).step_by(SPAN) {
            let n = SPAN.min(block.len - from);
            for (input, values) in self.inputs.iter().zip(&mut inputs) {
                input.read(block.start + from, &mut values[..n]);
            }
            let [x, t, u, weight, upstream] = inputs.each_ref().map(|values| &values[..n]);
            let [loss, grads @ ..] = outputs.each_mut().map(|values| &mut values[..n]);
            let mut out = SpanOut {
                wanted: self.wanted,
                loss,
                grads,
            };
            let span = Span {
                x,
                t,
                u,
                scalars: &self.problem.scalars,
                nan_grads: self.elements.nan_grads,
            };
            self.elements.definition.compute(&span, &mut out);
            if self.wanted.loss {
                out.loss.iter_mut().zip(weight).for_each(|(loss, w)| *loss *= w);
                total += sum(out.loss);
                if let Some(part) = &mut block.loss {
                    part.write(from, out.loss);
                }
            }
            for (grad, part) in out.grads.into_iter().zip(&mut block.grads) {
                let Some(part) = part else { continue };
                let factors = upstream.iter().zip(weight).map(|(g, w)| self.scale * g * w);
                grad.iter_mut().zip(factors).for_each(|(grad, factor)| *grad *= factor);
                part.write(from, grad);
            }
        }
        total
    }
}

pub(super) fn run(
    problem: &Problem,
    elements: &Elements,
    operands: &ByRole<'_>,
    keeping: &Keeping<'_>,
) -> Result<Made> {
    let shape = &problem.terms;
    let count = problem.term_count() as usize;
    let scale = problem.static_scale();
    let of = |slot| Floats::of(problem, operands, slot).map(|own| Input::new(own, shape));
    let mut grads = Vec::new();
    for (operand, role, view) in problem.grads() {
        let slots = [Slot::Input, Slot::Target, Slot::Third];
        let nth = slots.iter().position(|slot| *slot == operand.slot);
        let nth = nth.filter(|&nth| elements.definition.grads()[nth]);
        let Some(nth) = nth else {
            return Err(Error::operand(operand.role.name(), "has no gradient here"));
        };
        let kept = keeping(role);
        let sums = (view.shape != *shape).then(|| {
            let own = View::contiguous(view.dtype, &view.shape);
            (Walk::new(&own, shape), vec![0.0; view.len() as usize])
        });
        grads.push(Grad {
            role,
            nth,
            kept,
            made: match sums {
                None => Numbers::new(kept, count),
                Some(_) => Numbers::new(Kept::Exact, GROUP.min(count)),
            },
            sums,
        });
    }
    let run = Run {
        problem,
        elements,
        inputs: [
            of(Slot::Input)?,
            of(Slot::Target)?,
            of(Slot::Third)?,
            of(Slot::Weight)?,
            Input::new(Floats::upstream(problem, operands, Role::GradOutput)?, shape),
        ],
        wanted: Wanted {
            loss: problem.mode.wants_loss(),
            grad: grads.iter().any(|grad| grad.nth == 0),
            others: grads.iter().any(|grad| grad.nth > 0),
        },
        scale,
    };
    let wants_loss = problem.mode.wants_loss();
    let mut losses = (wants_loss && !problem.is_reduced()).then(|| Numbers::new(keeping(Role::Loss), count));
    // Of nothing 0, where `Iterator::sum` has -0.
    let mut total = 0.0;
    let group = if grads.iter().any(|grad| grad.sums.is_some()) {
        GROUP
    } else {
        count.max(1)
    };
    for first in (0..count).step_by(group) {
        let end = count.min(first + group);
        let sums = run.group(first..end, losses.as_mut(), &mut grads);
        total = sums.into_iter().fold(total, |total, sum| total + sum);
        grads.iter_mut().for_each(|grad| grad.add_up(first, end - first));
    }
    let mut made = Made::default();
    if wants_loss {
        made.loss = losses.unwrap_or_else(|| Numbers::of(keeping(Role::Loss), &[total * scale]));
    }
    made.grads = grads.into_iter().map(|grad| (grad.role, grad.finish())).collect();
    Ok(made)
}

impl Grad {
    /// Adds the gradients of a group's terms to those of the elements that they repeat, in the order of the terms.
    fn add_up(&mut self, first: usize, len: usize) {
        let Some((walk, sums)) = &mut self.sums else { return };
        let each = self.made.exact();
        walk.stretches(first, len, |own| {
            let each = &each[own.from..own.from + own.len];
            match own.step {
                0 => sums[own.place] = each.iter().fold(sums[own.place], |sum, g| sum + g),
                step => {
                    let sums = sums[own.place..].iter_mut().step_by(step);
                    sums.zip(each).for_each(|(sum, g)| *sum += g);
                }
            }
        });
    }

    fn finish(self) -> Numbers {
        match self.sums {
            None => self.made,
            Some((_, sums)) => Numbers::of(self.kept, &sums),
        }
    }
}
