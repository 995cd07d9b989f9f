//! The f64 reference: runs any problem in definition form, in parallel. It is what tests compare with, and the answer
//! where no adapter exists.

use rayon::prelude::*;

use crate::error::{Error, Result};
use crate::layout::{Control, Slot, words};
use crate::problem::{
    ElementFn, Elements, Family, PairRow, Pairs, Problem, Role, Row, RowReference, RowStats, Rows, Targets,
};
use crate::tensor::{Dtype, Tensor, View};

/// Rows computed before their gradients are put in place; bounds the memory in between.
const BATCH: usize = 1024;

/// The outputs of a run; empty where they were not asked for.
#[derive(Clone, Debug, Default)]
pub struct Results {
    pub loss: Vec<f64>,
    /// Gradients of the operands, contiguous, by place in the signature.
    pub grads: Vec<(Role, Vec<f64>)>,
    pub z_loss: Vec<f64>,
    pub lse: Vec<f64>,
    pub entropy: Vec<f64>,
    pub argmax: Vec<u32>,
    pub correct: u32,
    pub control: Control,
}

impl Results {
    /// The gradient of an operand.
    pub fn grad(&self, role: Role) -> Option<&[f64]> {
        self.grads
            .iter()
            .find(|(own, _)| *own == role)
            .map(|(_, grad)| grad.as_slice())
    }
}

/// The operands of a problem by role.
pub(crate) type Operands<'a> = [(Role, &'a Tensor)];

fn find<'a>(operands: &Operands<'a>, role: Role) -> Option<&'a Tensor> {
    operands.iter().find(|(r, _)| *r == role).map(|(_, tensor)| *tensor)
}

/// A host tensor's elements as f64, addressed through a view of it.
struct Floats<'a> {
    bytes: &'a [u8],
    view: &'a View,
}

impl<'a> Floats<'a> {
    fn new(operands: &Operands<'a>, role: Role, view: &'a View) -> Result<Self> {
        let tensor = find(operands, role).ok_or_else(|| Error::operand(role.name(), "missing"))?;
        let bytes = host(role, tensor)?;
        Ok(Self {
            bytes: &bytes[view.offset as usize..],
            view,
        })
    }

    /// The operand of a slot, where there is one.
    fn of(problem: &'a Problem, operands: &Operands<'a>, slot: Slot) -> Result<Option<Self>> {
        let own = problem.operand(slot);
        own.map(|own| Self::new(operands, own.role, &own.view)).transpose()
    }

    fn upstream(problem: &'a Problem, operands: &Operands<'a>) -> Result<Option<Self>> {
        let view = problem.grad_output.as_ref();
        view.map(|view| Self::new(operands, Role::GradOutput, view)).transpose()
    }

    fn at(&self, index: usize) -> f64 {
        let bytes = |size: usize| &self.bytes[index * size..(index + 1) * size];
        match self.view.dtype {
            Dtype::F16 => bytemuck::pod_read_unaligned::<half::f16>(bytes(2)).to_f64(),
            Dtype::Bf16 => bytemuck::pod_read_unaligned::<half::bf16>(bytes(2)).to_f64(),
            _ => f64::from(bytemuck::pod_read_unaligned::<f32>(bytes(4))),
        }
    }

    fn all(&self) -> Vec<f64> {
        (0..self.view.len() as usize).map(|i| self.at(i)).collect()
    }

    /// The element at coordinates of a shape that the view broadcasts to.
    fn broadcast(&self, shape: &[usize], element: usize) -> f64 {
        self.at(place(self.view, shape, element))
    }

    /// `n` elements from `at` on, `step` apart.
    fn row(&self, at: usize, step: usize, n: usize) -> Vec<f64> {
        (0..n).map(|c| self.at(at + c * step)).collect()
    }
}

/// Where an element of a shape lies in a view that broadcasts to it.
fn place(view: &View, shape: &[usize], element: usize) -> usize {
    let strides = view.strides();
    let (mut rest, mut at) = (element, 0);
    for (d, &size) in shape.iter().enumerate().rev() {
        let coordinate = rest % size;
        rest /= size;
        if let Some(k) = (d + strides.len()).checked_sub(shape.len())
            && view.shape[k] > 1
        {
            at += coordinate * strides[k] as usize;
        }
    }
    at
}

fn host(role: Role, tensor: &Tensor) -> Result<&[u8]> {
    tensor
        .host_bytes()
        .ok_or_else(|| Error::operand(role.name(), "is on a device, the engine computes on the host"))
}

/// Runs a problem on host tensors.
///
/// # Errors
/// [`Error::Operand`] where a tensor is missing or lies on a device.
pub(crate) fn run(problem: &Problem, operands: &Operands<'_>) -> Result<Results> {
    match &problem.family {
        Family::Rows(rows) => run_rows(problem, rows, operands),
        Family::Elements(elements) => run_elements(problem, elements, operands),
        Family::Pairs(pairs) => run_pairs(problem, pairs, operands),
    }
}

/// Labels as i64, whatever their dtype.
struct Labels<'a> {
    bytes: &'a [u8],
    dtype: Dtype,
}

impl Labels<'_> {
    fn at(&self, row: usize) -> i64 {
        let size = self.dtype.bytes() as usize;
        let bytes = &self.bytes[row * size..(row + 1) * size];
        match self.dtype {
            Dtype::U8 => i64::from(bytes[0]),
            Dtype::I32 => i64::from(bytemuck::pod_read_unaligned::<i32>(bytes)),
            Dtype::U32 => i64::from(bytemuck::pod_read_unaligned::<u32>(bytes)),
            _ => bytemuck::pod_read_unaligned(bytes),
        }
    }
}

/// What a row is to be done with.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Kept,
    Ignored,
    Bad,
}

/// The rows of a problem, as its control says they add up.
struct Count {
    control: Control,
    labels: Vec<(Kind, usize)>,
    /// One over the denominators of the losses and of the z-loss.
    scale: f64,
    z_scale: f64,
}

/// Looks at every label, and adds up the denominators.
fn count(
    problem: &Problem,
    rows: &Rows,
    labels: Option<&Labels<'_>>,
    items: usize,
    weights: [Option<&[f64]>; 2],
) -> Count {
    let mut control = Control {
        first_bad: u32::MAX,
        ..Default::default()
    };
    let [weight, sample_weight] = weights;
    let (mut kinds, mut sum, mut row_sum) = (Vec::with_capacity(items), 0.0, 0.0);
    for item in 0..items {
        let label = labels.map_or(0, |labels| labels.at(item));
        if labels.is_some() && rows.ignore_index() == Some(label) {
            control.ignored += 1;
            kinds.push((Kind::Ignored, 0));
        } else if labels.is_some() && !(0..rows.cols as i64).contains(&label) {
            if control.bad == 0 {
                control.first_bad = item as u32;
                [control.bad_low, control.bad_high] = words(label);
            }
            control.bad += 1;
            kinds.push((Kind::Bad, 0));
        } else {
            control.kept += 1;
            let own = sample_weight.map_or(1.0, |w| w[item]);
            row_sum += own;
            sum += own
                * weight
                    .filter(|_| rows.counts_weights && labels.is_some())
                    .map_or(1.0, |w| w[label as usize]);
            kinds.push((Kind::Kept, label as usize));
        }
    }
    (control.weight, control.rows) = (sum as f32, row_sum as f32);
    let one_over = |sum: f64| match (control.kept, problem.zero_on_empty) {
        (0, true) => 0.0,
        // Nothing kept, or nothing but weights of 0, is 0 / 0.
        _ if sum == 0.0 => f64::NAN,
        _ => 1.0 / sum,
    };
    let counted = problem.is_counted();
    let known = problem.static_scale();
    Count {
        control,
        labels: kinds,
        scale: if counted { one_over(sum) } else { known },
        z_scale: if counted { one_over(row_sum) } else { known },
    }
}

/// How often each class is named before the first negative entry.
fn multiplicities(labels: &Labels<'_>, row: usize, cols: usize) -> Vec<f64> {
    let mut times = vec![0.0; cols];
    let list = (0..cols)
        .map(|c| labels.at(row * cols + c))
        .take_while(|&label| label >= 0);
    for label in list.filter(|&label| label < cols as i64) {
        times[label as usize] += 1.0;
    }
    times
}

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

fn run_rows(problem: &Problem, rows: &Rows, operands: &Operands<'_>) -> Result<Results> {
    let count_rows = rows.rows() as usize;
    let (cols, inner) = (rows.cols, rows.inner);
    let of = |slot| Floats::of(problem, operands, slot);
    let input = Floats::new(operands, problem.operands[0].role, problem.input())?;
    let weight = of(Slot::Weight)?.map(|w| w.all());
    let sample_weight = of(Slot::SampleWeight)?.map(|w| w.all());
    let upstream = Floats::upstream(problem, operands)?;
    let full = match rows.targets {
        Targets::Full => of(Slot::Target)?,
        _ => None,
    };
    let labels = match (rows.targets, problem.operand(Slot::Target)) {
        (Targets::Index { .. } | Targets::ClassList, Some(own)) => {
            let tensor = find(operands, own.role).ok_or_else(|| Error::operand("target", "missing"))?;
            Some(Labels {
                bytes: &host(own.role, tensor)?[own.view.offset as usize..],
                dtype: own.view.dtype,
            })
        }
        _ => None,
    };
    let is_list = rows.targets == Targets::ClassList;
    let items = if is_list { count_rows * cols } else { count_rows };
    let counted = count(
        problem,
        rows,
        labels.as_ref(),
        items,
        [weight.as_deref(), sample_weight.as_deref()],
    );
    let (scale, z_scale) = (counted.scale, counted.z_scale);

    let grad = problem.mode.wants_grad();
    let target_grad = problem.operand(Slot::Target).is_some_and(|own| own.grad.is_some());
    let stride = |view: &View| {
        if view.is_contiguous() {
            cols * inner
        } else {
            view.row_stride
        }
    };
    let place = |row: usize, stride: usize| row / inner * stride + row % inner;
    let one_row = |row: usize| {
        let (kind, class) = match is_list {
            true => (Kind::Kept, 0),
            false => counted.labels[row],
        };
        let gather = |from: &Floats<'_>| from.row(place(row, stride(from.view)), inner, cols);
        let x = gather(&input);
        let p = match (&labels, is_list) {
            (Some(labels), true) => multiplicities(labels, row, cols),
            _ => full.as_ref().map(gather).unwrap_or_default(),
        };
        let g = upstream
            .as_ref()
            .filter(|_| rows.is_map() && grad)
            .map(gather)
            .unwrap_or_default();
        let own = sample_weight.as_ref().map_or(1.0, |w| w[row]);
        let seen = Row {
            x: &x,
            class: (labels.is_some() && !is_list && kind == Kind::Kept).then_some(class),
            p: &p,
            weight: weight.as_deref(),
            g: &g,
            z_ratio: z_scale / scale,
            hyper: &problem.hyper,
        };
        let mut result = RowResult::default();
        let computed = |wanted: bool, into: &mut Vec<f64>, function: fn(&Row<'_>, &mut [f64]), factor: f64| {
            if wanted {
                into.resize(cols, 0.0);
                function(&seen, into);
                into.iter_mut().for_each(|x| *x *= factor);
            }
        };
        match rows.reference {
            RowReference::Map { value, grad_input } => {
                computed(problem.mode.wants_loss(), &mut result.value, value, 1.0);
                computed(grad, &mut result.grad_input, grad_input, 1.0);
            }
            RowReference::Loss {
                loss,
                grad_input,
                grad_target,
                stats,
            } => {
                if let Some(stats) = stats.filter(|_| problem.stats.any()) {
                    result.stats = stats(&seen);
                    result.stats.z_loss *= own;
                    result.correct = kind == Kind::Kept && result.stats.argmax == class;
                }
                match kind {
                    Kind::Ignored => result.stats.z_loss = 0.0,
                    Kind::Bad => (result.loss, result.stats.z_loss) = (f64::NAN, f64::NAN),
                    Kind::Kept => {
                        result.loss = own * loss(&seen);
                        let upstream = upstream
                            .as_ref()
                            .map_or(1.0, |g| g.at(if g.view.shape.is_empty() { 0 } else { row }));
                        let factor = scale * upstream * own;
                        computed(grad, &mut result.grad_input, grad_input, factor);
                        if let Some(grad_target) = grad_target {
                            computed(target_grad && grad, &mut result.grad_target, grad_target, factor);
                        }
                    }
                }
            }
        }
        result
    };

    let mut results = Results {
        control: counted.control,
        ..Default::default()
    };
    let blank = |wanted: bool| vec![0.0; if wanted { count_rows * cols } else { 0 }];
    let (mut grad_input, mut grad_target) = (blank(grad), blank(grad && target_grad));
    let mut values = blank(rows.is_map() && problem.mode.wants_loss());
    let (mut losses, mut z_losses) = (Vec::new(), Vec::new());
    for first in (0..count_rows).step_by(BATCH) {
        let end = count_rows.min(first + BATCH);
        let computed: Vec<RowResult> = (first..end).into_par_iter().map(one_row).collect();
        for (row, result) in (first..end).zip(computed) {
            losses.push(result.loss);
            z_losses.push(result.stats.z_loss);
            results.lse.push(result.stats.lse);
            results.entropy.push(result.stats.entropy);
            results.argmax.push(result.stats.argmax as u32);
            results.correct += u32::from(result.correct);
            let at = place(row, cols * inner);
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
        reduce_losses(problem, &losses, scale)
    };
    if problem.stats.z_loss {
        results.z_loss = reduce_losses(problem, &z_losses, z_scale);
    }
    for (operand, role, _) in problem.grads() {
        let own = if operand.slot == Slot::Target {
            &mut grad_target
        } else {
            &mut grad_input
        };
        results.grads.push((role, std::mem::take(own)));
    }
    Ok(results)
}

fn run_elements(problem: &Problem, elements: &Elements, operands: &Operands<'_>) -> Result<Results> {
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
    let value = |function: ElementFn, i: usize| {
        let (x, t, u) = (at(&x, i), at(&t, i), at(&u, i));
        if x.is_nan() || t.is_nan() || u.is_nan() {
            return f64::NAN;
        }
        function(x, t, u, &problem.hyper)
    };
    let mut results = Results::default();
    if problem.mode.wants_loss() {
        let loss = |i| at(&w, i) * value(elements.reference.loss, i);
        let losses: Vec<f64> = (0..count).into_par_iter().map(loss).collect();
        results.loss = reduce_losses(problem, &losses, scale);
    }
    for (operand, role, view) in problem.grads() {
        let nth = slots.iter().position(|slot| *slot == operand.slot).unwrap_or_default();
        let Some(function) = elements.reference.grads.get(nth).copied().flatten() else {
            return Err(Error::operand(operand.role.name(), "has no gradient here"));
        };
        let grad = |i| scale * at(&upstream, i) * at(&w, i) * value(function, i);
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

fn run_pairs(problem: &Problem, pairs: &Pairs, operands: &Operands<'_>) -> Result<Results> {
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

fn reduce_losses(problem: &Problem, losses: &[f64], scale: f64) -> Vec<f64> {
    if !problem.mode.wants_loss() {
        return Vec::new();
    }
    if problem.is_reduced() {
        return vec![losses.iter().sum::<f64>() * scale];
    }
    losses.to_vec()
}
