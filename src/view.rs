//! How a tensor is laid out.

use crate::dtype::Dtype;

/// Where a tensor lies and how it is laid out, without its memory: all that validation and planning look at.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct View {
    pub dtype: Dtype,
    pub shape: Vec<usize>,
    /// Elements from one index of the first dimension to the next; at least the product of the others. The other
    /// dimensions are contiguous.
    pub row_stride: usize,
    /// Bytes before the first element.
    pub offset: u64,
}

impl View {
    pub fn contiguous(dtype: Dtype, shape: &[usize]) -> Self {
        Self {
            dtype,
            shape: shape.to_vec(),
            row_stride: shape.iter().skip(1).product(),
            offset: 0,
        }
    }

    pub fn len(&self) -> u64 {
        self.shape.iter().map(|&n| n as u64).product()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The product of all dimensions but the first.
    pub fn slab(&self) -> usize {
        self.shape.iter().skip(1).product()
    }

    pub fn is_contiguous(&self) -> bool {
        self.gap() == 0
    }

    /// Elements between one row, an index of the first dimension, and the next.
    pub fn gap(&self) -> usize {
        match self.shape.first() {
            Some(&n) if n > 1 => self.row_stride - self.slab(),
            _ => 0,
        }
    }

    /// Elements from the first to the last, both counted.
    pub fn extent(&self) -> u64 {
        if self.is_empty() {
            return 0;
        }
        let rows = self.shape.first().copied().unwrap_or(1) as u64;
        (rows - 1) * self.row_stride as u64 + self.slab() as u64
    }

    /// Bytes behind the last element, from the start of the memory.
    pub fn end(&self) -> u64 {
        self.offset + self.extent() * self.dtype.bytes()
    }

    /// Stride of each dimension, in elements.
    pub fn strides(&self) -> Vec<u64> {
        let mut strides = vec![1u64; self.shape.len()];
        for d in (0..self.shape.len().saturating_sub(1)).rev() {
            strides[d] = strides[d + 1] * self.shape[d + 1] as u64;
        }
        if let Some(first) = strides.first_mut() {
            *first = self.row_stride as u64;
        }
        strides
    }
}
