//! The checks of a call before anything is queued: with fusion nobody would hear of what is found later.

use std::sync::Arc;

use burn::backend::{DispatchAutodiffContext, DispatchDevice, DispatchTensor, TensorMetadata};
use wgloss::problem::Problem;
use wgloss::{Call, Dtype, Error, OperandKind, Result, Role, Tensor};

use crate::call::LossCall;
use crate::operand::Operand;
use crate::room::{self, Room, Watch};
use crate::spec::{Place, Planned, Spec, dtype_of, slot};
use crate::value::Value;

/// A tensor of a call, in its place.
pub struct Given {
    role: Role,
    is_optional: bool,
    pub tensor: Operand,
    /// Integers and truth values where numbers are expected.
    becomes_float: bool,
}

impl LossCall {
    /// Finds every error of shape, dtype, option and device, and what the results will be.
    pub(crate) fn validate(&self) -> Result<(Spec, Vec<Given>)> {
        let given = self.in_order()?;
        let room = self.room(&given)?;
        let shapes: Vec<_> = given.iter().map(|own| own.tensor.shape()).collect();
        let (problem, shapes) = match self.problem(&given, &shapes) {
            Ok(problem) => (problem, shapes),
            Err(error) => match squeezed(&shapes) {
                Some(squeezed) => (self.problem(&given, &squeezed).map_err(|_| error)?, squeezed),
                None => return Err(error),
            },
        };
        let places = given.iter().zip(shapes).map(|(own, shape)| Place {
            role: own.role,
            shape,
            is_optional: own.is_optional,
            becomes_float: own.becomes_float,
            has_grad: matches!(own.tensor.0, Value::Float(_)) && self.has_grad(own.role),
        });
        let places: Vec<_> = places.collect();
        let results = self.results(&problem, &places);
        let loss = results.iter().find(|own| own.role == Role::Loss);
        if let (Some(loss), Some(rank)) = (loss, self.rank)
            && loss.dims().len() != rank
        {
            let message = format!("has shape {:?}, a tensor of rank {rank} is asked for", loss.dims());
            return Err(Error::Operand { name: "loss", message });
        }
        let upstream = self.grad_output.as_ref().map(upstream_shape);
        let watch = match self.is_checked {
            true => Arc::new(Watch::new(&room.engine)?),
            false => room.watch(),
        };
        let spec = Spec {
            make: Arc::clone(&self.make),
            mode: self.mode,
            places,
            results,
            upstream_shape: upstream.unwrap_or_else(|| problem.loss_shape().to_vec()),
            stats: self.stats,
            checks: self.checks,
            room,
            watch,
            trace: self.trace.clone(),
        };
        Ok((spec, given))
    }

    /// The loss has a gradient by a tensor.
    fn has_grad(&self, role: Role) -> bool {
        let first = self.info.operands.first();
        first.is_some_and(|own| own.role == role && own.grad) || self.info.graded().any(|(_, own)| own == role)
    }

    /// The tensors in the order of the signature, then the optional ones.
    fn in_order(&self) -> Result<Vec<Given>> {
        let signature = self.info.operands.iter().map(|own| (own.role, false));
        let all = signature.chain(self.info.tensors.iter().map(|own| (own.role, true)));
        let all: Vec<_> = all.collect();
        let takes = || {
            let names: Vec<_> = all.iter().map(|(role, _)| role.name()).collect();
            format!("{} takes {}", self.info.name, names.join(", "))
        };
        let is_known = |role: Role| all.iter().any(|(own, _)| *own == role);
        if let Some((role, _)) = self.given.iter().find(|(role, _)| !is_known(*role)) {
            return Err(refused(*role, format!("is none of the loss's tensors: {}", takes())));
        }
        let mut list = Vec::new();
        for &(role, is_optional) in &all {
            match self.given.iter().find(|(own, _)| *own == role) {
                Some((_, tensor)) => list.push(Given {
                    role,
                    is_optional,
                    tensor: tensor.clone(),
                    becomes_float: self.becomes_float(role, tensor)?,
                }),
                None if is_optional => {}
                None => return Err(refused(role, format!("missing: {}", takes()))),
            }
        }
        Ok(list)
    }

    /// Whether integers and truth values become floats: where numbers are expected. Class indices stay what they are.
    fn becomes_float(&self, role: Role, given: &Operand) -> Result<bool> {
        let own = self.info.operands.iter().find(|own| own.role == role);
        let is_first = self.info.operands.first().is_some_and(|own| own.role == role);
        let is_float = matches!(given.0, Value::Float(_));
        let got = |expected: &str| refused(role, format!("expected {expected}, got {}", given.dtype().name()));
        match own.map(|own| own.kind) {
            _ if is_first && !is_float => Err(got("a tensor of floats")),
            Some(OperandKind::Index | OperandKind::IndexList) if is_float => Err(got("class indices")),
            Some(kind) if kind.is_classes() => Ok(false),
            _ => Ok(!is_float),
        }
    }

    /// Where all of the tensors lie.
    fn room(&self, given: &[Given]) -> Result<Arc<Room>> {
        let upstream = self.grad_output.as_ref().map(|own| (Role::GradOutput, own));
        let all = given.iter().map(|own| (own.role, &own.tensor)).chain(upstream);
        let all: Vec<_> = all.filter_map(|(role, own)| Some((role, own.tensor()?))).collect();
        let Some((first, tensor)) = all.first() else {
            let (name, message) = (self.info.name, "no tensor was given".into());
            return Err(Error::Operand { name, message });
        };
        let (device, mut strategy) = (inner_device(tensor), None);
        for (role, tensor) in &all {
            let own = inner_device(tensor);
            if own != device {
                let message = format!("lies on {own:?}, {} on {device:?}", first.name());
                return Err(refused(*role, message));
            }
            // Tensors without autodiff are constants beside those with it.
            if let DispatchAutodiffContext::Enabled(own) = tensor.autodiff
                && *strategy.get_or_insert(own) != own
            {
                let message = format!("has the checkpointing strategy {own:?}, others have {strategy:?}");
                return Err(refused(*role, message));
            }
        }
        if !room::is_wgpu(&device) {
            let message = format!("lies on {device:?}, which is no device of burn's wgpu backend");
            return Err(refused(*first, message));
        }
        room::room(first.name(), &device)
    }

    /// The library's own checks, on tensors of these shapes.
    fn problem(&self, given: &[Given], shapes: &[Vec<usize>]) -> Result<Problem> {
        let mut loss = (self.make)();
        let mut signature = Vec::new();
        for (own, shape) in given.iter().zip(shapes) {
            let dtype = match own.becomes_float {
                true => Dtype::F32,
                false => dtype_of(own.role.name(), own.tensor.dtype())?,
            };
            let tensor = Tensor::placeholder(dtype, shape)?;
            match own.is_optional {
                true => loss.attach(own.role, tensor)?,
                false => signature.push(tensor),
            }
        }
        let upstream = match &self.grad_output {
            Some(own) if matches!(own.0, Value::Float(_)) => {
                let dtype = dtype_of("grad_output", own.dtype())?;
                Some(Tensor::placeholder(dtype, &upstream_shape(own))?)
            }
            Some(own) => {
                let message = format!("expected a tensor of floats, got {}", own.dtype().name());
                return Err(refused(Role::GradOutput, message));
            }
            None => None,
        };
        let call = Call {
            grad_output: upstream.as_ref(),
            grads: self.grads.clone(),
            stats: self.stats,
            checks: self.checks,
            ..Call::new(self.mode, &signature.iter().collect::<Vec<_>>())
        };
        loss.problem(&call)
    }

    /// The tensors that will be written.
    fn results(&self, problem: &Problem, places: &[Place]) -> Vec<Planned> {
        let planned = |role, shape, dtype| {
            let slot = slot(role)?;
            Some(Planned {
                slot,
                role,
                shape,
                dtype,
            })
        };
        let own = problem.results().filter_map(|(role, view)| {
            let shape = match role {
                // Of the operand's shape, to which the problem may have added dimensions of 1.
                Role::Grad(nth) => places.get(usize::from(nth))?.shape.clone(),
                _ => view.shape,
            };
            planned(role, shape, view.dtype)
        });
        let correct = self
            .stats
            .accuracy
            .then(|| planned(Role::Correct, Vec::new(), Dtype::U32));
        own.chain(correct.flatten()).collect()
    }
}

/// burn has no tensor of rank 0: beside a single row, whose columns are all dimensions that the input has, a number
/// stands in a dimension of its own. The shapes without those, where there are any.
fn squeezed(shapes: &[Vec<usize>]) -> Option<Vec<Vec<usize>>> {
    let first = shapes.first().filter(|first| first.len() == 1)?;
    let others = shapes.iter().skip(1).map(|shape| match shape[..] {
        [1] => Vec::new(),
        _ => shape.clone(),
    });
    let all: Vec<_> = std::iter::once(first.clone()).chain(others).collect();
    (all != shapes).then_some(all)
}

/// One number is the gradient of one number.
fn upstream_shape(tensor: &Operand) -> Vec<usize> {
    let shape = tensor.shape();
    if shape == [1] { Vec::new() } else { shape }
}

fn refused(role: Role, message: String) -> Error {
    Error::Operand {
        name: role.name(),
        message,
    }
}

/// The device of a tensor, with or without autodiff.
pub fn inner_device(tensor: &DispatchTensor) -> DispatchDevice {
    tensor.kind.device().inner()
}
