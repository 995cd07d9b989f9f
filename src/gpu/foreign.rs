//! Buffers that the engine did not make: those of another device, or destroyed ones, are found before anything is
//! recorded with them.

use super::Gpu;
use crate::call::Asked;
use crate::error::{Error, Result};
use crate::memory::Memory;
use crate::problem::Problem;
use crate::tensor::Tensor;

impl Gpu {
    /// Refuses a tensor of another device.
    pub fn expect_own(&self, name: &'static str, tensor: &Tensor) -> Result<()> {
        match tensor.memory() {
            Some(memory) if !memory.is_of(&self.device) => Err(Error::operand(
                name,
                format!(
                    "lies on another device, the engine computes on its own {}",
                    self.info.name
                ),
            )),
            _ => Ok(()),
        }
    }

    /// Refuses buffers that cannot be bound on this device, whatever their tensor: of another device, or destroyed.
    /// (One of another instance wgpu itself may take for one of ours, or panic.)
    pub fn expect_usable(&self, name: &'static str, buffers: &[wgpu::Buffer]) -> Result<()> {
        buffers.iter().try_for_each(|buffer| self.try_to_bind(name, buffer))
    }

    /// Refuses buffers of the user's that were destroyed since they were bound: of what the caller submits nobody could
    /// tell.
    pub fn expect_alive<'a>(&self, tensors: impl Iterator<Item = (&'static str, &'a Tensor)>) -> Result<()> {
        let foreign = |(_, tensor): &(_, &Tensor)| tensor.memory().is_some_and(Memory::is_foreign);
        tensors
            .filter(foreign)
            .try_for_each(|(name, tensor)| self.expect_usable(name, tensor.parts()))
    }

    fn try_to_bind(&self, name: &'static str, buffer: &wgpu::Buffer) -> Result<()> {
        if !buffer.usage().contains(wgpu::BufferUsages::STORAGE) || buffer.size() < 4 {
            return Ok(()); // refused for that where it is bound
        }
        let tried = self.guarded("buffer", 0, || {
            let layout = self.probe.get_or_init(|| probe_layout(&self.device));
            self.device.create_bind_group(&wgpu::BindGroupDescriptor {
                label: Some("wgloss probe"),
                layout,
                entries: &[wgpu::BindGroupEntry {
                    binding: 0,
                    resource: wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                        buffer,
                        offset: 0,
                        size: wgpu::BufferSize::new(4),
                    }),
                }],
            })
        });
        match tried {
            Err(Error::Device(why)) => Err(Error::operand(
                name,
                format!("its buffer cannot be used on {}: {why}", self.info.name),
            )),
            other => other.map(|_| ()),
        }
    }

    /// The error of a call that could not be bound or submitted: that of the tensor which is the reason, where one is.
    pub fn blame(&self, error: Error, asked: &Asked<'_>, problem: &Problem) -> Error {
        if !matches!(error, Error::Device(_)) {
            return error;
        }
        let mut found =
            named(asked, problem).filter_map(|(name, tensor)| self.expect_usable(name, tensor.parts()).err());
        found
            .find(|found| matches!(found, Error::Operand { .. }))
            .unwrap_or(error)
    }

    /// Refuses a device that cannot compute, as WebGL2 has none.
    pub fn expect_compute(&self) -> Result<()> {
        let own = self.device.limits();
        if own.max_compute_invocations_per_workgroup > 0 && own.max_storage_buffers_per_shader_stage > 0 {
            return Ok(());
        }
        Err(Error::Limit(format!(
            "{} was opened without compute shaders or storage buffers ({} invocations of a workgroup, {} storage \
             buffers): WebGL2 has none; request a device with Engine::limits(&adapter)",
            self.info.name, own.max_compute_invocations_per_workgroup, own.max_storage_buffers_per_shader_stage
        )))
    }
}

/// The tensors that a call touches, by name.
pub(super) fn named<'a>(asked: &Asked<'a>, problem: &Problem) -> impl Iterator<Item = (&'static str, &'a Tensor)> {
    let operands = asked.operands(problem).into_iter();
    let places = asked.call.places(problem).into_iter();
    let places: Vec<_> = places
        .map(|(role, tensor)| (problem.place_name(role), tensor))
        .collect();
    operands.map(|(role, tensor)| (role.name(), tensor)).chain(places)
}

fn probe_layout(device: &wgpu::Device) -> wgpu::BindGroupLayout {
    device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
        label: Some("wgloss probe"),
        entries: &[wgpu::BindGroupLayoutEntry {
            binding: 0,
            visibility: wgpu::ShaderStages::COMPUTE,
            ty: wgpu::BindingType::Buffer {
                ty: wgpu::BufferBindingType::Storage { read_only: true },
                has_dynamic_offset: false,
                min_binding_size: None,
            },
            count: None,
        }],
    })
}
