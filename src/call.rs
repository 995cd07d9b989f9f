//! A call: its tensors, and what is asked for.

use std::hash::{Hash, Hasher};

use crate::error::{Error, Result};
use crate::memory::Memory;
use crate::problem::Problem;
use crate::tensor::Tensor;
use crate::view::View;
use crate::words::{Checks, Mode, Role, Stats};

/// Where the gradient of the first tensor goes.
#[derive(Clone, Copy, Debug, Default)]
pub enum GradTo<'a> {
    /// Into a new tensor.
    #[default]
    New,
    /// Over the tensor itself, whose memory must be writable. On the CPU engine, whose tensors are shared, into a new
    /// tensor.
    InPlace,
    /// Into a tensor of the same shape and dtype, with a row stride of its own. Nothing is made for it, nor cleared: a
    /// new tensor that lies in new memory ([`Engine::set_kept_bytes`](crate::Engine::set_kept_bytes) says when) is
    /// cleared first, which takes as long as writing it.
    Into(&'a Tensor),
    /// Added to what such a tensor holds: the gradients of several micro-batches add up in one buffer.
    AddTo(&'a Tensor),
}

impl<'a> GradTo<'a> {
    /// The tensor of the caller's, beside those that are read.
    pub(crate) fn tensor(self) -> Option<&'a Tensor> {
        match self {
            Self::Into(own) | Self::AddTo(own) => Some(own),
            Self::New | Self::InPlace => None,
        }
    }
}

/// Where the loss, or the value of a function, goes.
#[derive(Clone, Copy, Debug, Default)]
pub enum LossTo<'a> {
    /// Into a new tensor.
    #[default]
    New,
    /// Into a tensor of its shape and dtype, without gaps. The index of [`Reduce`](crate::Reduce), i64, is its loss.
    Into(&'a Tensor),
}

/// The tensors of a call, and what is wanted.
#[derive(Clone, Debug)]
pub struct Call<'a> {
    pub mode: Mode,
    /// In the order of PyTorch's signature.
    pub tensors: Vec<&'a Tensor>,
    /// The upstream gradient: 0-d, or of the loss's shape where `reduction` is none; of softmax and log_softmax, of the
    /// result's shape. 1 where it is absent.
    pub grad_output: Option<&'a Tensor>,
    /// Upstream gradients of the rows' log-sum-exp and of their entropy, of a loss that has these as statistics
    /// ([`Info::statistics`](crate::Info::statistics)): a number for each row, whether the statistic is asked for or
    /// not. The gradient of the first tensor is then that of the loss (which `grad_output`, the reduction and all
    /// weights scale) and of each statistic times its number, which nothing else scales. Rows that are ignored have
    /// statistics, too. 0 where they are absent; where both numbers of a row are 0, its statistics add nothing,
    /// whatever its logits are.
    pub grad_lse: Option<&'a Tensor>,
    pub grad_entropy: Option<&'a Tensor>,
    /// Where the gradient of the first tensor goes, which every backward call computes.
    pub grad_input: GradTo<'a>,
    /// The other tensors whose gradients are wanted.
    pub grads: Vec<Role>,
    /// Where the loss goes.
    pub loss: LossTo<'a>,
    /// Tensors of the caller's that other results go into, of the shape and dtype that a new one would have, without
    /// gaps: statistics ([`Role::Lse`], [`Role::Entropy`], [`Role::Argmax`], [`Role::Correct`]), [`Role::ZLoss`], and,
    /// by the roles of their operands, the gradients of `grads`. Two results of one call may not have elements in the
    /// same words of four bytes, nor in the gaps between each other's rows.
    pub into: Vec<(Role, &'a Tensor)>,
    pub stats: Stats,
    pub checks: Checks,
}

impl<'a> Call<'a> {
    pub fn new(mode: Mode, tensors: &[&'a Tensor]) -> Self {
        Self {
            mode,
            tensors: tensors.to_vec(),
            grad_output: None,
            grad_lse: None,
            grad_entropy: None,
            grad_input: GradTo::New,
            grads: Vec::new(),
            loss: LossTo::New,
            into: Vec::new(),
            stats: Stats::default(),
            checks: Checks::default(),
        }
    }

    /// The tensors of the caller's that results go into, or over: as the plan of the call names them.
    pub(crate) fn places(&self, problem: &Problem) -> Vec<(Role, &'a Tensor)> {
        let grad = match self.grad_input {
            _ if !problem.mode.wants_grad() => None,
            GradTo::New | GradTo::Into(_) | GradTo::AddTo(_) => self.grad_input.tensor(),
            GradTo::InPlace => self.tensors.first().copied().filter(|_| problem.in_place),
        };
        let mut list: Vec<_> = grad.map(|own| (Role::Grad(0), own)).into_iter().collect();
        list.extend(self.result_places().map(|(role, own)| (problem.result_role(role), own)));
        list
    }

    /// The upstream gradients of statistics.
    pub(crate) fn grad_stats(&self) -> impl Iterator<Item = (Role, &'a Tensor)> + Clone + use<'a> {
        let own = [(Role::GradLse, self.grad_lse), (Role::GradEntropy, self.grad_entropy)];
        own.into_iter().filter_map(|(role, tensor)| Some((role, tensor?)))
    }

    /// Those of results other than the gradient of the first tensor, as the caller names them.
    pub(crate) fn result_places(&self) -> impl Iterator<Item = (Role, &'a Tensor)> + Clone {
        let loss = match self.loss {
            LossTo::New => None,
            LossTo::Into(own) => Some((Role::Loss, own)),
        };
        loss.into_iter().chain(self.into.iter().copied())
    }

    /// The first tensor, which decides the shape of all else.
    pub(crate) fn input(&self) -> Result<&'a View> {
        let first = self.tensors.first().map(|tensor| tensor.view());
        first.ok_or_else(|| Error::operand("input", "missing: no tensor was given"))
    }
}

/// All operands of a call by role.
pub(crate) fn operands<'a>(
    problem: &Problem,
    call: &Call<'a>,
    given: &[(Role, &'a Tensor)],
) -> Vec<(Role, &'a Tensor)> {
    let signature = problem
        .operands
        .iter()
        .map(|own| own.role)
        .zip(call.tensors.iter().copied());
    let mut list: Vec<_> = signature.collect();
    list.extend(given);
    list.extend(call.grad_output.map(|tensor| (Role::GradOutput, tensor)));
    list.extend(call.grad_stats());
    list
}

/// Everything that a call's plan follows from, but for the places of its tensors: what `Hash` writes of it, as it is.
/// Keys are compared in full.
#[derive(Debug, Default)]
pub(crate) struct Key(Vec<u8>);

impl Key {
    fn new() -> Self {
        Self(Vec::with_capacity(512))
    }

    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl Hasher for Key {
    fn write(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    fn finish(&self) -> u64 {
        0 // nobody asks
    }
}

/// Where a tensor lies: bind groups hang on it, plans on little of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// The memory's number.
    pub memory: u64,
    pub offset: u64,
}

/// What is asked of an engine: a call, with the tensors that its loss has of its own.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked<'a> {
    pub call: &'a Call<'a>,
    pub given: &'a [(Role, &'a Tensor)],
}

impl<'a> Asked<'a> {
    /// All that the call's plan follows from. `identify` writes the options of its loss, and says whether it has.
    /// `step`: what a plan takes tensors to begin within ([`Limits::step`](crate::limits::Limits::step)).
    pub fn key(&self, step: u64, identify: impl FnOnce(&mut Key) -> bool) -> Option<Key> {
        let (call, mut key) = (self.call, Key::new());
        let identified = identify(&mut key);
        (call.mode, call.stats, call.checks).hash(&mut key);
        call.grads.hash(&mut key);
        std::mem::discriminant(&call.grad_input).hash(&mut key);
        for (role, _) in call.result_places() {
            role.hash(&mut key);
        }
        (call.into.len(), matches!(call.loss, LossTo::New)).hash(&mut key);
        call.tensors.len().hash(&mut key);
        self.given.len().hash(&mut key);
        for (role, _) in self.given {
            role.hash(&mut key);
        }
        call.grad_output.is_some().hash(&mut key);
        (call.grad_lse.is_some(), call.grad_entropy.is_some()).hash(&mut key);
        for tensor in self.tensors() {
            tensor.view.clone().behind_base(step).hash(&mut key);
            // A gradient goes over what lies in one buffer of the device.
            std::mem::discriminant(&tensor.storage).hash(&mut key);
            tensor.memory().map(|memory| memory.parts().len()).hash(&mut key);
        }
        identified.then_some(key)
    }

    /// All operands by role.
    pub fn operands(&self, problem: &Problem) -> Vec<(Role, &'a Tensor)> {
        operands(problem, self.call, self.given)
    }

    /// All tensors that the caller gave.
    pub fn tensors(&self) -> impl Iterator<Item = &'a Tensor> + Clone {
        let given = self.given.iter().map(|(_, tensor)| *tensor);
        let operands = self
            .call
            .tensors
            .iter()
            .copied()
            .chain(given)
            .chain(self.call.grad_output)
            .chain(self.call.grad_stats().map(|(_, tensor)| tensor));
        let places = self.call.result_places().map(|(_, tensor)| tensor);
        operands.chain(self.call.grad_input.tensor()).chain(places)
    }

    /// Where each lies, of those that are on a device.
    pub fn places(&self) -> impl Iterator<Item = Option<Place>> + Clone {
        let place = |memory: &Memory, tensor: &Tensor| Place {
            memory: memory.id(),
            offset: tensor.view.offset,
        };
        self.tensors()
            .map(move |tensor| tensor.memory().map(|memory| place(memory, tensor)))
    }
}
