//! A device: its buffers, its pipelines, and plans recorded into encoders.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::error::{Error, Result};
use crate::layout::Slot;
use crate::limits::{Limits, Tuning};
use crate::loss::{Call, GradTo};
use crate::plan::{Copy, Dispatch, Plan, Source, Step};
use crate::problem::{Problem, Role};
use crate::readback::Output;
use crate::shader::Variant;
use crate::tensor::{Dtype, Storage, Tensor, View};
use crate::timing::Timer;

/// A device with what the engine knows of it.
#[derive(Debug)]
pub(crate) struct Gpu {
    pub device: wgpu::Device,
    pub queue: wgpu::Queue,
    pub limits: Limits,
    pub tuning: Tuning,
    pub info: wgpu::AdapterInfo,
    pub pipelines: Mutex<HashMap<Variant, wgpu::ComputePipeline>>,
    /// What wgpu reported outside of any call, on devices that the engine opened.
    pub uncaptured: Arc<Mutex<Option<String>>>,
}

/// A lock that a panic elsewhere does not take away: what it guards is whole between any two statements.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// All operands of a call by role.
pub(crate) fn operands<'a>(call: &Call<'a>, given: &[(Role, &'a Tensor)]) -> Vec<(Role, &'a Tensor)> {
    let mut list = vec![(Role::Input, call.input), (Role::Target, call.target)];
    list.extend(call.grad_output.map(|tensor| (Role::GradOutput, tensor)));
    list.extend(given);
    list
}

/// A step with all that recording it needs.
enum Ready<'a> {
    Copy(&'a wgpu::Buffer, &'a wgpu::Buffer, Copy),
    Dispatch(wgpu::ComputePipeline, wgpu::BindGroup, [u32; 2]),
}

impl Gpu {
    /// Reports what wgpu reported since the last call.
    pub fn check(&self) -> Result<()> {
        match lock(&self.uncaptured).take() {
            Some(message) => Err(Error::Device(message)),
            None => Ok(()),
        }
    }

    pub fn upload(&self, bytes: &[u8], view: &View) -> Result<Tensor> {
        Ok(Tensor {
            storage: Storage::Device(self.filled("wgloss tensor", bytes, tensor_usage())?),
            view: view.clone(),
        })
    }

    /// A new buffer that holds `bytes` before anything is submitted.
    fn filled(&self, label: &str, bytes: &[u8], usage: wgpu::BufferUsages) -> Result<wgpu::Buffer> {
        let buffer = self.create(label, bytes.len() as u64, usage, true)?;
        let mut mapped = buffer
            .get_mapped_range_mut(..)
            .map_err(|e| Error::Device(e.to_string()))?;
        mapped.slice(..bytes.len()).copy_from_slice(bytes);
        drop(mapped);
        buffer.unmap();
        Ok(buffer)
    }

    pub fn allocate(&self, dtype: Dtype, shape: &[usize]) -> Result<Tensor> {
        let view = View::contiguous(dtype, shape);
        let buffer = self.buffer("wgloss output", view.end(), tensor_usage())?;
        Ok(Tensor {
            storage: Storage::Device(buffer),
            view,
        })
    }

    pub fn buffer(&self, label: &str, bytes: u64, usage: wgpu::BufferUsages) -> Result<wgpu::Buffer> {
        self.create(label, bytes, usage, false)
    }

    /// A buffer long enough for any window of it to hold a whole element of the shaders' arrays.
    fn create(&self, label: &str, bytes: u64, usage: wgpu::BufferUsages, mapped: bool) -> Result<wgpu::Buffer> {
        let size = bytes.max(16).next_multiple_of(16);
        if size > self.limits.max_buffer_bytes {
            return Err(Error::Limit(format!(
                "{label} of {size} bytes, a buffer of the adapter has {}",
                self.limits.max_buffer_bytes
            )));
        }
        let buffer = self.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some(label),
            size,
            usage,
            mapped_at_creation: mapped,
        });
        self.check()?;
        Ok(buffer)
    }

    /// The operands on the device: host tensors are uploaded.
    pub fn place(&self, operands: &[(Role, &Tensor)]) -> Result<Vec<(Role, Tensor)>> {
        operands
            .iter()
            .map(|&(role, tensor)| {
                let placed = match tensor.host_bytes() {
                    Some(bytes) => self.upload(bytes, &tensor.view)?,
                    None => tensor.clone(),
                };
                if let Some(buffer) = placed.buffer() {
                    expect_usage(role, buffer, wgpu::BufferUsages::STORAGE)?;
                }
                Ok((role, placed))
            })
            .collect()
    }

    /// All tensors that the plan of a call names: operands brought to the device, and outputs made for it.
    pub fn prepare(
        &self,
        problem: &Problem,
        call: &Call<'_>,
        given: &[(Role, &Tensor)],
    ) -> Result<(Vec<(Role, Tensor)>, Output)> {
        let mut tensors = self.place(&operands(call, given))?;
        let output = self.outputs(problem, call, &mut tensors)?;
        Ok((tensors, output))
    }

    /// Makes the outputs of a problem, and adds them to the tensors that its plan names.
    fn outputs(&self, problem: &Problem, call: &Call<'_>, tensors: &mut Vec<(Role, Tensor)>) -> Result<Output> {
        let mut output = Output {
            loss: None,
            grad_input: None,
            grad_target: None,
            control: None,
            facts: problem.into(),
        };
        if problem.mode.wants_loss() {
            output.loss = Some(self.allocate(Dtype::F32, &problem.loss_shape())?);
        }
        if problem.mode.wants_grad() {
            let shape = &problem.input.shape;
            output.grad_input = Some(match call.grad_input {
                GradTo::New => self.allocate(problem.input.dtype, shape)?,
                GradTo::Into(tensor) if tensor.buffer().is_none() => {
                    return Err(Error::operand(
                        "grad_input",
                        "lies on the host, the engine writes on its device",
                    ));
                }
                GradTo::Into(tensor) => tensor.clone(),
                GradTo::InPlace if problem.in_place => call.input.clone(),
                // The input was uploaded for this call: its copy is ours to write.
                GradTo::InPlace => self.allocate(problem.input.dtype, shape)?,
            });
        }
        if problem.wants_grad_target {
            output.grad_target = Some(self.allocate(Dtype::F32, &problem.input.shape)?);
        }
        if problem.ignore_index().is_some() {
            output.control = Some(self.allocate(Dtype::U32, &[8])?);
        }
        let grad_buffer = output
            .grad_input
            .as_ref()
            .and_then(Tensor::buffer)
            .filter(|_| !problem.in_place);
        if let Some(buffer) = grad_buffer {
            expect_usage(Role::GradInput, buffer, wgpu::BufferUsages::STORAGE)?;
            for (role, tensor) in tensors.iter() {
                if tensor.buffer() == Some(buffer) {
                    return Err(Error::operand(
                        "grad_input",
                        format!(
                            "lies in the same buffer as {}; wgpu forbids a dispatch to read and write one buffer \
                             (give it a buffer of its own, or write over the input in place)",
                            role.name()
                        ),
                    ));
                }
            }
        }
        if problem.in_place {
            let input = call.input.buffer();
            if let Some((role, _)) = tensors
                .iter()
                .find(|(role, tensor)| *role != Role::Input && input.is_some() && tensor.buffer() == input)
            {
                return Err(Error::operand(
                    role.name(),
                    "lies in the buffer of the input, which the gradient is to be written over; wgpu forbids a dispatch \
                     to read and write one buffer",
                ));
            }
        }
        let made = [
            (Role::Loss, &output.loss),
            (Role::GradInput, &output.grad_input),
            (Role::GradTarget, &output.grad_target),
            (Role::Control, &output.control),
        ];
        tensors.extend(
            made.into_iter()
                .filter_map(|(role, tensor)| tensor.clone().map(|tensor| (role, tensor))),
        );
        Ok(output)
    }

    /// Records a plan. Params get a buffer of their own, filled before anything is submitted and never written again:
    /// `queue.write_buffer` would run before the whole submission, so that two recordings sharing one buffer would
    /// both see the later values.
    pub fn record(
        &self,
        encoder: &mut wgpu::CommandEncoder,
        plan: &Plan,
        tensors: &[(Role, Tensor)],
        timer: Option<&Timer>,
    ) -> Result<()> {
        let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST;
        let scratch = plan
            .scratch
            .iter()
            .map(|&bytes| self.buffer("wgloss scratch", bytes, usage))
            .collect::<Result<Vec<_>>>()?;
        let buffer_of = |source: Source| -> Result<&wgpu::Buffer> {
            match source {
                Source::Scratch(index) => scratch.get(index),
                Source::Tensor(role) => tensors
                    .iter()
                    .find(|(r, _)| *r == role)
                    .and_then(|(_, tensor)| tensor.buffer()),
            }
            .ok_or_else(|| Error::Device(format!("the plan names {source:?}, which the call does not have")))
        };
        // Whatever can fail comes first: the encoder may be the caller's.
        let (params, offsets) = self.params(plan)?;
        let mut offsets = offsets.into_iter();
        let mut ready = Vec::new();
        for step in &plan.steps {
            ready.push(match step {
                Step::Copy(copy) => {
                    let (from, to) = (buffer_of(copy.from)?, buffer_of(copy.to)?);
                    for (source, buffer, usage) in [
                        (copy.from, from, wgpu::BufferUsages::COPY_SRC),
                        (copy.to, to, wgpu::BufferUsages::COPY_DST),
                    ] {
                        if let Source::Tensor(role) = source {
                            expect_usage(role, buffer, usage)?;
                        }
                    }
                    Ready::Copy(from, to, *copy)
                }
                Step::Dispatch(dispatch) => {
                    let pipeline = self.pipeline(&dispatch.variant)?;
                    let offset = offsets.next().unwrap_or_default();
                    let group = self.bind_group(dispatch, &pipeline, &params, offset, &buffer_of)?;
                    Ready::Dispatch(pipeline, group, dispatch.groups)
                }
            });
        }
        self.check()?;
        let mut pass: Option<wgpu::ComputePass<'_>> = None;
        let mut first = true;
        for step in ready {
            match step {
                Ready::Copy(from, to, copy) => {
                    pass = None; // copies stand outside of passes
                    encoder.copy_buffer_to_buffer(from, copy.from_offset, to, copy.to_offset, copy.size);
                }
                Ready::Dispatch(pipeline, group, groups) => {
                    let pass = pass.get_or_insert_with(|| {
                        let descriptor = wgpu::ComputePassDescriptor {
                            label: Some("wgloss"),
                            timestamp_writes: timer.map(|timer| timer.writes(std::mem::take(&mut first))),
                        };
                        encoder.begin_compute_pass(&descriptor).forget_lifetime()
                    });
                    pass.set_pipeline(&pipeline);
                    pass.set_bind_group(0, &group, &[]);
                    pass.dispatch_workgroups(groups[0], groups[1], 1);
                }
            }
        }
        drop(pass);
        self.check()
    }

    /// One uniform buffer with the params of all dispatches, and where each begins.
    fn params(&self, plan: &Plan) -> Result<(wgpu::Buffer, Vec<u64>)> {
        let mut bytes = Vec::new();
        let mut offsets = Vec::new();
        for dispatch in plan.dispatches() {
            bytes.resize(bytes.len().next_multiple_of(self.limits.uniform_alignment as usize), 0);
            offsets.push(bytes.len() as u64);
            bytes.extend(&dispatch.params);
        }
        Ok((
            self.filled("wgloss params", &bytes, wgpu::BufferUsages::UNIFORM)?,
            offsets,
        ))
    }

    fn bind_group<'a>(
        &self,
        dispatch: &Dispatch,
        pipeline: &wgpu::ComputePipeline,
        params: &wgpu::Buffer,
        offset: u64,
        buffer_of: &impl Fn(Source) -> Result<&'a wgpu::Buffer>,
    ) -> Result<wgpu::BindGroup> {
        let entry = |slot: Slot, buffer, offset, size| wgpu::BindGroupEntry {
            binding: slot as u32,
            resource: wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                buffer,
                offset,
                size: wgpu::BufferSize::new(size),
            }),
        };
        let mut entries = vec![entry(Slot::Params, params, offset, dispatch.params.len() as u64)];
        for binding in &dispatch.bindings {
            // The shader's arrays hold vectors of 16 bytes and structs of up to 32; buffers of our own are that long.
            entries.push(entry(
                binding.slot,
                buffer_of(binding.source)?,
                binding.offset,
                binding.size,
            ));
        }
        Ok(self.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some(&dispatch.variant.label),
            layout: &pipeline.get_bind_group_layout(0),
            entries: &entries,
        }))
    }

    /// The pipeline of a variant, compiled once.
    fn pipeline(&self, variant: &Variant) -> Result<wgpu::ComputePipeline> {
        if let Some(pipeline) = lock(&self.pipelines).get(variant) {
            return Ok(pipeline.clone());
        }
        let source = variant.compose();
        let module = self.device.create_shader_module(wgpu::ShaderModuleDescriptor {
            label: Some(&variant.label),
            source: wgpu::ShaderSource::Wgsl(source.text.into()),
        });
        let pipeline = self.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(&variant.label),
            layout: None,
            module: &module,
            entry_point: Some("main"),
            compilation_options: Default::default(),
            cache: None,
        });
        self.check()?;
        lock(&self.pipelines).insert(variant.clone(), pipeline.clone());
        Ok(pipeline)
    }
}

fn tensor_usage() -> wgpu::BufferUsages {
    wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST
}

fn expect_usage(role: Role, buffer: &wgpu::Buffer, usage: wgpu::BufferUsages) -> Result<()> {
    if buffer.usage().contains(usage) {
        return Ok(());
    }
    Err(Error::operand(
        role.name(),
        format!("its buffer has usage {:?}, {usage:?} is needed", buffer.usage()),
    ))
}
