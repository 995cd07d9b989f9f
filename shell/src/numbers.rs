//! The numbers of a file become those of a tensor.

use bytemuck::{AnyBitPattern, NoUninit};
use half::{bf16, f16};

/// The types that are read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Dtype {
    /// A byte each: 0 is false, any other is true, as in numpy.
    Bool,
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
            Self::Bool | Self::I8 | Self::U8 => 1,
            Self::F16 | Self::Bf16 | Self::I16 | Self::U16 => 2,
            Self::F32 | Self::I32 | Self::U32 => 4,
            Self::F64 | Self::I64 | Self::U64 => 8,
        }
    }

    /// The name in messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bool => "bool",
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
            Self::F32 => "f32",
            Self::F64 => "f64",
            Self::I8 => "i8",
            Self::U8 => "u8",
            Self::I16 => "i16",
            Self::U16 => "u16",
            Self::I32 => "i32",
            Self::U32 => "u32",
            Self::I64 => "i64",
            Self::U64 => "u64",
        }
    }

    pub fn is_float(self) -> bool {
        matches!(self, Self::F16 | Self::Bf16 | Self::F32 | Self::F64)
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
            Self::Bool | Self::F64 | Self::I8 | Self::I16 | Self::U16 | Self::U64 => None,
        }
    }

    /// What the library takes for it.
    pub fn nearest(self) -> wgloss::Dtype {
        self.same().unwrap_or(match self {
            Self::F64 => wgloss::Dtype::F32,
            Self::Bool => wgloss::Dtype::U8,
            Self::U64 => wgloss::Dtype::I64,
            _ => wgloss::Dtype::I32,
        })
    }
}

impl From<wgloss::Dtype> for Dtype {
    fn from(dtype: wgloss::Dtype) -> Self {
        match dtype {
            wgloss::Dtype::F32 => Self::F32,
            wgloss::Dtype::F16 => Self::F16,
            wgloss::Dtype::Bf16 => Self::Bf16,
            wgloss::Dtype::U8 => Self::U8,
            wgloss::Dtype::I32 => Self::I32,
            wgloss::Dtype::U32 => Self::U32,
            wgloss::Dtype::I64 => Self::I64,
        }
    }
}

/// Elements in the machine's byte order as those of a dtype that is the nearest one, or a float. What i64 does not hold
/// of u64 becomes `beyond` there.
pub fn convert(stored: Dtype, bytes: &[u8], to: wgloss::Dtype, beyond: i64, out: &mut [u8]) -> Result<(), String> {
    let own = Conversion { bytes, to, out };
    match stored {
        Dtype::Bool if to == wgloss::Dtype::U8 => own.each(|x: u8| u8::from(x != 0)),
        Dtype::Bool => own.floats(|x: u8| f32::from(u8::from(x != 0))),
        Dtype::F16 => own.floats(f16::to_f32),
        Dtype::Bf16 => own.floats(bf16::to_f32),
        Dtype::F32 => own.floats(|x: f32| x),
        Dtype::F64 => own.floats(|x: f64| x as f32),
        Dtype::I8 => own.integers(|x: i8| x.into()),
        Dtype::U8 => own.integers(|x: u8| x.into()),
        Dtype::I16 => own.integers(|x: i16| x.into()),
        Dtype::U16 => own.integers(|x: u16| x.into()),
        Dtype::I32 => own.integers(|x: i32| x.into()),
        Dtype::U32 => own.integers(|x: u32| x.into()),
        Dtype::I64 => own.integers(|x: i64| x),
        Dtype::U64 if to.is_float() => own.floats(|x: u64| x as f32),
        Dtype::U64 => own.integers(|x: u64| i64::try_from(x).unwrap_or(beyond)),
    }
}

/// One element, in the machine's byte order, as a count. What it is instead is the error.
pub fn count(stored: Dtype, bytes: &[u8]) -> Result<u64, String> {
    fn element<T: AnyBitPattern>(bytes: &[u8]) -> T {
        bytemuck::pod_read_unaligned(bytes)
    }
    let whole = |x: i128| u64::try_from(x).map_err(|_| x.to_string());
    let float = |x: f64| {
        let is_count = x >= 0.0 && x.fract() == 0.0 && x < u64::MAX as f64;
        if is_count { Ok(x as u64) } else { Err(x.to_string()) }
    };
    match stored {
        Dtype::Bool => Err((element::<u8>(bytes) != 0).to_string()),
        Dtype::F16 => float(element::<f16>(bytes).to_f64()),
        Dtype::Bf16 => float(element::<bf16>(bytes).to_f64()),
        Dtype::F32 => float(element::<f32>(bytes).into()),
        Dtype::F64 => float(element(bytes)),
        Dtype::I8 => whole(element::<i8>(bytes).into()),
        Dtype::U8 => whole(element::<u8>(bytes).into()),
        Dtype::I16 => whole(element::<i16>(bytes).into()),
        Dtype::U16 => whole(element::<u16>(bytes).into()),
        Dtype::I32 => whole(element::<i32>(bytes).into()),
        Dtype::U32 => whole(element::<u32>(bytes).into()),
        Dtype::I64 => whole(element::<i64>(bytes).into()),
        Dtype::U64 => Ok(element(bytes)),
    }
}

/// Elements, the dtype that they become, and where they go.
struct Conversion<'a> {
    bytes: &'a [u8],
    to: wgloss::Dtype,
    out: &'a mut [u8],
}

impl Conversion<'_> {
    fn integers<T: AnyBitPattern>(self, wide: impl Fn(T) -> i64) -> Result<(), String> {
        match self.to {
            wgloss::Dtype::I32 => self.each(|x| wide(x) as i32),
            wgloss::Dtype::I64 => self.each(wide),
            _ => self.floats(|x| wide(x) as f32),
        }
    }

    /// f32 holds all floats that are read but f64, which the library has not.
    fn floats<T: AnyBitPattern>(self, wide: impl Fn(T) -> f32) -> Result<(), String> {
        match self.to {
            wgloss::Dtype::F32 => self.each(wide),
            wgloss::Dtype::F16 => self.each(|x| f16::from_f32(wide(x))),
            wgloss::Dtype::Bf16 => self.each(|x| bf16::from_f32(wide(x))),
            to => Err(format!("cannot be read as {to}")),
        }
    }

    fn each<T: AnyBitPattern, U: NoUninit>(self, convert: impl Fn(T) -> U) -> Result<(), String> {
        let elements = self
            .bytes
            .chunks_exact(size_of::<T>())
            .map(bytemuck::pod_read_unaligned);
        for (element, out) in elements.zip(self.out.chunks_exact_mut(size_of::<U>())) {
            out.copy_from_slice(bytemuck::bytes_of(&convert(element)));
        }
        Ok(())
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
