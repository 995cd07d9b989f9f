//! Binary cross-entropy from logits.

use super::{
    Call, Info, Loss, Scalar, TargetKind, TensorInfo, compute, elements, expect_factor, expect_pair, no_option, problem,
};
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::problem::{ElementReference, Mode, Problem, Reduction, Role};
use crate::readback::Values;
use crate::shader::piece;
use crate::tensor::Tensor;

pub(super) static INFO: Info = Info {
    name: "bce_with_logits",
    summary: "sigmoid and binary cross-entropy, from logits and targets in [0, 1]",
    url: "https://pytorch.org/docs/stable/generated/torch.nn.BCEWithLogitsLoss.html",
    options: &[],
    tensors: &[
        TensorInfo {
            role: Role::Weight,
            help: "a factor for each element, broadcast to the input",
        },
        TensorInfo {
            role: Role::PosWeight,
            help: "a factor for the positive part of each element, broadcast to the input",
        },
    ],
    targets: &[TargetKind::Element],
    new: || Box::new(BceWithLogits::default()),
};

/// Binary cross-entropy of logits x and targets t
/// ([PyTorch](https://pytorch.org/docs/stable/generated/torch.nn.BCEWithLogitsLoss.html)).
///
/// With w = `weight` and u = `pos_weight` (1 where absent), and `softplus(x) = log(1 + exp(x))`:
///
/// ```text
/// loss = w (t u softplus(-x) + (1 - t) softplus(x))
/// grad = w ((1 - t) sigmoid(x) - t u sigmoid(-x))
/// ```
///
/// **Shapes.** Input of any shape, f32; target of the same shape, f32, normally in [0, 1] (others are computed by the
/// formula). `weight` and `pos_weight` broadcast to the input's shape.
///
/// **Reductions.** `mean` divides by the number of elements, whatever the weights are; of no elements it is NaN.
///
/// **Edges.** Finite for every finite logit, with full relative accuracy where the loss goes to 0. NaN in gives NaN out;
/// at ±inf the formula holds as IEEE reads it, 0 · inf being NaN (PyTorch's form of it
/// is NaN also for x = -inf with t > 0, where this one is inf).
///
/// **Errors.** [`Error::Operand`] for shapes and dtypes.
#[derive(Clone, Debug, Default)]
pub struct BceWithLogits {
    pub weight: Option<Tensor>,
    pub pos_weight: Option<Tensor>,
    pub reduction: Reduction,
}

/// The function form of [`BceWithLogits`]: arrays on the host, numbers back.
///
/// # Errors
/// As [`Loss::run`] and [`crate::Output::read`].
pub fn bce_with_logits<I, T>(
    engine: &Engine,
    input: I,
    target: T,
    options: &BceWithLogits,
    mode: Mode,
) -> Result<Values>
where
    I: TryInto<Tensor, Error = Error>,
    T: TryInto<Tensor, Error = Error>,
{
    compute(engine, options, mode, input, target, None, false)
}

impl Loss for BceWithLogits {
    fn info(&self) -> &'static Info {
        &INFO
    }

    fn check(&self) -> Result<()> {
        Ok(())
    }

    fn reduction(&self) -> Reduction {
        self.reduction
    }

    fn set_reduction(&mut self, reduction: Reduction) {
        self.reduction = reduction;
    }

    fn set(&mut self, name: &str, _: Scalar) -> Result<()> {
        Err(no_option(&INFO, name))
    }

    fn tensors(&self) -> Vec<(Role, &Tensor)> {
        let weight = self.weight.iter().map(|tensor| (Role::Weight, tensor));
        weight
            .chain(self.pos_weight.iter().map(|tensor| (Role::PosWeight, tensor)))
            .collect()
    }

    fn attach(&mut self, role: Role, tensor: Tensor) -> Result<()> {
        match role {
            Role::Weight => self.weight = Some(tensor),
            Role::PosWeight => self.pos_weight = Some(tensor),
            _ => return Err(no_option(&INFO, role.name())),
        }
        Ok(())
    }

    fn problem(&self, call: &Call<'_>) -> Result<Problem> {
        expect_pair(call)?;
        let input = call.input.view();
        let family = elements(
            expect_factor("weight", self.weight.as_ref(), input)?,
            expect_factor("pos_weight", self.pos_weight.as_ref(), input)?,
            piece!("loss/bce_with_logits.wgsl"),
            ElementReference {
                loss: reference_loss,
                grad_input: reference_grad,
            },
        );
        problem(self, call, family, [0.0; 4])
    }
}

/// log(1 + exp(-|x|)) + max(x, 0)
pub(super) fn softplus(x: f64) -> f64 {
    (-x.abs()).exp().ln_1p() + if x > 0.0 || x.is_nan() { x } else { 0.0 }
}

pub(super) fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

fn reference_loss(x: f64, t: f64, u: f64, _: &[f64; 4]) -> f64 {
    t * u * softplus(-x) + (1.0 - t) * softplus(x)
}

fn reference_grad(x: f64, t: f64, u: f64, _: &[f64; 4]) -> f64 {
    (1.0 - t) * sigmoid(x) - t * u * sigmoid(-x)
}
