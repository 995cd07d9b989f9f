//! Calls that one can keep.

use std::sync::Arc;

use super::{Call, GradTo, Loss};
use crate::call::LossTo;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::faults::Faults;
use crate::output::Output;
use crate::tensor::Tensor;
use crate::words::{Checks, Mode, Role, Stats};

/// A call with its loss and its tensors, which it shares, by PyTorch's names: made once, computed as often as one
/// likes. It begins with a tensor of a loss (`CrossEntropy::default().input(&logits)`), or with [`OwnedCall::of`].
///
/// ```
/// use wgloss::{CrossEntropy, Engine, Tensor};
///
/// # fn main() -> wgloss::Result<()> {
/// let engine = Engine::new().unwrap_or_else(|_| Engine::cpu());
/// let logits = engine.upload(&Tensor::new(&[2.0f32, 0.0, 0.0, 0.0, 1.0, 0.0], &[2, 3])?)?;
/// let labels = engine.upload(&Tensor::new(&[0i64, 1], &[2])?)?;
///
/// let call = CrossEntropy::default().input(&logits).target(&labels).fused();
/// for _ in 0..3 {
///     let values = call.run(&engine)?.read(&engine)?;
///     assert!(values.loss.is_some() && values.grad_input.is_some());
/// }
/// # Ok(())
/// # }
/// ```
///
/// It computes the loss alone until something is asked of gradients: then both, unless [`OwnedCall::backward`] says
/// that they are all.
#[derive(Clone, Debug)]
#[must_use = "run or encode computes it"]
pub struct OwnedCall<L> {
    loss: L,
    mode: Mode,
    tensors: Vec<(Role, Tensor)>,
    grad_output: Option<Tensor>,
    grad_lse: Option<Tensor>,
    grad_entropy: Option<Tensor>,
    grad_input: OwnedGradTo,
    grads: Vec<Role>,
    /// Places of the loss and of other results.
    into: Vec<(Role, Tensor)>,
    stats: Stats,
    checks: Checks,
    faults: Option<Arc<Faults>>,
}

/// [`GradTo`], owned.
#[derive(Clone, Debug)]
enum OwnedGradTo {
    New,
    InPlace,
    Into(Tensor),
    AddTo(Tensor),
}

macro_rules! named {
    ($($name:ident)*) => {
        $(
            #[doc = concat!("Gives `", stringify!($name), "`, in place of one given before.")]
            pub fn $name(self, tensor: &Tensor) -> Self {
                self.tensor(crate::loss::define::role!($name), tensor)
            }
        )*
    };
}

impl<L: Loss> OwnedCall<L> {
    /// A call of a loss that has no tensors yet.
    pub fn of(loss: L) -> Self {
        Self {
            loss,
            mode: Mode::Forward,
            tensors: Vec::new(),
            grad_output: None,
            grad_lse: None,
            grad_entropy: None,
            grad_input: OwnedGradTo::New,
            grads: Vec::new(),
            into: Vec::new(),
            stats: Stats::default(),
            checks: Checks::default(),
            faults: None,
        }
    }

    /// Gives a tensor of the signature, or an optional one of the loss, in place of one given before.
    pub fn tensor(mut self, role: Role, tensor: &Tensor) -> Self {
        let is_optional = self.loss.info().tensors.iter().any(|own| own.role == role);
        if is_optional && self.loss.attach(role, tensor.clone()).is_ok() {
            return self;
        }
        // One that the loss does not have is refused by the call.
        self.tensors.retain(|(own, _)| *own != role);
        self.tensors.push((role, tensor.clone()));
        self
    }

    named! { input input1 input2 anchor positive negative target var weight pos_weight alpha sample_weight }

    fn wants_grad(mut self) -> Self {
        if self.mode == Mode::Forward {
            self.mode = Mode::Fused;
        }
        self
    }

    /// The loss alone.
    pub fn forward(mut self) -> Self {
        self.mode = Mode::Forward;
        self
    }

    /// Gradients alone.
    pub fn backward(mut self) -> Self {
        self.mode = Mode::Backward;
        self
    }

    /// Loss and gradients.
    pub fn fused(mut self) -> Self {
        self.mode = Mode::Fused;
        self
    }

    /// The upstream gradient.
    pub fn grad_output(mut self, tensor: &Tensor) -> Self {
        self.grad_output = Some(tensor.clone());
        self.wants_grad()
    }

    /// The upstream gradients of the rows' log-sum-exp ([`Call::grad_lse`]).
    pub fn grad_lse(mut self, tensor: &Tensor) -> Self {
        self.grad_lse = Some(tensor.clone());
        self.wants_grad()
    }

    /// The upstream gradients of the rows' entropy ([`Call::grad_entropy`]).
    pub fn grad_entropy(mut self, tensor: &Tensor) -> Self {
        self.grad_entropy = Some(tensor.clone());
        self.wants_grad()
    }

    /// The gradient of another tensor than the first, too.
    pub fn grad_of(mut self, role: Role) -> Self {
        if !self.grads.contains(&role) {
            self.grads.push(role);
        }
        self.wants_grad()
    }

    /// The gradient of the first tensor goes into a tensor of the caller's.
    pub fn grad_into(mut self, tensor: &Tensor) -> Self {
        self.grad_input = OwnedGradTo::Into(tensor.clone());
        self.wants_grad()
    }

    /// The gradient of the first tensor is added to what a tensor of the caller's holds.
    pub fn grad_add_to(mut self, tensor: &Tensor) -> Self {
        self.grad_input = OwnedGradTo::AddTo(tensor.clone());
        self.wants_grad()
    }

    /// The gradient of the first tensor goes over the tensor itself.
    pub fn grad_in_place(mut self) -> Self {
        self.grad_input = OwnedGradTo::InPlace;
        self.wants_grad()
    }

    /// The loss, or the value of a function, goes into a tensor of the caller's ([`LossTo::Into`]).
    pub fn loss_into(self, tensor: &Tensor) -> Self {
        self.result_into(Role::Loss, tensor)
    }

    /// Another result goes into a tensor of the caller's: a statistic by its role, a gradient other than the first by
    /// that of its operand. It is still to be asked for.
    pub fn result_into(mut self, role: Role, tensor: &Tensor) -> Self {
        self.into.retain(|(own, _)| *own != role);
        self.into.push((role, tensor.clone()));
        self
    }

    /// Statistics of the rows.
    pub fn stats(mut self, stats: Stats) -> Self {
        self.stats = stats;
        self
    }

    /// What of the values is inspected.
    pub fn checks(mut self, checks: Checks) -> Self {
        self.checks = checks;
        self
    }

    /// Adds what the call finds to a log each time that it is run or recorded: for who does not read its results.
    pub fn faults(mut self, faults: &Arc<Faults>) -> Self {
        self.faults = Some(Arc::clone(faults));
        self
    }

    pub fn loss(&self) -> &L {
        &self.loss
    }

    /// The call with its tensors in the order of the signature: for a [`Stream`](crate::Stream), for
    /// [`Batches`](crate::Batches) and [`Engine::warm_up`], which take the loss ([`OwnedCall::loss`]) beside it.
    ///
    /// # Errors
    /// [`Error::Operand`] for a tensor of the signature that was not given, or one that the loss does not have.
    pub fn call(&self) -> Result<Call<'_>> {
        let info = self.loss.info();
        let names = || {
            let signature = info.operands.iter().map(|own| own.role.name());
            let all = signature.chain(info.tensors.iter().map(|own| own.role.name()));
            all.collect::<Vec<_>>().join(", ")
        };
        let is_known = |role: Role| info.operands.iter().any(|own| own.role == role);
        if let Some((role, _)) = self.tensors.iter().find(|(role, _)| !is_known(*role)) {
            let message = format!("{} has none, it takes {}", info.name, names());
            return Err(Error::operand(role.name(), message));
        }
        let mut tensors = Vec::with_capacity(info.operands.len());
        for own in info.operands {
            let given = self.tensors.iter().find(|(role, _)| *role == own.role);
            let missing = || Error::operand(own.role.name(), format!("missing: {} takes {}", info.name, names()));
            tensors.push(&given.ok_or_else(missing)?.1);
        }
        Ok(Call {
            tensors,
            grad_output: self.grad_output.as_ref(),
            grad_lse: self.grad_lse.as_ref(),
            grad_entropy: self.grad_entropy.as_ref(),
            grad_input: match &self.grad_input {
                OwnedGradTo::New => GradTo::New,
                OwnedGradTo::InPlace => GradTo::InPlace,
                OwnedGradTo::Into(own) => GradTo::Into(own),
                OwnedGradTo::AddTo(own) => GradTo::AddTo(own),
            },
            grads: self.grads.clone(),
            loss: match self.into.iter().find(|(role, _)| *role == Role::Loss) {
                Some((_, own)) => LossTo::Into(own),
                None => LossTo::New,
            },
            into: {
                let others = self.into.iter().filter(|(role, _)| *role != Role::Loss);
                others.map(|(role, own)| (*role, own)).collect()
            },
            stats: self.stats,
            checks: self.checks,
            ..Call::new(self.mode, &[])
        })
    }

    /// [`Loss::run`] of it.
    ///
    /// # Errors
    /// Those of [`OwnedCall::call`] and [`Loss::run`].
    pub fn run(&self, engine: &Engine) -> Result<Output> {
        let output = self.loss.run(engine, &self.call()?)?;
        self.log(engine, output)
    }

    /// [`Loss::run_async`] of it.
    ///
    /// # Errors
    /// As [`OwnedCall::run`].
    pub async fn run_async(&self, engine: &Engine) -> Result<Output> {
        let call = self.call()?;
        let output = self.loss.run_async(engine, &call).await?;
        self.log(engine, output)
    }

    /// [`Loss::encode`] of it.
    ///
    /// # Errors
    /// Those of [`OwnedCall::call`] and [`Loss::encode`].
    pub fn encode(&self, engine: &Engine, encoder: &mut wgpu::CommandEncoder) -> Result<Output> {
        let output = self.loss.encode(engine, encoder, &self.call()?)?;
        if let Some(faults) = &self.faults {
            faults.encode(engine, encoder, &output)?;
        }
        Ok(output)
    }

    fn log(&self, engine: &Engine, output: Output) -> Result<Output> {
        if let Some(faults) = &self.faults {
            faults.add(engine, &output)?;
        }
        Ok(output)
    }
}
