//! Losses of rows, and maps of rows.

use rayon::prelude::*;

use super::count::{Count, Kind, Labels, Scales, count, multiplicities};
use super::{Floats, Operands, Results, find, host, reduce_losses};
use crate::error::{Error, Result};
use crate::layout::Slot;
use crate::problem::{Problem, Row, RowFill, RowReference, RowStats, Rows, Targets};

/// Rows computed before their gradients are put in place; bounds the memory in between.
const BATCH: usize = 1024;

/// What a row comes to.
#[derive(Default)]
struct RowResult {
    loss: f64,
    stats: RowStats,
    correct: bool,
    value: Vec<f64>,
    grad_input: Vec<f64>,
    grad_target: Vec<f64>,
}

/// The tensors of a run, and what its labels come to.
struct Run<'a> {
    problem: &'a Problem,
    rows: &'a Rows,
    input: Floats<'a>,
    weight: Option<Vec<f64>>,
    sample_weight: Option<Vec<f64>>,
    upstream: Option<Floats<'a>>,
    full: Option<Floats<'a>>,
    labels: Option<Labels<'a>>,
    counted: Count,
}

impl<'a> Run<'a> {
    fn new(problem: &'a Problem, rows: &'a Rows, operands: &Operands<'a>) -> Result<Self> {
        let of = |slot| Floats::of(problem, operands, slot);
        let weight = of(Slot::Weight)?.map(|w| w.all());
        let sample_weight = of(Slot::SampleWeight)?.map(|w| w.all());
        let full = match rows.targets {
            Targets::Full => of(Slot::Target)?,
            _ => None,
        };
        let labels = labels(problem, rows, operands)?;
        let counted = count(
            problem,
            rows,
            labels.as_ref(),
            [weight.as_deref(), sample_weight.as_deref()],
        );
        Ok(Self {
            input: Floats::new(operands, problem.operands[0].role, problem.input())?,
            upstream: Floats::upstream(problem, operands)?,
            problem,
            rows,
            weight,
            sample_weight,
            full,
            labels,
            counted,
        })
    }

    /// Where a row begins among slabs so far apart.
    fn place(&self, row: usize, stride: usize) -> usize {
        row / self.rows.inner * stride + row % self.rows.inner
    }

    fn gather(&self, from: &Floats<'_>, row: usize) -> Vec<f64> {
        let (cols, inner) = (self.rows.cols, self.rows.inner);
        let stride = if from.view.is_contiguous() {
            cols * inner
        } else {
            from.view.row_stride
        };
        from.row(self.place(row, stride), inner, cols)
    }

    fn result(&self, row: usize) -> RowResult {
        let (rows, is_list) = (self.rows, self.rows.targets == Targets::ClassList);
        let (kind, class) = if is_list {
            (Kind::Kept, 0)
        } else {
            self.counted.labels[row]
        };
        let x = self.gather(&self.input, row);
        let p = match (&self.labels, &self.full) {
            (Some(labels), _) if is_list => multiplicities(labels, row, rows.cols),
            (_, Some(full)) => self.gather(full, row),
            _ => Vec::new(),
        };
        let g = match &self.upstream {
            Some(upstream) if rows.is_map() => self.gather(upstream, row),
            _ => vec![1.0; if rows.is_map() { rows.cols } else { 0 }],
        };
        let seen = Row {
            x: &x,
            class: (self.labels.is_some() && !is_list && kind == Kind::Kept).then_some(class),
            p: &p,
            weight: self.weight.as_deref(),
            g: &g,
            z_ratio: self.counted.scales.z_loss / self.counted.scales.loss,
            hyper: &self.problem.hyper,
        };
        match rows.reference {
            RowReference::Map { value, grad_input } => RowResult {
                value: self.filled(&seen, self.problem.mode.wants_loss(), value, 1.0),
                grad_input: self.filled(&seen, self.problem.mode.wants_grad(), grad_input, 1.0),
                ..Default::default()
            },
            RowReference::Loss { .. } => self.loss_result(row, (kind, class), &seen),
        }
    }

    fn loss_result(&self, row: usize, (kind, class): (Kind, usize), seen: &Row<'_>) -> RowResult {
        let mut result = RowResult::default();
        let RowReference::Loss {
            loss,
            grad_input,
            grad_target,
            stats,
        } = self.rows.reference
        else {
            return result;
        };
        let own = self.sample_weight.as_ref().map_or(1.0, |w| w[row]);
        if let Some(stats) = stats.filter(|_| self.problem.stats.any()) {
            result.stats = stats(seen);
            result.stats.z_loss *= own;
            result.correct = kind == Kind::Kept && result.stats.argmax == class;
        }
        match kind {
            Kind::Ignored => result.stats.z_loss = 0.0,
            Kind::Bad => (result.loss, result.stats.z_loss) = (f64::NAN, f64::NAN),
            Kind::Kept => {
                let upstream = self.upstream.as_ref();
                let upstream = upstream.map_or(1.0, |g| g.at(if g.view.shape.is_empty() { 0 } else { row }));
                let factor = self.counted.scales.loss * upstream * own;
                let grad = self.problem.mode.wants_grad();
                let target = self.problem.operand(Slot::Target).is_some_and(|own| own.grad.is_some());
                let loss = loss(seen);
                // A row of weight 0 counts nothing, though its loss be infinite. NaN stays.
                result.loss = if own == 0.0 && loss.is_infinite() {
                    0.0
                } else {
                    own * loss
                };
                result.grad_input = self.filled(seen, grad, grad_input, factor);
                if let Some(grad_target) = grad_target {
                    result.grad_target = self.filled(seen, grad && target, grad_target, factor);
                }
            }
        }
        result
    }

    /// What a function makes of a row, times a factor; nothing where it is not wanted.
    fn filled(&self, seen: &Row<'_>, wanted: bool, function: RowFill, factor: f64) -> Vec<f64> {
        let mut values = vec![0.0; if wanted { self.rows.cols } else { 0 }];
        if wanted {
            function(seen, &mut values);
            values.iter_mut().for_each(|x| *x *= factor);
        }
        values
    }
}

fn labels<'a>(problem: &Problem, rows: &Rows, operands: &Operands<'a>) -> Result<Option<Labels<'a>>> {
    let (Targets::Index { .. } | Targets::ClassList, Some(own)) = (rows.targets, problem.operand(Slot::Target)) else {
        return Ok(None);
    };
    let tensor = find(operands, own.role).ok_or_else(|| Error::operand("target", "missing"))?;
    Ok(Some(Labels {
        bytes: &host(own.role, tensor)?[own.view.offset as usize..],
        dtype: own.view.dtype,
    }))
}

/// What the labels and the weights of the rows add up to, without the rows.
pub(super) fn counted(problem: &Problem, rows: &Rows, operands: &Operands<'_>) -> Result<Count> {
    let labels = labels(problem, rows, operands)?;
    let of = |slot| Floats::of(problem, operands, slot).map(|own| own.map(|w| w.all()));
    let weights = [of(Slot::Weight)?, of(Slot::SampleWeight)?];
    let weights = [weights[0].as_deref(), weights[1].as_deref()];
    Ok(count(problem, rows, labels.as_ref(), weights))
}

pub(super) fn run(problem: &Problem, rows: &Rows, operands: &Operands<'_>, scales: Option<Scales>) -> Result<Results> {
    let mut run = Run::new(problem, rows, operands)?;
    run.counted.scales = scales.unwrap_or(run.counted.scales);
    let (count, cols, inner) = (rows.rows() as usize, rows.cols, rows.inner);
    let (grad, wants_loss) = (problem.mode.wants_grad(), problem.mode.wants_loss());
    let target_grad = grad && problem.operand(Slot::Target).is_some_and(|own| own.grad.is_some());
    let mut results = Results {
        control: run.counted.control,
        ..Default::default()
    };
    let blank = |wanted: bool| vec![0.0; if wanted { count * cols } else { 0 }];
    let (mut grad_input, mut grad_target) = (blank(grad), blank(target_grad));
    let mut values = blank(rows.is_map() && wants_loss);
    let (mut losses, mut z_losses) = (Vec::new(), Vec::new());
    for first in (0..count).step_by(BATCH) {
        let end = count.min(first + BATCH);
        let computed: Vec<RowResult> = (first..end).into_par_iter().map(|row| run.result(row)).collect();
        for (row, result) in (first..end).zip(computed) {
            losses.push(result.loss);
            z_losses.push(result.stats.z_loss);
            results.lse.push(result.stats.lse);
            results.entropy.push(result.stats.entropy);
            results.argmax.push(result.stats.argmax as u32);
            results.correct += u32::from(result.correct);
            let at = run.place(row, cols * inner);
            for (out, from) in [
                (&mut grad_input, result.grad_input),
                (&mut grad_target, result.grad_target),
                (&mut values, result.value),
            ] {
                for (c, g) in from.into_iter().enumerate() {
                    out[at + c * inner] = g;
                }
            }
        }
    }
    results.loss = if rows.is_map() {
        values
    } else {
        reduce_losses(problem, &losses, run.counted.scales.loss)
    };
    if problem.stats.z_loss {
        results.z_loss = reduce_losses(problem, &z_losses, run.counted.scales.z_loss);
    }
    for (operand, role, _) in problem.grads() {
        let is_target = operand.slot == Slot::Target;
        let own = if is_target { &mut grad_target } else { &mut grad_input };
        results.grads.push((role, std::mem::take(own)));
    }
    Ok(results)
}
