//! The bytes of a file become a tensor.

use std::borrow::Cow;

use half::{bf16, f16};
use wgloss::{Element, Tensor};

/// The numbers of a file before they are converted.
pub struct Raw {
    pub dtype: Dtype,
    pub shape: Vec<usize>,
    pub fortran_order: bool,
    pub big_endian: bool,
    pub bytes: Vec<u8>,
}

/// The types that are read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Dtype {
    F16,
    Bf16,
    F32,
    F64,
    I8,
    U8,
    I16,
    U16,
    I32,
    U32,
    I64,
    U64,
}

impl Dtype {
    pub fn bytes(self) -> usize {
        match self {
            Self::I8 | Self::U8 => 1,
            Self::F16 | Self::Bf16 | Self::I16 | Self::U16 => 2,
            Self::F32 | Self::I32 | Self::U32 => 4,
            Self::F64 | Self::I64 | Self::U64 => 8,
        }
    }
}

/// Numbers in the machine's byte order and in row-major order, as a dtype that the library has.
pub fn convert(mut raw: Raw) -> Result<Tensor, String> {
    if raw.big_endian != cfg!(target_endian = "big") && raw.dtype.bytes() > 1 {
        raw.bytes.chunks_exact_mut(raw.dtype.bytes()).for_each(<[u8]>::reverse);
    }
    if raw.fortran_order && raw.shape.iter().filter(|&&size| size != 1).count() > 1 {
        raw.bytes = row_major(&raw.bytes, &raw.shape, raw.dtype.bytes());
    }
    let shape = &raw.shape;
    let bytes = &raw.bytes;
    match raw.dtype {
        Dtype::F16 => tensor(&elements::<f16>(bytes), shape),
        Dtype::Bf16 => tensor(&elements::<bf16>(bytes), shape),
        Dtype::F32 => tensor(&elements::<f32>(bytes), shape),
        Dtype::U8 => tensor(&elements::<u8>(bytes), shape),
        Dtype::I32 => tensor(&elements::<i32>(bytes), shape),
        Dtype::U32 => tensor(&elements::<u32>(bytes), shape),
        Dtype::I64 => tensor(&elements::<i64>(bytes), shape),
        Dtype::F64 => tensor(
            &elements::<f64>(bytes).iter().map(|&x| x as f32).collect::<Vec<_>>(),
            shape,
        ),
        Dtype::I8 => tensor(&widened(&elements::<i8>(bytes)), shape),
        Dtype::I16 => tensor(&widened(&elements::<i16>(bytes)), shape),
        Dtype::U16 => tensor(&widened(&elements::<u16>(bytes)), shape),
        Dtype::U64 => {
            let signed = |&x: &u64| i64::try_from(x).map_err(|_| format!("holds {x}, beyond the range of i64"));
            let data: Vec<i64> = elements::<u64>(bytes).iter().map(signed).collect::<Result<_, _>>()?;
            tensor(&data, shape)
        }
    }
}

fn tensor<T: Element>(data: &[T], shape: &[usize]) -> Result<Tensor, String> {
    Tensor::new(data, shape).map_err(|e| e.to_string())
}

/// Bytes as elements; copied only where the allocator did not align them.
fn elements<T: bytemuck::Pod>(bytes: &[u8]) -> Cow<'_, [T]> {
    match bytemuck::try_cast_slice(bytes) {
        Ok(elements) => Cow::Borrowed(elements),
        Err(_) => Cow::Owned(bytemuck::pod_collect_to_vec(bytes)),
    }
}

fn widened<T: Copy + Into<i32>>(data: &[T]) -> Vec<i32> {
    data.iter().map(|&x| x.into()).collect()
}

/// Integers on the host as floats of a dtype, as PyTorch takes signs. Floats stay what they are.
pub fn floats(integers: &Tensor, dtype: wgloss::Dtype) -> wgloss::Result<Tensor> {
    fn all<T: Element>(tensor: &Tensor, to: fn(T) -> f32) -> Option<Vec<f32>> {
        Some(tensor.as_slice::<T>()?.iter().map(|&x| to(x)).collect())
    }
    let data = all(integers, |x: u8| x.into())
        .or_else(|| all(integers, |x: i32| x as f32))
        .or_else(|| all(integers, |x: u32| x as f32))
        .or_else(|| all(integers, |x: i64| x as f32));
    match data {
        Some(data) => Tensor::new(&data, integers.shape())?.to_dtype(dtype),
        None => Ok(integers.clone()),
    }
}

/// An array stored with the first index fastest, rewritten with the last index fastest.
fn row_major(bytes: &[u8], shape: &[usize], size: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut index = vec![0; shape.len()];
    let mut at = 0; // the element at `index`, in the stored order
    while out.len() < bytes.len() {
        out.extend_from_slice(&bytes[at * size..(at + 1) * size]);
        // Counts `index` up, its last digit first. The stride of a digit is the product of the sizes before it.
        let mut stride = bytes.len() / size;
        for (digit, &len) in index.iter_mut().zip(shape).rev() {
            stride /= len;
            *digit += 1;
            at += stride;
            if *digit < len {
                break;
            }
            at -= *digit * stride;
            *digit = 0;
        }
    }
    out
}
