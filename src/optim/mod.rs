//! Optimizer steps: one pass over parameter, gradient and state, in place. [`OPTIMIZERS`] has one line for each.
//!
//! ```
//! use wgloss::{AdamW, Engine, Optimizer, Tensor, optim::State};
//!
//! # fn main() -> wgloss::Result<()> {
//! let engine = Engine::new().unwrap_or_else(|_| Engine::cpu());
//! let mut param = engine.upload(&Tensor::new(&[1.0f32, -2.0, 3.0], &[3])?)?;
//! let optimizer = AdamW { lr: 0.1, ..Default::default() };
//! let mut state = State::default();
//! for grad in [[0.5f32, 0.0, -1.0], [0.4, 0.1, -0.9]] {
//!     let grad = engine.upload(&Tensor::new(&grad, &[3])?)?;
//!     // On a device this is the same tensor, updated in place.
//!     param = optimizer.step(&engine, &param, &grad, &mut state)?;
//! }
//! assert_eq!(state.step(), 2);
//! assert!((param.read::<f32>(&engine)?[0] - 0.8).abs() < 0.01);
//! # Ok(())
//! # }
//! ```
//!
//! **Shapes and dtypes.** A parameter of any shape, without gaps, in f32, f16 or bf16; a gradient of its shape, in its
//! dtype or f32. State is f32 of the parameter's shape; on the host, [`State::attach`] widens f16 and bf16 to it.
//!
//! **Arithmetic** is f32 in PyTorch's order of operations (its single-tensor forms); scalars that the step count enters
//! are computed on the host in f64. The reference computes in f64 and keeps its state in f32.
//!
//! **Before a step** gradients may be clipped ([`ClipGrad`]), or taken out of a scaled loss, and the step skipped where
//! one is not finite ([`GradScaler`]).
//!
//! **Differences from PyTorch.** The state of a 16-bit parameter is f32 and only the new parameter is rounded, to
//! nearest even; PyTorch keeps such state, and rounds after each operation, in the parameter's dtype. Options are
//! numbers, and infinite ones are refused.

mod adagrad;
mod adam;
mod clip;
mod define;
mod gate;
mod scaler;
mod sgd;
mod state;

use std::fmt::Debug;

use rayon::prelude::*;

use crate::dtype::{Dtype, floats};
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::gpu::{Gpu, Steps, expect_apart};
use crate::plan::{Plan, plan_update};
use crate::shapes::{expect_dtype, expect_shape};
use crate::tensor::Tensor;
use crate::view::View;
use crate::words::{Role, same_name};

pub use crate::update::{Gating, Update, UpdateRule};
pub use adagrad::Adagrad;
pub use adam::{Adam, AdamW};
pub use clip::{ClipGrad, ClipState};
pub use scaler::{GradScaler, ScalerState};
pub use sgd::Sgd;
pub use state::{Parameter, State};

/// Every optimizer.
pub static OPTIMIZERS: &[&Info] = &[&Sgd::INFO, &Adam::INFO, &AdamW::INFO, &Adagrad::INFO];

/// The optimizer of a name, in PyTorch's capitals or without.
pub fn find(name: &str) -> Option<&'static Info> {
    OPTIMIZERS.iter().copied().find(|info| same_name(info.name, name))
}

/// What is known of an optimizer without making one.
#[derive(Debug)]
pub struct Info {
    /// Its word on the command line.
    pub name: &'static str,
    pub summary: &'static str,
    /// PyTorch's page of the optimizer.
    pub url: &'static str,
    pub options: &'static [OptionInfo],
    /// The tensors of its state, some of which need an option.
    pub states: &'static [Role],
    /// Whether its arithmetic needs to know how many steps were taken.
    pub counts_steps: bool,
    /// The optimizer with PyTorch's defaults.
    pub new: fn() -> Box<dyn Optimizer>,
}

/// An option of an optimizer.
#[derive(Debug)]
pub struct OptionInfo {
    /// PyTorch's name.
    pub name: &'static str,
    /// PyTorch's default, which tells the type too.
    pub default: fn() -> Setting,
    pub help: &'static str,
}

/// The value of an option.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Setting {
    Float(f64),
    Pair(f64, f64),
    Bool(bool),
}

impl std::fmt::Display for Setting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Float(value) => write!(f, "{value}"),
            Self::Pair(first, second) => write!(f, "{first} {second}"),
            Self::Bool(value) => write!(f, "{value}"),
        }
    }
}

/// An optimizer with its options: PyTorch's class, for one parameter at a time.
///
/// Host tensors are uploaded for the call. On an engine with a device, `step` submits and returns: at once, but for
/// parameters of many MB on a GPU, whose steps go in parts as the calls of losses do ([`Loss::run`](crate::Loss::run)).
pub trait Optimizer: Debug + Send + Sync {
    fn info(&self) -> &'static Info;

    /// Refuses options outside their domain.
    ///
    /// # Errors
    /// [`Error::Option`] with the name, the value and the domain.
    fn check(&self) -> Result<()>;

    /// Sets an option by PyTorch's name.
    ///
    /// # Errors
    /// [`Error::Option`] for a name or a type of value that the optimizer does not have.
    fn set(&mut self, name: &str, value: Setting) -> Result<()>;

    /// The next step of a state.
    fn rule(&self, state: &State) -> UpdateRule;

    /// The definition, in f64, of one element: updates its state, and returns the new parameter.
    fn element(&self, rule: &UpdateRule, param: f64, grad: f64, state: &mut [f64; 3]) -> f64;

    /// Validates a step: finds every error of shape, dtype and option.
    ///
    /// # Errors
    /// [`Error::Option`] and [`Error::Operand`], with the numbers.
    fn update(&self, param: &View, grad: &View, state: &State) -> Result<Update> {
        self.check()?;
        expect_countable(state)?;
        let (info, rule) = (self.info(), self.rule(state));
        expect_dtype("param", param, &Dtype::FLOATS)?;
        expect_whole("param", param)?;
        let of_param = format!("of the parameter, {}", param.dtype);
        expect_dtype("grad", grad, &[param.dtype, Dtype::F32])?;
        expect_shape("grad", grad, &param.shape, &of_param)?;
        expect_whole("grad", grad)?;
        if let Some((role, _)) = state.tensors().iter().find(|(role, _)| !info.states.contains(role)) {
            return Err(Error::operand(role.name(), format!("is no state of {}", info.name)));
        }
        let states = info.states[..rule.states].iter().map(|&role| {
            let name = role.name();
            let Some(tensor) = state.get(role) else {
                expect_absent(info, role, state)?;
                return Ok((role, View::contiguous(Dtype::F32, &param.shape)));
            };
            expect_single(name, tensor)?;
            expect_shape(name, tensor.view(), &param.shape, &of_param)?;
            expect_whole(name, tensor.view())?;
            Ok((role, tensor.view().clone()))
        });
        Ok(Update {
            name: info.name,
            states: states.collect::<Result<_>>()?,
            rule,
            param: param.clone(),
            grad: Some(grad.clone()),
            gating: state.gating(),
        })
    }

    /// Takes a step, and returns the new parameter. On a device that is the tensor given, updated in place, or its
    /// copy there where it lay on the host; state that is missing is made, and what there is updated in place. On the
    /// CPU engine, whose tensors are shared, parameter and state are new tensors.
    ///
    /// # Errors
    /// Those of [`Optimizer::update`]; [`Error::Operand`] for tensors that overlap in one buffer;
    /// [`Error::NotSubmitted`], [`Error::Limit`] and [`Error::Device`]. The state is then as it was.
    fn step(&self, engine: &Engine, param: &Tensor, grad: &Tensor, state: &mut State) -> Result<Tensor> {
        let mut tensor = param.clone();
        self.step_all(engine, &mut [Parameter::new(&mut tensor, grad, state)])?;
        Ok(tensor)
    }

    /// Steps of several parameters: on a device one after the other in one submission, their numbers written at once.
    ///
    /// # Errors
    /// As [`Optimizer::step`]; a message says which of several parameters it is of. No parameter and no state is then
    /// changed.
    fn step_all(&self, engine: &Engine, all: &mut [Parameter<'_>]) -> Result<()> {
        let updates = updates(|param, grad, state| self.update(param, grad, state), all)?;
        expect_uncounted(all)?;
        let Some(gpu) = engine.gpu() else {
            let mut stepped = Vec::new();
            for (nth, (update, own)) in updates.iter().zip(&*all).enumerate() {
                let element = |param, grad, own: &mut [f64; 3]| self.element(&update.rule, param, grad, own);
                let new = step_on_cpu(update, own, element).map_err(|error| of_parameter(error, nth, all.len()))?;
                stepped.push(new);
            }
            for (own, tensors) in all.iter_mut().zip(stepped) {
                own.commit(tensors, None);
            }
            return Ok(());
        };
        let steps = prepare(gpu, &updates, all, false)?;
        if let Some(first) = all.first() {
            gpu.step(&steps, first.state.places(), |_| {})?;
        }
        for (own, (_, tensors)) in all.iter_mut().zip(steps) {
            own.commit(tensors, None);
        }
        Ok(())
    }

    /// Records a step into the caller's encoder; neither submits nor waits. The state counts it at once, and no longer
    /// where the encoder is dropped instead of submitted.
    ///
    /// # Errors
    /// As [`Optimizer::step`]; [`Error::Device`] on an engine without a device.
    fn encode(
        &self,
        engine: &Engine,
        encoder: &mut wgpu::CommandEncoder,
        param: &Tensor,
        grad: &Tensor,
        state: &mut State,
    ) -> Result<Tensor> {
        let mut tensor = param.clone();
        self.encode_all(engine, encoder, &mut [Parameter::new(&mut tensor, grad, state)])?;
        Ok(tensor)
    }

    /// Records steps of several parameters, as [`Optimizer::step_all`] takes them and [`Optimizer::encode`] records
    /// one.
    ///
    /// # Errors
    /// As both.
    fn encode_all(&self, engine: &Engine, encoder: &mut wgpu::CommandEncoder, all: &mut [Parameter<'_>]) -> Result<()> {
        let updates = updates(|param, grad, state| self.update(param, grad, state), all)?;
        expect_uncounted(all)?;
        let gpu = engine.device()?;
        let steps = prepare(gpu, &updates, all, true)?;
        let Some(first) = all.first() else { return Ok(()) };
        let recording = gpu.encode_step(encoder, &steps, first.state.places())?;
        for (own, (_, tensors)) in all.iter_mut().zip(steps) {
            own.commit(tensors, Some(&recording));
        }
        Ok(())
    }
}

/// A step as it would be sent, for who times it.
pub(crate) fn timed(gpu: &Gpu, optimizer: &dyn Optimizer, own: Parameter<'_>) -> Result<Steps> {
    let mut all = [own];
    let updates = updates(|param, grad, state| optimizer.update(param, grad, state), &mut all)?;
    prepare(gpu, &updates, &all, false)
}

/// An error of one of several parameters says of which.
fn of_parameter(error: Error, nth: usize, of: usize) -> Error {
    match error {
        Error::Operand { name, message } if of > 1 => Error::Operand {
            name,
            message: format!("{message} (of parameter {nth} of 0 to {})", of - 1),
        },
        other => other,
    }
}

/// The validated steps of parameters, of which recordings that came to nothing are forgotten first.
fn updates(update: impl Fn(&View, &View, &State) -> Result<Update>, all: &mut [Parameter<'_>]) -> Result<Vec<Update>> {
    let of = all.len();
    let each = all.iter_mut().enumerate().map(|(nth, own)| {
        own.state.settle();
        update(own.tensor.view(), own.grad.view(), own.state).map_err(|error| of_parameter(error, nth, of))
    });
    each.collect()
}

/// Refuses states whose steps a device counts: what the host would count is not what was taken.
fn expect_uncounted(all: &[Parameter<'_>]) -> Result<()> {
    let counted = all.iter().position(|own| own.state.is_counted());
    let Some(nth) = counted else { return Ok(()) };
    let message = "its steps are counted on the device since a GradScaler took them: go on with that, or begin a state \
                   with State::after(state.taken(engine)?) and the tensors of this one";
    Err(of_parameter(Error::operand("state", message), nth, all.len()))
}

/// Refuses gaps between rows.
fn expect_whole(name: &'static str, view: &View) -> Result<()> {
    if view.is_contiguous() {
        return Ok(());
    }
    Err(Error::operand(
        name,
        format!(
            "has rows {} elements apart, expected {} (no gaps)",
            view.row_stride,
            view.slab()
        ),
    ))
}

/// Refuses a state whose next step could not be counted.
fn expect_countable(state: &State) -> Result<()> {
    if state.step() < State::MAX_STEP {
        return Ok(());
    }
    let message = format!(
        "{} steps were taken, and the count ends at {}; begin a new state, or set a lower count",
        state.step(),
        State::MAX_STEP
    );
    Err(Error::operand("step", message))
}

/// Refuses state that is not f32. A half that is left lies where it was not widened.
fn expect_single(name: &'static str, tensor: &Tensor) -> Result<()> {
    if tensor.dtype().is_half() {
        let message = format!(
            "expected dtype f32, got {} {}; attach one on the host, which is widened, or f32",
            tensor.dtype(),
            tensor.whereabouts()
        );
        return Err(Error::operand(name, message));
    }
    expect_dtype(name, tensor.view(), &[Dtype::F32])
}

/// State begins as zeros, at the first step alone. (SGD's buffer begins as the gradient, whenever that is.)
fn expect_absent(info: &Info, role: Role, state: &State) -> Result<()> {
    if state.step() == 0 || role == Role::MomentumBuffer && state.may_begin() {
        return Ok(());
    }
    Err(Error::operand(
        role.name(),
        format!(
            "is missing from the state after step {}, {} needs it",
            state.step(),
            info.name
        ),
    ))
}

/// The plan of each step, and the tensors that it names: the parameter first. `or_recorded`: they may be results of
/// what the caller has yet to submit.
fn prepare(gpu: &Gpu, updates: &[Update], all: &[Parameter<'_>], or_recorded: bool) -> Result<Steps> {
    gpu.expect_compute()?;
    let mut steps = Vec::with_capacity(all.len());
    for (nth, (update, own)) in updates.iter().zip(all).enumerate() {
        let own = prepare_one(gpu, update, own, or_recorded).map_err(|error| of_parameter(error, nth, all.len()))?;
        steps.push(own);
    }
    Ok(steps)
}

fn prepare_one(
    gpu: &Gpu,
    update: &Update,
    own: &Parameter<'_>,
    or_recorded: bool,
) -> Result<(Plan, Vec<(Role, Tensor)>)> {
    let plan = plan_update(update, &gpu.paced_limits(), &gpu.tuning)?;
    let mut made = Vec::new(); // of zeros, as wgpu gives buffers
    for (role, view) in update.states.iter().filter(|(role, _)| own.state.get(*role).is_none()) {
        made.push((*role, gpu.allocate(view.dtype, &view.shape)?));
    }
    let mut given = vec![(Role::Param, &*own.tensor), (Role::Grad(0), own.grad)];
    given.extend(own.state.count().map(|count| (Role::Count, count)));
    given.extend(
        update
            .states
            .iter()
            .filter_map(|(role, _)| Some((*role, own.state.get(*role)?))),
    );
    for (role, tensor) in &given {
        gpu.expect_submitted(role.name(), tensor.memory(), or_recorded)?;
    }
    let mut tensors = gpu.place(&given, None)?;
    tensors.extend(made);
    for (nth, (role, tensor)) in tensors.iter().enumerate() {
        let before = tensors[..nth].iter().map(|(other, own)| (other.name(), own));
        expect_apart((role.name(), tensor), before)?;
    }
    Ok((plan, tensors))
}

/// A new parameter and its state.
type Stepped = (f64, [f64; 3]);

/// The new parameter and state, under their roles.
fn step_on_cpu(
    update: &Update,
    own: &Parameter<'_>,
    element: impl Fn(f64, f64, &mut [f64; 3]) -> f64 + Sync,
) -> Result<Vec<(Role, Tensor)>> {
    let (params, grads) = (host("param", own.tensor)?, host("grad", own.grad)?);
    let mut old = Vec::new();
    for (role, _) in &update.states {
        let tensor = own.state.get(*role);
        old.push(tensor.map(|tensor| host(role.name(), tensor)).transpose()?);
    }
    let computed: Vec<Stepped> = (params.par_iter().zip(&grads).enumerate())
        .map(|(i, (&param, &grad))| {
            let mut own = [0.0; 3];
            for (own, old) in own.iter_mut().zip(&old) {
                *own = old.as_ref().map_or(0.0, |old| f64::from(old[i]));
            }
            (element(f64::from(param), f64::from(grad), &mut own), own)
        })
        .collect();
    let shape = own.tensor.shape();
    let made = |dtype, part: &dyn Fn(&Stepped) -> f64| {
        Tensor::rounded(&computed.iter().map(part).collect::<Vec<_>>(), dtype, shape)
    };
    let mut tensors = vec![(Role::Param, made(own.tensor.dtype(), &|(param, _)| *param)?)];
    for (n, (role, _)) in update.states.iter().enumerate() {
        tensors.push((*role, made(Dtype::F32, &|(_, own)| own[n])?));
    }
    Ok(tensors)
}

fn host(name: &'static str, tensor: &Tensor) -> Result<Vec<f32>> {
    let bytes = tensor.host_bytes();
    let elsewhere = || {
        Error::operand(
            name,
            format!("is {}, the engine computes on the host", tensor.whereabouts()),
        )
    };
    let bytes = bytes.ok_or_else(elsewhere)?;
    Ok(floats(tensor.dtype(), bytes))
}
