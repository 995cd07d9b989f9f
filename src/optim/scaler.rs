//! A loss scale that adapts, and steps that are skipped where a gradient is not finite.

use super::clip::largest;
use super::gate::{Gate, Way, scale_in};
use super::{ClipGrad, Optimizer, Parameter, expect_uncounted, host, of_parameter, prepare, step_on_cpu, updates};
use crate::dtype::Dtype;
use crate::engine::Engine;
use crate::error::{Error, Result, at_least};
use crate::gpu::{Gpu, Steps};
use crate::plan::plan_rescale;
use crate::tensor::Tensor;
use crate::view::View;
use crate::words::Role;

/// Scales the loss so that gradients in f16 do not vanish, takes the scale out of them again on their way into a step,
/// skips the step where one is not finite, and then scales less: PyTorch's
/// [`GradScaler`](https://pytorch.org/docs/stable/amp.html#torch.amp.GradScaler). With scale s:
///
/// ```text
/// step:    g = g / s, clipped where that is asked for; taken where every g is finite
/// update:  s = s backoff_factor                     where a step was skipped since the last update
///          s = s growth_factor                      after growth_interval updates without
/// ```
///
/// **On a device** nothing of this waits: the norm of all gradients, the decision and the step are one submission, the
/// count of the steps taken, which Adam's corrections and others follow, lies on the device, and gradients are
/// unscaled and clipped on their way, in f32, without a pass of their own. With scales of powers of two, as all are by
/// default, a step has the bits of one without a scaler, but for what follows from the count, which is f32 there.
///
/// **Edges.** The scale stays within 2^-126 and 2^126, whose inverses are in f32, too. A norm beyond f32 is its largest
/// number: a step is skipped for an element that is not finite alone.
///
/// **Differences from PyTorch.** `unscale_`, `step` and clipping are one; gradients stay scaled in their memory. A
/// state whose steps a device counts goes on with a scaler alone on that device, and
/// [`State::step`](super::State::step) counts steps tried, [`State::taken`](super::State::taken) those taken.
///
/// ```
/// use wgloss::optim::{Parameter, ScalerState, State};
/// use wgloss::{Call, ClipGrad, CrossEntropy, Engine, GradScaler, Loss, Mode, Sgd, Tensor};
///
/// # fn main() -> wgloss::Result<()> {
/// let engine = Engine::new().unwrap_or_else(|_| Engine::cpu());
/// let mut logits = engine.upload(&Tensor::new(&[1.0f32, 2.0, 3.0, 4.0], &[2, 2])?)?;
/// let labels = engine.upload(&Tensor::new(&[0i64, 1], &[2])?)?;
/// let (sgd, clip) = (Sgd { lr: 0.1, ..Default::default() }, Some(ClipGrad::norm(1.0)));
/// let (scaler, mut scale, mut state) = (GradScaler::default(), ScalerState::default(), State::default());
/// for _ in 0..3 {
///     let upstream = scaler.scale(&engine, &mut scale)?;
///     let call = Call { grad_output: Some(&upstream), ..Call::new(Mode::Backward, &[&logits, &labels]) };
///     let output = CrossEntropy::default().run(&engine, &call)?;
///     let grad = output.grad_input.clone().unwrap();
///     let mut all = [Parameter::new(&mut logits, &grad, &mut state)];
///     scaler.step_all(&engine, &sgd, &mut all, clip, &mut scale)?;
///     scaler.update(&engine, &mut scale)?;
/// }
/// assert_eq!((state.taken(&engine)?, scaler.skipped(&engine, &scale)?), (3, 0));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct GradScaler {
    /// The scale to begin with, 2^-126 to 2^126.
    pub init_scale: f64,
    /// What the scale grows by, at least 1.
    pub growth_factor: f64,
    /// What it is multiplied by after a step was skipped, 2^-126 to 1.
    pub backoff_factor: f64,
    /// So many updates in a row without a skipped step make it grow, at least 1.
    pub growth_interval: u32,
}

impl Default for GradScaler {
    /// PyTorch's.
    fn default() -> Self {
        Self {
            init_scale: 65536.0,
            growth_factor: 2.0,
            backoff_factor: 0.5,
            growth_interval: 2000,
        }
    }
}

/// Where a scaler is: the scale, and the updates since it changed; on a device, where it has one.
#[derive(Debug, Default)]
pub struct ScalerState {
    gate: Gate,
    host: Option<Host>,
}

/// The tensors of a step.
type Named = Vec<(Role, Tensor)>;

/// What the scale stays within: the inverse, too, is a normal number of f32.
const SCALES: std::ops::RangeInclusive<f64> = 1.0 / SCALE_MOST..=SCALE_MOST;
const SCALE_MOST: f64 = (1u128 << 126) as f64;

/// The same on the processor.
#[derive(Clone, Copy, Debug)]
struct Host {
    scale: f64,
    tracker: u32,
    found: bool,
    skipped: u64,
}

impl GradScaler {
    /// A scale of 1 that stays: steps are skipped where a gradient is not finite, and nothing else.
    pub fn unscaled() -> Self {
        Self {
            init_scale: 1.0,
            growth_factor: 1.0,
            backoff_factor: 1.0,
            growth_interval: u32::MAX,
        }
    }

    /// Refuses options outside their domain.
    ///
    /// # Errors
    /// [`Error::Option`] with the name, the value and the domain.
    pub fn check(&self) -> Result<()> {
        if !SCALES.contains(&self.init_scale) {
            let message = format!("{} given, expected 2^-126 to 2^126", self.init_scale);
            return Err(Error::option("init_scale", message));
        }
        at_least("growth_factor", self.growth_factor, 1.0)?;
        if !(*SCALES.start()..=1.0).contains(&self.backoff_factor) {
            let message = format!("{} given, expected 2^-126 to 1", self.backoff_factor);
            return Err(Error::option("backoff_factor", message));
        }
        if self.growth_interval == 0 {
            return Err(Error::option("growth_interval", "0 given, expected at least 1"));
        }
        Ok(())
    }

    /// The scale, as the upstream gradient of a loss that is reduced: [`Call::grad_output`](crate::Call::grad_output).
    /// On a device it lies where updates change it.
    ///
    /// # Errors
    /// [`Error::Option`] and [`Error::Device`].
    pub fn scale(&self, engine: &Engine, state: &mut ScalerState) -> Result<Tensor> {
        self.check()?;
        match engine.gpu() {
            Some(gpu) => Ok(scale_in(&state.gate.record(gpu, self.init_scale as f32)?)),
            None => Tensor::new(&[self.host(state).scale as f32], &[]),
        }
    }

    /// Takes a step of parameters, whose gradients are scaled, or skips it. Gradients are clipped on their way; returns
    /// the norm that they had without the scale, of [`ClipGrad::Norm`].
    ///
    /// # Errors
    /// As [`Optimizer::step_all`], and [`Error::Option`]. No parameter and no state is then changed.
    pub fn step_all(
        &self,
        engine: &Engine,
        optimizer: &dyn Optimizer,
        all: &mut [Parameter<'_>],
        clip: Option<ClipGrad>,
        state: &mut ScalerState,
    ) -> Result<Option<Tensor>> {
        match engine.gpu() {
            Some(gpu) => self.send(gpu, optimizer, all, clip, state, Way::Run),
            None => self.step_on_cpu(optimizer, all, clip, state),
        }
    }

    /// Records the same into the caller's encoder.
    ///
    /// # Errors
    /// As [`GradScaler::step_all`]; [`Error::Device`] on an engine without a device.
    pub fn encode_all(
        &self,
        engine: &Engine,
        encoder: &mut wgpu::CommandEncoder,
        optimizer: &dyn Optimizer,
        all: &mut [Parameter<'_>],
        clip: Option<ClipGrad>,
        state: &mut ScalerState,
    ) -> Result<Option<Tensor>> {
        self.send(engine.device()?, optimizer, all, clip, state, Way::Into(encoder))
    }

    /// Changes the scale by what the steps since the last update found.
    ///
    /// # Errors
    /// [`Error::Option`] and [`Error::Device`].
    pub fn update(&self, engine: &Engine, state: &mut ScalerState) -> Result<()> {
        let Some(gpu) = engine.gpu() else {
            self.check()?;
            self.host(state).update(self);
            return Ok(());
        };
        let steps = self.rescale(gpu, state)?;
        gpu.step(&steps, &state.gate.places, |_| {})
    }

    /// Records the same into the caller's encoder.
    ///
    /// # Errors
    /// As [`GradScaler::update`]; [`Error::Device`] on an engine without a device.
    pub fn encode_update(
        &self,
        engine: &Engine,
        encoder: &mut wgpu::CommandEncoder,
        state: &mut ScalerState,
    ) -> Result<()> {
        let gpu = engine.device()?;
        let steps = self.rescale(gpu, state)?;
        gpu.encode_step(encoder, &steps, &state.gate.places).map(|_| ())
    }

    /// The scale as a number, which on a device waits for it.
    ///
    /// # Errors
    /// [`Error::Device`].
    pub fn read_scale(&self, engine: &Engine, state: &ScalerState) -> Result<f64> {
        let record = state.gate.read(engine)?.map(|record| f64::from(record.scale));
        Ok(record.or(state.host.map(|own| own.scale)).unwrap_or(self.init_scale))
    }

    /// How many steps were skipped, which on a device waits for them.
    ///
    /// # Errors
    /// [`Error::Device`].
    pub fn skipped(&self, engine: &Engine, state: &ScalerState) -> Result<u64> {
        let record = state.gate.read(engine)?.map(|record| u64::from(record.skipped));
        Ok(record.or(state.host.map(|own| own.skipped)).unwrap_or(0))
    }

    fn rescale(&self, gpu: &Gpu, state: &mut ScalerState) -> Result<Steps> {
        self.check()?;
        gpu.expect_compute()?;
        let record = state.gate.record(gpu, self.init_scale as f32)?;
        let (growth, backoff) = (self.growth_factor as f32, self.backoff_factor as f32);
        let plan = plan_rescale(growth, backoff, self.growth_interval, &gpu.limits);
        Ok(vec![(plan, vec![(Role::Gate, record)])])
    }

    fn send(
        &self,
        gpu: &Gpu,
        optimizer: &dyn Optimizer,
        all: &mut [Parameter<'_>],
        clip: Option<ClipGrad>,
        ScalerState { gate, .. }: &mut ScalerState,
        way: Way<'_>,
    ) -> Result<Option<Tensor>> {
        self.check()?;
        clip.iter().try_for_each(ClipGrad::check)?;
        gpu.expect_compute()?;
        let before: Vec<bool> = all.iter().map(|own| own.state.is_counted()).collect();
        let sent = self.send_counted(gpu, optimizer, all, clip, gate, way);
        if sent.is_err() {
            let new = all.iter_mut().zip(before).filter(|(_, before)| !before);
            new.for_each(|(own, _)| own.state.forget_new_count());
        }
        sent
    }

    /// The norm of a step that is recorded, or submitted.
    fn send_counted(
        &self,
        gpu: &Gpu,
        optimizer: &dyn Optimizer,
        all: &mut [Parameter<'_>],
        clip: Option<ClipGrad>,
        gate: &mut Gate,
        way: Way<'_>,
    ) -> Result<Option<Tensor>> {
        let (steps, prepared) = self.steps(gpu, optimizer, all, clip, gate, matches!(way, Way::Into(_)))?;
        let wants_norm = matches!(clip, Some(ClipGrad::Norm { .. }));
        let sent = gate.send(gpu, &steps, wants_norm, way)?;
        for (own, tensors) in all.iter_mut().zip(prepared) {
            own.commit(tensors, sent.recording.as_ref());
        }
        Ok(sent.norm)
    }

    /// All steps in order, and the tensors that the optimizer's leave, of each parameter.
    fn steps(
        &self,
        gpu: &Gpu,
        optimizer: &dyn Optimizer,
        all: &mut [Parameter<'_>],
        clip: Option<ClipGrad>,
        gate: &mut Gate,
        or_recorded: bool,
    ) -> Result<(Steps, Vec<Named>)> {
        let of = all.len();
        for (nth, own) in all.iter_mut().enumerate() {
            own.state.settle();
            count_on(gpu, own).map_err(|error| of_parameter(error, nth, of))?;
        }
        let updates = updates(|param, grad, state| optimizer.update(param, grad, state), all)?;
        let record = gate.record(gpu, self.init_scale as f32)?;
        let prepared = prepare(gpu, &updates, all, or_recorded)?;
        let grads: Vec<&Tensor> = prepared.iter().filter_map(|(_, tensors)| grad_in(tensors)).collect();
        let mut steps = gate.steps(gpu, &grads, clip, true)?;
        let tensors = prepared.iter().map(|(_, tensors)| tensors.clone()).collect();
        for (plan, mut tensors) in prepared {
            tensors.push((Role::Gate, record.clone()));
            steps.push((plan, tensors));
        }
        Ok((steps, tensors))
    }

    /// A step as it would be sent, for who times it.
    pub(crate) fn timed(
        &self,
        gpu: &Gpu,
        optimizer: &dyn Optimizer,
        own: Parameter<'_>,
        clip: Option<ClipGrad>,
    ) -> Result<Steps> {
        self.check()?;
        clip.iter().try_for_each(ClipGrad::check)?;
        let steps = self.steps(gpu, optimizer, &mut [own], clip, &mut Gate::default(), false)?;
        Ok(steps.0)
    }

    fn host<'a>(&self, state: &'a mut ScalerState) -> &'a mut Host {
        state.host.get_or_insert(Host {
            scale: self.init_scale,
            tracker: 0,
            found: false,
            skipped: 0,
        })
    }

    fn step_on_cpu(
        &self,
        optimizer: &dyn Optimizer,
        all: &mut [Parameter<'_>],
        clip: Option<ClipGrad>,
        state: &mut ScalerState,
    ) -> Result<Option<Tensor>> {
        self.check()?;
        clip.iter().try_for_each(ClipGrad::check)?;
        let updates = updates(|param, grad, state| optimizer.update(param, grad, state), all)?;
        expect_uncounted(all)?;
        let host_state = self.host(state);
        let scale = host_state.scale;
        let mut grads = Vec::with_capacity(all.len());
        for own in &*all {
            grads.push(host("grad", own.grad)?);
        }
        let unscaled = || grads.iter().flatten().map(|&g| f64::from(g) / scale);
        let norm = clip.map_or(0.0, |clip| clip.norm_of(unscaled()));
        if largest(unscaled()).is_finite() {
            let held = |g: f64| clip.map_or(g / scale, |clip| clip.held(g / scale, norm));
            let mut stepped = Vec::new();
            for (nth, (update, own)) in updates.iter().zip(&*all).enumerate() {
                let element = |param, grad, own: &mut [f64; 3]| optimizer.element(&update.rule, param, held(grad), own);
                let new = step_on_cpu(update, own, element);
                stepped.push(new.map_err(|error| of_parameter(error, nth, updates.len()))?);
            }
            for (own, tensors) in all.iter_mut().zip(stepped) {
                own.commit(tensors, None);
            }
        } else {
            host_state.found = true;
            host_state.skipped += 1;
        }
        match clip {
            Some(ClipGrad::Norm { .. }) => Tensor::new(&[norm as f32], &[]).map(Some),
            _ => Ok(None),
        }
    }
}

impl Host {
    fn update(&mut self, options: &GradScaler) {
        self.tracker += 1;
        let factor = match self.found {
            true => options.backoff_factor,
            false if self.tracker >= options.growth_interval => options.growth_factor,
            false => 1.0,
        };
        if self.found || self.tracker >= options.growth_interval {
            self.tracker = 0;
        }
        self.scale = (self.scale * factor).clamp(*SCALES.start(), *SCALES.end());
        self.found = false;
    }
}

/// Has a parameter's steps counted on the device, from what the host counted on.
fn count_on(gpu: &Gpu, own: &mut Parameter<'_>) -> Result<()> {
    if own.state.is_counted() {
        return Ok(());
    }
    if own.state.is_pending() {
        let message = "has steps in an encoder that was not submitted, so that the steps taken are not known yet: \
                       submit it, or have the scaler take all steps";
        return Err(Error::operand("state", message));
    }
    let Ok(step) = u32::try_from(own.state.step()) else {
        let message = format!(
            "{} steps were taken, a device counts up to {}",
            own.state.step(),
            u32::MAX
        );
        return Err(Error::operand("step", message));
    };
    let words = [step, step];
    let count = gpu.upload(bytemuck::cast_slice(&words), &View::contiguous(Dtype::U32, &[2]))?;
    own.state.count_by(count, step);
    Ok(())
}

fn grad_in(tensors: &[(Role, Tensor)]) -> Option<&Tensor> {
    tensors
        .iter()
        .find(|(role, _)| matches!(role, Role::Grad(_)))
        .map(|(_, tensor)| tensor)
}
