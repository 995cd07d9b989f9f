//! Losses of rows, and maps of rows.

use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use rayon::prelude::*;

use super::count::{Classes, Count, Kind, Scales, count};
use super::floats::Walk;
use super::numbers::{Kept, Numbers, Part};
use super::{ByRole, Floats, Keeping, Losses, Made};
use crate::definition::{Row, RowDefinition, RowLoss, RowMap, RowScratch, RowStats, StatsGrad};
use crate::error::Result;
use crate::layout::Slot;
use crate::problem::{Problem, Rows, Targets};
use crate::words::Role;

/// Elements of the rows that a thread takes at a time, which stay in a cache; and the most rows.
const TILE: usize = 16 << 10;
const TILE_ROWS: usize = 64;

/// The most rows computed before their losses are added up, one after the other.
const BATCH_ROWS: usize = 16 << 10;

/// Elements of such rows, where their results have to be put in place.
const BATCH: usize = 1 << 20;

/// What a row comes to, beside arrays.
#[derive(Clone, Copy, Default)]
struct RowMade {
    loss: f64,
    stats: RowStats,
    is_correct: bool,
}

/// Memory that a thread uses for one tile after the other.
#[derive(Default)]
struct Scratch {
    x: Vec<f64>,
    p: Vec<f64>,
    g: Vec<f64>,
    /// The weights of elements.
    w: Vec<f64>,
    /// Results of a row.
    arrays: [Vec<f64>; 3],
    /// The gradient of a row's statistics.
    of_stats: Vec<f64>,
    row: RowScratch,
}

/// What is made of each row: the value of a map, the gradients of input and target.
const VALUE: usize = 0;
const GRAD_INPUT: usize = 1;
const GRAD_TARGET: usize = 2;

/// Where the rows of a run lie.
enum Source<'a> {
    Tensor(Floats<'a>),
    /// In f64, from a row on.
    Products(usize, Vec<f64>),
}

/// Rows that are products, a batch at a time.
pub(super) trait Products {
    /// The most rows of a batch.
    fn batch(&self) -> usize;

    fn rows(&self, rows: Range<usize>) -> Vec<f64>;

    /// Takes in the gradient of such rows; `takes_part`: whether a row has any.
    fn take(&mut self, rows: Range<usize>, grad: &[f64], takes_part: &(dyn Fn(usize) -> bool + Sync));
}

/// The tensors of a run, and what its labels come to.
struct Run<'a> {
    problem: &'a Problem,
    rows: &'a Rows,
    input: Source<'a>,
    weight: Option<Vec<f64>>,
    /// The weights of single elements, and how they lie under the input's shape.
    element_weights: Option<(Floats<'a>, Walk)>,
    sample_weight: Option<Vec<f64>>,
    upstream: Option<Floats<'a>>,
    /// Those of the log-sum-exp and of the entropy, where one of them has any.
    of_stats: Option<[Option<Floats<'a>>; 2]>,
    full: Option<Floats<'a>>,
    labels: Option<Classes<'a>>,
    counted: Count,
    /// Scratch that no thread holds.
    free: Mutex<Vec<Scratch>>,
}

/// Adjacent rows, and where what is made of them goes.
struct Tile<'a> {
    first: usize,
    made: &'a mut [RowMade],
    parts: [Option<Part<'a>>; 3],
}

impl<'a> Run<'a> {
    fn new(problem: &'a Problem, rows: &'a Rows, operands: &ByRole<'a>, is_product: bool) -> Result<Self> {
        let of = |slot| Floats::of(problem, operands, slot);
        let (mut weight, mut element_weights) = (None, None);
        match (of(Slot::Weight)?, rows.element_weights(problem)) {
            (Some(own), Some(operand)) => {
                element_weights = Some((own, Walk::new(&operand.view, &problem.input().shape)));
            }
            (own, _) => weight = own.map(|w| w.all()),
        }
        let sample_weight = of(Slot::SampleWeight)?.map(|w| w.all());
        let full = match rows.targets {
            Targets::Full => of(Slot::Target)?,
            _ => None,
        };
        let labels = Classes::of(problem, rows, operands)?;
        let weights = [weight.as_deref(), sample_weight.as_deref()];
        Ok(Self {
            counted: count(problem, rows, labels.as_ref(), weights),
            input: match is_product {
                true => Source::Products(0, Vec::new()),
                false => Source::Tensor(Floats::new(operands, problem.operands[0].role, problem.input())?),
            },
            upstream: Floats::upstream(problem, operands, Role::GradOutput)?,
            of_stats: match problem.grad_stats.is_empty() {
                true => None,
                false => Some([
                    Floats::upstream(problem, operands, Role::GradLse)?,
                    Floats::upstream(problem, operands, Role::GradEntropy)?,
                ]),
            },
            problem,
            rows,
            weight,
            element_weights,
            sample_weight,
            full,
            labels,
            free: Mutex::default(),
        })
    }

    /// The elements of adjacent rows, of which so many lie side by side, row by row.
    fn gather(&self, from: &Floats<'_>, inner: usize, rows: Range<usize>, out: &mut Vec<f64>) {
        let cols = self.rows.cols;
        out.resize(rows.len() * cols, 0.0);
        if inner == 1 {
            return from.rows(rows.start, cols, out);
        }
        let slab = match from.view.is_contiguous() {
            true => cols * inner,
            false => from.view.row_stride,
        };
        let mut row = rows.start;
        while row < rows.end {
            // Rows of one slab lie next to each other, their elements `inner` apart.
            let n = (rows.end - row).min(inner - row % inner);
            let mut adjacent = [0.0; TILE_ROWS];
            let out = &mut out[(row - rows.start) * cols..];
            for c in 0..cols {
                let place = row / inner * slab + row % inner + c * inner;
                from.read(place, 1, &mut adjacent[..n]);
                let column = out[c..].iter_mut().step_by(cols);
                column.zip(&adjacent[..n]).for_each(|(out, own)| *out = *own);
            }
            row += n;
        }
    }

    fn tile(&self, tile: &mut Tile<'_>) {
        let held = || self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let mut scratch = held().pop().unwrap_or_default();
        let (cols, rows) = (self.rows.cols, tile.first..tile.first + tile.made.len());
        let inner = self.rows.inner;
        match &self.input {
            Source::Tensor(input) => self.gather(input, inner, rows.clone(), &mut scratch.x),
            Source::Products(first, products) => {
                let own = (rows.start - first) * cols..(rows.end - first) * cols;
                scratch.x.clear();
                scratch.x.extend(&products[own]);
            }
        }
        if let Some(full) = &self.full {
            self.gather(full, inner * self.rows.heads, rows.clone(), &mut scratch.p);
        }
        if let Some((weights, walk)) = &self.element_weights {
            scratch.w.resize(rows.len() * cols, 0.0);
            walk.stretches(rows.start * cols, rows.len() * cols, |own| {
                let out = &mut scratch.w[own.from..own.from + own.len];
                match own.step {
                    0 => out.fill(weights.at(own.place)),
                    step => weights.read(own.place, step, out),
                }
            });
        }
        match &self.upstream {
            Some(upstream) if self.rows.is_map() => self.gather(upstream, inner, rows.clone(), &mut scratch.g),
            None if self.rows.is_map() => scratch.g.resize(rows.len() * cols, 1.0),
            _ => {}
        }
        for (array, part) in scratch.arrays.iter_mut().zip(&tile.parts) {
            array.resize(if part.is_some() { cols } else { 0 }, 0.0);
        }
        for nth in 0..rows.len() {
            tile.made[nth] = self.row(tile.first + nth, nth, &mut tile.parts, &mut scratch);
        }
        held().push(scratch);
    }

    /// A row has a gradient, whatever that is.
    fn takes_part(&self, row: usize) -> bool {
        let is_kept = |labels: &Classes<'_>| labels.kind(row).0 == Kind::Kept;
        self.labels.as_ref().is_none_or(is_kept) || self.by_stats(row).is_some()
    }

    /// The upstream gradients of a row's statistics, if they are not 0.
    fn by_stats(&self, row: usize) -> Option<[f64; 2]> {
        let of_stats = self.of_stats.as_ref()?;
        let own = of_stats.each_ref().map(|own| own.as_ref().map_or(0.0, |g| g.at(row)));
        (own != [0.0; 2]).then_some(own)
    }

    /// Computes a row, the nth of its tile.
    fn row(&self, row: usize, nth: usize, parts: &mut [Option<Part<'_>>; 3], scratch: &mut Scratch) -> RowMade {
        let (cols, is_map) = (self.rows.cols, self.rows.is_map());
        let (own, is_list) = (nth * cols..(nth + 1) * cols, self.rows.targets == Targets::ClassList);
        let (kind, class) = match &self.labels {
            Some(labels) if is_list => {
                scratch.p.resize(cols, 0.0);
                labels.multiplicities(row, &mut scratch.p);
                (Kind::Kept, None)
            }
            Some(labels) => match labels.kind(row) {
                (Kind::Kept, class) => (Kind::Kept, usize::try_from(class).ok()),
                (kind, _) => (kind, None),
            },
            None => (Kind::Kept, None),
        };
        let seen = Row {
            x: &scratch.x[own.clone()],
            class,
            p: match (&self.full, is_list) {
                (Some(_), _) => &scratch.p[own.clone()],
                (None, true) => &scratch.p,
                (None, false) => &[],
            },
            weight: match self.element_weights {
                Some(_) => Some(&scratch.w[own.clone()]),
                None => self.weight.as_deref(),
            },
            g: if is_map { &scratch.g[own] } else { &[] },
            z_ratio: self.counted.scales.z_loss / self.counted.scales.loss,
            scalars: &self.problem.scalars,
        };
        let mut made = RowMade::default();
        let is_kept = kind == Kind::Kept;
        let wants = |which: usize| is_kept && parts[which].is_some();
        let wanted = [VALUE, GRAD_INPUT, GRAD_TARGET].map(wants);
        let [value, grad_input, grad_target] = scratch.arrays.each_mut();
        let [value, grad_input, grad_target] = [(VALUE, value), (GRAD_INPUT, grad_input), (GRAD_TARGET, grad_target)]
            .map(|(which, array)| wanted[which].then_some(array.as_mut_slice()));
        let own = self.sample_weight.as_ref().map_or(1.0, |w| w[row]);
        let (mut factor, mut has_stats_grad) = (1.0, false);
        match self.rows.definition {
            RowDefinition::Map(define) => define(
                &seen,
                &mut RowMap {
                    value,
                    grad_input,
                    scratch: &mut scratch.row,
                },
            ),
            RowDefinition::Loss(define) => {
                let stats = self.problem.stats.any();
                let by_stats = self.by_stats(row).filter(|_| parts[GRAD_INPUT].is_some());
                let loss = is_kept && self.problem.mode.wants_loss();
                if is_kept || stats || by_stats.is_some() {
                    let of_stats = &mut scratch.of_stats;
                    let grad_stats = by_stats.map(|[by_lse, by_entropy]| {
                        of_stats.resize(cols, 0.0);
                        StatsGrad {
                            by_lse,
                            by_entropy,
                            grad: of_stats,
                        }
                    });
                    has_stats_grad = grad_stats.is_some();
                    let mut out = RowLoss {
                        loss: loss.then_some(&mut made.loss),
                        grad_input,
                        grad_target,
                        stats: stats.then_some(&mut made.stats),
                        grad_stats,
                        scratch: &mut scratch.row,
                    };
                    define(&seen, &mut out);
                }
                // A row of weight 0 counts nothing, though its loss be infinite. NaN stays.
                made.loss = match own == 0.0 && made.loss.is_infinite() {
                    true => 0.0,
                    false => own * made.loss,
                };
                made.stats.z_loss *= own;
                made.is_correct = is_kept && Some(made.stats.argmax) == class;
                let upstream = self.upstream.as_ref();
                let upstream = upstream.map_or(1.0, |g| g.at(if g.view.shape.is_empty() { 0 } else { row }));
                factor = self.counted.scales.loss * upstream * own;
            }
        }
        match kind {
            Kind::Kept => {}
            Kind::Ignored => made.stats.z_loss = 0.0,
            Kind::Bad => (made.loss, made.stats.z_loss) = (f64::NAN, f64::NAN),
        }
        let arrays = parts.iter_mut().zip(&mut scratch.arrays).zip(wanted).enumerate();
        for (which, ((part, array), wanted)) in arrays {
            let Some(part) = part else { continue };
            match wanted {
                true => array.iter_mut().for_each(|x| *x *= factor),
                false => array.fill(0.0),
            }
            if has_stats_grad && which == GRAD_INPUT {
                array.iter_mut().zip(&scratch.of_stats).for_each(|(x, own)| *x += own);
            }
            part.write(nth * cols, array);
        }
        made
    }

    /// Computes a range of rows in tiles; what is made of them goes into arrays that begin with the first of them.
    fn batch(&self, rows: Range<usize>, made: &mut [RowMade], arrays: [Option<(&mut Numbers, usize)>; 3]) {
        let cols = self.rows.cols;
        let tile = (TILE / cols.max(1)).clamp(1, TILE_ROWS);
        let mut parts = arrays.map(|array| {
            array.map(|(array, first)| array.parts(first * cols..(first + rows.len()) * cols, tile * cols))
        });
        let tiles = made.chunks_mut(tile).enumerate().map(|(nth, made)| Tile {
            first: rows.start + nth * tile,
            made,
            parts: parts.each_mut().map(|parts| parts.as_mut().and_then(Iterator::next)),
        });
        let tiles: Vec<Tile<'_>> = tiles.collect();
        tiles.into_par_iter().for_each(|mut tile| self.tile(&mut tile));
    }

    /// Puts what was made of a range of rows, row by row, to where it lies among the slabs.
    fn scatter(&self, rows: Range<usize>, from: &Numbers, to: &mut Numbers) {
        match to.kept.bytes() {
            2 => self.scatter_words::<2>(rows, from, to),
            4 => self.scatter_words::<4>(rows, from, to),
            _ => self.scatter_words::<8>(rows, from, to),
        }
    }

    fn scatter_words<const SIZE: usize>(&self, rows: Range<usize>, from: &Numbers, to: &mut Numbers) {
        let (cols, inner) = (self.rows.cols, self.rows.inner * self.rows.heads);
        let first = rows.start / inner;
        let (from, _) = from.bytes().as_chunks::<SIZE>();
        let part = to.part(first * cols * inner..rows.end.div_ceil(inner) * cols * inner);
        let (to, _) = part.bytes.as_chunks_mut::<SIZE>();
        to.par_chunks_mut(inner).enumerate().for_each(|(nth, column)| {
            let (slab, c) = (first + nth / cols, nth % cols);
            let own = rows.start.max(slab * inner)..rows.end.min((slab + 1) * inner);
            let from = from[(own.start - rows.start) * cols + c..].iter().step_by(cols);
            let column = &mut column[own.start - slab * inner..own.end - slab * inner];
            column.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
        });
    }
}

/// What the labels and the weights of the rows add up to, without the rows.
pub(super) fn counted(problem: &Problem, rows: &Rows, operands: &ByRole<'_>) -> Result<Count> {
    let labels = Classes::of(problem, rows, operands)?;
    let of = |slot| Floats::of(problem, operands, slot).map(|own| own.map(|w| w.all()));
    let weights = [of(Slot::Weight)?, of(Slot::SampleWeight)?];
    let weights = [weights[0].as_deref(), weights[1].as_deref()];
    Ok(count(problem, rows, labels.as_ref(), weights))
}

pub(super) fn run(
    problem: &Problem,
    rows: &Rows,
    operands: &ByRole<'_>,
    scales: Option<Scales>,
    keeping: &Keeping<'_>,
    mut products: Option<&mut dyn Products>,
) -> Result<Made> {
    let mut run = Run::new(problem, rows, operands, products.is_some())?;
    run.counted.scales = scales.unwrap_or(run.counted.scales);
    let (count, cols) = (rows.rows() as usize, rows.cols);
    let (stats, wants_loss) = (problem.stats, problem.mode.wants_loss());
    let mut kept: [Option<(Role, Kept)>; 3] = [None; 3];
    if rows.is_map() && wants_loss {
        kept[VALUE] = Some((Role::Loss, keeping(Role::Loss)));
    }
    for (operand, role, _) in problem.grads() {
        let is_target = operand.slot == Slot::Target;
        kept[if is_target { GRAD_TARGET } else { GRAD_INPUT }] = Some((role, keeping(role)));
    }
    // The gradient of products goes on to their operands.
    let grad = kept[GRAD_INPUT].take_if(|_| products.is_some());
    let mut arrays = kept.map(|kept| kept.map(|(_, kept)| Numbers::new(kept, count * cols)));
    // Where rows do not lie one behind the other, what is made of them is put in place afterwards.
    let is_straight = rows.inner * rows.heads == 1;
    let batch = match (&products, is_straight) {
        (Some(products), _) => products.batch(),
        (None, true) => BATCH_ROWS,
        (None, false) => (BATCH / cols.max(1)).clamp(TILE_ROWS, BATCH_ROWS),
    };
    let mut grad = grad.map(|_| Numbers::new(Kept::Exact, batch.min(count) * cols));
    let held = |kept: Option<(Role, Kept)>| {
        kept.filter(|_| !is_straight)
            .map(|(_, kept)| Numbers::new(kept, batch.min(count) * cols))
    };
    let mut held = kept.map(held);
    let column = |wanted: bool, role| Numbers::new(keeping(role), if wanted { count } else { 0 });
    let mut made = Made {
        control: run.counted.control,
        lse: column(stats.lse, Role::Lse),
        entropy: column(stats.entropy, Role::Entropy),
        argmax: Vec::with_capacity(if stats.argmax { count } else { 0 }),
        ..Default::default()
    };
    let mut losses = (wants_loss && !rows.is_map()).then(|| Losses::new(problem, keeping(Role::Loss)));
    let mut z_losses = stats.z_loss.then(|| Losses::new(problem, keeping(Role::ZLoss)));
    let mut each = vec![RowMade::default(); batch.min(count)];
    for first in (0..count).step_by(batch) {
        let own = first..count.min(first + batch);
        let each = &mut each[..own.len()];
        if let Some(products) = &mut products {
            run.input = Source::Products(first, products.rows(own.clone()));
        }
        if is_straight {
            let mut arrays = arrays
                .each_mut()
                .map(|array| array.as_mut().map(|array| (array, first)));
            if let Some(grad) = &mut grad {
                arrays[GRAD_INPUT] = Some((grad, 0));
            }
            run.batch(own.clone(), each, arrays);
        } else {
            let mut held_here = held.each_mut().map(|array| array.as_mut().map(|array| (array, 0)));
            if let Some(grad) = &mut grad {
                held_here[GRAD_INPUT] = Some((grad, 0));
            }
            run.batch(own.clone(), each, held_here);
            for (from, to) in held.iter().zip(&mut arrays) {
                if let (Some(from), Some(to)) = (from, to) {
                    run.scatter(own.clone(), from, to);
                }
            }
        }
        if let (Some(products), Some(grad)) = (&mut products, &grad) {
            products.take(own.clone(), &grad.exact()[..own.len() * cols], &|row| {
                run.takes_part(row)
            });
        }
        for (row, own) in (first..).zip(each.iter()) {
            for (losses, loss) in [(&mut losses, own.loss), (&mut z_losses, own.stats.z_loss)] {
                if let Some(losses) = losses {
                    losses.push(row, loss);
                }
            }
            if stats.lse {
                made.lse.part(row..row + 1).write(0, &[own.stats.lse]);
            }
            if stats.entropy {
                made.entropy.part(row..row + 1).write(0, &[own.stats.entropy]);
            }
            if stats.argmax {
                made.argmax.push(own.stats.argmax as u32);
            }
            made.correct += u32::from(own.is_correct);
        }
    }
    if let Some(losses) = losses {
        made.loss = losses.finish(run.counted.scales.loss);
    }
    if let Some(losses) = z_losses {
        made.z_loss = losses.finish(run.counted.scales.z_loss);
    }
    for (kept, array) in kept.into_iter().zip(arrays) {
        match (kept, array) {
            (Some((Role::Loss, _)), Some(array)) => made.loss = array,
            (Some((role, _)), Some(array)) => made.grads.push((role, array)),
            _ => {}
        }
    }
    Ok(made)
}
