//! A call, a ceiling or a baseline timed again and again, for `wgloss bench`.

use std::time::Instant;

use crate::call::Call;
use crate::dtype::Dtype;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::gpu::{Gpu, Steps, Timer};
use crate::limits::Limits;
use crate::loss::Loss;
use crate::memory::Memory;
use crate::optim::{self, ClipGrad, GradScaler, Optimizer, Parameter, State};
use crate::output::Output;
use crate::plan::{
    BufferCopy, Origin, Plan, Step, plan, plan_copy, plan_multiply, plan_naive, plan_product, plan_reduce,
};
use crate::shapes::expect_dtype;
use crate::tensor::Tensor;
use crate::tuning::Tuning;
use crate::view::View;
use crate::words::{ReduceOp, Role};

/// One timing: what the clock on the wall and the device's own say.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// From before the submission until the device was done.
    pub wall_ns: f64,
    /// From the start of the first dispatch to the end of the last, or around the copies where there is no dispatch;
    /// `None` where the device has no timestamps.
    pub device_ns: Option<f64>,
}

/// A plan with its tensors, ready to be timed again and again: whoever compares several kernels has each run once in
/// turn, so that what slows the machine down slows all of them.
///
/// Operands, outputs and scratch are allocated once, before the first run, which touches them and is to be dropped.
pub struct Stopwatch<'a> {
    gpu: &'a Gpu,
    plan: Plan,
    tensors: Vec<(Role, Tensor)>,
    scratch: Vec<Memory>,
    timer: Option<Timer>,
    output: Option<Output>,
}

impl<'a> Stopwatch<'a> {
    fn new(gpu: &'a Gpu, plan: Plan, tensors: Vec<(Role, Tensor)>, output: Option<Output>) -> Result<Self> {
        Ok(Self {
            scratch: gpu.exact_scratch(&plan)?,
            // Without a step no timestamp is written.
            timer: if plan.steps.is_empty() { None } else { Timer::new(gpu)? },
            gpu,
            plan,
            tensors,
            output,
        })
    }

    /// The plan that is timed: its dispatches and the labels of their pipelines.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The results of a call, once it ran; `None` for a ceiling.
    pub fn output(&self) -> Option<&Output> {
        self.output.as_ref()
    }

    /// A tensor of its own or of its caller's: what a kernel that adds up came to is [`Role::Loss`].
    pub fn tensor(&self, role: Role) -> Option<&Tensor> {
        self.tensors
            .iter()
            .find(|(own, _)| *own == role)
            .map(|(_, tensor)| tensor)
    }

    /// Runs it once, and waits. Recording is not timed.
    ///
    /// # Errors
    /// [`Error::Device`], [`Error::DeviceLost`], [`Error::OutOfMemory`].
    pub fn once(&self) -> Result<Timing> {
        let gpu = self.gpu;
        let mut encoder = gpu.device.create_command_encoder(&Default::default());
        let steps = &self.plan.steps;
        // Copies stand outside of passes: where there is nothing else, empty passes carry the timestamps.
        let between = self.timer.as_ref().filter(|_| self.plan.dispatches().next().is_none());
        let within = self.timer.as_ref().filter(|_| between.is_none());
        between.inspect(|timer| timer.mark(&mut encoder, true));
        gpu.record_steps(&mut encoder, steps, &self.tensors, &self.scratch, within)?;
        between.inspect(|timer| timer.mark(&mut encoder, false));
        if let Some(timer) = &self.timer {
            timer.resolve(&mut encoder);
        }
        let commands = encoder.finish();
        let start = Instant::now();
        gpu.queue.submit([commands]);
        gpu.wait(None)?;
        let wall_ns = start.elapsed().as_nanos() as f64;
        gpu.check()?;
        let Some(timer) = &self.timer else {
            return Ok(Timing {
                wall_ns,
                device_ns: None,
            });
        };
        timer.map();
        gpu.wait(None)?;
        Ok(Timing {
            wall_ns,
            device_ns: Some(timer.read(gpu)?),
        })
    }
}

impl Engine {
    /// The dispatches and copies that a call would be recorded as. Nothing is allocated or compiled.
    ///
    /// # Errors
    /// As [`Loss::run`]; [`Error::Device`] on an engine without a device.
    pub fn plan(&self, loss: &dyn Loss, call: &Call<'_>) -> Result<Plan> {
        let gpu = self.device()?;
        plan(&loss.problem(call)?, &gpu.limits, &gpu.tuning)
    }

    /// How the work is cut for the adapter, of an engine on a device.
    pub fn tuning(&self) -> Option<Tuning> {
        self.gpu().map(|gpu| gpu.tuning)
    }

    /// Prepares a call to be timed.
    ///
    /// # Errors
    /// As [`Loss::run`]; [`Error::Device`] on an engine without a device.
    pub fn stopwatch(&self, loss: &dyn Loss, call: &Call<'_>) -> Result<Stopwatch<'_>> {
        self.stopwatch_tuned(loss, call, self.device()?.tuning)
    }

    /// The same, the work cut in another way than the engine's, as [`Engine::set_tuning`] would have it.
    ///
    /// # Errors
    /// As [`Engine::stopwatch`]; those of [`Tuning::check`].
    pub fn stopwatch_tuned(&self, loss: &dyn Loss, call: &Call<'_>, tuning: Tuning) -> Result<Stopwatch<'_>> {
        let gpu = self.device()?;
        tuning.check()?;
        let problem = loss.problem(call)?;
        let plan = plan(&problem, &gpu.limits, &tuning.within(&gpu.limits))?;
        let (tensors, output) = gpu.prepare(&problem, call, &loss.tensors())?;
        Stopwatch::new(gpu, plan, tensors, Some(output))
    }

    /// The same of the loss of a linear layer, with a scratch of so many bytes, as [`Engine::set_scratch_bytes`] would
    /// have it.
    ///
    /// # Errors
    /// As [`Engine::stopwatch`].
    pub fn stopwatch_scratch(&self, loss: &dyn Loss, call: &Call<'_>, bytes: u64) -> Result<Stopwatch<'_>> {
        let gpu = self.device()?;
        let problem = loss.problem(call)?;
        let limits = Limits {
            scratch_bytes: bytes,
            ..gpu.limits
        };
        let plan = plan(&problem, &limits, &gpu.tuning)?;
        let (tensors, output) = gpu.prepare(&problem, call, &loss.tensors())?;
        Stopwatch::new(gpu, plan, tensors, Some(output))
    }

    /// Prepares a step of an optimizer, or, of a scaler, all that one behind it takes, clipped where that is asked for.
    /// Every run is the same step of a new state.
    ///
    /// # Errors
    /// As [`Optimizer::step`] and [`GradScaler::step_all`]; [`Error::Device`] on an engine without a device.
    pub fn stopwatch_step(
        &self,
        optimizer: &dyn Optimizer,
        (param, grad): (&Tensor, &Tensor),
        scaler: Option<(&GradScaler, Option<ClipGrad>)>,
    ) -> Result<Stopwatch<'_>> {
        let gpu = self.device()?;
        let (mut param, mut state) = (param.clone(), State::default());
        let own = Parameter::new(&mut param, grad, &mut state);
        let steps = match scaler {
            Some((scaler, clip)) => scaler.timed(gpu, optimizer, own, clip)?,
            None => optim::timed(gpu, optimizer, own)?,
        };
        of_steps(gpu, steps)
    }

    /// Prepares the clipping of a gradient.
    ///
    /// # Errors
    /// As [`ClipGrad::run`]; [`Error::Device`] on an engine without a device.
    pub fn stopwatch_clip(&self, clip: ClipGrad, grad: &Tensor) -> Result<Stopwatch<'_>> {
        let gpu = self.device()?;
        of_steps(gpu, clip.timed(gpu, grad)?)
    }

    /// Prepares the kernel that adds up the first `len` elements of `from`: the ceiling of a forward.
    ///
    /// # Errors
    /// [`Error::Operand`] for a tensor that is not f32, has gaps or is shorter, [`Error::Device`] on an engine without
    /// a device, [`Error::Limit`].
    pub fn stopwatch_read(&self, from: &Tensor, len: usize) -> Result<Stopwatch<'_>> {
        let gpu = self.device()?;
        let from = start_of("from", from, len)?;
        sum(
            gpu,
            &from,
            plan_reduce(ReduceOp::Sum, from.view(), &gpu.limits, &gpu.tuning)?,
        )
    }

    /// Prepares the same sum as textbooks write it, for comparison: workgroups of 256 lanes that take `per_lane`
    /// elements each, and add up what they have in a tree.
    ///
    /// # Errors
    /// As [`Engine::stopwatch_read`]; [`Error::Operand`] for a `per_lane` of 0 or of thousands.
    pub fn stopwatch_naive(&self, from: &Tensor, len: usize, per_lane: u32) -> Result<Stopwatch<'_>> {
        let gpu = self.device()?;
        let from = start_of("from", from, len)?;
        sum(gpu, &from, plan_naive(from.view(), per_lane, &gpu.limits)?)
    }

    /// Prepares the kernel that copies the first `len` elements, a multiple of 4, of one tensor to another: the ceiling
    /// of a fused run.
    ///
    /// # Errors
    /// As [`Engine::stopwatch_read`].
    pub fn stopwatch_copy(&self, from: &Tensor, to: &Tensor, len: usize) -> Result<Stopwatch<'_>> {
        let gpu = self.device()?;
        if !len.is_multiple_of(4) || len >= 1 << 32 {
            return Err(Error::operand(
                "len",
                format!("{len} given, expected a multiple of 4 below 2^32"),
            ));
        }
        let (from, to) = (start_of("from", from, len)?, start_of("to", to, len)?);
        let plan = plan_copy(from.view(), &gpu.limits, &gpu.tuning)?;
        Stopwatch::new(
            gpu,
            plan,
            gpu.place(&[(Role::Input, &from), (Role::Grad(0), &to)], None)?,
            None,
        )
    }

    /// Prepares a product of two matrices, `into = left · right`, either of which may be given transposed, into f32.
    ///
    /// # Errors
    /// [`Error::Operand`] for shapes that do not go together, dtypes that are no floats, or 16-bit floats of both
    /// kinds; [`Error::Device`] on an engine without a device, [`Error::Limit`].
    pub fn stopwatch_product(
        &self,
        [left, right]: [&Tensor; 2],
        transposed: [bool; 2],
        into: &Tensor,
    ) -> Result<Stopwatch<'_>> {
        let gpu = self.device()?;
        expect_dtype("left", left.view(), &Dtype::FLOATS)?;
        expect_dtype("right", right.view(), &Dtype::FLOATS)?;
        expect_dtype("into", into.view(), &[Dtype::F32])?;
        let dtypes = [left.dtype(), right.dtype()];
        if dtypes.iter().all(|dtype| dtype.is_half()) && dtypes[0] != dtypes[1] {
            let message = format!("{} given, expected f32 or that of left, {}", dtypes[1], dtypes[0]);
            return Err(Error::operand("right", message));
        }
        let plan = plan_product(
            [left.view(), right.view(), into.view()],
            transposed,
            &gpu.limits,
            &gpu.tuning,
        )?;
        let tensors = [(Role::Input, left), (Role::Target, right), (Role::Loss, into)];
        Stopwatch::new(gpu, plan, gpu.place(&tensors, None)?, None)
    }

    /// Prepares multiply-adds between registers alone, and tells how many they are: the ceiling of a product.
    ///
    /// # Errors
    /// [`Error::Operand`] for too many workgroups, or turns of a loop; [`Error::Device`] on an engine without a device.
    pub fn stopwatch_multiply(&self, groups: u32, turns: u32) -> Result<(Stopwatch<'_>, u64)> {
        let gpu = self.device()?;
        let (plan, multiply_adds) = plan_multiply(groups, turns, &gpu.limits)?;
        // All of its dispatches write the same.
        let bytes = plan
            .dispatches()
            .flat_map(|own| &own.bindings)
            .map(|own| own.size)
            .max();
        let into = gpu.allocate(Dtype::F32, &[bytes.unwrap_or_default() as usize / 4])?;
        Ok((
            Stopwatch::new(gpu, plan, vec![(Role::Loss, into)], None)?,
            multiply_adds,
        ))
    }

    /// Prepares the same copy as the device itself makes it, from buffer to buffer. Its timestamps are those of empty
    /// passes around it.
    ///
    /// # Errors
    /// As [`Engine::stopwatch_read`].
    pub fn stopwatch_transfer(&self, from: &Tensor, to: &Tensor, len: usize) -> Result<Stopwatch<'_>> {
        let gpu = self.device()?;
        let (from, to) = (start_of("from", from, len)?, start_of("to", to, len)?);
        let copy = BufferCopy {
            from: Origin::Tensor(Role::Input),
            from_offset: 0,
            to: Origin::Tensor(Role::Grad(0)),
            to_offset: 0,
            size: 4 * len as u64,
        };
        let plan = Plan {
            steps: vec![Step::Copy(copy)],
            scratch: Vec::new(),
        };
        Stopwatch::new(
            gpu,
            plan,
            gpu.place(&[(Role::Input, &from), (Role::Grad(0), &to)], None)?,
            None,
        )
    }
}

/// Steps one after the other, whose tensors go by different roles.
fn of_steps(gpu: &Gpu, steps: Steps) -> Result<Stopwatch<'_>> {
    let (mut plan, mut tensors) = (Plan::default(), Vec::new());
    for (part, own) in steps {
        plan.append(part, Origin::Tensor);
        for (role, tensor) in own {
            if tensors.iter().all(|(other, _)| *other != role) {
                tensors.push((role, tensor));
            }
        }
    }
    Stopwatch::new(gpu, plan, tensors, None)
}

/// A plan that adds up a tensor into one number.
fn sum<'a>(gpu: &'a Gpu, from: &Tensor, plan: Plan) -> Result<Stopwatch<'a>> {
    let mut tensors = gpu.place(&[(Role::Input, from)], None)?;
    tensors.push((Role::Loss, gpu.allocate(Dtype::F32, &[])?));
    Stopwatch::new(gpu, plan, tensors, None)
}

/// The first elements of an f32 tensor that begins its memory.
fn start_of(name: &'static str, tensor: &Tensor, len: usize) -> Result<Tensor> {
    let view = tensor.view();
    expect_dtype(name, view, &[Dtype::F32])?;
    if view.offset > 0 || !view.is_contiguous() || view.len() < len as u64 {
        let message = format!(
            "expected {len} elements or more without gaps from the start of a buffer, got {:?}",
            view.shape
        );
        return Err(Error::operand(name, message));
    }
    Ok(Tensor {
        view: View::contiguous(Dtype::F32, &[len]),
        ..tensor.clone()
    })
}
