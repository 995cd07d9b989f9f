//! Sigmoid focal loss.

use super::bce_with_logits::{sigmoid, softplus};
use super::{
    Call, Info, Loss, OptionInfo, Scalar, ScalarKind, TargetKind, compute, elements, expect_pair, finite, no_option,
    problem,
};
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::problem::{ElementReference, Mode, Problem, Reduction, Role};
use crate::readback::Values;
use crate::shader::piece;
use crate::tensor::Tensor;

pub(super) static INFO: Info = Info {
    name: "sigmoid_focal",
    summary: "binary cross-entropy that passes over easy elements, from logits and targets in [0, 1]",
    url: "https://pytorch.org/vision/stable/generated/torchvision.ops.sigmoid_focal_loss.html",
    options: &[
        OptionInfo {
            name: "alpha",
            kind: ScalarKind::Float,
            default: 0.25,
            help: "weight of the positive part, at most 1; negative for none",
        },
        OptionInfo {
            name: "gamma",
            kind: ScalarKind::Float,
            default: 2.0,
            help: "exponent of 1 - p_t, at least 0",
        },
    ],
    tensors: &[],
    targets: &[TargetKind::Element],
    new: || Box::new(SigmoidFocal::default()),
};

/// Sigmoid focal loss of logits x and targets t (Lin et al. 2017, [arXiv:1708.02002](https://arxiv.org/abs/1708.02002);
/// [torchvision](https://pytorch.org/vision/stable/generated/torchvision.ops.sigmoid_focal_loss.html)).
///
/// With s = sigmoid(x), `bce` the binary cross-entropy of x and t, and
/// `a_t = alpha t + (1 - alpha)(1 - t)` (1 where `alpha` is negative):
///
/// ```text
/// miss = 1 - p_t = (1 - t) s + t (1 - s)
/// loss = a_t miss^gamma bce
/// grad = a_t miss^gamma (s - t + gamma bce (1 - 2 t) s (1 - s) / miss)
/// ```
///
/// **Shapes.** Input of any shape, f32; target of the same shape, f32, in [0, 1].
///
/// **Options.** `gamma` ≥ 0; 0 is the weighted cross-entropy. `alpha` ≤ 1. The default reduction is torchvision's, none.
///
/// **Edges.** No NaN for any finite logit, also for 0 < gamma < 1 with a saturated logit, where torchvision's gradient
/// is NaN. NaN in gives NaN out. `mean` of no elements is NaN.
///
/// **Errors.** [`Error::Option`] for `gamma` < 0, `alpha` > 1 or a non-finite value; [`Error::Operand`] for shapes and
/// dtypes.
#[derive(Clone, Debug)]
pub struct SigmoidFocal {
    pub alpha: f64,
    pub gamma: f64,
    pub reduction: Reduction,
}

impl Default for SigmoidFocal {
    fn default() -> Self {
        Self {
            alpha: 0.25,
            gamma: 2.0,
            reduction: Reduction::None,
        }
    }
}

/// The function form of [`SigmoidFocal`]: arrays on the host, numbers back.
///
/// # Errors
/// As [`Loss::run`] and [`crate::Output::read`].
pub fn sigmoid_focal<I, T>(engine: &Engine, input: I, target: T, options: &SigmoidFocal, mode: Mode) -> Result<Values>
where
    I: TryInto<Tensor, Error = Error>,
    T: TryInto<Tensor, Error = Error>,
{
    compute(engine, options, mode, input, target, None, false)
}

impl Loss for SigmoidFocal {
    fn info(&self) -> &'static Info {
        &INFO
    }

    fn check(&self) -> Result<()> {
        finite("alpha", self.alpha)?;
        finite("gamma", self.gamma)?;
        if self.alpha > 1.0 {
            return Err(Error::option(
                "alpha",
                format!("{} given, expected 0 to 1, or a negative number for none", self.alpha),
            ));
        }
        if self.gamma < 0.0 {
            return Err(Error::option(
                "gamma",
                format!("{} given, expected at least 0", self.gamma),
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
            ("alpha", Scalar::Float(value)) => self.alpha = value,
            ("gamma", Scalar::Float(value)) => self.gamma = value,
            _ => return Err(no_option(&INFO, name)),
        }
        Ok(())
    }

    fn tensors(&self) -> Vec<(Role, &Tensor)> {
        Vec::new()
    }

    fn attach(&mut self, role: Role, _: Tensor) -> Result<()> {
        Err(no_option(&INFO, role.name()))
    }

    fn problem(&self, call: &Call<'_>) -> Result<Problem> {
        self.check()?;
        expect_pair(call)?;
        let family = elements(
            None,
            None,
            piece!("loss/sigmoid_focal.wgsl"),
            ElementReference {
                loss: reference_loss,
                grad_input: reference_grad,
            },
        );
        problem(self, call, family, [self.alpha, self.gamma, 0.0, 0.0])
    }
}

/// a_t miss^gamma, and 1 - p_t itself.
fn factor(x: f64, t: f64, hyper: &[f64; 4]) -> (f64, f64) {
    let [alpha, gamma, ..] = *hyper;
    let a = if alpha < 0.0 {
        1.0
    } else {
        alpha * t + (1.0 - alpha) * (1.0 - t)
    };
    let miss = (1.0 - t) * sigmoid(x) + t * sigmoid(-x);
    (a * miss.powf(gamma), miss)
}

fn bce(x: f64, t: f64) -> f64 {
    t * softplus(-x) + (1.0 - t) * softplus(x)
}

fn reference_loss(x: f64, t: f64, _: f64, hyper: &[f64; 4]) -> f64 {
    factor(x, t, hyper).0 * bce(x, t)
}

fn reference_grad(x: f64, t: f64, _: f64, hyper: &[f64; 4]) -> f64 {
    let (factor, miss) = factor(x, t, hyper);
    let slope = (1.0 - t) * sigmoid(x) - t * sigmoid(-x);
    let turn = (1.0 - 2.0 * t) * sigmoid(x) * sigmoid(-x);
    // Where f64 cannot hold 1 - p_t, turn / miss has its limit ±1: the odds cancel.
    let ratio = if miss == 0.0 {
        (1.0 - 2.0 * t).signum()
    } else {
        turn / miss
    };
    factor * (slope + hyper[1] * bce(x, t) * ratio)
}
