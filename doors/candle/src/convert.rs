//! candle's tensors as wgloss's, and back.

use candle_core::{CpuStorage, DType, Device, Error, Layout, Result, Shape, Storage, Tensor, WithDType};
use half::{bf16, f16};
use wgloss::{Array, Dtype, Element};

/// An error of wgloss as one of candle's, which keeps it as its source.
pub(crate) fn wrapped(error: wgloss::Error) -> Error {
    Error::wrap(error)
}

/// The error of an argument.
pub(crate) fn refused(name: &'static str, message: String) -> Error {
    wrapped(wgloss::Error::Operand { name, message })
}

/// A tensor of candle's for wgloss, copied: what the fields of a loss take (`weight`, `pos_weight`, …).
///
/// # Errors
/// For a tensor that is not in the processor's memory, or of a dtype that wgloss has not: f64, i16 and those of fewer
/// than 16 bits but u8.
pub fn tensor(tensor: &Tensor) -> Result<wgloss::Tensor> {
    named("tensor", tensor)
}

/// The same of an argument.
pub(crate) fn named(name: &'static str, tensor: &Tensor) -> Result<wgloss::Tensor> {
    let tensor = tensor.contiguous()?;
    let (storage, layout) = tensor.storage_and_layout();
    match &*storage {
        Storage::Cpu(storage) => host(name, storage, layout),
        _ => Err(elsewhere(name, tensor.device())),
    }
}

pub(crate) fn elsewhere(name: &'static str, device: &Device) -> Error {
    let why = format!(
        "is on {:?}, candle's tensors are taken from the processor's memory",
        device.location()
    );
    refused(name, why)
}

/// Storage of candle's as a tensor of wgloss's.
pub(crate) fn host(name: &'static str, storage: &CpuStorage, layout: &Layout) -> Result<wgloss::Tensor> {
    match storage {
        CpuStorage::U8(data) => of(name, data, layout),
        CpuStorage::U32(data) => of(name, data, layout),
        CpuStorage::I32(data) => of(name, data, layout),
        CpuStorage::I64(data) => of(name, data, layout),
        CpuStorage::F32(data) => of(name, data, layout),
        CpuStorage::F16(data) => of::<f16>(name, data, layout),
        CpuStorage::BF16(data) => of::<bf16>(name, data, layout),
        other => {
            use candle_core::backend::BackendStorage;
            let why = format!(
                "is {:?}, wgloss computes on f32, f16 and bf16, with targets of u8, u32, i32 and i64: cast it \
                 (to_dtype)",
                other.dtype()
            );
            Err(refused(name, why))
        }
    }
}

fn of<T: Element>(name: &'static str, data: &[T], layout: &Layout) -> Result<wgloss::Tensor> {
    // `apply` and `tensor` have candle bring others into order.
    let Some((first, end)) = layout.contiguous_offsets() else {
        return Err(refused(name, "is not contiguous".into()));
    };
    wgloss::Tensor::new(&data[first..end], layout.dims()).map_err(wrapped)
}

/// Numbers of wgloss's as storage of candle's, in the dtype that they were stored in.
pub(crate) fn storage(array: Array) -> (CpuStorage, Shape) {
    let shape = Shape::from(array.shape);
    let storage = match array.dtype {
        Dtype::F16 => CpuStorage::F16(rounded(&array.data, f16::from_f32)),
        Dtype::Bf16 => CpuStorage::BF16(rounded(&array.data, bf16::from_f32)),
        _ => CpuStorage::F32(array.data),
    };
    (storage, shape)
}

/// Exact: they are numbers of that dtype.
fn rounded<T>(data: &[f32], round: fn(f32) -> T) -> Vec<T> {
    data.iter().map(|&x| round(x)).collect()
}

/// A gradient as a tensor of candle's.
pub(crate) fn gradient(array: Array) -> Result<Tensor> {
    let shape = array.shape;
    fn made<T: WithDType>(data: Vec<T>, shape: Vec<usize>) -> Result<Tensor> {
        Tensor::from_vec(data, shape, &Device::Cpu)
    }
    match array.dtype {
        Dtype::F16 => made(rounded(&array.data, f16::from_f32), shape),
        Dtype::Bf16 => made(rounded(&array.data, bf16::from_f32), shape),
        _ => made(array.data, shape),
    }
}

/// An index, which has no gradient.
pub(crate) fn indices(array: Array<i64>) -> (CpuStorage, Shape) {
    (CpuStorage::I64(array.data), Shape::from(array.shape))
}

/// Whether there is a gradient by numbers of this dtype.
pub(crate) fn is_float(dtype: DType) -> bool {
    matches!(dtype, DType::F32 | DType::F16 | DType::BF16)
}
