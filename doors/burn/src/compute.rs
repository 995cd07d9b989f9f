//! A call on burn's memory: windows of its buffers as tensors, and one submission on its queue.

use std::any::Any;

use burn::backend::ops::{FloatTensorOps, IntTensorOps};
use burn::backend::{Scalar, TensorMetadata};
use burn::tensor::Shape;
use burn_cubecl::cubecl::wgpu::{AutoCompiler, WgpuServer};
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::tensor::CubeTensor;
use burn_cubecl::{CubeBackend, CubeDevice};
use wgloss::{Call, Dtype, Error, GradTo, Loss, LossTo, Mode, Result, Role, Tensor};

use crate::convert::convert;
use crate::room::lock;
use crate::spec::{Place, Spec, burn_dtype, dtype_of};
use crate::value::{Operands, RESULTS, Results, Value};

/// Computes a call. Where the device fails, the results are NaN, and the watch of the call is told.
pub fn compute(operands: Operands<CubeBackend>, spec: &Spec) -> Results<CubeBackend> {
    let (places, grad_output) = operands.into_parts();
    let tensors: Vec<_> = places.into_iter().filter_map(tensor_of).collect();
    let device = tensors.first().map(|tensor| tensor.device.clone());
    let values = run(tensors, tensor_of(grad_output), spec).unwrap_or_else(|error| {
        spec.watch.fail(error);
        device.map_or_else(nothing, |device| nan(spec, &device))
    });
    Results::new(values)
}

type Values = [Value<CubeBackend>; RESULTS];

fn nothing() -> Values {
    [const { Value::Absent }; RESULTS]
}

fn tensor_of(value: Value<CubeBackend>) -> Option<CubeTensor> {
    match value {
        Value::Absent => None,
        Value::Float(tensor) | Value::Int(tensor) | Value::Bool(tensor) => Some(tensor),
    }
}

/// The results of a call that the device did not compute.
fn nan(spec: &Spec, device: &CubeDevice) -> Values {
    let mut values = nothing();
    for planned in &spec.results {
        let (shape, dtype) = (Shape::from(planned.dims()), burn_dtype(planned.dtype));
        values[planned.slot] = match planned.dtype.is_float() {
            true => Value::Float(CubeBackend::float_full(
                shape,
                Scalar::from(f32::NAN),
                device,
                dtype.into(),
            )),
            false => Value::Int(CubeBackend::int_full(shape, Scalar::from(0i32), device, dtype.into())),
        };
    }
    values
}

/// Memory of burn's as a tensor of ours. It stays burn's: what holds it may go once the work on it is submitted.
struct Window {
    tensor: Tensor,
    _memory: Box<dyn Any>,
}

fn run(tensors: Vec<CubeTensor>, grad_output: Option<CubeTensor>, spec: &Spec) -> Result<Values> {
    let Some(first) = tensors.first().cloned() else {
        return Ok(nothing());
    };
    let engine = &spec.room.engine;
    let (device, queue) = engine
        .wgpu()
        .ok_or_else(|| Error::Device("the engine has no device".into()))?;

    let mut encoder = device.create_command_encoder(&Default::default());
    // What is converted is read when the encoder is submitted: until then burn gives its memory to nobody else.
    let _kept = tensors.clone();
    // Gaps between rows are taken where the loss takes them; whatever else is not contiguous is made so.
    let prepared = spec.places.iter().zip(tensors).map(|(place, tensor)| {
        let name = place.role.name();
        match place.becomes_float {
            true => convert(spec, &mut encoder, name, &tensor, Dtype::F32),
            false if tensor.dtype.size() == 1 && !tensor.is_contiguous() => {
                convert(spec, &mut encoder, name, &tensor, Dtype::U32)
            }
            false => Ok(straight(tensor)),
        }
    });
    let tensors = prepared.collect::<Result<Vec<_>>>()?;
    let grad_output = grad_output.map(into_contiguous);
    let mut operands = windows(&tensors, spec)?;
    if tensors.iter().any(|tensor| row_stride(tensor).is_some()) {
        let (loss, call) = call_of(spec, &operands, None)?;
        if loss.problem(&call).is_err() {
            let tensors: Vec<_> = tensors.into_iter().map(into_contiguous).collect();
            operands = windows(&tensors, spec)?;
        }
    }
    let upstream = grad_output
        .map(|tensor| window(spec, "grad_output", &tensor, &spec.upstream_shape))
        .transpose()?;
    let results: Vec<_> = spec
        .results
        .iter()
        .map(|planned| empty(&planned.dims(), planned.dtype, &first))
        .collect();
    let homes = spec.results.iter().zip(&results);
    let homes: Vec<_> = homes
        .map(|(planned, tensor)| Ok((planned.role, window(spec, planned.role.name(), tensor, &planned.shape)?)))
        .collect::<Result<_>>()?;

    if let Some(trace) = &spec.trace {
        let operands = operands.iter().map(|(place, window)| (place.role, window));
        let upstream = upstream.iter().map(|window| (Role::GradOutput, window));
        let all = operands
            .chain(upstream)
            .chain(homes.iter().map(|(role, window)| (*role, window)));
        let all = all.filter_map(|(role, own)| Some((role, own.tensor.buffer()?.clone(), own.tensor.view().offset)));
        lock(trace).extend(all);
    }
    let (loss, mut call) = call_of(spec, &operands, upstream.as_ref())?;
    place(&mut call, spec, &homes);
    let output = loss.encode(engine, &mut encoder, &call)?;
    if spec.mode != Mode::Backward {
        spec.watch.faults.encode(engine, &mut encoder, &output)?;
    }
    queue.submit([encoder.finish()]);

    let mut values = nothing();
    for (planned, tensor) in spec.results.iter().zip(results) {
        values[planned.slot] = match planned.dtype.is_float() {
            true => Value::Float(tensor),
            false => Value::Int(tensor),
        };
    }
    Ok(values)
}

/// The call on these tensors, and the loss with those that it has of its own.
fn call_of<'a>(
    spec: &Spec,
    operands: &'a [(Place, Window)],
    upstream: Option<&'a Window>,
) -> Result<(Box<dyn Loss>, Call<'a>)> {
    let mut loss = (spec.make)();
    let mut signature = Vec::new();
    for (place, window) in operands {
        match place.is_optional {
            true => loss.attach(place.role, window.tensor.clone())?,
            false => signature.push(&window.tensor),
        }
    }
    let call = Call {
        grad_output: upstream.map(|window| &window.tensor),
        grads: spec.grads(),
        stats: spec.stats,
        checks: spec.checks,
        ..Call::new(spec.mode, &signature)
    };
    Ok((loss, call))
}

/// Has the results written where burn wants them.
fn place<'a>(call: &mut Call<'a>, spec: &Spec, homes: &'a [(Role, Window)]) {
    for (role, window) in homes {
        let tensor = &window.tensor;
        match role {
            Role::Loss => call.loss = LossTo::Into(tensor),
            Role::Grad(0) => call.grad_input = GradTo::Into(tensor),
            Role::Grad(nth) => {
                let operand = spec.places.get(usize::from(*nth)).map(|place| place.role);
                call.into.extend(operand.map(|role| (role, tensor)));
            }
            other => call.into.push((*other, tensor)),
        }
    }
}

/// A tensor whose elements lie one after the other, but for gaps between the rows.
fn straight(tensor: CubeTensor) -> CubeTensor {
    match is_plain(&tensor) && (tensor.is_contiguous() || row_stride(&tensor).is_some()) {
        true => tensor,
        false => into_contiguous(tensor),
    }
}

/// Its metadata are those of its elements: it is no tensor of tiles or packed numbers.
fn is_plain(tensor: &CubeTensor) -> bool {
    tensor.qparams.is_none() && **tensor.meta.shape() == *tensor.shape()
}

/// The elements from one index of the first dimension to the next, where there are gaps between these alone.
fn row_stride(tensor: &CubeTensor) -> Option<usize> {
    let (shape, strides) = (tensor.meta.shape(), tensor.meta.strides());
    if tensor.is_contiguous() || shape.len() < 2 {
        return None;
    }
    let mut slab = 1;
    for (size, stride) in shape.iter().zip(strides.iter()).skip(1).rev() {
        if *size != 1 && *stride != slab {
            return None;
        }
        slab *= size;
    }
    strides.first().copied().filter(|&stride| stride >= slab && slab > 0)
}

fn windows(tensors: &[CubeTensor], spec: &Spec) -> Result<Vec<(Place, Window)>> {
    let all = spec.places.iter().zip(tensors);
    all.map(|(place, tensor)| Ok((place.clone(), window(spec, place.role.name(), tensor, &place.shape)?)))
        .collect()
}

/// Where a tensor lies. This has burn submit what was queued before for it.
fn window(spec: &Spec, name: &'static str, tensor: &CubeTensor, shape: &[usize]) -> Result<Window> {
    let memory = tensor
        .client
        .get_resource::<WgpuServer<AutoCompiler>>(tensor.handle.clone());
    let memory = memory.map_err(|error| Error::Device(format!("{name}: {error}")))?;
    let own = memory.resource();
    let (dtype, stride) = (dtype_of(name, tensor.dtype)?, row_stride(tensor));
    let tensor = Tensor::from_buffer(&spec.room.engine, own.buffer.clone(), own.offset, dtype, shape, stride)?;
    Ok(Window {
        tensor,
        _memory: Box::new(memory),
    })
}

/// A new tensor of burn's, in whatever memory it gives; whole words are written.
pub fn empty(shape: &[usize], dtype: Dtype, like: &CubeTensor) -> CubeTensor {
    let shape = Shape::from(shape.to_vec());
    let bytes = shape.num_elements() * dtype.bytes() as usize;
    let handle = like.client.empty(bytes.next_multiple_of(4).max(4));
    CubeTensor::new_contiguous(
        like.client.clone(),
        like.device.clone(),
        shape,
        handle,
        burn_dtype(dtype),
    )
}
