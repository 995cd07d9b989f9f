//! Cross-entropy: log-softmax and negative log-likelihood in one pass.

use super::{
    Call, Info, Loss, OptionInfo, Scalar, ScalarKind, TargetKind, TensorInfo, class_dims, compute, expect_class_weight,
    expect_labels, finite, no_option, problem,
};
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::problem::{
    Family, Mode, Problem, Reduction, Role, Row, RowReference, Rows, Targets, expect_dtype, expect_shape,
};
use crate::readback::Values;
use crate::shader::piece;
use crate::tensor::{Dtype, Tensor};

pub(super) static INFO: Info = Info {
    name: "cross_entropy",
    summary: "log-softmax and negative log-likelihood, from logits and classes or probabilities",
    url: "https://pytorch.org/docs/stable/generated/torch.nn.CrossEntropyLoss.html",
    options: &[
        OptionInfo {
            name: "ignore_index",
            kind: ScalarKind::Int,
            default: -100.0,
            help: "class index whose rows are left out of loss, gradient and denominator",
        },
        OptionInfo {
            name: "label_smoothing",
            kind: ScalarKind::Float,
            default: 0.0,
            help: "share of the target spread evenly over all classes, 0 to 1",
        },
    ],
    tensors: &[TensorInfo {
        role: Role::Weight,
        help: "a factor for each class, shape (C)",
    }],
    targets: &[TargetKind::Index, TargetKind::Probability],
    new: || Box::new(CrossEntropy::default()),
};

/// Cross-entropy of logits and classes or class probabilities
/// ([PyTorch](https://pytorch.org/docs/stable/generated/torch.nn.CrossEntropyLoss.html)).
///
/// For a row of logits x over C classes, with `lse = log Σ exp(x_c)`, class weights w and s = `label_smoothing`:
///
/// ```text
/// loss   = Σ_c b_c (lse - x_c)
/// grad_c = (Σ_j b_j) exp(x_c - lse) - b_c
/// class target t:       b_c = (1 - s) w_t [c = t] + s / C w_c
/// probability target p: b_c = w_c ((1 - s) p_c + s / C)
/// ```
///
/// **Shapes.** Input (C), (N, C) or (N, C, d1, …, dk), f32. Class target: the input's shape without C, i32, u32 or i64.
/// Probability target: the input's shape, f32; its gradient `(1 - s) w_c (lse - x_c)` is available.
///
/// **Reductions.** `mean` divides by the sum of `weight[target]` over the rows kept (class target; NaN where that is 0)
/// or by the number of rows (probability target).
///
/// **Edges.** Stable for every finite logit (with label smoothing, where the largest difference of two logits is finite in
/// f32): statistics are kept as the largest logit and the sum of the others'
/// exponentials relative to it, so that a confident row keeps its relative accuracy. A logit of -inf has probability 0;
/// NaN, +inf, or nothing but -inf makes the row's loss and gradient NaN. `ignore_index` is compared as i64, so -100
/// never matches a u32. An ignored row has loss and gradient 0 and its logits are not read.
///
/// **Differences from PyTorch.** A coefficient b_c of 0 on a logit of -inf contributes 0 (PyTorch: NaN). An ignored row
/// with NaN logits has gradient 0 (PyTorch: NaN). A label out of range is an error of the read, not an assertion on the
/// device.
///
/// **Errors.** [`Error::Option`] for `label_smoothing` outside [0, 1] or a non-negative `ignore_index` with a probability
/// target; [`Error::Operand`] for shapes and dtypes; [`Error::BadLabels`] when reading.
#[derive(Clone, Debug)]
pub struct CrossEntropy {
    pub weight: Option<Tensor>,
    pub ignore_index: i64,
    pub label_smoothing: f64,
    pub reduction: Reduction,
}

impl Default for CrossEntropy {
    fn default() -> Self {
        Self {
            weight: None,
            ignore_index: -100,
            label_smoothing: 0.0,
            reduction: Reduction::Mean,
        }
    }
}

/// The function form of [`CrossEntropy`]: arrays on the host, numbers back.
///
/// # Errors
/// As [`Loss::run`] and [`crate::Output::read`].
pub fn cross_entropy<I, T>(engine: &Engine, input: I, target: T, options: &CrossEntropy, mode: Mode) -> Result<Values>
where
    I: TryInto<Tensor, Error = Error>,
    T: TryInto<Tensor, Error = Error>,
{
    compute(engine, options, mode, input, target, None, false)
}

impl Loss for CrossEntropy {
    fn info(&self) -> &'static Info {
        &INFO
    }

    fn check(&self) -> Result<()> {
        finite("label_smoothing", self.label_smoothing)?;
        if !(0.0..=1.0).contains(&self.label_smoothing) {
            return Err(Error::option(
                "label_smoothing",
                format!("{} given, expected 0 to 1", self.label_smoothing),
            ));
        }
        Ok(())
    }

    fn reduction(&self) -> Reduction {
        self.reduction
    }

    fn set_reduction(&mut self, reduction: Reduction) {
        self.reduction = reduction;
    }

    fn set(&mut self, name: &str, value: Scalar) -> Result<()> {
        match (name, value) {
            ("ignore_index", Scalar::Int(value)) => self.ignore_index = value,
            ("label_smoothing", Scalar::Float(value)) => self.label_smoothing = value,
            _ => return Err(no_option(&INFO, name)),
        }
        Ok(())
    }

    fn tensors(&self) -> Vec<(Role, &Tensor)> {
        self.weight.iter().map(|weight| (Role::Weight, weight)).collect()
    }

    fn attach(&mut self, role: Role, tensor: Tensor) -> Result<()> {
        match role {
            Role::Weight => self.weight = Some(tensor),
            _ => return Err(no_option(&INFO, role.name())),
        }
        Ok(())
    }

    fn problem(&self, call: &Call<'_>) -> Result<Problem> {
        self.check()?;
        let (input, target) = (call.input.view(), call.target.view());
        expect_dtype("input", input, &[Dtype::F32])?;
        let (slabs, cols, inner) = class_dims(input)?;
        let targets = if target.dtype.is_float() {
            expect_shape("target", target, &input.shape, "as the input, for class probabilities")?;
            if self.ignore_index >= 0 {
                return Err(Error::option(
                    "ignore_index",
                    format!(
                        "{} given with a probability target, which has no index to ignore",
                        self.ignore_index
                    ),
                ));
            }
            Targets::Full
        } else {
            expect_labels(input, target)?;
            Targets::Index {
                ignore_index: self.ignore_index,
            }
        };
        let smooth = self.label_smoothing != 0.0;
        let weight = expect_class_weight(self.weight.as_ref(), cols)?;
        let mut pieces = vec![piece!("loss/cross_entropy.wgsl")];
        match targets {
            Targets::Index { .. } => {
                pieces.push(piece!("loss/cross_entropy_index.wgsl"));
                pieces.push(if smooth {
                    piece!("loss/cross_entropy_coef_smooth.wgsl")
                } else {
                    piece!("loss/cross_entropy_coef_none.wgsl")
                });
            }
            Targets::Full => pieces.push(piece!("loss/cross_entropy_prob.wgsl")),
        }
        let kind = match targets {
            Targets::Index { .. } if smooth => format!("{}_smooth", target.dtype),
            Targets::Index { .. } => target.dtype.to_string(),
            Targets::Full => "prob".into(),
        };
        let kind = if weight.is_some() {
            format!("{kind}_weight")
        } else {
            kind
        };
        let rows = Rows {
            slabs,
            cols,
            inner,
            targets,
            weight,
            pieces,
            kind,
            reference: RowReference {
                loss: reference_loss,
                grad_input: reference_grad,
                grad_target: Some(reference_grad_target),
            },
        };
        let hyper = [self.label_smoothing, self.label_smoothing / cols as f64, 0.0, 0.0];
        problem(self, call, Family::Rows(rows), hyper)
    }
}

/// b_c of the formula above.
fn coefficient(row: &Row<'_>, c: usize) -> f64 {
    let smoothing = row.hyper[0];
    let w = |c: usize| row.weight.map_or(1.0, |w| w[c]);
    let spread = w(c) * smoothing / row.x.len() as f64;
    match row.class {
        Some(t) if t == c => (1.0 - smoothing) * w(t) + spread,
        Some(_) => spread,
        None => w(c) * (1.0 - smoothing) * row.p[c] + spread,
    }
}

/// log softmax by its definition, shifted by the largest logit.
fn log_softmax(x: &[f64]) -> Vec<f64> {
    let peak = x.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let total: f64 = x.iter().map(|x| (x - peak).exp()).sum();
    // The largest term is 1: its log is log1p of the others, exact also where they vanish beside it.
    let first = x.iter().position(|&x| x == peak);
    let rest: f64 = x
        .iter()
        .enumerate()
        .filter(|(c, _)| Some(*c) != first)
        .map(|(_, x)| (x - peak).exp())
        .sum();
    let log_total = if total.is_nan() { f64::NAN } else { rest.ln_1p() };
    x.iter().map(|x| x - peak - log_total).collect()
}

/// A coefficient of 0 contributes 0, also where the logarithm is infinite, but not where it is NaN.
fn product(b: f64, log_p: f64) -> f64 {
    if b == 0.0 && log_p.is_infinite() {
        0.0
    } else {
        b * log_p
    }
}

fn reference_loss(row: &Row<'_>) -> f64 {
    let log_p = log_softmax(row.x);
    // From 0.0, so that a certain row has loss 0 and not -0.
    (0..row.x.len()).fold(0.0, |sum, c| sum - product(coefficient(row, c), log_p[c]))
}

fn reference_grad(row: &Row<'_>, grad: &mut [f64]) {
    let log_p = log_softmax(row.x);
    let total: f64 = (0..row.x.len()).map(|c| coefficient(row, c)).sum();
    for (c, g) in grad.iter_mut().enumerate() {
        // (Σ_j b_j) p_c - b_c, with 1 - p_c taken from the logarithm: p_c may be 1 to the last bit.
        let own = coefficient(row, c);
        *g = (total - own) * log_p[c].exp() + own * log_p[c].exp_m1();
    }
}

fn reference_grad_target(row: &Row<'_>, grad: &mut [f64]) {
    let log_p = log_softmax(row.x);
    for (c, g) in grad.iter_mut().enumerate() {
        *g = -product((1.0 - row.hyper[0]) * row.weight.map_or(1.0, |w| w[c]), log_p[c]);
    }
}
