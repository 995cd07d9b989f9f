//! The engine: on a device it opens, on the user's own, or on the processor.

use std::sync::{Arc, Mutex};

use crate::argument::{Argument, Form, Lent};
use crate::call::{Asked, Key};
use crate::cpu;
use crate::dtype::Dtype;
use crate::error::{Error, Result};
use crate::gpu::{Alters, Found, Gpu, Pace, Pipelines, Waiting, adapters, describe};
use crate::limits::Limits;
use crate::output::Output;
use crate::plan::{CONTROL_WORDS, plan_count};
use crate::problem::Problem;
use crate::shader::Variant;
use crate::tensor::Tensor;
use crate::tuning::Tuning;
use crate::view::View;
use crate::words::Role;

/// Computes losses: on a GPU through wgpu, or on the processor through the f64 reference.
#[derive(Debug)]
pub struct Engine {
    backend: Backend,
}

#[derive(Debug)]
enum Backend {
    Gpu(Box<Gpu>),
    Cpu,
}

impl Engine {
    /// Opens the best adapter: a discrete GPU before an integrated one before a software one, with all its limits.
    ///
    /// # Errors
    /// [`Error::NoAdapter`] where there is none, [`Error::Device`] where it cannot be opened.
    pub fn new() -> Result<Self> {
        Self::open("")
    }

    /// Opens the best adapter whose name, backend or kind contains `name`, in any case.
    ///
    /// # Errors
    /// As [`Engine::new`]; the message names the adapters there are.
    pub fn open(name: &str) -> Result<Self> {
        let all = adapters();
        let wanted = |adapter: &&wgpu::Adapter| {
            describe(&adapter.get_info())
                .to_lowercase()
                .contains(&name.to_lowercase())
        };
        let mut refused = None;
        for adapter in all.iter().filter(wanted) {
            match Gpu::open(adapter) {
                Ok(gpu) => return Ok(Self::on(gpu)),
                Err(error) => refused = refused.or(Some(error)),
            }
        }
        let names: Vec<_> = all.iter().map(|adapter| describe(&adapter.get_info())).collect();
        Err(refused.unwrap_or_else(|| {
            Error::NoAdapter(if names.is_empty() {
                "the machine has no Vulkan, Metal or DX12 adapter \
                 (on Debian, `apt-get install mesa-vulkan-drivers libvulkan1` gives a software one)"
                    .into()
            } else {
                format!("none matches {name:?}; there are: {}", names.join("; "))
            })
        }))
    }

    /// Works on the user's device and queue. Its limits are those of the device; see [`Engine::features`] and
    /// [`Engine::limits`] for what is worth requesting. The first engine on a device of its kind submits some small
    /// kernels, whose results say what plans may take for granted, and waits for them. What the engine does causes no
    /// uncaptured error; the handlers for those and for the loss of the device stay the user's.
    pub fn from_wgpu(device: wgpu::Device, queue: wgpu::Queue) -> Self {
        Self::on(Gpu::adopt(device, queue, Arc::default()))
    }

    fn on(gpu: Gpu) -> Self {
        Self {
            backend: Backend::Gpu(Box::new(gpu)),
        }
    }

    /// Computes on the processor, in f64, in parallel: the answer where there is no adapter.
    pub fn cpu() -> Self {
        Self { backend: Backend::Cpu }
    }

    /// The optional features that the engine uses where an adapter has them: timestamps, for [`Engine::stopwatch`], a
    /// cache of pipelines, for [`Engine::keep_pipelines`], and subgroups, which merge the states of a row without a
    /// barrier.
    pub fn features(adapter: &wgpu::Adapter) -> wgpu::Features {
        Gpu::features(adapter)
    }

    /// The limits worth requesting: all that the adapter has.
    pub fn limits(adapter: &wgpu::Adapter) -> wgpu::Limits {
        adapter.limits()
    }

    /// The adapters of this machine, the best first.
    pub fn adapters() -> Vec<wgpu::AdapterInfo> {
        adapters().iter().map(wgpu::Adapter::get_info).collect()
    }

    /// What the engine runs on.
    pub fn name(&self) -> String {
        match &self.backend {
            Backend::Gpu(gpu) => describe(&gpu.info),
            Backend::Cpu => "f64 reference on the processor".into(),
        }
    }

    /// The adapter, of an engine on a device.
    pub fn adapter_info(&self) -> Option<&wgpu::AdapterInfo> {
        self.gpu().map(|gpu| &gpu.info)
    }

    /// The device and queue, of an engine on a device.
    pub fn wgpu(&self) -> Option<(&wgpu::Device, &wgpu::Queue)> {
        self.gpu().map(|gpu| (&gpu.device, &gpu.queue))
    }

    /// The limits that plans on this engine keep, which can be lowered but not raised: results do not change.
    pub fn plan_limits(&self) -> Option<Limits> {
        self.gpu().map(|gpu| gpu.limits)
    }

    /// Plans under smaller limits than the device has, to see that nothing changes.
    ///
    /// # Errors
    /// [`Error::Limit`] for a limit beyond the device's.
    pub fn set_plan_limits(&mut self, limits: Limits) -> Result<()> {
        let Backend::Gpu(gpu) = &mut self.backend else {
            return Ok(());
        };
        let has = gpu.has;
        let within = limits.offset_alignment > 0
            && limits.uniform_alignment > 0
            && limits.max_groups > 0
            && limits.max_width >= gpu.tuning.width.max(gpu.tuning.row_width)
            && limits.max_binding_bytes <= has.max_binding_bytes
            && limits.max_buffer_bytes <= has.max_buffer_bytes
            && limits.span() > 0
            && limits.max_dispatch_bytes > 0
            && limits.offset_alignment.is_multiple_of(has.offset_alignment.max(1))
            && limits.uniform_alignment.is_multiple_of(has.uniform_alignment.max(1))
            && limits.max_groups <= has.max_groups
            && limits.max_width <= has.max_width
            && [1, has.subgroup].contains(&limits.subgroup)
            && (has.unpacks_f16 || !limits.unpacks_f16)
            && (has.packs_f16 || !limits.packs_f16);
        if !within {
            return Err(Error::Limit(format!("{limits:?} asked for, the device has {has:?}")));
        }
        // What is kept was made under other limits.
        gpu.calls.clear();
        gpu.pool.clear();
        gpu.limits = limits;
        gpu.pace = Mutex::new(Pace::new(&limits));
        Ok(())
    }

    /// Cuts the work in another way than that of the adapter's class, its widths brought down to what the device
    /// allows. The bits of results change. On the processor nothing is cut.
    ///
    /// # Errors
    /// Those of [`Tuning::check`].
    pub fn set_tuning(&mut self, tuning: Tuning) -> Result<()> {
        tuning.check()?;
        if let Backend::Gpu(gpu) = &mut self.backend {
            gpu.calls.clear();
            gpu.tuning = tuning.within(&gpu.limits);
        }
        Ok(())
    }

    /// Composes every shader of what `alter` makes of its variant: for tests that play a hostile compiler.
    #[doc(hidden)]
    pub fn alter_shaders(&mut self, alter: impl Fn(&Variant) -> Variant + Send + Sync + 'static) {
        if let Backend::Gpu(gpu) = &mut self.backend {
            gpu.calls.clear();
            gpu.pipelines = Pipelines::default();
            gpu.alters = Some(Alters(Box::new(alter)));
        }
    }

    pub(crate) fn gpu(&self) -> Option<&Gpu> {
        match &self.backend {
            Backend::Gpu(gpu) => Some(gpu),
            Backend::Cpu => None,
        }
    }

    pub(crate) fn gpu_mut(&mut self) -> Option<&mut Gpu> {
        match &mut self.backend {
            Backend::Gpu(gpu) => Some(gpu),
            Backend::Cpu => None,
        }
    }

    /// Brings a host tensor to where the engine computes; a tensor already there is shared.
    ///
    /// # Errors
    /// [`Error::Operand`] for a tensor larger than a buffer, [`Error::Device`] where the device fails.
    pub fn upload(&self, tensor: &Tensor) -> Result<Tensor> {
        match (&self.backend, tensor.host_bytes()) {
            (Backend::Cpu, _) | (_, None) => Ok(tensor.clone()),
            (Backend::Gpu(gpu), Some(bytes)) => gpu.upload(bytes, &tensor.view),
        }
    }

    /// Brings numbers to where the engine computes, straight from where they lie: slices and, with the feature
    /// `ndarray`, views. On a device nothing is copied on the host; on the processor, where the tensor keeps them,
    /// they are copied once.
    ///
    /// # Errors
    /// As [`Engine::upload`]; [`Error::Operand`] where the shape does not hold as many numbers.
    pub fn upload_from<'a>(&self, numbers: impl Argument<'a>) -> Result<Tensor> {
        self.bring(&numbers.lend("tensor")?, None)
    }

    /// The same, integers as the floats that they are taken for.
    pub(crate) fn bring(&self, lent: &Lent<'_>, taken_as: Option<Dtype>) -> Result<Tensor> {
        match (&lent.0, self.gpu()) {
            (Form::Numbers { dtype, shape, bytes }, Some(gpu)) if taken_as.is_none_or(|own| own == *dtype) => {
                gpu.upload(bytes, &View::contiguous(*dtype, shape))
            }
            (Form::Numbers { .. }, _) => self.taken(&lent.clone().into_tensor()?, taken_as),
            (Form::Tensor(tensor), _) => self.taken(tensor, taken_as),
        }
    }

    fn taken(&self, tensor: &Tensor, taken_as: Option<Dtype>) -> Result<Tensor> {
        match taken_as {
            Some(dtype) if tensor.host_bytes().is_some() => self.upload(tensor.taken_as(dtype)?.as_ref()),
            _ => self.upload(tensor),
        }
    }

    /// Computes a call. `identify` writes all options of its loss, or says that it cannot; `problem` validates the
    /// call, where none like it is kept.
    pub(crate) async fn run(
        &self,
        asked: &Asked<'_>,
        waiting: Waiting,
        identify: impl FnOnce(&mut Key) -> bool,
        problem: impl FnOnce() -> Result<Problem>,
    ) -> Result<Output> {
        let Some(gpu) = self.gpu() else {
            let problem = problem()?;
            return cpu::answer(&problem, asked.call, &cpu::held(&asked.operands(&problem)));
        };
        let planned = match gpu.find(asked, asked.key(gpu.limits.step(), identify)) {
            Found::Planned(planned) => planned,
            Found::New(new) => gpu.plan(new, problem()?)?,
        };
        gpu.run(asked, planned, waiting).await
    }

    /// What class targets and the weights of rows add up to, by themselves.
    pub(crate) fn count(&self, problem: &Problem, given: &[(Role, &Tensor)]) -> Result<Output> {
        let mut output = Output::empty(problem);
        output.control = Some(match self.gpu() {
            Some(gpu) => {
                let plan = plan_count(problem, &gpu.paced_limits(), &gpu.tuning)?;
                let mut tensors = gpu.place(given, Some(problem))?;
                let control = gpu.allocate(Dtype::U32, &[CONTROL_WORDS as usize])?;
                tensors.push((Role::Control, control.clone()));
                gpu.submit(&plan, &tensors)?;
                control
            }
            None => cpu::control_tensor(&cpu::count(problem, &cpu::held(given))?.control)?,
        });
        Ok(output)
    }

    /// Records a call; `identify` and `problem` as in [`Engine::run`].
    pub(crate) fn encode(
        &self,
        encoder: &mut wgpu::CommandEncoder,
        asked: &Asked<'_>,
        identify: impl FnOnce(&mut Key) -> bool,
        problem: impl FnOnce() -> Result<Problem>,
    ) -> Result<Output> {
        let gpu = self.device()?;
        let planned = match gpu.find_whole(asked, asked.key(gpu.limits.step(), identify)) {
            Found::Planned(planned) => planned,
            Found::New(new) => gpu.plan(new, problem()?)?,
        };
        gpu.encode(encoder, asked, planned)
    }

    pub(crate) fn device(&self) -> Result<&Gpu> {
        self.gpu()
            .ok_or_else(|| Error::Device("this engine computes on the processor and has no device".into()))
    }
}
