//! A device: its memory, its pipelines, and plans recorded into encoders or submitted.

mod activity;
mod call;
mod calls;
mod disk;
mod foreign;
mod guard;
mod open;
mod outputs;
mod pipelines;
mod probe;
mod record;
mod recorded;
mod scratch;
mod steps;
mod submit;
mod timer;
mod wait;

use std::sync::{Arc, Mutex, OnceLock};

use crate::dtype::Dtype;
use crate::error::{Error, Result};
use crate::limits::Limits;
use crate::memory::{Memory, Returned};
use crate::plan::Origin;
use crate::problem::Problem;
use crate::tensor::{Storage, Tensor};
use crate::tuning::Tuning;
use crate::view::View;
use crate::words::Role;

pub use activity::Activity;
pub(crate) use activity::{Counters, count};
pub(crate) use call::Found;
pub(crate) use calls::Calls;
pub(crate) use disk::Disk;
pub(crate) use guard::Troubles;
pub(crate) use open::{adapters, describe};
pub(crate) use outputs::expect_apart;
pub(crate) use pipelines::{Alters, Pipelines};
pub(crate) use recorded::Markers;
pub(crate) use scratch::Pool;
pub(crate) use steps::{Places, Steps};
pub(crate) use submit::Pace;
pub(crate) use timer::Timer;
pub(crate) use wait::{Arrival, Poller, Waiting, block_on};

/// A device with what the engine knows of it.
#[derive(Debug)]
pub(crate) struct Gpu {
    pub device: wgpu::Device,
    pub queue: wgpu::Queue,
    /// Those that plans keep.
    pub limits: Limits,
    /// Those that the device has, by its own account and as it has proved.
    pub has: Limits,
    pub tuning: Tuning,
    pub info: wgpu::AdapterInfo,
    pub pipelines: Pipelines,
    /// Where compiled pipelines are kept for the next process.
    pub disk: Option<Disk>,
    pub counters: Counters,
    pub calls: Arc<Calls>,
    pub pool: Arc<Pool>,
    /// Where large results come from.
    pub returned: Arc<Returned>,
    pub troubles: Arc<Troubles>,
    pub pace: Mutex<Pace>,
    pub markers: Arc<Markers>,
    pub poller: Poller,
    /// What tests make of variants before they are composed.
    pub alters: Option<Alters>,
    /// The layout by which buffers of others are tried.
    pub probe: OnceLock<wgpu::BindGroupLayout>,
}

impl Gpu {
    pub fn upload(&self, bytes: &[u8], view: &View) -> Result<Tensor> {
        let memory = self.memory("wgloss tensor", bytes.len() as u64, Some(bytes))?;
        Ok(Tensor {
            storage: Storage::Device(memory),
            view: view.clone(),
        })
    }

    pub fn allocate(&self, dtype: Dtype, shape: &[usize]) -> Result<Tensor> {
        let view = View::contiguous(dtype, shape);
        Ok(Tensor {
            storage: Storage::Device(self.memory("wgloss output", view.end(), None)?),
            view,
        })
    }

    /// A large result, of which every element will be written: it may lie where an earlier one did.
    pub fn result(&self, dtype: Dtype, shape: &[usize]) -> Result<Tensor> {
        let view = View::contiguous(dtype, shape);
        let parts = self.parts(view.end(), |_, bytes| match self.returned.take(size_of_buffer(bytes)) {
            Some(buffer) => {
                count(&self.counters.lent, buffer.size());
                Ok(buffer)
            }
            None => self.buffer("wgloss output", bytes, tensor_usage()),
        })?;
        let gauge = &self.counters.gauge;
        let memory = Memory::lent_by(&self.returned, gauge, &self.device, parts, self.limits.span());
        Ok(Tensor {
            storage: Storage::Device(memory),
            view,
        })
    }

    /// Memory for a tensor, in as many buffers as it takes, with what it holds.
    pub fn memory(&self, label: &str, bytes: u64, held: Option<&[u8]>) -> Result<Memory> {
        let parts = self.parts(bytes, |first, len| match held {
            Some(held) => self.filled(label, &held[first as usize..(first + len) as usize], tensor_usage()),
            None => self.buffer(label, len, tensor_usage()),
        })?;
        Ok(Memory::counted(
            &self.counters.gauge,
            &self.device,
            parts,
            self.limits.span(),
        ))
    }

    /// The buffers of so many bytes, each made of where it begins and of its bytes.
    fn parts(&self, bytes: u64, make: impl Fn(u64, u64) -> Result<wgpu::Buffer>) -> Result<Vec<wgpu::Buffer>> {
        let span = self.limits.span();
        let firsts = (0..bytes.max(1)).step_by(span.min(bytes.max(1)) as usize);
        firsts.map(|first| make(first, (bytes - first).min(span))).collect()
    }

    /// A new buffer that holds `bytes` before anything is submitted.
    fn filled(&self, label: &str, bytes: &[u8], usage: wgpu::BufferUsages) -> Result<wgpu::Buffer> {
        let buffer = self.create(label, bytes.len() as u64, usage, true)?;
        let mut mapped = buffer
            .get_mapped_range_mut(..)
            .map_err(|e| self.lost_or(Error::Device(e.to_string())))?;
        mapped.slice(..bytes.len()).copy_from_slice(bytes);
        drop(mapped);
        buffer.unmap();
        Ok(buffer)
    }

    pub fn buffer(&self, label: &str, bytes: u64, usage: wgpu::BufferUsages) -> Result<wgpu::Buffer> {
        self.create(label, bytes, usage, false)
    }

    /// A buffer that the host can write from the start.
    pub fn mapped(&self, label: &str, bytes: u64, usage: wgpu::BufferUsages) -> Result<wgpu::Buffer> {
        self.create(label, bytes, usage, true)
    }

    /// A buffer long enough for any window of it to hold a whole element of the shaders' arrays.
    fn create(&self, label: &str, bytes: u64, usage: wgpu::BufferUsages, mapped: bool) -> Result<wgpu::Buffer> {
        let size = size_of_buffer(bytes);
        if size > self.limits.max_buffer_bytes {
            return Err(Error::Limit(format!(
                "{label} of {size} bytes, a buffer of the adapter has {}",
                self.limits.max_buffer_bytes
            )));
        }
        let make = || {
            self.guarded(label, size, || {
                self.device.create_buffer(&wgpu::BufferDescriptor {
                    label: Some(label),
                    size,
                    usage,
                    mapped_at_creation: mapped,
                })
            })
        };
        let made = match make() {
            // What is kept for calls to come may be what is missing.
            Err(Error::OutOfMemory { .. }) => {
                self.release()?;
                make()?
            }
            made => made?,
        };
        count(&self.counters.buffers, 1);
        count(&self.counters.bytes, size);
        Ok(made)
    }

    /// Lets go of all that is kept for calls to come, but for pipelines.
    pub fn release(&self) -> Result<()> {
        self.calls.clear();
        self.pool.clear();
        self.returned.clear();
        // wgpu frees what no submission uses any more.
        self.wait(None)
    }

    /// The operands on the device: host tensors are uploaded, integers as the floats that a problem takes them for.
    pub fn place(&self, operands: &[(Role, &Tensor)], problem: Option<&Problem>) -> Result<Vec<(Role, Tensor)>> {
        operands
            .iter()
            .map(|&(role, tensor)| {
                let dtype = problem.and_then(|problem| problem.dtype_of(role));
                let placed = match &tensor.storage {
                    Storage::Host(_) => {
                        let taken = tensor.taken_as(dtype.unwrap_or(tensor.dtype()))?;
                        self.upload(taken.host_bytes().unwrap_or_default(), &taken.view)?
                    }
                    Storage::Device(_) => tensor.clone(),
                    Storage::Pages(_) => {
                        return Err(Error::operand(
                            role.name(),
                            "lies in pages elsewhere: only a stream reads it",
                        ));
                    }
                    Storage::Absent => {
                        return Err(Error::operand(role.name(), format!("is {}", tensor.whereabouts())));
                    }
                };
                self.expect_own(role.name(), &placed)?;
                for buffer in placed.parts() {
                    expect_usage(role.name(), buffer, wgpu::BufferUsages::STORAGE)?;
                }
                Ok((role, placed))
            })
            .collect()
    }
}

/// The memory that a step of a plan names.
fn memory_of<'a>(source: Origin, tensors: &'a [(Role, Tensor)], scratch: &'a [Memory]) -> Result<&'a Memory> {
    let found = match source {
        Origin::Scratch(index) => scratch.get(index),
        Origin::Tensor(role) => tensors
            .iter()
            .find(|(own, _)| *own == role)
            .and_then(|(_, tensor)| tensor.memory()),
    };
    found.ok_or_else(|| Error::Device(format!("the plan names {source:?}, which the call does not have")))
}

/// The size of a buffer for so many bytes.
fn size_of_buffer(bytes: u64) -> u64 {
    bytes.max(16).next_multiple_of(16)
}

fn tensor_usage() -> wgpu::BufferUsages {
    wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST
}

pub(crate) fn expect_usage(name: &'static str, buffer: &wgpu::Buffer, usage: wgpu::BufferUsages) -> Result<()> {
    if buffer.usage().contains(usage) {
        return Ok(());
    }
    Err(Error::operand(
        name,
        format!("its buffer has usage {:?}, {usage:?} is needed", buffer.usage()),
    ))
}
