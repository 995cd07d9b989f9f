//! Reductions and softmax along every dimension.

use wgloss::{Call, Dtype, LogSoftmax, Loss, Mode, Reduce, ReduceOp, Softmax, Tensor};

use super::floats;
use crate::common::against::{against_reference, against_reference_of};
use crate::common::cases::DTYPES;
use crate::common::data::Data;
use crate::common::{report, takes};

/// Reductions along every axis, kept or not, with the gradient of each; NaN and infinities among the numbers, and ties.
#[test]
fn reductions_along_every_axis() {
    let (mut failures, mut total) = (Vec::new(), 0);
    let shapes: [&[usize]; 6] = [&[7], &[5, 70], &[2, 3, 4], &[3, 1, 5], &[2, 3, 4, 5], &[2, 1030]];
    for (seed, shape) in shapes.iter().enumerate() {
        let mut data = Data::new(seed as u64);
        let mut numbers = data.logits(shape.iter().product());
        // Ties of the largest and of the smallest.
        numbers.iter_mut().step_by(5).for_each(|x| *x = 50.0);
        numbers.iter_mut().skip(2).step_by(7).for_each(|x| *x = -50.0);
        let mut wild = numbers.clone();
        wild[0] = f32::NAN;
        *wild.last_mut().unwrap() = f32::NEG_INFINITY;
        let middle = wild.len() / 2;
        wild[middle] = f32::INFINITY;
        for (n, dim) in (-(shape.len() as i64)..shape.len() as i64)
            .map(Some)
            .chain([None])
            .enumerate()
        {
            for (k, op) in ReduceOp::ALL.into_iter().enumerate() {
                if !takes(seed + n + 2 * k, 6) {
                    continue;
                }
                let keepdim = dim.is_some() && (n + k) % 2 == 0;
                let loss = Reduce {
                    op,
                    dim: dim.into_iter().collect(),
                    keepdim,
                    ..Default::default()
                };
                let grad = op != ReduceOp::Argmax;
                let dtype = [Dtype::F32, Dtype::F16, Dtype::Bf16][(n + k) % 3];
                let own = if n % 2 == 0 { &numbers } else { &wild };
                let x = Tensor::new(own, shape).unwrap().to_dtype(dtype).unwrap();
                let mut kept = shape.to_vec();
                match dim.map(|dim| dim.rem_euclid(shape.len() as i64) as usize) {
                    None => kept.clear(),
                    Some(d) if keepdim => kept[d] = 1,
                    Some(d) => drop(kept.remove(d)),
                }
                let upstream = Tensor::new(&data.logits(kept.iter().product()), &kept).unwrap();
                let call = Call {
                    grad_output: grad.then_some(&upstream),
                    ..Call::new(if grad { Mode::Fused } else { Mode::Forward }, &[&x])
                };
                total += 1;
                let what = format!("{} of {shape:?} {dtype} along {dim:?}, kept: {keepdim}", op.name());
                failures.extend(against_reference_of(&what, &loss, &call, Some(&kept)));
            }
        }
    }
    report(failures, total);
}

/// A dimension of size 0 goes as nothing at all would.
#[test]
fn reductions_along_an_axis_of_nothing() {
    let (mut failures, mut total) = (Vec::new(), 0);
    for (shape, dim) in [([3usize, 0], 1), ([0, 3], 0), ([0, 3], 1), ([3, 0], 0)] {
        let x = Tensor::new(&[0.0f32; 0], &shape).unwrap();
        for op in [ReduceOp::Sum, ReduceOp::Mean, ReduceOp::LogSumExp] {
            let loss = Reduce {
                op,
                dim: vec![dim],
                ..Default::default()
            };
            total += 1;
            let what = format!("{} of {shape:?} along {dim}", op.name());
            failures.extend(against_reference(&what, &loss, &Call::new(Mode::Forward, &[&x])));
        }
    }
    report(failures, total);
}

/// Softmax and its logarithm along any dimension.
#[test]
fn softmax_along_every_dimension() {
    let (mut failures, mut total) = (Vec::new(), 0);
    let shapes: [&[usize]; 6] = [&[], &[7], &[5, 70], &[70, 5], &[3, 4, 5], &[2, 3, 4, 3]];
    for (seed, shape) in shapes.iter().enumerate() {
        let mut data = Data::new(seed as u64);
        let rank = shape.len().max(1) as i64;
        for dim in -rank..rank {
            for (k, (dtype, other)) in [DTYPES[0], DTYPES[1], DTYPES[4]].into_iter().enumerate() {
                // Dimensions that are the same by either name have other dtypes.
                if !takes((dim + rank) as usize + k, 2) {
                    continue;
                }
                let x = floats(&mut data, shape).to_dtype(dtype).unwrap();
                let g = floats(&mut data, shape).to_dtype(other).unwrap();
                let losses: [&dyn Loss; 2] = [
                    &Softmax {
                        dim,
                        ..Default::default()
                    },
                    &LogSoftmax {
                        dim,
                        ..Default::default()
                    },
                ];
                let loss = losses[(k + dim.unsigned_abs() as usize) % 2];
                let call = Call {
                    grad_output: Some(&g),
                    ..Call::new(Mode::Fused, &[&x])
                };
                total += 1;
                let what = format!("{} of {shape:?} {dtype} along {dim}", loss.info().name);
                failures.extend(against_reference(&what, loss, &call));
            }
        }
    }
    report(failures, total);
}
