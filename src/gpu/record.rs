//! Plans recorded into an encoder.

use super::activity::count;
use super::timer::Timer;
use super::{Gpu, expect_usage, memory_of, tensor_usage};
use crate::error::{Error, Result};
use crate::layout::Slot;
use crate::memory::Memory;
use crate::plan::sharing::{Bound, Place, bind, words};
use crate::plan::{Binding, BufferCopy, Dispatch, Origin, Step};
use crate::tensor::Tensor;
use crate::words::Role;

/// A copy between two buffers.
#[derive(Debug)]
pub(crate) struct Move {
    from: wgpu::Buffer,
    from_offset: u64,
    to: wgpu::Buffer,
    to_offset: u64,
    size: u64,
}

/// A step with all that recording it needs. What a dispatch touches in two buffers at once, or cannot bind beside its
/// other windows, is brought together before, and taken back after it.
#[derive(Debug, Default)]
pub(crate) struct Ready {
    before: Vec<Move>,
    dispatch: Option<(wgpu::ComputePipeline, wgpu::BindGroup, [u32; 2])>,
    after: Vec<Move>,
    /// Bytes of the buffers that are its own.
    pub bridges: u64,
}

impl Ready {
    pub fn copies(before: Vec<Move>) -> Self {
        Self {
            before,
            ..Self::default()
        }
    }
}

impl Gpu {
    /// Records steps of a plan.
    pub fn record_steps(
        &self,
        encoder: &mut wgpu::CommandEncoder,
        steps: &[Step],
        tensors: &[(Role, Tensor)],
        scratch: &[Memory],
        timer: Option<&Timer>,
    ) -> Result<()> {
        let ready = self.guarded("recording", 0, || self.ready(steps, tensors, scratch))??;
        self.encode_steps(encoder, ready.iter(), timer);
        self.check()
    }

    fn ready(&self, steps: &[Step], tensors: &[(Role, Tensor)], scratch: &[Memory]) -> Result<Vec<Ready>> {
        let (params, offsets) = self.params(steps)?;
        let mut offsets = offsets.into_iter();
        let ready = steps.iter().map(|step| match step {
            Step::Copy(copy) => self.ready_copy(copy, tensors, scratch),
            Step::Dispatch(dispatch) => {
                let params = (&params, offsets.next().unwrap_or_default());
                let pipeline = self.pipeline(&dispatch.variant)?;
                self.ready_dispatch(dispatch, &pipeline, params, tensors, scratch)
            }
        });
        ready.collect()
    }

    /// A dispatch whose bindings lie where its tensors do, or, where a window reaches from one buffer of a tensor into
    /// the next, in a buffer of its own.
    pub fn ready_dispatch(
        &self,
        dispatch: &Dispatch,
        pipeline: &wgpu::ComputePipeline,
        params: (&wgpu::Buffer, u64),
        tensors: &[(Role, Tensor)],
        scratch: &[Memory],
    ) -> Result<Ready> {
        let mut memories = Vec::with_capacity(dispatch.bindings.len());
        for binding in &dispatch.bindings {
            memories.push(memory_of(binding.source, tensors, scratch)?);
        }
        let sharing = sharing_of(&dispatch.bindings, &memories)?;
        let how = |nth: usize| sharing.as_ref().map_or(Bound::There, |own| own[nth]);
        let (mut before, mut after, mut bound, mut bridges) = (Vec::new(), Vec::new(), Vec::new(), 0);
        for (nth, (binding, memory)) in dispatch.bindings.iter().zip(memories).enumerate() {
            if binding.written {
                memory.touch();
            }
            let there = memory.run(binding.offset, binding.size);
            if let Some(run) = there.filter(|_| how(nth) != Bound::Apart) {
                bound.push((run.buffer.clone(), run.offset));
                continue;
            }
            if let Origin::Tensor(role) = binding.source {
                expect_copied(role, memory, binding.written)?;
            }
            let bridge = self.buffer("wgloss bridge", binding.size, tensor_usage())?;
            bridges += bridge.size();
            // Neighbours are brought along, as the windows of shaders hold them, and never taken back.
            let own = words(&(binding.own.0..binding.own.1));
            let mut at = 0;
            for run in memory.runs(binding.offset, binding.size) {
                let here = (run.buffer.clone(), run.offset);
                before.push(moved(here, (bridge.clone(), at), run.size));
                let (from, to) = (
                    own.start.max(binding.offset + at),
                    own.end.min(binding.offset + at + run.size),
                );
                if binding.written && from < to {
                    let within = from - binding.offset;
                    let back = (run.buffer.clone(), run.offset + within - at);
                    after.push(moved((bridge.clone(), within), back, to - from));
                }
                at += run.size;
            }
            bound.push((bridge, 0));
        }
        let slots = dispatch.bindings.iter().enumerate();
        let slots = slots
            .filter(|(nth, _)| how(*nth) == Bound::Writable)
            .map(|(_, own)| own.slot);
        let slots: Vec<Slot> = slots.collect();
        let pipeline = match slots.is_empty() {
            true => pipeline.clone(),
            false => self.pipeline(&dispatch.variant.sharing(slots))?,
        };
        let group = self.bind_group(dispatch, &pipeline, params, &bound);
        Ok(Ready {
            before,
            dispatch: Some((pipeline, group, dispatch.groups)),
            after,
            bridges,
        })
    }

    /// A copy of a plan, cut where either side goes over into another buffer.
    pub fn ready_copy(&self, copy: &BufferCopy, tensors: &[(Role, Tensor)], scratch: &[Memory]) -> Result<Ready> {
        let (from, to) = (
            memory_of(copy.from, tensors, scratch)?,
            memory_of(copy.to, tensors, scratch)?,
        );
        for (source, memory, usage) in [
            (copy.from, from, wgpu::BufferUsages::COPY_SRC),
            (copy.to, to, wgpu::BufferUsages::COPY_DST),
        ] {
            if let Origin::Tensor(role) = source {
                for buffer in memory.parts() {
                    expect_usage(role.name(), buffer, usage)?;
                }
            }
        }
        to.touch();
        let mut list = Vec::new();
        let mut done = 0;
        for own in from.runs(copy.from_offset, copy.size) {
            let mut at = own.offset;
            for other in to.runs(copy.to_offset + done, own.size) {
                list.push(moved(
                    (own.buffer.clone(), at),
                    (other.buffer.clone(), other.offset),
                    other.size,
                ));
                at += other.size;
            }
            done += own.size;
        }
        Ok(Ready::copies(list))
    }

    /// The params of all dispatches for one uniform buffer, and where each begins.
    pub fn uniforms<'a>(&self, steps: impl Iterator<Item = &'a Step>) -> (Vec<u8>, Vec<u64>) {
        let mut bytes = Vec::new();
        let mut offsets = Vec::new();
        for step in steps {
            let Step::Dispatch(dispatch) = step else { continue };
            bytes.resize(bytes.len().next_multiple_of(self.limits.uniform_alignment as usize), 0);
            offsets.push(bytes.len() as u64);
            bytes.extend(&dispatch.params);
        }
        (bytes, offsets)
    }

    /// A uniform buffer with the params of all dispatches, and where each begins. It is filled before anything is
    /// submitted and never written again: `queue.write_buffer` would run before the whole submission, so that two
    /// recordings sharing one buffer would both see the later values.
    pub fn params(&self, steps: &[Step]) -> Result<(wgpu::Buffer, Vec<u64>)> {
        let (bytes, offsets) = self.uniforms(steps.iter());
        Ok((
            self.filled("wgloss params", &bytes, wgpu::BufferUsages::UNIFORM)?,
            offsets,
        ))
    }

    /// The bindings of a dispatch, whose windows begin at these places.
    pub fn bind_group(
        &self,
        dispatch: &Dispatch,
        pipeline: &wgpu::ComputePipeline,
        (params, offset): (&wgpu::Buffer, u64),
        bound: &[(wgpu::Buffer, u64)],
    ) -> wgpu::BindGroup {
        let entry = |slot: Slot, buffer, offset, size| wgpu::BindGroupEntry {
            binding: slot as u32,
            resource: wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                buffer,
                offset,
                size: wgpu::BufferSize::new(size),
            }),
        };
        let mut entries = vec![entry(Slot::Params, params, offset, dispatch.params.len() as u64)];
        // The shader's arrays hold vectors of 16 bytes and structs of up to 32; buffers of our own are that long.
        for (binding, (buffer, offset)) in dispatch.bindings.iter().zip(bound) {
            entries.push(entry(binding.slot, buffer, *offset, binding.size));
        }
        count(&self.counters.bind_groups, 1);
        self.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some(&dispatch.variant.label),
            layout: &pipeline.get_bind_group_layout(0),
            entries: &entries,
        })
    }

    /// Records what is ready. Copies stand outside of passes.
    pub fn encode_steps<'a>(
        &self,
        encoder: &mut wgpu::CommandEncoder,
        steps: impl Iterator<Item = &'a Ready>,
        timer: Option<&Timer>,
    ) {
        let mut pass: Option<wgpu::ComputePass<'_>> = None;
        let mut dispatches = 0;
        for step in steps {
            if !step.before.is_empty() {
                pass = None;
            }
            copy(encoder, &step.before);
            if step.dispatch.is_some() {
                let moves = step.before.iter().chain(&step.after);
                count(&self.counters.copied, moves.map(|own| own.size).sum());
            }
            if let Some((pipeline, group, groups)) = &step.dispatch {
                let pass = pass.get_or_insert_with(|| {
                    let descriptor = wgpu::ComputePassDescriptor {
                        label: Some("wgloss"),
                        timestamp_writes: timer.map(|timer| timer.writes(dispatches == 0)),
                    };
                    encoder.begin_compute_pass(&descriptor).forget_lifetime()
                });
                pass.set_pipeline(pipeline);
                pass.set_bind_group(0, group, &[]);
                pass.dispatch_workgroups(groups[0], groups[1], 1);
                dispatches += 1;
            }
            if !step.after.is_empty() {
                pass = None;
            }
            copy(encoder, &step.after);
        }
        drop(pass);
        count(&self.counters.dispatches, dispatches);
    }
}

/// How bindings are bound that have to do with each other.
fn sharing_of(bindings: &[Binding], memories: &[&Memory]) -> Result<Option<Vec<Bound>>> {
    let mut buffers: Vec<&wgpu::Buffer> = Vec::with_capacity(bindings.len());
    let mut places = Vec::with_capacity(bindings.len());
    for (binding, memory) in bindings.iter().zip(memories) {
        // What reaches from one buffer into another lies in one of its own.
        let run = memory.run(binding.offset, binding.size);
        let known = run.and_then(|run| buffers.iter().position(|own| *own == run.buffer));
        let buffer = known.unwrap_or(buffers.len());
        buffers.extend(run.filter(|_| known.is_none()).map(|run| run.buffer));
        let at = |byte: u64| run.map_or(0, |run| run.offset + byte.saturating_sub(binding.offset));
        places.push(run.map(|_| Place {
            buffer,
            bound: at(binding.offset)..at(binding.offset + binding.size),
            own: at(binding.own.0)..at(binding.own.1),
            written: binding.written,
        }));
    }
    let numbers: Vec<usize> = (0..places.len()).filter(|&nth| places[nth].is_some()).collect();
    let places: Vec<Place> = places.into_iter().flatten().collect();
    let name = |nth: usize| match bindings[numbers[nth]].source {
        Origin::Tensor(role) => role.name(),
        Origin::Scratch(_) => "scratch",
    };
    let found = bind(&places).map_err(|(first, second)| {
        let message = format!(
            "has elements in a word of four bytes that {} has some in, or between its rows, and both are written: \
             begin it at a multiple of four, beside them",
            name(first)
        );
        Error::operand(name(second), message)
    })?;
    Ok(found.map(|found| {
        let mut all = vec![Bound::There; bindings.len()];
        numbers.iter().zip(found).for_each(|(&nth, own)| all[nth] = own);
        all
    }))
}

/// Refuses buffers that cannot be copied from, and into where they are written.
fn expect_copied(role: Role, memory: &Memory, written: bool) -> Result<()> {
    let usage = match written {
        true => wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST,
        false => wgpu::BufferUsages::COPY_SRC,
    };
    memory
        .parts()
        .iter()
        .try_for_each(|buffer| expect_usage(role.name(), buffer, usage))
}

pub(crate) fn moved(from: (wgpu::Buffer, u64), to: (wgpu::Buffer, u64), size: u64) -> Move {
    Move {
        from: from.0,
        from_offset: from.1,
        to: to.0,
        to_offset: to.1,
        size,
    }
}

fn copy(encoder: &mut wgpu::CommandEncoder, moves: &[Move]) {
    for own in moves {
        encoder.copy_buffer_to_buffer(&own.from, own.from_offset, &own.to, own.to_offset, own.size);
    }
}
