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
//! assert_eq!(state.step, 2);
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
//! **Differences from PyTorch.** The state of a 16-bit parameter is f32 and only the new parameter is rounded, to
//! nearest even; PyTorch keeps such state, and rounds after each operation, in the parameter's dtype. Options are
//! numbers, and infinite ones are refused. One call updates one parameter.

mod adam;
mod define;
mod sgd;

use std::fmt::Debug;

use rayon::prelude::*;

use crate::dtype::{Dtype, floats};
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::gpu::Gpu;
use crate::plan::{Plan, plan_update};
use crate::shapes::{expect_dtype, expect_shape};
use crate::tensor::Tensor;
use crate::view::View;
use crate::words::{Role, same_name};

pub use crate::update::{Update, UpdateRule};
pub use adam::{Adam, AdamW};
pub use sgd::Sgd;

/// Every optimizer.
pub static OPTIMIZERS: &[&Info] = &[&Sgd::INFO, &Adam::INFO, &AdamW::INFO];

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

/// What an optimizer remembers of one parameter: nothing before its first step. A clone shares the memory, which on a
/// device the next step of either updates.
#[derive(Clone, Debug, Default)]
pub struct State {
    /// Steps taken, up to [`State::MAX_STEP`].
    pub step: u64,
    tensors: Vec<(Role, Tensor)>,
}

impl State {
    /// The most steps that there can be: PyTorch's files, and ours, count in i64.
    pub const MAX_STEP: u64 = i64::MAX as u64;

    /// A state after so many steps, whose tensors are yet to be attached.
    pub fn after(step: u64) -> Self {
        Self {
            step,
            ..Self::default()
        }
    }

    /// The tensors that there are, under PyTorch's names; on the device of an engine that has one.
    pub fn tensors(&self) -> &[(Role, Tensor)] {
        &self.tensors
    }

    pub fn get(&self, role: Role) -> Option<&Tensor> {
        self.tensors
            .iter()
            .find(|(own, _)| *own == role)
            .map(|(_, tensor)| tensor)
    }

    /// Gives a tensor, in place of one of the same role: a step on a device writes over it, where it lies there. One of
    /// f16 or bf16 on the host becomes f32, which holds the same numbers.
    pub fn attach(&mut self, role: Role, tensor: Tensor) {
        let wide = if tensor.dtype().is_half() {
            tensor.to_dtype(Dtype::F32).ok()
        } else {
            None
        };
        let tensor = wide.unwrap_or(tensor); // what stays is refused by the step
        self.tensors.retain(|(own, _)| *own != role);
        self.tensors.push((role, tensor));
    }
}

/// An optimizer with its options: PyTorch's class, for one parameter at a time.
///
/// Host tensors are uploaded for the call. On an engine with a device, `step` submits and returns at once.
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
        if let Some((role, _)) = state.tensors.iter().find(|(role, _)| !info.states.contains(role)) {
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
            grad: grad.clone(),
        })
    }

    /// Takes a step, and returns the new parameter. On a device that is the tensor given, updated in place, or its
    /// copy there where it lay on the host; state that is missing is made, and what there is updated in place. On the
    /// CPU engine, whose tensors are shared, parameter and state are new tensors.
    ///
    /// # Errors
    /// Those of [`Optimizer::update`]; [`Error::Operand`] for tensors that share a buffer; [`Error::Limit`] and
    /// [`Error::Device`]. The state is then as it was.
    fn step(&self, engine: &Engine, param: &Tensor, grad: &Tensor, state: &mut State) -> Result<Tensor> {
        let update = self.update(param.view(), grad.view(), state)?;
        let Some(gpu) = engine.gpu() else {
            let element = |param, grad, own: &mut [f64; 3]| self.element(&update.rule, param, grad, own);
            return step_on_cpu(&update, param, grad, state, element);
        };
        let (plan, tensors) = prepare(gpu, &update, param, grad, state)?;
        gpu.submit(&plan, &tensors)?;
        Ok(stepped(tensors, state))
    }

    /// Records a step into the caller's encoder; neither submits nor waits. The state counts it at once.
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
        let update = self.update(param.view(), grad.view(), state)?;
        let gpu = engine.device()?;
        let (plan, tensors) = prepare(gpu, &update, param, grad, state)?;
        gpu.record(encoder, &plan, &tensors, None)?;
        Ok(stepped(tensors, state))
    }
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
    if state.step < State::MAX_STEP {
        return Ok(());
    }
    let message = format!(
        "{} steps were taken, and the count ends at {}; begin a new state, or set a lower count",
        state.step,
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
    if state.step == 0 || role == Role::MomentumBuffer {
        return Ok(());
    }
    Err(Error::operand(
        role.name(),
        format!(
            "is missing from the state after step {}, {} needs it",
            state.step, info.name
        ),
    ))
}

/// The plan of a step, and the tensors that it names: the parameter first.
fn prepare(
    gpu: &Gpu,
    update: &Update,
    param: &Tensor,
    grad: &Tensor,
    state: &State,
) -> Result<(Plan, Vec<(Role, Tensor)>)> {
    let plan = plan_update(update, &gpu.paced_limits(), &gpu.tuning)?;
    let mut made = Vec::new(); // of zeros, as wgpu gives buffers
    for (role, view) in update.states.iter().filter(|(role, _)| state.get(*role).is_none()) {
        made.push((*role, gpu.allocate(view.dtype, &view.shape)?));
    }
    let mut given = vec![(Role::Param, param), (Role::Grad(0), grad)];
    given.extend(
        update
            .states
            .iter()
            .filter_map(|(role, _)| Some((*role, state.get(*role)?))),
    );
    let mut tensors = gpu.place(&given, None)?;
    tensors.extend(made);
    expect_apart(&tensors)?;
    Ok((plan, tensors))
}

/// Keeps the state of a step that was recorded, and returns the parameter.
fn stepped(mut tensors: Vec<(Role, Tensor)>, state: &mut State) -> Tensor {
    let param = tensors.swap_remove(0).1;
    tensors.retain(|(role, _)| *role != Role::Grad(0));
    for (role, tensor) in tensors {
        state.attach(role, tensor);
    }
    state.step += 1;
    param
}

/// Refuses tensors that share a buffer: wgpu forbids a dispatch to bind again what it writes.
fn expect_apart(tensors: &[(Role, Tensor)]) -> Result<()> {
    for (n, (role, tensor)) in tensors.iter().enumerate() {
        if let Some((other, _)) = tensors[..n].iter().find(|(_, own)| own.shares_buffer(tensor)) {
            return Err(Error::operand(
                role.name(),
                format!(
                    "lies in the same buffer as {}; a step needs a buffer for each",
                    other.name()
                ),
            ));
        }
    }
    Ok(())
}

/// A new parameter and its state.
type Stepped = (f64, [f64; 3]);

fn step_on_cpu(
    update: &Update,
    param: &Tensor,
    grad: &Tensor,
    state: &mut State,
    element: impl Fn(f64, f64, &mut [f64; 3]) -> f64 + Sync,
) -> Result<Tensor> {
    let (params, grads) = (host("param", param)?, host("grad", grad)?);
    let mut old = Vec::new();
    for (role, _) in &update.states {
        old.push(state.get(*role).map(|tensor| host(role.name(), tensor)).transpose()?);
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
    let shape = param.shape();
    let made = |dtype, part: &dyn Fn(&Stepped) -> f64| {
        Tensor::rounded(&computed.iter().map(part).collect::<Vec<_>>(), dtype, shape)
    };
    let stepped = made(param.dtype(), &|(param, _)| *param)?;
    let mut states = Vec::new();
    for (n, (role, _)) in update.states.iter().enumerate() {
        states.push((*role, made(Dtype::F32, &|(_, own)| own[n])?));
    }
    for (role, tensor) in states {
        state.attach(role, tensor);
    }
    state.step += 1;
    Ok(stepped)
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
