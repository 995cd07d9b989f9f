//! Buffers, pipelines and passes of one's own on the device of an engine.

use wgloss::{Dtype, Engine, Error, Result, Tensor};
use wgpu::util::DeviceExt;

/// A device with the engine on it.
#[derive(Clone, Copy)]
pub struct Gpu<'a> {
    pub engine: &'a Engine,
    pub device: &'a wgpu::Device,
    pub queue: &'a wgpu::Queue,
}

impl<'a> Gpu<'a> {
    /// The device of an engine that has one; [`Engine::new`] opens the best.
    pub fn of(engine: &'a Engine) -> Result<Self> {
        let none = || Error::NoAdapter("the layers of the examples need a device".into());
        let (device, queue) = engine.wgpu().ok_or_else(none)?;
        Ok(Self { engine, device, queue })
    }

    /// A buffer of ours, as wgloss takes it.
    pub fn tensor<T: bytemuck::NoUninit>(&self, dtype: Dtype, shape: &[usize], data: &[T]) -> Result<Tensor> {
        let buffer = self.device.create_buffer_init(&wgpu::util::BufferInitDescriptor {
            label: None,
            contents: bytemuck::cast_slice(data),
            usage: wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST,
        });
        Tensor::from_buffer(self.engine, buffer, 0, dtype, shape, None)
    }

    pub fn floats(&self, shape: &[usize], data: &[f32]) -> Result<Tensor> {
        self.tensor(Dtype::F32, shape, data)
    }

    pub fn zeros(&self, shape: &[usize]) -> Result<Tensor> {
        self.floats(shape, &vec![0.0; shape.iter().product()])
    }

    /// A file of WGSL, with the constants that it leaves open before it.
    pub fn module(&self, constants: &[(&str, usize)], text: &str) -> wgpu::ShaderModule {
        let lines = constants
            .iter()
            .map(|(name, value)| format!("const {name} = {value}u;\n"));
        self.device.create_shader_module(wgpu::ShaderModuleDescriptor {
            label: Some("layer"),
            source: wgpu::ShaderSource::Wgsl((lines.collect::<String>() + text).into()),
        })
    }

    pub fn pipeline(&self, module: &wgpu::ShaderModule, name: &str) -> wgpu::ComputePipeline {
        self.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(name),
            layout: None, // derived from what the entry point uses
            module,
            entry_point: Some(name),
            compilation_options: Default::default(),
            cache: None,
        })
    }

    /// A pipeline with the tensors of its bindings, of which the last is the result: a thread for each element.
    pub fn kernel(&self, pipeline: &wgpu::ComputePipeline, tensors: &[(u32, &Tensor)]) -> Kernel {
        let entries = tensors.iter().map(|&(binding, tensor)| wgpu::BindGroupEntry {
            binding,
            resource: tensor.buffers()[0].as_entire_binding(), // the one that `from_buffer` took
        });
        let group = self.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: None,
            layout: &pipeline.get_bind_group_layout(0),
            entries: &entries.collect::<Vec<_>>(),
        });
        let threads = tensors.last().map_or(0, |(_, result)| result.shape().iter().product());
        Kernel(pipeline.clone(), group, threads.div_ceil(64) as u32)
    }

    pub fn encoder(&self) -> wgpu::CommandEncoder {
        self.device.create_command_encoder(&Default::default())
    }

    pub fn submit(&self, encoder: wgpu::CommandEncoder) {
        self.queue.submit([encoder.finish()]);
    }
}

/// A dispatch with what it is bound to. No tensor ever moves, so each is made once and recorded at every step.
pub struct Kernel(wgpu::ComputePipeline, wgpu::BindGroup, u32);

/// wgpu orders dispatches that share a buffer, ours and wgloss's alike.
pub fn record<'a>(encoder: &mut wgpu::CommandEncoder, kernels: impl IntoIterator<Item = &'a Kernel>) {
    let mut pass = encoder.begin_compute_pass(&Default::default());
    for Kernel(pipeline, group, workgroups) in kernels {
        pass.set_pipeline(pipeline);
        pass.set_bind_group(0, group, &[]);
        pass.dispatch_workgroups(*workgroups, 1, 1);
    }
}
