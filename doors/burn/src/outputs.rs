//! What a call computes, for its caller.

use std::sync::Arc;

use burn::backend::Dispatch;
use burn::tensor::{Int, Tensor};
#[allow(unused_imports, reason = "the docs link to it")]
use wgloss::Error;
use wgloss::{Result, Role};

#[allow(unused_imports, reason = "the docs link to it")]
use crate::call::LossCall;
use crate::operand::{float, int};
use crate::spec::Spec;
use crate::value::{Results, Value};

/// What a call computes, as tensors of burn's. They are taken with their rank, which is checked.
#[derive(Debug)]
#[must_use = "the results are in here"]
pub struct Outputs {
    pub(crate) results: Results<Dispatch>,
    pub(crate) spec: Arc<Spec>,
}

impl Outputs {
    /// The loss, or the value of a function: of rank 1 with one element where there is one number.
    ///
    /// # Errors
    /// [`Error::Operand`] for another rank, and of `reduce` with `argmax`, whose result is [`Outputs::index`].
    pub fn loss<const D: usize>(&self) -> Result<Tensor<D>> {
        float("loss", self.results.loss.clone())
    }

    /// The places that `reduce` with `argmax` finds.
    ///
    /// # Errors
    /// [`Error::Operand`] for another rank or another call.
    pub fn index<const D: usize>(&self) -> Result<Tensor<D, Int>> {
        int("index", self.results.loss.clone())
    }

    /// The gradient of a tensor of the signature, of a call that was asked for it ([`LossCall::fused`]).
    ///
    /// # Errors
    /// [`Error::Operand`] where it was not asked for, and for another rank.
    pub fn grad<const D: usize>(&self, role: Role) -> Result<Tensor<D>> {
        let value = match self.spec.places.iter().position(|place| place.role == role) {
            Some(0) => self.results.first.clone(),
            Some(1) => self.results.second.clone(),
            Some(2) => self.results.third.clone(),
            Some(3) => self.results.fourth.clone(),
            _ => Value::Absent,
        };
        float("grad", value)
    }

    /// The z-loss by itself, reduced as the loss.
    ///
    /// # Errors
    /// [`Error::Operand`] where there is none, and for another rank.
    pub fn z_loss<const D: usize>(&self) -> Result<Tensor<D>> {
        float("z_loss", self.results.z_loss.clone())
    }

    /// The log-sum-exp of each row, in nats.
    ///
    /// # Errors
    /// As [`Outputs::z_loss`].
    pub fn lse<const D: usize>(&self) -> Result<Tensor<D>> {
        float("lse", self.results.lse.clone())
    }

    /// The entropy of each row, in nats.
    ///
    /// # Errors
    /// As [`Outputs::z_loss`].
    pub fn entropy<const D: usize>(&self) -> Result<Tensor<D>> {
        float("entropy", self.results.entropy.clone())
    }

    /// The class of the largest logit of each row, u32.
    ///
    /// # Errors
    /// As [`Outputs::z_loss`].
    pub fn argmax<const D: usize>(&self) -> Result<Tensor<D, Int>> {
        int("argmax", self.results.argmax.clone())
    }

    /// How many of the rows kept have their class as arg-max: one u32.
    ///
    /// # Errors
    /// As [`Outputs::z_loss`].
    pub fn correct(&self) -> Result<Tensor<1, Int>> {
        int("correct", self.results.correct.clone())
    }
}
