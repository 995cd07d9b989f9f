//! Times on the device: timestamps around the passes of one recording.

use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::gpu::Gpu;
use crate::loss::{Call, Loss};
use crate::plan::{Plan, plan, plan_copy, plan_reduce};
use crate::problem::Role;
use crate::tensor::{Dtype, Tensor};

/// One timing: what the clock on the wall and the device's own say.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// From before the submission until the device was done.
    pub wall_ns: f64,
    /// From the start of the first dispatch to the end of the last; `None` where the device has no timestamps.
    pub device_ns: Option<f64>,
}

/// Two timestamps.
pub(crate) struct Timer {
    queries: wgpu::QuerySet,
    resolved: wgpu::Buffer,
    staging: wgpu::Buffer,
}

impl Timer {
    pub fn new(gpu: &Gpu) -> Result<Option<Self>> {
        if !gpu.device.features().contains(wgpu::Features::TIMESTAMP_QUERY) {
            return Ok(None);
        }
        Ok(Some(Self {
            queries: gpu.device.create_query_set(&wgpu::QuerySetDescriptor {
                label: Some("wgloss timing"),
                ty: wgpu::QueryType::Timestamp,
                count: 2,
            }),
            resolved: gpu.buffer(
                "wgloss timing",
                16,
                wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC,
            )?,
            staging: gpu.buffer(
                "wgloss timing readback",
                16,
                wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
            )?,
        }))
    }

    /// The timestamps of a pass: the first pass writes the start, and every pass the end, which the last leaves.
    pub fn writes(&self, first: bool) -> wgpu::ComputePassTimestampWrites<'_> {
        wgpu::ComputePassTimestampWrites {
            query_set: &self.queries,
            beginning_of_pass_write_index: first.then_some(0),
            end_of_pass_write_index: Some(1),
        }
    }

    /// Records the way of the timestamps to where the host can map them.
    pub fn resolve(&self, encoder: &mut wgpu::CommandEncoder) {
        encoder.resolve_query_set(&self.queries, 0..2, &self.resolved, 0);
        encoder.copy_buffer_to_buffer(&self.resolved, 0, &self.staging, 0, 16);
    }

    /// Asks for the timestamps, once their recording is submitted.
    pub fn map(&self) {
        self.staging.map_async(wgpu::MapMode::Read, .., |_| {});
    }

    /// The nanoseconds between the timestamps, once they are there.
    pub fn read(&self, gpu: &Gpu) -> Result<f64> {
        let ticks: [u64; 2] = {
            let mapped = self.staging.slice(..).get_mapped_range();
            let mapped = mapped.map_err(|e| gpu.lost_or(Error::Device(e.to_string())))?;
            bytemuck::pod_read_unaligned(&mapped[..16])
        };
        self.staging.unmap();
        let period = f64::from(gpu.queue.get_timestamp_period());
        Ok(ticks[1].wrapping_sub(ticks[0]) as f64 * period)
    }
}

impl Engine {
    /// Runs a call `runs` times on tensors that stay where they are, and times each run. Outputs are allocated once,
    /// before the first.
    ///
    /// # Errors
    /// As [`Loss::run`].
    pub fn time(&self, loss: &dyn Loss, call: &Call<'_>, runs: usize) -> Result<Vec<Timing>> {
        let problem = loss.problem(call)?;
        let Some(gpu) = self.gpu() else {
            return (0..runs)
                .map(|_| {
                    let start = std::time::Instant::now();
                    let _ = loss.run(self, call)?;
                    Ok(Timing {
                        wall_ns: start.elapsed().as_nanos() as f64,
                        device_ns: None,
                    })
                })
                .collect();
        };
        let plan = plan(&problem, &gpu.limits, &gpu.tuning)?;
        let (tensors, _output) = gpu.prepare(&problem, call, &loss.tensors())?;
        gpu.time(&plan, &tensors, runs)
    }

    /// Times the kernel that reads `tensor` and adds it up: the ceiling of a forward.
    ///
    /// # Errors
    /// [`Error::Device`] on an engine without a device, [`Error::Limit`].
    pub fn time_read(&self, tensor: &Tensor, runs: usize) -> Result<Vec<Timing>> {
        let gpu = self.device()?;
        crate::problem::expect_dtype("tensor", tensor.view(), &[Dtype::F32])?;
        let plan = plan_reduce(crate::plan::ReduceOp::Sum, tensor.view(), &gpu.limits, &gpu.tuning)?;
        let mut tensors = gpu.place(&[(Role::Input, tensor)])?;
        tensors.push((Role::Loss, gpu.allocate(Dtype::F32, &[])?));
        gpu.time(&plan, &tensors, runs)
    }

    /// Times the kernel that copies `tensor`, whose length must be a multiple of 4: the ceiling of a fused run.
    ///
    /// # Errors
    /// As [`Engine::time_read`].
    pub fn time_copy(&self, tensor: &Tensor, runs: usize) -> Result<Vec<Timing>> {
        let gpu = self.device()?;
        let view = tensor.view();
        let whole = view.offset == 0 && view.is_contiguous() && view.dtype == Dtype::F32;
        if !whole || !view.len().is_multiple_of(4) || view.len() >= 1 << 32 {
            return Err(Error::operand(
                "tensor",
                "expected f32 from the start of a buffer, a multiple of 4 elements without gaps, fewer than 2^32",
            ));
        }
        let plan = plan_copy(tensor.view(), &gpu.limits, &gpu.tuning)?;
        let mut tensors = gpu.place(&[(Role::Input, tensor)])?;
        tensors.push((Role::Grad(0), gpu.allocate(tensor.dtype(), tensor.shape())?));
        gpu.time(&plan, &tensors, runs)
    }
}

impl Gpu {
    fn time(&self, plan: &Plan, tensors: &[(Role, Tensor)], runs: usize) -> Result<Vec<Timing>> {
        // Without a dispatch no timestamp is written.
        let timer = if plan.steps.is_empty() { None } else { Timer::new(self)? };
        (0..runs)
            .map(|_| self.time_once(plan, tensors, timer.as_ref()))
            .collect()
    }

    fn time_once(&self, plan: &Plan, tensors: &[(Role, Tensor)], timer: Option<&Timer>) -> Result<Timing> {
        let mut encoder = self.device.create_command_encoder(&Default::default());
        self.record(&mut encoder, plan, tensors, timer)?;
        if let Some(timer) = timer {
            timer.resolve(&mut encoder);
        }
        let commands = encoder.finish();
        let start = std::time::Instant::now();
        self.queue.submit([commands]);
        self.wait(None)?;
        let wall_ns = start.elapsed().as_nanos() as f64;
        self.check()?;
        let Some(timer) = timer else {
            return Ok(Timing {
                wall_ns,
                device_ns: None,
            });
        };
        timer.map();
        self.wait(None)?;
        Ok(Timing {
            wall_ns,
            device_ns: Some(timer.read(self)?),
        })
    }
}
