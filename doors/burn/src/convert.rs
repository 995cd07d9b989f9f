//! Integers and truth values as the numbers that a loss takes. burn converts them, too, but not bytes where its kernels
//! are WGSL, which has none.

use std::sync::OnceLock;

use burn::backend::TensorMetadata;
use burn_cubecl::cubecl::wgpu::{AutoCompiler, WgpuServer};
use burn_cubecl::tensor::CubeTensor;
use wgloss::{Dtype, Error, Result, wgpu};

use crate::compute::empty;
use crate::spec::{Spec, dtype_of};

/// The kernel of a device, compiled when it is first needed.
#[derive(Debug, Default)]
pub struct Converter(OnceLock<wgpu::ComputePipeline>);

/// What the kernel loops over.
const MAX_RANK: usize = 8;

/// Invocations of a workgroup in the kernel.
const WIDTH: u32 = 256;

/// Records a conversion to f32, or of bytes to u32, of a tensor of any layout.
pub fn convert(
    spec: &Spec,
    encoder: &mut wgpu::CommandEncoder,
    name: &'static str,
    from: &CubeTensor,
    to: Dtype,
) -> Result<CubeTensor> {
    let (shape, strides) = (from.shape().to_vec(), from.meta.strides());
    let of = dtype_of(name, from.dtype)?;
    let refused = |message: String| Error::Operand { name, message };
    if shape.len() > MAX_RANK {
        let message = format!("is {of} of rank {}, up to {MAX_RANK} become {to}", shape.len());
        return Err(refused(message));
    }
    let result = empty(&shape, to, from);
    let len: usize = shape.iter().product();
    if len == 0 {
        return Ok(result);
    }
    let (device, _) = spec
        .room
        .engine
        .wgpu()
        .ok_or_else(|| refused("the engine has no device".into()))?;
    let limits = device.limits();
    let place = |tensor: &CubeTensor| {
        let memory = tensor
            .client
            .get_resource::<WgpuServer<AutoCompiler>>(tensor.handle.clone());
        memory.map_err(|error| Error::Device(format!("{name}: {error}")))
    };
    // Both are held until they are bound; what is bound stays until it was executed.
    let (source, target) = (place(from)?, place(&result)?);
    let (source, target) = (source.resource(), target.resource());
    let step = u64::from(limits.min_storage_buffer_offset_alignment.max(4));
    let base = source.offset / step * step;
    let start = (source.offset - base) / of.bytes();
    let reach: usize = shape
        .iter()
        .zip(strides.iter())
        .map(|(size, stride)| (size - 1) * stride)
        .sum();
    let bytes = ((start + reach as u64 + 1) * of.bytes()).next_multiple_of(4);
    let written = len as u64 * to.bytes();
    let groups = (len as u64).div_ceil(u64::from(WIDTH));
    let across = groups.min(u64::from(limits.max_compute_workgroups_per_dimension));
    if bytes.max(written) > limits.max_storage_buffer_binding_size || bytes.max(written) > u64::from(u32::MAX) {
        let message = format!("{bytes} bytes of {of} are more than a binding takes: convert them to {to} before");
        return Err(refused(message));
    }

    let mut params = [0u32; 8 + 2 * MAX_RANK];
    let is_signed = u32::from(matches!(of, Dtype::I32 | Dtype::I64));
    let numbers = [
        len as u32,
        across as u32 * WIDTH,
        shape.len() as u32,
        start as u32,
        of.bytes() as u32,
        is_signed,
        u32::from(to.is_float()),
    ];
    params[..7].copy_from_slice(&numbers);
    for (d, (size, stride)) in shape.iter().zip(strides.iter()).enumerate() {
        params[8 + d] = *size as u32;
        params[8 + MAX_RANK + d] = *stride as u32;
    }
    let uniform = device.create_buffer(&wgpu::BufferDescriptor {
        label: Some("wgloss-burn conversion"),
        size: size_of_val(&params) as u64,
        usage: wgpu::BufferUsages::UNIFORM,
        mapped_at_creation: true,
    });
    let words: Vec<u8> = params.iter().flat_map(|word| word.to_le_bytes()).collect();
    let mut mapped = uniform
        .get_mapped_range_mut(..)
        .map_err(|error| Error::Device(error.to_string()))?;
    mapped.copy_from_slice(&words);
    drop(mapped);
    uniform.unmap();

    let pipeline = spec.room.converter.0.get_or_init(|| pipeline(device));
    let window = |buffer, offset, size| {
        let size = wgpu::BufferSize::new(size);
        wgpu::BindingResource::Buffer(wgpu::BufferBinding { buffer, offset, size })
    };
    let entry = |binding, resource| wgpu::BindGroupEntry { binding, resource };
    let bound = device.create_bind_group(&wgpu::BindGroupDescriptor {
        label: Some("wgloss-burn conversion"),
        layout: &pipeline.get_bind_group_layout(0),
        entries: &[
            entry(0, window(&source.buffer, base, bytes)),
            entry(1, window(&target.buffer, target.offset, written)),
            entry(2, uniform.as_entire_binding()),
        ],
    });
    let mut pass = encoder.begin_compute_pass(&Default::default());
    pass.set_pipeline(pipeline);
    pass.set_bind_group(0, &bound, &[]);
    pass.dispatch_workgroups(across as u32, groups.div_ceil(across) as u32, 1);
    drop(pass);
    Ok(result)
}

fn pipeline(device: &wgpu::Device) -> wgpu::ComputePipeline {
    let module = device.create_shader_module(wgpu::include_wgsl!("convert.wgsl"));
    device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
        label: Some("wgloss-burn conversion"),
        layout: None,
        module: &module,
        entry_point: Some("main"),
        compilation_options: Default::default(),
        cache: None,
    })
}
