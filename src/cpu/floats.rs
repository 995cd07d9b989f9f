//! Operands as f64, whatever their dtype: read in stretches, through the view that the problem has of them.

use rayon::prelude::*;

use super::{ByRole, Held};
use crate::dtype::Dtype;
use crate::error::{Error, Result};
use crate::layout::Slot;
use crate::math::LONG;
use crate::problem::Problem;
use crate::view::View;
use crate::words::Role;

/// A host tensor's elements, addressed through a view of it. The dtype is the tensor's own; integers are their values.
pub(super) struct Floats<'a> {
    bytes: &'a [u8],
    dtype: Dtype,
    pub view: &'a View,
}

impl<'a> Floats<'a> {
    pub fn new(operands: &ByRole<'a>, role: Role, view: &'a View) -> Result<Self> {
        let held = find(operands, role)?;
        Ok(Self {
            bytes: &held.bytes(role)?[view.offset as usize..],
            dtype: held.dtype(),
            view,
        })
    }

    /// The operand of a slot, where there is one.
    pub fn of(problem: &'a Problem, operands: &ByRole<'a>, slot: Slot) -> Result<Option<Self>> {
        let own = problem.operand(slot);
        own.map(|own| Self::new(operands, own.role, &own.view)).transpose()
    }

    /// An upstream gradient, where there is one.
    pub fn upstream(problem: &'a Problem, operands: &ByRole<'a>, role: Role) -> Result<Option<Self>> {
        let view = problem.upstream(role);
        view.map(|view| Self::new(operands, role, view)).transpose()
    }

    pub fn at(&self, index: usize) -> f64 {
        let mut own = [0.0];
        self.read(index, 1, &mut own);
        own[0]
    }

    /// A class index, as i64 whatever its dtype.
    pub fn label(&self, index: usize) -> i64 {
        match self.dtype {
            Dtype::I64 => self.whole(index, i64::from_ne_bytes),
            Dtype::U32 => self.whole(index, |own| i64::from(u32::from_ne_bytes(own))),
            Dtype::I32 => self.whole(index, |own| i64::from(i32::from_ne_bytes(own))),
            Dtype::U8 => self.whole(index, |own| i64::from(u8::from_ne_bytes(own))),
            // Problems take no others for classes.
            Dtype::F32 | Dtype::F16 | Dtype::Bf16 => self.at(index) as i64,
        }
    }

    fn whole<const SIZE: usize>(&self, index: usize, to: impl Fn([u8; SIZE]) -> i64) -> i64 {
        to(self.bytes.as_chunks::<SIZE>().0[index])
    }

    /// All elements of a view without gaps.
    pub fn all(&self) -> Vec<f64> {
        let mut all = vec![0.0; self.view.len() as usize];
        self.read(0, 1, &mut all);
        all
    }

    /// Elements from a place on, `step` apart.
    pub fn read(&self, place: usize, step: usize, out: &mut [f64]) {
        match self.dtype {
            Dtype::F32 => self.widen(place, step, out, |own| f64::from(f32::from_ne_bytes(own))),
            Dtype::F16 => self.widen(place, step, out, |own| half::f16::from_ne_bytes(own).to_f64()),
            Dtype::Bf16 => self.widen(place, step, out, |own| half::bf16::from_ne_bytes(own).to_f64()),
            Dtype::U8 => self.widen(place, step, out, |own| f64::from(u8::from_ne_bytes(own))),
            Dtype::I32 => self.widen(place, step, out, |own| f64::from(i32::from_ne_bytes(own))),
            Dtype::U32 => self.widen(place, step, out, |own| f64::from(u32::from_ne_bytes(own))),
            Dtype::I64 => self.widen(place, step, out, |own| i64::from_ne_bytes(own) as f64),
        }
    }

    fn widen<const SIZE: usize>(&self, place: usize, step: usize, out: &mut [f64], to: impl Fn([u8; SIZE]) -> f64) {
        let (all, _) = self.bytes[place * SIZE..].as_chunks::<SIZE>();
        if step == 1 {
            let n = out.len();
            out.iter_mut().zip(&all[..n]).for_each(|(out, own)| *out = to(*own));
        } else {
            let own = all.iter().step_by(step.max(1));
            out.iter_mut().zip(own).for_each(|(out, own)| *out = to(*own));
        }
    }

    /// Whole rows of so many elements, one behind the other.
    pub fn rows(&self, first: usize, cols: usize, out: &mut [f64]) {
        if self.view.is_contiguous() {
            let parts = out.par_chunks_mut(LONG).enumerate();
            return parts.for_each(|(nth, out)| self.read(first * cols + nth * LONG, 1, out));
        }
        for (nth, row) in out.chunks_exact_mut(cols.max(1)).enumerate() {
            self.read((first + nth) * self.view.row_stride, 1, row);
        }
    }
}

/// # Errors
/// [`Error::Operand`] where there is none.
pub(super) fn find<'a>(operands: &ByRole<'a>, role: Role) -> Result<Held<'a>> {
    let own = operands.iter().find(|(own, _)| *own == role);
    own.map(|(_, held)| *held)
        .ok_or_else(|| Error::operand(role.name(), "missing"))
}

/// How a view lies under a shape that it broadcasts to: dimensions of a size and a stride, 0 where it repeats, as few
/// as say the same.
pub(super) struct Walk(Vec<(usize, usize)>);

/// Elements of the shape one behind the other that lie equally far apart in the view.
#[derive(Clone, Copy)]
pub(super) struct Stretch {
    /// From where the walk began.
    pub from: usize,
    pub len: usize,
    pub place: usize,
    pub step: usize,
}

impl Walk {
    pub fn new(view: &View, shape: &[usize]) -> Self {
        let strides = view.strides();
        let mut dims: Vec<(usize, usize)> = Vec::new();
        for (d, &size) in shape.iter().enumerate().filter(|(_, size)| **size != 1) {
            let own = (d + strides.len()).checked_sub(shape.len());
            let own = own.filter(|&own| view.shape[own] > 1);
            let stride = own.map_or(0, |own| strides[own] as usize);
            match dims.last_mut() {
                Some(outer) if outer.1 == size * stride => *outer = (outer.0 * size, stride),
                _ => dims.push((size, stride)),
            }
        }
        if dims.is_empty() {
            dims.push((1, 0));
        }
        Self(dims)
    }

    /// Calls a function with each stretch of `len` elements from `start` on.
    pub fn stretches(&self, start: usize, len: usize, mut each: impl FnMut(Stretch)) {
        let Some((&(size, step), outer)) = self.0.split_last() else {
            return;
        };
        let mut from = 0;
        while from < len {
            let (mut rest, column) = ((start + from) / size, (start + from) % size);
            let mut place = column * step;
            for &(size, stride) in outer.iter().rev() {
                place += rest % size * stride;
                rest /= size;
            }
            let len = (size - column).min(len - from);
            each(Stretch { from, len, place, step });
            from += len;
        }
    }
}

#[cfg(test)]
mod tests {
    use half::{bf16, f16};

    use super::*;
    use crate::tensor::Tensor;

    /// Integers are their values, through a view of whatever dtype; steps and places count elements.
    #[test]
    fn every_dtype_is_read_as_its_values() {
        let shape = [5];
        let cases: [(Tensor, [f64; 5]); 7] = [
            (Tensor::new(&[1f32, -2.5, f32::MAX, 0.1, 7.0], &shape).unwrap(), {
                [1.0, -2.5, f64::from(f32::MAX), f64::from(0.1f32), 7.0]
            }),
            (
                Tensor::new(&[1.0, -2.5, 65504.0, 6e-8, 7.0].map(f16::from_f32), &shape).unwrap(),
                [1.0, -2.5, 65504.0, 2f64.powi(-24), 7.0],
            ),
            (
                Tensor::new(&[1.0, -2.5, 1e38, 9.2e-41, 7.0].map(bf16::from_f32), &shape).unwrap(),
                [
                    1.0,
                    -2.5,
                    f64::from(bf16::from_f32(1e38).to_f32()),
                    2f64.powi(-133),
                    7.0,
                ],
            ),
            (
                Tensor::new(&[0u8, 1, 128, 255, 7], &shape).unwrap(),
                [0.0, 1.0, 128.0, 255.0, 7.0],
            ),
            (
                Tensor::new(&[i32::MIN, -1, 0, i32::MAX, 7], &shape).unwrap(),
                [-2147483648.0, -1.0, 0.0, 2147483647.0, 7.0],
            ),
            (
                Tensor::new(&[0u32, 1 << 31, u32::MAX, 16_777_217, 7], &shape).unwrap(),
                [0.0, 2147483648.0, 4294967295.0, 16_777_217.0, 7.0],
            ),
            (
                Tensor::new(&[1i64 << 53, -(1 << 53) + 1, i64::MIN, 3, 7], &shape).unwrap(),
                [2f64.powi(53), 1.0 - 2f64.powi(53), -(2f64.powi(63)), 3.0, 7.0],
            ),
        ];
        for (tensor, want) in cases {
            let view = View::contiguous(Dtype::F32, &shape);
            let floats = Floats::new(&[(Role::Target, Held::Tensor(&tensor))], Role::Target, &view).unwrap();
            assert_eq!(floats.all(), want, "{}", tensor.dtype());
            let mut odd = [0.0; 2];
            floats.read(1, 2, &mut odd);
            assert_eq!((odd, floats.at(4)), ([want[1], want[3]], want[4]), "{}", tensor.dtype());
        }
    }

    /// Where an element of a shape lies in a view that broadcasts to it, coordinate by coordinate.
    fn place(view: &View, shape: &[usize], element: usize) -> usize {
        let strides = view.strides();
        let (mut rest, mut at) = (element, 0);
        for (d, &size) in shape.iter().enumerate().rev() {
            let coordinate = rest % size;
            rest /= size;
            if let Some(k) = (d + strides.len()).checked_sub(shape.len())
                && view.shape[k] > 1
            {
                at += coordinate * strides[k] as usize;
            }
        }
        at
    }

    #[test]
    fn stretches_find_each_element_of_what_broadcasts() {
        let shape = [3, 1, 4, 5];
        let count = shape.iter().product();
        let views: [&[usize]; 10] = [
            &[3, 1, 4, 5],
            &[1, 4, 5],
            &[5],
            &[],
            &[1],
            &[4, 1],
            &[3, 1, 1, 1],
            &[3, 1, 1, 5],
            &[3, 1, 4, 1],
            &[1, 1, 1, 5],
        ];
        for own in views {
            for gap in [0, 2] {
                let mut view = View::contiguous(Dtype::F32, own);
                view.row_stride += gap;
                let walk = Walk::new(&view, &shape);
                for (start, len) in [(0, count), (7, 30), (19, 1), (20, 40), (59, 1)] {
                    let mut found = Vec::new();
                    walk.stretches(start, len, |own| {
                        assert_eq!(own.from, found.len());
                        found.extend((0..own.len).map(|n| own.place + n * own.step));
                    });
                    let want: Vec<_> = (start..start + len).map(|at| place(&view, &shape, at)).collect();
                    assert_eq!(found, want, "{own:?} with a gap of {gap}, {len} from {start}");
                }
            }
        }
        // As few stretches as say the same.
        let count_of = |own: &[usize]| {
            let mut stretches = 0;
            Walk::new(&View::contiguous(Dtype::F32, own), &shape).stretches(0, count, |_| stretches += 1);
            stretches
        };
        assert_eq!(
            [
                count_of(&[3, 1, 4, 5]),
                count_of(&[]),
                count_of(&[4, 5]),
                count_of(&[5])
            ],
            [1, 1, 3, 12]
        );
    }
}
