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

    /// The same behind so many bytes of its memory.
    pub fn placed(dtype: Dtype, shape: &[usize], offset: u64) -> Self {
        Self {
            offset,
            ..Self::contiguous(dtype, shape)
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

    /// It has elements in bytes where another view of the same memory has some, too.
    pub fn overlaps(&self, other: &Self) -> bool {
        let apart = self.is_empty() || other.is_empty() || self.end() <= other.offset || other.end() <= self.offset;
        if apart {
            return false;
        }
        let (own, other) = (Runs::of(self), Runs::of(other));
        let (few, many) = if own.count <= other.count {
            (own, other)
        } else {
            (other, own)
        };
        if few.step == many.step {
            return many.meets_in_phase(&few);
        }
        (0..few.count).any(|nth| many.meets(few.first + nth * few.step, few.len))
    }

    /// The last place before it that a plan does not hang on: a multiple of `step` bytes ([`Limits::step`]).
    ///
    /// [`Limits::step`]: crate::limits::Limits::step
    pub(crate) fn base(&self, step: u64) -> u64 {
        self.offset - self.offset % step
    }

    /// The same within memory that begins at its base.
    pub(crate) fn behind_base(self, step: u64) -> Self {
        Self {
            offset: self.offset - self.base(step),
            ..self
        }
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

/// The runs of bytes that a view consists of: its rows, or, without gaps, all in one.
struct Runs {
    first: u64,
    len: u64,
    /// From the beginning of one to that of the next.
    step: u64,
    count: u64,
}

impl Runs {
    fn of(view: &View) -> Self {
        let bytes = view.dtype.bytes();
        let (len, step, count) = match view.is_contiguous() {
            true => (view.extent(), view.extent(), 1),
            false => (
                view.slab() as u64,
                view.row_stride as u64,
                view.shape.first().map_or(1, |&n| n as u64),
            ),
        };
        Self {
            first: view.offset,
            len: len * bytes,
            step: step * bytes,
            count,
        }
    }

    /// Whether one of them has bytes of a run.
    fn meets(&self, first: u64, len: u64) -> bool {
        let before = (first.saturating_sub(self.first) / self.step).min(self.count - 1);
        let begin = self.first + before * self.step;
        // That which begins before it, or the first; else the next.
        let next = begin + self.step;
        begin < first + len && first < begin + self.len || before + 1 < self.count && next < first + len
    }

    /// The same of runs as far apart as these, which lie within the same bytes from the first to the last.
    fn meets_in_phase(&self, other: &Self) -> bool {
        let phase = (other.first + self.step - self.first % self.step) % self.step;
        phase < self.len || phase + other.len > self.step
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All bytes of the elements of a view.
    fn bytes(view: &View) -> std::collections::HashSet<u64> {
        let rows = view.shape.first().map_or(1, |&n| n) as u64;
        let row = |nth: u64| {
            let first = view.offset + nth * view.row_stride as u64 * view.dtype.bytes();
            first..first + view.slab() as u64 * view.dtype.bytes()
        };
        (0..rows).flat_map(row).collect()
    }

    #[test]
    fn views_overlap_where_they_share_a_byte() {
        let mut views = Vec::new();
        for dtype in [Dtype::U8, Dtype::F16, Dtype::F32] {
            for (rows, cols, stride) in [
                (1, 3, 3),
                (3, 2, 2),
                (3, 2, 5),
                (4, 1, 4),
                (2, 2, 9),
                (3, 0, 2),
                (0, 4, 4),
            ] {
                for offset in [0, 1, 3, 7, 16, 33] {
                    let offset = offset * dtype.bytes();
                    views.push(View {
                        dtype,
                        shape: vec![rows, cols],
                        row_stride: stride,
                        offset,
                    });
                }
            }
        }
        views.push(View::placed(Dtype::F32, &[], 8));
        let (mut apart, mut together) = (0, 0);
        for a in &views {
            for b in &views {
                let want = !bytes(a).is_disjoint(&bytes(b));
                *(if want { &mut together } else { &mut apart }) += 1;
                assert_eq!(a.overlaps(b), want, "{a:?} {b:?}");
            }
        }
        assert!(apart > 1000 && together > 1000, "{apart} {together}");
    }
}
