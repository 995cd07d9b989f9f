//! Rows that are products of an input with a matrix: some of them at a time, in f64.

use std::ops::Range;

use rayon::prelude::*;

use super::numbers::{Kept, Numbers};
use super::rows::{self, Products};
use super::{ByRole, Floats, Keeping, Made, Scales};
use crate::error::Result;
use crate::layout::Slot;
use crate::precision::coin;
use crate::problem::{FILTERED, Linear, Problem};
use crate::words::Role;

/// Logits of a batch.
const BATCH: usize = 8 << 20;

/// Rows of the matrix whose contributions to the gradient of the input are added up on their own: chunks of the same
/// rows, however many threads there are.
const CHUNKS: usize = 32;

/// A layer and the gradients of its operands, as far as they have come.
struct Layer<'a> {
    own: Linear,
    classes: usize,
    input: Floats<'a>,
    matrix: Floats<'a>,
    bias: Option<Vec<f64>>,
    /// The gradients of input, matrix and bias, where they are wanted.
    grads: [Option<Vec<f64>>; 3],
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    let (a8, a_rest) = a.as_chunks::<8>();
    let (b8, b_rest) = b.as_chunks::<8>();
    let mut sums = [0.0; 8];
    for (a, b) in a8.iter().zip(b8) {
        sums.iter_mut()
            .zip(a.iter().zip(b))
            .for_each(|(sum, (a, b))| *sum += a * b);
    }
    let rest: f64 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
    sums.iter().sum::<f64>() + rest
}

fn add_scaled(to: &mut [f64], factor: f64, of: &[f64]) {
    to.iter_mut().zip(of).for_each(|(to, of)| *to += factor * of);
}

impl Layer<'_> {
    /// Rows of the matrix: one for each class of each place of the head.
    fn lines(&self) -> usize {
        self.classes * self.own.heads
    }

    fn line(&self, line: usize, out: &mut [f64]) {
        let view = self.matrix.view;
        let at = match view.is_contiguous() {
            true => line * self.own.features,
            false => line * view.row_stride,
        };
        self.matrix.read(at, 1, out);
    }

    /// A gradient of logits without the runs that the filter leaves out.
    fn filtered(&self, grad: &[f64]) -> Option<Vec<f64>> {
        let eps = f64::from(self.own.filter_eps);
        (eps > 0.0).then(|| {
            let mut own = grad.to_vec();
            own.par_chunks_mut(self.classes)
                .flat_map(|row| row.par_chunks_mut(FILTERED))
                .for_each(|run| {
                    if run.iter().all(|g| g.abs() < eps) {
                        run.fill(0.0);
                    }
                });
            own
        })
    }

    /// The rows of the input that rows of logits come from.
    fn inputs(&self, rows: &Range<usize>) -> Vec<f64> {
        let Linear { heads, features, .. } = self.own;
        let own = rows.start / heads..rows.end / heads;
        let mut out = vec![0.0; own.len() * features];
        self.input.rows(own.start, features, &mut out);
        out
    }
}

impl Products for Layer<'_> {
    fn batch(&self) -> usize {
        let inputs = (BATCH / self.lines().max(1)).clamp(1, 1024);
        (inputs * self.own.heads).max(1)
    }

    fn rows(&self, rows: Range<usize>) -> Vec<f64> {
        let Linear { heads, features, .. } = self.own;
        let inputs = self.inputs(&rows);
        let count = rows.len() / heads;
        // By line of the matrix first: each is read once.
        let mut lines = vec![0.0; self.lines() * count];
        let each = lines.par_chunks_mut(count.max(1)).enumerate();
        each.for_each_init(
            || vec![0.0; features],
            |own, (line, out)| {
                self.line(line, own);
                let bias = self.bias.as_ref().map_or(0.0, |bias| bias[line]);
                for (nth, out) in out.iter_mut().enumerate() {
                    let input = &inputs[nth * features..][..features];
                    *out = bias + dot(input, own);
                    if let Some(moved) = self.own.moved {
                        let row = rows.start / heads + nth;
                        let size = bias.abs() + input.iter().zip(&*own).map(|(x, w)| (x * w).abs()).sum::<f64>();
                        let is_up = coin([moved.look, row as u64, line as u64]);
                        *out += moved.by * if is_up { size } else { -size };
                    }
                }
            },
        );
        let mut products = vec![0.0; rows.len() * self.classes];
        let each = products.par_chunks_mut(self.classes).enumerate();
        each.for_each(|(row, out)| {
            let (nth, head) = (row / heads, row % heads);
            let own = lines[head * count + nth..].iter().step_by(heads * count);
            out.iter_mut().zip(own).for_each(|(out, own)| *out = *own);
        });
        products
    }

    fn take(&mut self, rows: Range<usize>, grad: &[f64], takes_part: &(dyn Fn(usize) -> bool + Sync)) {
        let Linear { heads, features, .. } = self.own;
        let (inputs, classes, lines) = (self.inputs(&rows), self.classes, self.lines());
        let taking: Vec<bool> = rows.clone().map(takes_part).collect();
        let filtered = self.filtered(grad);
        let grad = filtered.as_deref().unwrap_or(grad);
        let count = rows.len() / heads;
        let [of_input, of_matrix, of_bias] = std::mem::take(&mut self.grads);
        // What each row that takes part has at a line of the matrix.
        let each = |line: usize| {
            let (class, head) = (line / heads, line % heads);
            let taking = &taking;
            (0..count).filter_map(move |nth| {
                let row = nth * heads + head;
                taking[row].then(|| (nth, grad[row * classes + class]))
            })
        };
        if let Some(all) = of_input.as_deref().map(|_| CHUNKS).filter(|_| lines > 0) {
            let size = lines.div_ceil(all);
            let parts: Vec<Vec<f64>> = (0..lines.div_ceil(size))
                .into_par_iter()
                .map(|chunk| {
                    let (mut sum, mut own) = (vec![0.0; count * features], vec![0.0; features]);
                    for line in chunk * size..lines.min((chunk + 1) * size) {
                        self.line(line, &mut own);
                        each(line).for_each(|(nth, g)| add_scaled(&mut sum[nth * features..][..features], g, &own));
                    }
                    sum
                })
                .collect();
            self.grads[0] = of_input.map(|mut all| {
                let own = &mut all[rows.start / heads * features..][..count * features];
                parts.iter().for_each(|part| add_scaled(own, 1.0, part));
                all
            });
        } else {
            self.grads[0] = of_input;
        }
        self.grads[1] = of_matrix.map(|mut all| {
            let lines = all.par_chunks_mut(features.max(1)).enumerate();
            lines.for_each(|(line, out)| {
                each(line).for_each(|(nth, g)| add_scaled(out, g, &inputs[nth * features..][..features]));
            });
            all
        });
        self.grads[2] = of_bias.map(|mut all| {
            let lines = all.par_iter_mut().enumerate();
            lines.for_each(|(line, out)| *out += each(line).map(|(_, g)| g).sum::<f64>());
            all
        });
    }
}

pub(super) fn run(
    problem: &Problem,
    own: Linear,
    operands: &ByRole<'_>,
    scales: Option<Scales>,
    keeping: &Keeping<'_>,
) -> Result<Made> {
    let inner = problem.of_logits();
    let Some(rows) = inner.rows() else {
        return Ok(Made::default()); // logits are rows
    };
    let slots = [Slot::Left, Slot::Right, Slot::Bias];
    let wanted = slots.map(|slot| {
        let found = problem.grads().find(|(operand, ..)| operand.slot == slot);
        found.map(|(_, role, view)| (role, view.len() as usize))
    });
    let of = |role: Role| {
        let view = problem
            .operands
            .iter()
            .find(|own| own.role == role)
            .map(|own| &own.view);
        view.map(|view| Floats::new(operands, role, view)).transpose()
    };
    let (Some(input), Some(matrix)) = (of(Role::Input)?, of(Role::LinearWeight)?) else {
        return Ok(Made::default()); // a layer has both
    };
    let mut layer = Layer {
        own,
        classes: rows.cols,
        input,
        matrix,
        bias: of(Role::LinearBias)?.map(|bias| bias.all()),
        grads: wanted.map(|wanted| wanted.map(|(_, len)| vec![0.0; len])),
    };
    let mut made = rows::run(&inner, rows, operands, scales, keeping, Some(&mut layer))?;
    let grads = wanted.into_iter().zip(std::mem::take(&mut layer.grads));
    for ((role, _), numbers) in grads.filter_map(|(role, numbers)| role.zip(numbers)) {
        let kept: Kept = keeping(role);
        made.grads.push((role, Numbers::of(kept, &numbers)));
    }
    Ok(made)
}
