//! A device: its buffers, its pipelines, and plans recorded into encoders.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::error::{Error, Result};
use crate::layout::{FAULT_WORDS, Slot};
use crate::limits::{Limits, Tuning};
use crate::loss::{Call, GradTo};
use crate::plan::{CONTROL_WORDS, Copy, Dispatch, Plan, Source, Step};
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
pub(crate) fn operands<'a>(
    problem: &Problem,
    call: &Call<'a>,
    given: &[(Role, &'a Tensor)],
) -> Vec<(Role, &'a Tensor)> {
    let signature = problem
        .operands
        .iter()
        .map(|own| own.role)
        .zip(call.tensors.iter().copied());
    let mut list: Vec<_> = signature.collect();
    list.extend(given);
    list.extend(call.grad_output.map(|tensor| (Role::GradOutput, tensor)));
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
                    expect_usage(role.name(), buffer, wgpu::BufferUsages::STORAGE)?;
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
        let mut tensors = self.place(&operands(problem, call, given))?;
        let output = self.outputs(problem, call, &mut tensors)?;
        Ok((tensors, output))
    }

    /// Makes the outputs of a problem, and adds them to the tensors that its plan names.
    fn outputs(&self, problem: &Problem, call: &Call<'_>, tensors: &mut Vec<(Role, Tensor)>) -> Result<Output> {
        let mut output = Output::empty(problem);
        let mut make = |role, dtype, shape: &[usize]| -> Result<Option<Tensor>> {
            let tensor = self.allocate(dtype, shape)?;
            tensors.push((role, tensor.clone()));
            Ok(Some(tensor))
        };
        let (stats, mode) = (problem.stats, problem.mode);
        if mode.wants_loss() {
            let made = make(Role::Loss, problem.loss_dtype(), problem.loss_shape())?;
            // The index of an arg-max is no loss.
            if problem.loss_dtype() == Dtype::I64 {
                output.argmax = made;
            } else {
                output.loss = made;
            }
        }
        if stats.z_loss {
            output.z_loss = make(Role::ZLoss, Dtype::F32, problem.loss_shape())?;
        }
        if stats.lse {
            output.lse = make(Role::Lse, Dtype::F32, &problem.terms)?;
        }
        if stats.entropy {
            output.entropy = make(Role::Entropy, Dtype::F32, &problem.terms)?;
        }
        if stats.argmax {
            output.argmax = make(Role::Argmax, Dtype::U32, &problem.terms)?;
        }
        if stats.accuracy {
            output.correct = make(Role::Correct, Dtype::U32, &[])?;
        }
        if problem.has_control() {
            output.control = make(Role::Control, Dtype::U32, &[CONTROL_WORDS as usize])?;
        }
        for (nth, check) in problem.checks.iter().enumerate() {
            let made = make(Role::Fault(nth as u8), Dtype::U32, &[FAULT_WORDS])?;
            output.faults.extend(made.map(|tensor| (check.clone(), tensor)));
        }
        for (place, (operand, tensor)) in problem.operands.iter().zip(&call.tensors).enumerate() {
            if operand.grad.is_none() {
                continue;
            }
            let fresh = || self.allocate(operand.view.dtype, tensor.shape());
            if place > 0 {
                output.grads.push((operand.role, fresh()?));
                continue;
            }
            output.grad_input = Some(match call.grad_input {
                GradTo::New => fresh()?,
                GradTo::Into(own) | GradTo::AddTo(own) if own.buffer().is_none() => {
                    return Err(Error::operand(
                        "grad_input",
                        "lies on the host, the engine writes on its device",
                    ));
                }
                GradTo::Into(own) | GradTo::AddTo(own) => {
                    Self::expect_alone(own, tensors)?;
                    own.clone()
                }
                GradTo::InPlace if problem.in_place => {
                    expect_alone_in_place(tensor, tensors)?;
                    (*tensor).clone()
                }
                // The input was uploaded for this call: its copy is ours to write.
                GradTo::InPlace => fresh()?,
            });
        }
        for (operand, role, _) in problem.grads() {
            let own = output
                .grads
                .iter()
                .find(|(role, _)| *role == operand.role)
                .map(|(_, tensor)| tensor);
            tensors.extend(own.or(output.grad_input.as_ref()).map(|tensor| (role, tensor.clone())));
        }
        Ok(output)
    }

    /// Refuses a place for the gradient that another tensor of the call shares.
    fn expect_alone(grad: &Tensor, tensors: &[(Role, Tensor)]) -> Result<()> {
        let Some(buffer) = grad.buffer() else {
            return Ok(());
        };
        expect_usage("grad_input", buffer, wgpu::BufferUsages::STORAGE)?;
        match tensors.iter().find(|(_, tensor)| tensor.buffer() == Some(buffer)) {
            Some((role, _)) => Err(Error::operand(
                "grad_input",
                format!(
                    "lies in the same buffer as {}; wgpu forbids a dispatch to read and write one buffer \
                     (give it a buffer of its own, or write over the input in place)",
                    role.name()
                ),
            )),
            None => Ok(()),
        }
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
                            expect_usage(role.name(), buffer, usage)?;
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

/// Refuses a tensor in the buffer that the gradient is to be written over.
fn expect_alone_in_place(input: &Tensor, tensors: &[(Role, Tensor)]) -> Result<()> {
    let shares = |(_, tensor): &&(Role, Tensor)| tensor.buffer() == input.buffer();
    match tensors.iter().filter(shares).nth(1) {
        Some((role, _)) => Err(Error::operand(
            role.name(),
            "lies in the buffer of the input, which the gradient is to be written over; wgpu forbids a dispatch to read \
             and write one buffer",
        )),
        None => Ok(()),
    }
}

fn tensor_usage() -> wgpu::BufferUsages {
    wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST
}

fn expect_usage(name: &'static str, buffer: &wgpu::Buffer, usage: wgpu::BufferUsages) -> Result<()> {
    if buffer.usage().contains(usage) {
        return Ok(());
    }
    Err(Error::operand(
        name,
        format!("its buffer has usage {:?}, {usage:?} is needed", buffer.usage()),
    ))
}
