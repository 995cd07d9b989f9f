//! A call: what a loss is computed of, what is wanted, and the checks before anything is queued.

use std::sync::Arc;

use burn::backend::ops::{BoolTensorOps, IntTensorOps};
use burn::backend::{Backend, Dispatch, DispatchAutodiffContext, DispatchTensor};
use burn::tensor::{FloatDType, Int, Tensor};
use wgloss::{Call, Checks, Dtype, Error, Info, Mode, OperandKind, Result, Role, Stats};

use crate::losses::Options;
use crate::op;
use crate::operand::{Operand, float, int};
use crate::room::{self, Room, Watch};
use crate::spec::{Make, Place, Planned, Spec, Trace, dtype_of, slot};
use crate::value::{Operands, PLACES, Results, Value};

/// A call of a loss, its tensors by PyTorch's names: for what the functions have no place for. It computes the loss,
/// through which burn's autodiff finds the gradients of every tensor that the loss has gradients by.
///
/// ```no_run
/// use burn::tensor::{Int, Tensor};
/// use wgloss_burn::{CrossEntropy, LossCall, Stats};
///
/// # fn main() -> wgloss::Result<()> {
/// # let device = wgloss_burn::device()?;
/// let logits = Tensor::<2>::ones([4, 10], &device);
/// let labels = Tensor::<1, Int>::zeros([4], &device);
/// let stats = Stats { accuracy: true, lse: true, ..Default::default() };
/// let outputs = LossCall::of(&CrossEntropy::default()).input(logits).target(labels).stats(stats).run()?;
/// let (loss, correct, lse) = (outputs.loss::<1>()?, outputs.correct()?, outputs.lse::<1>()?);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
#[must_use = "run computes it"]
pub struct LossCall {
    info: &'static Info,
    make: Make,
    given: Vec<(Role, Operand)>,
    mode: Mode,
    grad_output: Option<Operand>,
    grads: Vec<Role>,
    stats: Stats,
    checks: Checks,
    is_checked: bool,
    trace: Option<Trace>,
}

macro_rules! named {
    ($($name:ident $role:ident),*) => {
        $(
            #[doc = concat!("Gives `", stringify!($name), "`.")]
            pub fn $name(self, tensor: impl Into<Operand>) -> Self {
                self.tensor(Role::$role, tensor)
            }
        )*
    };
}

impl LossCall {
    /// A call of a loss with its options, and with the tensors among these.
    pub fn of(options: &(impl Options + ?Sized)) -> Self {
        Self {
            info: options.info(),
            make: options.make(),
            given: options.tensors(),
            mode: Mode::Forward,
            grad_output: None,
            grads: Vec::new(),
            stats: Stats::default(),
            checks: Checks::default(),
            is_checked: false,
            trace: None,
        }
    }

    /// Gives a tensor of the signature, or an optional one of the loss, in place of one given before.
    pub fn tensor(mut self, role: Role, tensor: impl Into<Operand>) -> Self {
        self.given.retain(|(own, _)| *own != role);
        self.given.push((role, tensor.into()));
        self
    }

    named! {
        input Input, input1 Input1, input2 Input2, anchor Anchor, positive Positive, negative Negative, target Target,
        var Var, weight Weight, pos_weight PosWeight, alpha Alpha, sample_weight SampleWeight
    }

    /// Statistics of the rows.
    pub fn stats(mut self, stats: Stats) -> Self {
        self.stats = stats;
        self
    }

    /// What of the values is inspected: [`crate::faults`] and checked calls tell.
    pub fn checks(mut self, checks: Checks) -> Self {
        self.checks = checks;
        self
    }

    /// Loss and gradients in one pass, which [`Outputs::grad`] gives: for who does without autodiff. Nothing is
    /// tracked through the results.
    pub fn fused(mut self) -> Self {
        self.mode = Mode::Fused;
        self
    }

    /// Gradients alone, as [`LossCall::fused`].
    pub fn backward(mut self) -> Self {
        self.mode = Mode::Backward;
        self
    }

    /// The gradient of another tensor than the first, too: the call becomes [`LossCall::fused`], unless it is
    /// [`LossCall::backward`].
    pub fn grad_of(mut self, role: Role) -> Self {
        if !self.grads.contains(&role) {
            self.grads.push(role);
        }
        self.wants_grads()
    }

    /// The upstream gradient, of the loss's shape; ones where it is absent. The call becomes [`LossCall::fused`],
    /// unless it is [`LossCall::backward`].
    pub fn grad_output(mut self, tensor: impl Into<Operand>) -> Self {
        self.grad_output = Some(tensor.into());
        self.wants_grads()
    }

    fn wants_grads(mut self) -> Self {
        if self.mode == Mode::Forward {
            self.mode = Mode::Fused;
        }
        self
    }

    /// Waits for the results, and returns an error for labels and values out of range.
    pub fn checked(mut self) -> Self {
        self.is_checked = true;
        self
    }

    /// Notes where the tensors of the call and of its backward call lie.
    #[doc(hidden)]
    pub fn trace(mut self, trace: &Trace) -> Self {
        self.trace = Some(Arc::clone(trace));
        self
    }

    /// Computes it: queues it on burn's device, and returns.
    ///
    /// # Errors
    /// [`Error::Option`] and [`Error::Operand`] for options, shapes, dtypes and devices, before anything is queued. A
    /// checked call: [`Error::BadLabels`], [`Error::BadValues`], and what failed on the device.
    pub fn run(self) -> Result<Outputs> {
        let names: Vec<&'static str> = self.names().map(|(role, _)| role.name()).collect();
        let known = |role: Role| self.names().any(|(own, _)| own == role);
        if let Some((role, _)) = self.given.iter().find(|(role, _)| !known(*role)) {
            let message = format!("{} has none, it takes {}", self.info.name, names.join(", "));
            return Err(operand(*role, message));
        }
        let mut operands = Vec::new();
        for (role, is_optional) in self.names() {
            let given = self.given.iter().find(|(own, _)| *own == role);
            match given {
                Some((_, given)) => operands.push((role, is_optional, self.as_number(role, given.clone())?)),
                None if is_optional => {}
                None => {
                    let message = format!("missing: {} takes {}", self.info.name, names.join(", "));
                    return Err(operand(role, message));
                }
            }
        }
        let room = self.room(&operands)?;
        let watch = match self.is_checked {
            true => Arc::new(Watch::new(&room.engine)?),
            false => room.watch(),
        };
        let spec = Arc::new(self.validate(&operands, room, watch)?);

        let mut places = [const { Value::Absent }; PLACES];
        let device = operands.first().and_then(|(_, _, own)| own.tensor()).map(inner_device);
        for (place, (_, _, tensor)) in places.iter_mut().zip(operands) {
            *place = tensor.0;
        }
        let grad_output = self.grad_output.map_or(Value::Absent, |own| own.0);
        let results = op::dispatch(Operands::new(places, grad_output), Arc::clone(&spec));
        if let (true, Some(device)) = (self.is_checked, device) {
            Dispatch::sync(&device).map_err(|error| Error::Device(error.to_string()))?;
            if let Some(found) = crate::faults::found(&spec.watch, &spec.room.engine)? {
                return Err(found.first);
            }
        }
        Ok(Outputs { results, spec })
    }

    /// The tensors that there can be; whether they are optional.
    fn names(&self) -> impl Iterator<Item = (Role, bool)> {
        let signature = self.info.operands.iter().map(|own| (own.role, false));
        signature.chain(self.info.tensors.iter().map(|own| (own.role, true)))
    }

    /// Integers and truth values become floats where numbers are expected; class indices stay what they are.
    fn as_number(&self, role: Role, given: Operand) -> Result<Operand> {
        let own = self.info.operands.iter().find(|own| own.role == role);
        let is_first = self.info.operands.first().is_some_and(|own| own.role == role);
        if is_first && !matches!(given.0, Value::Float(_)) {
            let message = format!("expected a tensor of floats, got {}", given.dtype().name());
            return Err(operand(role, message));
        }
        if own.is_some_and(|own| own.kind.is_classes()) {
            let floats = own.is_some_and(|own| own.kind == OperandKind::IndexOrDistribution);
            if matches!(given.0, Value::Float(_)) && !floats {
                let message = format!("expected class indices, got {}", given.dtype().name());
                return Err(operand(role, message));
            }
            return Ok(given);
        }
        Ok(Operand(match given.0 {
            Value::Int(tensor) => Value::Float(Dispatch::int_into_float(tensor, FloatDType::F32)),
            Value::Bool(tensor) => Value::Float(Dispatch::bool_into_float(tensor, FloatDType::F32)),
            other => other,
        }))
    }

    /// Where all of the tensors lie.
    fn room(&self, operands: &[(Role, bool, Operand)]) -> Result<Arc<Room>> {
        let upstream = self.grad_output.as_ref().map(|own| (Role::GradOutput, own));
        let all = operands.iter().map(|(role, _, own)| (*role, own)).chain(upstream);
        let all: Vec<_> = all.filter_map(|(role, own)| Some((role, own.tensor()?))).collect();
        let Some((first, tensor)) = all.first() else {
            return Err(Error::Operand {
                name: self.info.name,
                message: "no tensor was given".into(),
            });
        };
        let (device, mut strategy) = (inner_device(tensor), None);
        for (role, tensor) in &all {
            let own = inner_device(tensor);
            if own != device {
                return Err(operand(
                    *role,
                    format!("lies on {own:?}, {} on {device:?}", first.name()),
                ));
            }
            if let DispatchAutodiffContext::Enabled(own) = tensor.autodiff
                && *strategy.get_or_insert(own) != own
            {
                let message = format!("has the checkpointing strategy {own:?}, others have {strategy:?}");
                return Err(operand(*role, message));
            }
        }
        if !room::is_wgpu(&device) {
            let message = format!("lies on {device:?}, which is no device of burn's wgpu backend");
            return Err(operand(*first, message));
        }
        room::room(first.name(), &device)
    }

    /// Finds every error of shape, dtype and option, and what the results will be.
    fn validate(&self, operands: &[(Role, bool, Operand)], room: Arc<Room>, watch: Arc<Watch>) -> Result<Spec> {
        let shapes: Vec<_> = operands.iter().map(|(_, _, own)| own.shape()).collect();
        let found = self.problem(operands, &shapes);
        // burn has no tensor of rank 0: beside a single row, whose classes are all that the input has, a number stands
        // in a dimension of its own.
        let is_single = shapes.first().is_some_and(|first| first.len() == 1);
        let squeezed: Vec<_> = shapes
            .iter()
            .enumerate()
            .map(|(nth, shape)| match nth > 0 && *shape == [1] {
                true => Vec::new(),
                false => shape.clone(),
            })
            .collect();
        let (problem, shapes) = match found {
            Err(error) if is_single && squeezed != shapes => {
                (self.problem(operands, &squeezed).map_err(|_| error)?, squeezed)
            }
            other => (other?, shapes),
        };
        let places = operands
            .iter()
            .zip(&shapes)
            .map(|((role, is_optional, own), shape)| Place {
                role: *role,
                shape: shape.clone(),
                is_optional: *is_optional,
                has_grad: matches!(own.0, Value::Float(_))
                    && self.info.operands.iter().any(|own| own.role == *role && own.grad),
            });
        let places: Vec<_> = places.collect();
        let mut results: Vec<_> = problem
            .results()
            .filter_map(|(role, view)| {
                let shape = match role {
                    // Of the operand's shape, to which the problem may have added dimensions of 1.
                    Role::Grad(nth) => places.get(usize::from(nth)).map(|place| place.shape.clone()),
                    _ => Some(view.shape),
                };
                Some(Planned {
                    slot: slot(role)?,
                    role,
                    shape: shape?,
                    dtype: view.dtype,
                })
            })
            .collect();
        if let Some(slot) = slot(Role::Correct).filter(|_| self.stats.accuracy) {
            results.push(Planned {
                slot,
                role: Role::Correct,
                shape: Vec::new(),
                dtype: Dtype::U32,
            });
        }
        Ok(Spec {
            make: Arc::clone(&self.make),
            mode: self.mode,
            places,
            results,
            loss_shape: problem.loss_shape().to_vec(),
            stats: self.stats,
            checks: self.checks,
            room,
            watch,
            trace: self.trace.clone(),
        })
    }

    fn problem(&self, operands: &[(Role, bool, Operand)], shapes: &[Vec<usize>]) -> Result<wgloss::problem::Problem> {
        let mut loss = (self.make)();
        let mut signature = Vec::new();
        for ((role, is_optional, own), shape) in operands.iter().zip(shapes) {
            let tensor = wgloss::Tensor::placeholder(dtype_of(role.name(), own.dtype())?, shape)?;
            match is_optional {
                true => loss.attach(*role, tensor)?,
                false => signature.push(tensor),
            }
        }
        let upstream = self.grad_output.as_ref().map(|own| {
            // One number for a loss that is one.
            let shape = own.shape();
            let shape = if shape == [1] { Vec::new() } else { shape };
            wgloss::Tensor::placeholder(dtype_of("grad_output", own.dtype())?, &shape)
        });
        let upstream = upstream.transpose()?;
        let call = Call {
            grad_output: upstream.as_ref(),
            grads: self.grads.clone(),
            stats: self.stats,
            checks: self.checks,
            ..Call::new(self.mode, &signature.iter().collect::<Vec<_>>())
        };
        loss.problem(&call)
    }
}

fn operand(role: Role, message: String) -> Error {
    Error::Operand {
        name: role.name(),
        message,
    }
}

/// The device of a tensor, with or without autodiff.
fn inner_device(tensor: &DispatchTensor) -> burn::backend::DispatchDevice {
    use burn::backend::TensorMetadata;
    tensor.kind.device().inner()
}

/// What a call computes, as tensors of burn's. They are taken with their rank, which is checked.
#[derive(Debug)]
#[must_use = "the results are in here"]
pub struct Outputs {
    results: Results<Dispatch>,
    spec: Arc<Spec>,
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
