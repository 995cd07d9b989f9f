//! The f64 reference: runs any problem in definition form, in parallel. It is what tests compare with, and the answer
//! where no adapter exists.

use rayon::prelude::*;

use crate::error::{Error, Result};
use crate::layout::{Control, words};
use crate::plan::ReduceOp;
use crate::problem::{Elements, Family, Problem, Reduction, Role, Row, Rows, Targets};
use crate::tensor::{Dtype, Tensor, View};

/// Rows computed before their gradients are put in place; bounds the memory in between.
const BATCH: usize = 1024;

/// What a result is rounded to: f32 for results, f64 for tests.
pub trait Number: Copy + Default + Send + Sync {
    fn from_f64(x: f64) -> Self;
}

impl Number for f32 {
    fn from_f64(x: f64) -> Self {
        x as f32
    }
}

impl Number for f64 {
    fn from_f64(x: f64) -> Self {
        x
    }
}

/// The outputs of a run; empty where they were not asked for.
#[derive(Clone, Debug, Default)]
pub struct Results<T> {
    pub loss: Vec<T>,
    /// Of the input's shape, contiguous.
    pub grad_input: Vec<T>,
    pub grad_target: Vec<T>,
    pub control: Control,
}

/// The operands of a problem by role.
pub(crate) type Operands<'a> = [(Role, &'a Tensor)];

fn find<'a>(operands: &Operands<'a>, role: Role) -> Option<&'a Tensor> {
    operands.iter().find(|(r, _)| *r == role).map(|(_, tensor)| *tensor)
}

/// A host tensor's elements as f64, addressed through its view.
struct Floats<'a> {
    data: &'a [f32],
    view: &'a View,
}

impl<'a> Floats<'a> {
    fn new(operands: &Operands<'a>, role: Role) -> Result<Option<Self>> {
        let Some(tensor) = find(operands, role) else {
            return Ok(None);
        };
        let bytes = host(role, tensor)?;
        Ok(Some(Self {
            data: bytemuck::cast_slice(&bytes[tensor.view.offset as usize..]),
            view: &tensor.view,
        }))
    }

    fn required(operands: &Operands<'a>, role: Role) -> Result<Self> {
        Self::new(operands, role)?.ok_or_else(|| Error::operand(role.name(), "missing"))
    }

    fn at(&self, index: usize) -> f64 {
        f64::from(self.data[index])
    }

    fn all(&self) -> Vec<f64> {
        (0..self.view.len() as usize).map(|i| self.at(i)).collect()
    }
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
pub(crate) fn run<T: Number>(problem: &Problem, operands: &Operands<'_>) -> Result<Results<T>> {
    match &problem.family {
        Family::Rows(rows) => run_rows(problem, rows, operands),
        Family::Elements(elements) => run_elements(problem, elements, operands),
    }
}

/// A label as an i64, whatever its dtype.
struct Labels<'a> {
    bytes: &'a [u8],
    dtype: Dtype,
}

impl Labels<'_> {
    fn at(&self, row: usize) -> i64 {
        let size = self.dtype.bytes() as usize;
        let bytes = &self.bytes[row * size..(row + 1) * size];
        match self.dtype {
            Dtype::I32 => i64::from(bytemuck::pod_read_unaligned::<i32>(bytes)),
            Dtype::U32 => i64::from(bytemuck::pod_read_unaligned::<u32>(bytes)),
            Dtype::I64 | Dtype::F32 => bytemuck::pod_read_unaligned(bytes),
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

fn run_rows<T: Number>(problem: &Problem, rows: &Rows, operands: &Operands<'_>) -> Result<Results<T>> {
    let count = rows.rows() as usize;
    let (cols, inner) = (rows.cols, rows.inner);
    let input = Floats::required(operands, Role::Input)?;
    let weight = Floats::new(operands, Role::Weight)?.map(|w| w.all());
    let upstream = Floats::new(operands, Role::GradOutput)?;
    let mut control = Control {
        first_bad: u32::MAX,
        ..Default::default()
    };

    let mut labels = Vec::new();
    let mut full = None;
    let mut denominator = 0.0;
    if let Targets::Index { ignore_index } = rows.targets {
        let tensor = find(operands, Role::Target).ok_or_else(|| Error::operand("target", "missing"))?;
        let source = Labels {
            bytes: &host(Role::Target, tensor)?[tensor.view.offset as usize..],
            dtype: tensor.dtype(),
        };
        for row in 0..count {
            let label = source.at(row);
            if label == ignore_index {
                control.ignored += 1;
                labels.push((Kind::Ignored, 0));
            } else if label < 0 || label >= cols as i64 {
                if control.bad == 0 {
                    control.first_bad = row as u32;
                    [control.bad_low, control.bad_high] = words(label);
                }
                control.bad += 1;
                labels.push((Kind::Bad, 0));
            } else {
                control.kept += 1;
                denominator += weight.as_ref().map_or(1.0, |w| w[label as usize]);
                labels.push((Kind::Kept, label as usize));
            }
        }
    } else {
        full = Some(Floats::required(operands, Role::Target)?);
        control.kept = count as u32;
    }
    control.weight = denominator as f32;
    let scale = match problem.counts_denominator() {
        // Nothing kept, or nothing but weights of 0, is 0 / 0.
        true if denominator == 0.0 => f64::NAN,
        true => 1.0 / denominator,
        false => problem.static_scale(),
    };

    let grad = problem.mode.wants_grad();
    let mut losses = Vec::with_capacity(count);
    let mut grad_input = vec![T::default(); if grad { count * cols } else { 0 }];
    let mut grad_target = vec![T::default(); if problem.wants_grad_target { count * cols } else { 0 }];
    let slab_stride = |view: &View| if view.shape.len() > 1 { view.row_stride } else { cols };
    let place = |row: usize, stride: usize| row / inner * stride + row % inner;
    for first in (0..count).step_by(BATCH) {
        let end = count.min(first + BATCH);
        let computed: Vec<_> = (first..end)
            .into_par_iter()
            .map(|row| {
                let (kind, class) = labels.get(row).copied().unwrap_or((Kind::Kept, 0));
                if kind != Kind::Kept {
                    let loss = if kind == Kind::Bad { f64::NAN } else { 0.0 };
                    return (loss, Vec::new(), Vec::new());
                }
                let gather = |from: &Floats<'_>| -> Vec<f64> {
                    let at = place(row, slab_stride(from.view));
                    (0..cols).map(|c| from.at(at + c * inner)).collect()
                };
                let x = gather(&input);
                let p = full.as_ref().map(gather).unwrap_or_default();
                let seen = Row {
                    x: &x,
                    class: full.is_none().then_some(class),
                    p: &p,
                    weight: weight.as_deref(),
                    hyper: &problem.hyper,
                };
                let loss = (rows.reference.loss)(&seen);
                let factor = scale
                    * upstream
                        .as_ref()
                        .map_or(1.0, |g| g.at(if g.view.shape.is_empty() { 0 } else { row }));
                let scaled = |wanted: bool, gradient: Option<fn(&Row<'_>, &mut [f64])>| {
                    let mut g = vec![0.0; if wanted { cols } else { 0 }];
                    if let Some(gradient) = gradient.filter(|_| wanted) {
                        gradient(&seen, &mut g);
                        g.iter_mut().for_each(|g| *g *= factor);
                    }
                    g
                };
                (
                    loss,
                    scaled(grad, Some(rows.reference.grad_input)),
                    scaled(problem.wants_grad_target, rows.reference.grad_target),
                )
            })
            .collect();
        for (row, (loss, g_input, g_target)) in (first..end).zip(computed) {
            losses.push(loss);
            let at = place(row, cols * inner);
            for (out, from) in [(&mut grad_input, g_input), (&mut grad_target, g_target)] {
                for (c, g) in from.into_iter().enumerate() {
                    out[at + c * inner] = T::from_f64(g);
                }
            }
        }
    }
    Ok(Results {
        loss: reduce_losses(problem, &losses, scale),
        grad_input,
        grad_target,
        control,
    })
}

fn run_elements<T: Number>(problem: &Problem, elements: &Elements, operands: &Operands<'_>) -> Result<Results<T>> {
    let shape: Vec<usize> = problem.input.shape.clone();
    let count = problem.input.len() as usize;
    let scale = problem.static_scale();
    let place = |from: &Option<Floats<'_>>, element: usize| -> Option<f64> {
        from.as_ref().map(|from| {
            let strides = from.view.strides();
            let (mut rest, mut at) = (element, 0);
            for (d, &size) in shape.iter().enumerate().rev() {
                let coordinate = rest % size;
                rest /= size;
                if let Some(k) = (d + strides.len()).checked_sub(shape.len())
                    && from.view.shape[k] > 1
                {
                    at += coordinate * strides[k] as usize;
                }
            }
            from.at(at)
        })
    };
    let input = Some(Floats::required(operands, Role::Input)?);
    let target = Some(Floats::required(operands, Role::Target)?);
    let third = Floats::new(operands, Role::PosWeight)?;
    let weight = Floats::new(operands, Role::Weight)?;
    let upstream = Floats::new(operands, Role::GradOutput)?;
    let slots = |i: usize| {
        (
            place(&input, i).unwrap_or(f64::NAN),
            place(&target, i).unwrap_or(f64::NAN),
            place(&third, i).unwrap_or(1.0),
            place(&weight, i).unwrap_or(1.0),
        )
    };
    let losses: Vec<f64> = if problem.mode.wants_loss() {
        let loss = |i| {
            let (x, t, u, w) = slots(i);
            w * (elements.reference.loss)(x, t, u, &problem.hyper)
        };
        (0..count).into_par_iter().map(loss).collect()
    } else {
        Vec::new()
    };
    let grad_input = if problem.mode.wants_grad() {
        let grad = |i| {
            let (x, t, u, w) = slots(i);
            let g = (elements.reference.grad_input)(x, t, u, &problem.hyper);
            T::from_f64(scale * place(&upstream, i).unwrap_or(1.0) * w * g)
        };
        (0..count).into_par_iter().map(grad).collect()
    } else {
        Vec::new()
    };
    Ok(Results {
        loss: reduce_losses(problem, &losses, scale),
        grad_input,
        grad_target: Vec::new(),
        control: Control::default(),
    })
}

fn reduce_losses<T: Number>(problem: &Problem, losses: &[f64], scale: f64) -> Vec<T> {
    if !problem.mode.wants_loss() {
        return Vec::new();
    }
    match problem.reduction {
        Reduction::None => losses.iter().map(|&l| T::from_f64(l)).collect(),
        Reduction::Sum | Reduction::Mean => vec![T::from_f64(losses.iter().sum::<f64>() * scale)],
    }
}

/// A reduction over all elements, by its definition.
pub(crate) fn reduce(op: ReduceOp, tensor: &Tensor) -> Result<f64> {
    let bytes = host(Role::Input, tensor)?;
    let view = &tensor.view;
    let data: &[f32] = bytemuck::cast_slice(&bytes[view.offset as usize..]);
    let slab = view.slab().max(1);
    let values = (0..view.len() as usize).map(|i| f64::from(data[i / slab * view.row_stride.max(1) + i % slab]));
    let values: Vec<f64> = values.collect();
    let first_nan = values.iter().position(|x| x.is_nan());
    let best = |beyond: fn(f64, f64) -> bool| {
        first_nan.unwrap_or_else(|| {
            let pick = |best: usize, i: usize| if beyond(values[i], values[best]) { i } else { best };
            (0..values.len()).fold(0, pick)
        })
    };
    Ok(match op {
        ReduceOp::Sum => values.iter().sum(),
        ReduceOp::Mean => values.iter().sum::<f64>() / values.len() as f64,
        ReduceOp::Max => values[best(|a, b| a > b)],
        ReduceOp::Min => values[best(|a, b| a < b)],
        ReduceOp::Argmax => best(|a, b| a > b) as f64,
        ReduceOp::LogSumExp => {
            let peak = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            if first_nan.is_some() {
                f64::NAN
            } else if peak.is_infinite() {
                peak
            } else {
                peak + values.iter().map(|x| (x - peak).exp()).sum::<f64>().ln()
            }
        }
    })
}
