//! Rows whose columns lie along dimensions with others between them: the input rearranged so that they do not, and its
//! gradient put back.

use super::floats::find;
use super::numbers::Numbers;
use super::{ByRole, Held, Keeping, Made, rows};
use crate::error::Result;
use crate::problem::{Problem, Rows, Scattered};
use crate::tensor::Tensor;
use crate::view::View;

pub(super) fn run(
    problem: &Problem,
    rows: &Rows,
    own: &Scattered,
    operands: &ByRole<'_>,
    keeping: &Keeping<'_>,
) -> Result<Made> {
    let input = &problem.operands[0];
    let held = find(operands, input.role)?;
    let bytes = &held.bytes(input.role)?[input.view.offset as usize..];
    let places = places(&input.view.shape, &own.dims);
    let shape = [rows.slabs, rows.cols, rows.inner];
    let size = held.dtype().bytes() as usize;
    let rearranged = Tensor::filled(held.dtype(), &shape, |out| {
        for (element, &place) in out.chunks_exact_mut(size).zip(&places) {
            element.copy_from_slice(&bytes[place * size..][..size]);
        }
        Ok(())
    })?;

    let mut together = problem.clone();
    let own = &mut together.operands[0];
    own.view = View::contiguous(own.view.dtype, &shape);
    own.grad = own.grad.as_ref().map(|view| View::contiguous(view.dtype, &shape));
    let rows = Rows {
        scattered: None,
        ..rows.clone()
    };
    let operands: Vec<_> = operands
        .iter()
        .map(|&(role, held)| {
            (
                role,
                if role == own.role {
                    Held::Tensor(&rearranged)
                } else {
                    held
                },
            )
        })
        .collect();
    let mut made = rows::run(&together, &rows, &operands, None, keeping, None)?;
    for (_, grad) in &mut made.grads {
        let mut back = Numbers::new(grad.kept, places.len());
        let size = grad.kept.bytes();
        let part = back.part(0..places.len());
        for (own, &place) in grad.bytes().chunks_exact(size).zip(&places) {
            part.bytes[place * size..][..size].copy_from_slice(own);
        }
        *grad = back;
    }
    Ok(made)
}

/// Where each element of the rearranged array lies in a contiguous one: (dimensions before the first of the columns,
/// those of the columns, the others).
fn places(shape: &[usize], columns: &[usize]) -> Vec<usize> {
    let first = columns.first().copied().unwrap_or(0);
    let others = (first..shape.len()).filter(|dim| !columns.contains(dim));
    let order: Vec<usize> = (0..first).chain(columns.iter().copied()).chain(others).collect();
    let strides = View::contiguous(crate::dtype::Dtype::F32, shape).strides();
    let mut places = vec![0usize];
    if shape.contains(&0) {
        places.clear();
    }
    for dim in order {
        let (size, stride) = (shape[dim], strides[dim] as usize);
        places = places
            .iter()
            .flat_map(|&at| (0..size).map(move |i| at + i * stride))
            .collect();
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_come_together() {
        // (2, 3, 4) by the first and the last: the columns of row j are at 12 i + 4 j + k.
        let places = places(&[2, 3, 4], &[0, 2]);
        let wanted: Vec<usize> = (0..24).map(|n| 12 * (n / 12) + 4 * (n % 3) + n / 3 % 4).collect();
        assert_eq!(places, wanted);
    }
}
