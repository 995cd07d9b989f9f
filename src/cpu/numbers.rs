//! Results as they are kept: rounded as they are made, or in f64.

use std::ops::Range;
use std::sync::Arc;

use crate::dtype::Dtype;
use crate::tensor::{Storage, Tensor};
use crate::view::View;

/// How the numbers of a result are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Kept {
    /// In f64.
    #[default]
    Exact,
    Rounded(Dtype),
}

impl Kept {
    pub fn bytes(self) -> usize {
        match self {
            Self::Exact => 8,
            Self::Rounded(dtype) => dtype.bytes() as usize,
        }
    }
}

/// The numbers of a result.
#[derive(Clone, Debug, Default)]
pub(crate) struct Numbers {
    pub kept: Kept,
    len: usize,
    /// Words of 8 bytes, as tensors are held.
    words: Vec<u64>,
}

impl Numbers {
    /// So many zeros.
    pub fn new(kept: Kept, len: usize) -> Self {
        Self {
            kept,
            len,
            words: vec![0; (len * kept.bytes()).div_ceil(8)],
        }
    }

    /// The numbers that there are, rounded.
    pub fn of(kept: Kept, numbers: &[f64]) -> Self {
        let mut own = Self::new(kept, numbers.len());
        own.part(0..numbers.len()).write(0, numbers);
        own
    }

    pub fn bytes(&self) -> &[u8] {
        &bytemuck::cast_slice(&self.words)[..self.len * self.kept.bytes()]
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        let bytes = self.len * self.kept.bytes();
        &mut bytemuck::cast_slice_mut(&mut self.words)[..bytes]
    }

    pub fn part(&mut self, range: Range<usize>) -> Part<'_> {
        let (kept, size) = (self.kept, self.kept.bytes());
        Part {
            kept,
            bytes: &mut self.bytes_mut()[range.start * size..range.end * size],
        }
    }

    /// The numbers of a range in parts of so many.
    pub fn parts(&mut self, range: Range<usize>, each: usize) -> impl Iterator<Item = Part<'_>> {
        let Part { kept, bytes } = self.part(range);
        let chunks = bytes.chunks_mut((each * kept.bytes()).max(1));
        chunks.map(move |bytes| Part { kept, bytes })
    }

    /// Puts numbers to a place among so many.
    pub fn put(&mut self, place: usize, of: usize, next: Self) {
        if next.len == of {
            *self = next;
            return;
        }
        if self.len != of {
            *self = Self::new(next.kept, of);
        }
        self.part(place..place + next.len).bytes.copy_from_slice(next.bytes());
    }

    /// Adds numbers kept in f64 to as many, or to none.
    pub fn add(&mut self, next: Self) {
        if self.len == 0 {
            *self = next;
            return;
        }
        let own = self.exact_mut().iter_mut();
        own.zip(next.exact()).for_each(|(own, next)| *own += next);
    }

    /// In f64, where they are kept so.
    pub fn exact(&self) -> &[f64] {
        match self.kept {
            Kept::Exact => bytemuck::cast_slice(&self.words),
            Kept::Rounded(_) => &[],
        }
    }

    fn exact_mut(&mut self) -> &mut [f64] {
        match self.kept {
            Kept::Exact => bytemuck::cast_slice_mut(&mut self.words),
            Kept::Rounded(_) => &mut [],
        }
    }

    pub fn into_exact(self) -> Vec<f64> {
        match self.kept {
            Kept::Exact => bytemuck::cast_vec(self.words),
            Kept::Rounded(_) => Vec::new(),
        }
    }

    /// A host tensor of them; of those kept in f64, rounded to a dtype.
    pub fn into_tensor(self, dtype: Dtype, shape: &[usize]) -> Tensor {
        let rounded = match self.kept {
            Kept::Exact => Self::of(Kept::Rounded(dtype), self.exact()),
            Kept::Rounded(_) => self,
        };
        Tensor {
            storage: Storage::Host(Arc::new(rounded.words)),
            view: View::contiguous(dtype, shape),
        }
    }
}

/// Some of the numbers of a result.
#[derive(Debug)]
pub(crate) struct Part<'a> {
    pub kept: Kept,
    pub bytes: &'a mut [u8],
}

impl Part<'_> {
    /// Writes numbers from a place on, rounded.
    pub fn write(&mut self, place: usize, numbers: &[f64]) {
        use half::{bf16, f16};
        match self.kept {
            Kept::Exact => self.put(place, numbers, f64::to_ne_bytes),
            Kept::Rounded(dtype) => match dtype {
                // A 16-bit result is that in f32, rounded once more.
                Dtype::F16 => self.put(place, numbers, |x| f16::from_f32(x as f32).to_ne_bytes()),
                Dtype::Bf16 => self.put(place, numbers, |x| bf16::from_f32(x as f32).to_ne_bytes()),
                Dtype::F32 => self.put(place, numbers, |x| (x as f32).to_ne_bytes()),
                Dtype::U8 => self.put(place, numbers, |x| (x as u8).to_ne_bytes()),
                Dtype::I32 => self.put(place, numbers, |x| (x as i32).to_ne_bytes()),
                Dtype::U32 => self.put(place, numbers, |x| (x as u32).to_ne_bytes()),
                Dtype::I64 => self.put(place, numbers, |x| (x as i64).to_ne_bytes()),
            },
        }
    }

    fn put<const SIZE: usize>(&mut self, place: usize, numbers: &[f64], to: impl Fn(f64) -> [u8; SIZE]) {
        let (all, _) = self.bytes.as_chunks_mut::<SIZE>();
        let own = &mut all[place..place + numbers.len()];
        own.iter_mut().zip(numbers).for_each(|(own, x)| *own = to(*x));
    }
}
