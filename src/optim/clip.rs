//! Gradients held to a norm or a size.

use std::collections::HashMap;

use super::gate::{Gate, Way};
use super::{expect_whole, host};
use crate::dtype::Dtype;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::gpu::{Gpu, Steps, expect_apart};
use crate::plan::plan_update;
use crate::scalars::Scalars;
use crate::shader::piece;
use crate::shapes::expect_dtype;
use crate::tensor::Tensor;
use crate::update::{Gating, Update, UpdateRule};
use crate::view::View;
use crate::words::Role;

/// How gradients are held down before a step, in place. Of the gradients g of all parameters together:
///
/// ```text
/// Norm:   n = (sum |g|^p)^(1/p), p = norm_type, or max |g| for p = inf;   g = g min(1, max_norm / (n + 1e-6))
/// Value:  g = min(max(g, -clip_value), clip_value)
/// ```
///
/// These are PyTorch's [`clip_grad_norm_`] and [`clip_grad_value_`]. With a
/// [`GradScaler`](super::GradScaler) gradients are clipped on their way into the step instead, without a pass of their
/// own, and stay as they are.
///
/// **Shapes and dtypes.** Gradients of any shape, without gaps, in f32, f16 or bf16. The norm is a 0-d f32.
///
/// **Edges.** No power of an element over- or underflows, and a norm beyond f32 is its largest number: it is infinite
/// only where an element is. After an infinite norm gradients are 0, and infinite ones NaN; NaN makes all NaN, as in
/// PyTorch. Differently from there, the norm of f16 gradients is f32, and a `norm_type` of 0 or less is refused.
///
/// [`clip_grad_norm_`]: https://pytorch.org/docs/stable/generated/torch.nn.utils.clip_grad_norm_.html
/// [`clip_grad_value_`]: https://pytorch.org/docs/stable/generated/torch.nn.utils.clip_grad_value_.html
///
/// ```
/// use wgloss::{ClipGrad, Engine, Tensor, optim::ClipState};
///
/// # fn main() -> wgloss::Result<()> {
/// let engine = Engine::new().unwrap_or_else(|_| Engine::cpu());
/// let mut first = engine.upload(&Tensor::new(&[3.0f32, 0.0], &[2])?)?;
/// let mut second = engine.upload(&Tensor::new(&[-4.0f32], &[1])?)?;
/// let mut state = ClipState::default(); // what is bound to the gradients, for the next time
/// let norm = ClipGrad::norm(1.0).run(&engine, &mut [&mut first, &mut second], &mut state)?;
/// assert_eq!(norm.map(|norm| norm.read::<f32>(&engine)).transpose()?, Some(vec![5.0]));
/// assert!((second.read::<f32>(&engine)?[0] + 0.8).abs() < 1e-5);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ClipGrad {
    /// The norm of all gradients is held to `max_norm`, at least 0; `norm_type` is above 0 and may be infinite.
    Norm { max_norm: f64, norm_type: f64 },
    /// Elements are held to `clip_value`, at least 0.
    Value { clip_value: f64 },
}

/// What is kept from one clipping of some gradients to the next.
#[derive(Debug, Default)]
pub struct ClipState(Gate);

impl ClipGrad {
    /// Holds the norm of type 2 to `max_norm`.
    pub fn norm(max_norm: f64) -> Self {
        Self::Norm {
            max_norm,
            norm_type: 2.0,
        }
    }

    /// Holds elements to `clip_value`.
    pub fn value(clip_value: f64) -> Self {
        Self::Value { clip_value }
    }

    /// Refuses numbers outside their domain.
    ///
    /// # Errors
    /// [`Error::Option`] with the name, the value and the domain.
    pub fn check(&self) -> Result<()> {
        let at_least_0 = |name, value: f64| match value >= 0.0 && (value as f32).is_finite() {
            true => Ok(()),
            false => Err(Error::option(
                name,
                format!("{value} given, expected a finite number of at least 0"),
            )),
        };
        match *self {
            Self::Norm { norm_type, max_norm } => {
                if norm_type != f64::INFINITY && !(norm_type > 0.0 && (norm_type as f32).is_normal()) {
                    let message = format!("{norm_type} given, expected a number of f32 above 0, or infinity");
                    return Err(Error::option("norm_type", message));
                }
                at_least_0("max_norm", max_norm)
            }
            Self::Value { clip_value } => at_least_0("clip_value", clip_value),
        }
    }

    /// Clips gradients: on a device in place, in one submission that nothing waits for; on the CPU engine, whose
    /// tensors are shared, new tensors take their places. Returns the norm before, of [`ClipGrad::Norm`].
    ///
    /// # Errors
    /// [`Error::Option`]; [`Error::Operand`] for dtypes, gaps between rows and gradients that overlap in one buffer;
    /// [`Error::NotSubmitted`], [`Error::Limit`] and [`Error::Device`]. The gradients are then as they were.
    pub fn run(&self, engine: &Engine, grads: &mut [&mut Tensor], state: &mut ClipState) -> Result<Option<Tensor>> {
        let Some(gpu) = engine.gpu() else {
            return self.run_on_cpu(grads);
        };
        self.send(gpu, grads, state, Way::Run)
    }

    /// Records the same into the caller's encoder.
    ///
    /// # Errors
    /// As [`ClipGrad::run`]; [`Error::Device`] on an engine without a device.
    pub fn encode(
        &self,
        engine: &Engine,
        encoder: &mut wgpu::CommandEncoder,
        grads: &mut [&mut Tensor],
        state: &mut ClipState,
    ) -> Result<Option<Tensor>> {
        self.send(engine.device()?, grads, state, Way::Into(encoder))
    }

    fn send(
        &self,
        gpu: &Gpu,
        grads: &mut [&mut Tensor],
        ClipState(gate): &mut ClipState,
        way: Way<'_>,
    ) -> Result<Option<Tensor>> {
        self.check()?;
        gpu.expect_compute()?;
        let or_recorded = matches!(way, Way::Into(_));
        let mut placed: Vec<Tensor> = Vec::with_capacity(grads.len());
        for grad in &*grads {
            expect_grad(grad)?;
            gpu.expect_submitted("grad", grad.memory(), or_recorded)?;
            let own = gpu.place(&[(Role::Grad(0), &**grad)], None)?;
            let own = own.into_iter().map(|(_, tensor)| tensor);
            placed.extend(own);
        }
        expect_all_apart(&placed)?;
        let steps = self.steps(gpu, &placed, gate)?;
        let sent = gate.send(gpu, &steps, matches!(self, Self::Norm { .. }), way)?;
        for (grad, own) in grads.iter_mut().zip(placed) {
            **grad = match &sent.recording {
                Some(recording) => own.recorded(recording),
                None => own,
            };
        }
        Ok(sent.norm)
    }

    fn steps(&self, gpu: &Gpu, placed: &[Tensor], gate: &mut Gate) -> Result<Steps> {
        let mut steps = gate.steps(gpu, &placed.iter().collect::<Vec<_>>(), Some(*self), false)?;
        let record = gate.record(gpu, 1.0)?;
        for own in placed {
            let plan = plan_update(&self.in_place(own.view()), &gpu.paced_limits(), &gpu.tuning)?;
            steps.push((plan, vec![(Role::Param, own.clone()), (Role::Gate, record.clone())]));
        }
        Ok(steps)
    }

    /// The steps of one gradient, for who times them.
    pub(crate) fn timed(&self, gpu: &Gpu, grad: &Tensor) -> Result<Steps> {
        self.check()?;
        expect_grad(grad)?;
        let placed = gpu.place(&[(Role::Grad(0), grad)], None)?;
        let placed: Vec<Tensor> = placed.into_iter().map(|(_, tensor)| tensor).collect();
        self.steps(gpu, &placed, &mut Gate::default())
    }

    fn run_on_cpu(&self, grads: &mut [&mut Tensor]) -> Result<Option<Tensor>> {
        self.check()?;
        let mut held = Vec::with_capacity(grads.len());
        for grad in &*grads {
            expect_grad(grad)?;
            held.push(host("grad", grad)?);
        }
        let norm = self.norm_of(held.iter().flatten().map(|&g| f64::from(g)));
        for (grad, own) in grads.iter_mut().zip(held) {
            let clipped: Vec<f64> = own.iter().map(|&g| self.held(f64::from(g), norm)).collect();
            **grad = Tensor::rounded(&clipped, grad.dtype(), grad.shape())?;
        }
        match self {
            Self::Norm { .. } => Tensor::new(&[norm as f32], &[]).map(Some),
            Self::Value { .. } => Ok(None),
        }
    }

    /// The step that a gradient of this layout takes by itself.
    pub fn in_place(&self, grad: &View) -> Update {
        Update {
            name: "clip_grad",
            rule: UpdateRule {
                piece: piece!("update/clip.wgsl"),
                flags: Vec::new(),
                scalars: Scalars::NONE,
                states: 0,
            },
            param: grad.clone(),
            grad: None,
            states: Vec::new(),
            gating: Gating::Gated,
        }
    }

    /// The definition, in f64: the norm of all gradients; of [`ClipGrad::Value`], the largest.
    pub(super) fn norm_of(&self, grads: impl Iterator<Item = f64> + Clone) -> f64 {
        match *self {
            Self::Norm { norm_type, .. } if norm_type != f64::INFINITY => {
                // In units of the largest, as the shader has it: no power over- or underflows.
                let most = largest(grads.clone());
                if most == 0.0 || !most.is_finite() {
                    return most;
                }
                let sum: f64 = grads.map(|g| (g.abs() / most).powf(norm_type)).sum();
                (most * sum.powf(1.0 / norm_type)).min(f32::MAX.into())
            }
            _ => largest(grads),
        }
    }

    /// The definition, in f64, of one element where the norm is this.
    pub(super) fn held(&self, grad: f64, norm: f64) -> f64 {
        match *self {
            Self::Norm { max_norm, .. } if norm.is_nan() => grad * max_norm * f64::NAN,
            Self::Norm { max_norm, .. } => grad * (max_norm / (norm + 1e-6)).min(1.0),
            Self::Value { .. } if grad.is_nan() => grad,
            Self::Value { clip_value } => grad.clamp(-clip_value, clip_value),
        }
    }
}

/// The largest |g|; NaN where there is one.
pub(super) fn largest(grads: impl Iterator<Item = f64>) -> f64 {
    grads.fold(0.0, |most, g| match g.is_nan() || g.abs() > most {
        true => g.abs(),
        false => most, // NaN stays: nothing is above it
    })
}

/// Refuses gradients that overlap. Only those of one buffer are compared with each other: there may be thousands.
fn expect_all_apart(grads: &[Tensor]) -> Result<()> {
    #[expect(clippy::mutable_key_type, reason = "buffers are hashed by their identity")]
    let mut by_buffer: HashMap<&wgpu::Buffer, Vec<&Tensor>> = HashMap::new();
    for own in grads {
        for buffer in own.parts() {
            let others = by_buffer.entry(buffer).or_default();
            expect_apart(("grad", own), others.iter().map(|other| ("grad", *other)))?;
            others.push(own);
        }
    }
    Ok(())
}

fn expect_grad(grad: &Tensor) -> Result<()> {
    expect_dtype("grad", grad.view(), &Dtype::FLOATS)?;
    expect_whole("grad", grad.view())
}

impl Default for ClipGrad {
    /// The norm of type 2, held to 1.
    fn default() -> Self {
        Self::norm(1.0)
    }
}
