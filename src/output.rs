//! Results where they were computed: tensors that belong to the returned handle.

use std::any::Any;
use std::sync::{Arc, Mutex};

use crate::dtype::Dtype;
use crate::error::Error;
use crate::inspect::Check;
use crate::memory::Recording;
use crate::problem::{Problem, Targets};
use crate::tensor::Tensor;
use crate::values::Values;
use crate::words::Role;

/// What a call computes, where it was computed. No later call touches it. `read` brings all of it to the host but for
/// what went to places of the caller's ([`Output::include_placed`]): take a tensor out
/// (`output.grad_input.take()`) to leave it where it is.
#[derive(Clone, Debug)]
#[must_use = "the results are in here"]
pub struct Output {
    /// The loss, or the value of a function.
    pub loss: Option<Tensor>,
    /// The gradient of the first tensor of the signature.
    pub grad_input: Option<Tensor>,
    /// The gradients of the others that were asked for.
    pub grads: Vec<(Role, Tensor)>,
    /// The z-loss by itself, reduced as the loss.
    pub z_loss: Option<Tensor>,
    /// The log-sum-exp of each row.
    pub lse: Option<Tensor>,
    /// The entropy of each row.
    pub entropy: Option<Tensor>,
    /// The place of the largest: u32 of each row, i64 of [`crate::Reduce`].
    pub argmax: Option<Tensor>,
    /// How many of the rows kept have their class as arg-max: one u32.
    pub correct: Option<Tensor>,
    pub(crate) exact: Option<Vec<f64>>,
    /// Counts and faults of class targets, `Control` in `src/layout.rs`.
    pub(crate) control: Option<Tensor>,
    /// What the problem's inspections found, `Fault` in `src/layout.rs`.
    pub(crate) faults: Vec<(Check, Tensor)>,
    pub(crate) facts: Facts,
    /// The results in the caller's memory, by the roles that the caller knows them by.
    pub(crate) placed: Vec<Role>,
    /// What `try_read` has begun to fetch: whoever fetches knows the type.
    pub(crate) under_way: Arc<Mutex<Option<Box<dyn Any + Send>>>>,
}

/// What a report of the results needs to know of the problem.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Facts {
    pub terms: u64,
    pub classes: u64,
    pub ignore_index: Option<i64>,
    /// Rows have lists of classes, in which -1 ignores nothing but ends the list.
    pub lists: bool,
    /// Their length, else 1.
    pub labels_per_row: u64,
}

impl Facts {
    /// The report of class targets out of range: so many, the first at a place among all, of this value.
    pub fn bad_labels(&self, count: u64, place: u64, value: i64, values: Values) -> Error {
        Error::BadLabels {
            count,
            rows: self.terms,
            first_row: place / self.labels_per_row,
            value,
            classes: self.classes,
            ignore_index: self.ignore_index,
            values: Box::new(values),
        }
    }
}

impl From<&Problem> for Facts {
    fn from(problem: &Problem) -> Self {
        let own = problem.traits();
        Self {
            terms: problem.term_count(),
            classes: own.classes,
            ignore_index: own.ignore_index,
            lists: problem.rows().is_some_and(|rows| rows.targets == Targets::ClassList),
            labels_per_row: own.labels_per_row,
        }
    }
}

impl Output {
    pub(crate) fn empty(problem: &Problem) -> Self {
        Self {
            loss: None,
            exact: None,
            grad_input: None,
            grads: Vec::new(),
            z_loss: None,
            lse: None,
            entropy: None,
            argmax: None,
            correct: None,
            control: None,
            faults: Vec::new(),
            facts: problem.into(),
            placed: Vec::new(),
            under_way: Arc::default(),
        }
    }

    /// All tensors are the results of a recording.
    pub(crate) fn recorded(&mut self, recording: &Arc<Recording>) {
        let single = [
            &mut self.loss,
            &mut self.grad_input,
            &mut self.z_loss,
            &mut self.lse,
            &mut self.entropy,
            &mut self.argmax,
            &mut self.correct,
            &mut self.control,
        ];
        let others = self.grads.iter_mut().map(|(_, tensor)| tensor);
        let faults = self.faults.iter_mut().map(|(_, tensor)| tensor);
        for tensor in single.into_iter().flatten().chain(others).chain(faults) {
            *tensor = tensor.recorded(recording);
        }
    }

    /// Has those results read, too, that went into tensors of the caller's, over the input or on top of what was there.
    pub fn include_placed(mut self) -> Self {
        self.placed.clear();
        self
    }

    /// The results that are one tensor each, as far as they are read: loss, gradient of the first tensor, z-loss,
    /// log-sum-exp, entropy, arg-max, count of correct rows.
    pub(crate) fn single(&self) -> [Option<&Tensor>; 7] {
        // The index of `reduce`, which is its loss, is an arg-max of 64 bits.
        let is_loss = self.argmax.as_ref().is_some_and(|own| own.dtype() == Dtype::I64);
        [
            (Role::Loss, &self.loss),
            (Role::Grad(0), &self.grad_input),
            (Role::ZLoss, &self.z_loss),
            (Role::Lse, &self.lse),
            (Role::Entropy, &self.entropy),
            (if is_loss { Role::Loss } else { Role::Argmax }, &self.argmax),
            (Role::Correct, &self.correct),
        ]
        .map(|(role, own)| own.as_ref().filter(|_| !self.placed.contains(&role)))
    }

    /// The other gradients that are read.
    pub(crate) fn others(&self) -> impl Iterator<Item = &(Role, Tensor)> {
        self.grads.iter().filter(|(role, _)| !self.placed.contains(role))
    }

    /// All tensors that are read, in that order, with their names in messages.
    pub(crate) fn tensors(&self) -> Vec<(&'static str, &Tensor)> {
        let names = [
            "loss",
            "grad_input",
            "z_loss",
            "lse",
            "entropy",
            "argmax",
            "correct",
            "control",
        ];
        let single = self.single().into_iter().chain([self.control.as_ref()]);
        let single = names
            .into_iter()
            .zip(single)
            .filter_map(|(name, own)| Some((name, own?)));
        let others = self.others().map(|(role, tensor)| (role.grad_name(), tensor));
        let faults = self.faults.iter().map(|(_, tensor)| ("fault", tensor));
        single.chain(others).chain(faults).collect()
    }

    /// The gradient of a tensor of the signature other than the first.
    pub fn grad(&self, role: Role) -> Option<&Tensor> {
        self.grads.iter().find(|(own, _)| *own == role).map(|(_, grad)| grad)
    }

    /// Puts a result of the problem in its place.
    pub(crate) fn put(&mut self, problem: &Problem, role: Role, tensor: Tensor) {
        let place = match role {
            // The index of an arg-max is no loss.
            Role::Loss if tensor.dtype() == Dtype::I64 => &mut self.argmax,
            Role::Loss => &mut self.loss,
            Role::ZLoss => &mut self.z_loss,
            Role::Lse => &mut self.lse,
            Role::Entropy => &mut self.entropy,
            Role::Argmax => &mut self.argmax,
            Role::Correct => &mut self.correct,
            Role::Control => &mut self.control,
            Role::Grad(0) => &mut self.grad_input,
            Role::Grad(nth) => {
                let of = |role| problem.operands.iter().position(|own| own.role == role);
                let place = |own: &(Role, Tensor)| of(own.0) < Some(usize::from(nth));
                let at = self.grads.partition_point(place);
                let operand = problem.operands.get(usize::from(nth));
                return self
                    .grads
                    .splice(at..at, operand.map(|own| (own.role, tensor)))
                    .for_each(drop);
            }
            Role::Fault(nth) => {
                let check = problem.checks.get(usize::from(nth)).cloned();
                return self.faults.extend(check.map(|check| (check, tensor)));
            }
            _ => return, // an operand
        };
        *place = Some(tensor);
    }

    /// The same of one that went to a place of the caller's.
    pub(crate) fn put_placed(&mut self, problem: &Problem, role: Role, tensor: &Tensor) {
        self.placed.push(problem.named(role));
        self.put(problem, role, tensor.clone());
    }
}
