//! The numbers of a file become those of a tensor.

use bytemuck::{AnyBitPattern, NoUninit};
use half::{bf16, f16};

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

    /// The library's dtype of the same numbers.
    pub fn same(self) -> Option<wgloss::Dtype> {
        match self {
            Self::F16 => Some(wgloss::Dtype::F16),
            Self::Bf16 => Some(wgloss::Dtype::Bf16),
            Self::F32 => Some(wgloss::Dtype::F32),
            Self::U8 => Some(wgloss::Dtype::U8),
            Self::I32 => Some(wgloss::Dtype::I32),
            Self::U32 => Some(wgloss::Dtype::U32),
            Self::I64 => Some(wgloss::Dtype::I64),
            Self::F64 | Self::I8 | Self::I16 | Self::U16 | Self::U64 => None,
        }
    }

    /// What the library takes for it.
    pub fn nearest(self) -> wgloss::Dtype {
        self.same().unwrap_or(match self {
            Self::F64 => wgloss::Dtype::F32,
            Self::U64 => wgloss::Dtype::I64,
            _ => wgloss::Dtype::I32,
        })
    }
}

/// Elements in the machine's byte order as those of a dtype that is the nearest one, or a float.
pub fn convert(stored: Dtype, bytes: &[u8], to: wgloss::Dtype, out: &mut [u8]) -> Result<(), String> {
    match stored {
        Dtype::F16 => floats(bytes, f16::to_f32, to, out),
        Dtype::Bf16 => floats(bytes, bf16::to_f32, to, out),
        Dtype::F32 => floats(bytes, |x: f32| x, to, out),
        Dtype::F64 => floats(bytes, |x: f64| x as f32, to, out),
        Dtype::I8 => integers(bytes, |x: i8| x.into(), to, out),
        Dtype::U8 => integers(bytes, |x: u8| x.into(), to, out),
        Dtype::I16 => integers(bytes, |x: i16| x.into(), to, out),
        Dtype::U16 => integers(bytes, |x: u16| x.into(), to, out),
        Dtype::I32 => integers(bytes, |x: i32| x.into(), to, out),
        Dtype::U32 => integers(bytes, |x: u32| x.into(), to, out),
        Dtype::I64 => integers(bytes, |x: i64| x, to, out),
        Dtype::U64 => {
            let mut all = bytes.chunks_exact(8).map(bytemuck::pod_read_unaligned::<u64>);
            match all.find(|&x| i64::try_from(x).is_err()) {
                Some(x) => Err(format!("holds {x}, beyond the range of i64")),
                None => integers(bytes, |x: u64| x as i64, to, out),
            }
        }
    }
}

fn integers<T: AnyBitPattern>(
    bytes: &[u8],
    wide: impl Fn(T) -> i64,
    to: wgloss::Dtype,
    out: &mut [u8],
) -> Result<(), String> {
    match to {
        wgloss::Dtype::I32 => each(bytes, |x| wide(x) as i32, out),
        wgloss::Dtype::I64 => each(bytes, wide, out),
        _ => return floats(bytes, |x| wide(x) as f32, to, out),
    }
    Ok(())
}

/// f32 holds all floats that are read but f64, which the library has not.
fn floats<T: AnyBitPattern>(
    bytes: &[u8],
    wide: impl Fn(T) -> f32,
    to: wgloss::Dtype,
    out: &mut [u8],
) -> Result<(), String> {
    match to {
        wgloss::Dtype::F32 => each(bytes, wide, out),
        wgloss::Dtype::F16 => each(bytes, |x| f16::from_f32(wide(x)), out),
        wgloss::Dtype::Bf16 => each(bytes, |x| bf16::from_f32(wide(x)), out),
        _ => return Err(format!("cannot be read as {to}")),
    }
    Ok(())
}

fn each<T: AnyBitPattern, U: NoUninit>(bytes: &[u8], convert: impl Fn(T) -> U, out: &mut [u8]) {
    let elements = bytes.chunks_exact(size_of::<T>()).map(bytemuck::pod_read_unaligned);
    for (element, out) in elements.zip(out.chunks_exact_mut(size_of::<U>())) {
        out.copy_from_slice(bytemuck::bytes_of(&convert(element)));
    }
}

/// An array stored with the first index fastest, rewritten with the last index fastest.
pub fn row_major(bytes: &[u8], shape: &[usize], out: &mut [u8]) {
    let count: usize = shape.iter().product();
    if count == 0 {
        return;
    }
    let size = bytes.len() / count;
    let mut index = vec![0; shape.len()];
    let mut at = 0; // the element at `index`, in the stored order
    for out in out.chunks_exact_mut(size) {
        out.copy_from_slice(&bytes[at * size..(at + 1) * size]);
        // Counts `index` up, its last digit first. The stride of a digit is the product of the sizes before it.
        let mut stride = count;
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
}
