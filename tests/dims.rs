//! Reductions along several dimensions, neighbours or not: values and gradients against the reference, whose own values
//! are held by the golden cases; the same bits however the work is cut.

use std::collections::BTreeSet;

use wgloss::{Call, Dtype, Engine, GradTo, Loss, Mode, Reduce, ReduceOp, Stream, Tensor};

use crate::common::against::against_reference_of;
use crate::common::data::Data;
use crate::common::own::{own, paged, values};
use crate::common::{bits, engine, gpu, report, takes};

const OPS: [ReduceOp; 5] = [
    ReduceOp::Sum,
    ReduceOp::Mean,
    ReduceOp::Max,
    ReduceOp::Min,
    ReduceOp::LogSumExp,
];

fn along(op: ReduceOp, dim: &[i64], keepdim: bool) -> Reduce {
    Reduce {
        op,
        dim: dim.to_vec(),
        keepdim,
        ..Default::default()
    }
}

/// The shape of the result.
fn kept(shape: &[usize], dim: &[i64], keepdim: bool) -> Vec<usize> {
    let goes = |d: usize| dim.iter().any(|own| own.rem_euclid(shape.len() as i64) as usize == d);
    let all = shape.iter().enumerate();
    all.filter(|(d, _)| keepdim || !goes(*d))
        .map(|(d, &size)| if goes(d) { 1 } else { size })
        .collect()
}

#[test]
fn every_choice_of_dimensions_is_that_of_the_reference() {
    let (mut failures, mut total) = (Vec::new(), 0);
    let mut seen = BTreeSet::new();
    let mut data = Data::new(41);
    for (nth, (shape, dims)) in [
        (&[4usize, 5][..], &[&[0i64, 1][..], &[-1, 0]][..]),
        (&[2, 3, 4], &[&[0, 2], &[-1, 0], &[0, 1], &[1, 2], &[2, 0, 1]]),
        (&[2, 3, 4, 5], &[&[1, 3], &[3, 0, 1], &[0, 2], &[1, 2], &[0, 3]]),
        (&[3, 1, 7], &[&[1, 2], &[0, 2], &[0, 1]]), // nothing lies between the first and the last
        (&[1, 6, 1, 5], &[&[0, 2], &[0, 3]]),
        (&[3, 40, 70], &[&[0, 2]]),
        (&[33, 3, 1030], &[&[0, 2]]),
        (&[2, 3, 2, 3, 2, 3], &[&[0, 2, 4], &[1, 3, 5]]),
    ]
    .into_iter()
    .enumerate()
    {
        let mut numbers = data.logits(shape.iter().product());
        // Equals, and rows with infinities and NaN.
        numbers.iter_mut().step_by(5).for_each(|x| *x = 50.0);
        let mut wild = numbers.clone();
        wild[0] = f32::NAN;
        *wild.last_mut().unwrap() = f32::INFINITY;
        for (n, dim) in dims.iter().enumerate() {
            for (k, op) in OPS.into_iter().enumerate() {
                for keepdim in [false, true] {
                    let dtype = [Dtype::F32, Dtype::F16, Dtype::Bf16][(n + k) % 3];
                    let own = if (k + usize::from(keepdim)) % 2 == 0 {
                        &numbers
                    } else {
                        &wild
                    };
                    let x = Tensor::new(own, shape).unwrap().to_dtype(dtype).unwrap();
                    let result = kept(shape, dim, keepdim);
                    let upstream = Tensor::new(&data.logits(result.iter().product()), &result).unwrap();
                    let loss = along(op, dim, keepdim);
                    for (m, mode) in Mode::ALL.into_iter().enumerate() {
                        if !takes(nth + 4 * n + k + 2 * m + usize::from(keepdim), 15) {
                            continue;
                        }
                        seen.insert((op.name(), mode.name()));
                        seen.insert((op.name(), dtype.name()));
                        seen.insert((mode.name(), dtype.name()));
                        let call = Call {
                            grad_output: mode.wants_grad().then_some(&upstream),
                            ..Call::new(mode, &[&x])
                        };
                        total += 1;
                        let what = format!("{} {} of {shape:?} {dtype} along {dim:?}", mode.name(), op.name());
                        failures.extend(against_reference_of(&what, &loss, &call, Some(&result)));
                    }
                }
            }
        }
    }
    // Each operation in each mode and dtype, and each mode in each dtype.
    assert_eq!(seen.len(), 15 + 15 + 9, "{seen:?}");
    report(failures, total);
}

/// Of nothing but -inf, the logarithm of a sum of 0 has the gradient 0, along one dimension as along several.
#[test]
fn the_logarithm_of_nothing_has_no_slope() {
    let low = f32::NEG_INFINITY;
    // Along the first and the last, row 0 is nothing but -inf.
    let x = Tensor::new(&[low, low, 1.0, low, low, low, 2.0, 3.0], &[2, 2, 2]).unwrap();
    for engine in [gpu(), &Engine::cpu()] {
        for (dim, zeros) in [(&[0i64, 2][..], &[0usize, 1, 4, 5][..]), (&[2], &[0, 1, 4, 5])] {
            let loss = along(ReduceOp::LogSumExp, dim, false);
            let got = loss
                .forward_backward(engine, &[&x], None)
                .unwrap()
                .read(engine)
                .unwrap();
            assert_eq!(got.loss.unwrap().data[0], low, "{dim:?}");
            let grad = got.grad_input.unwrap().data;
            assert!(zeros.iter().all(|&at| grad[at] == 0.0), "{dim:?}: {grad:?}");
            assert!(grad[2] > 0.0 && grad.iter().all(|g| g.is_finite()), "{dim:?}: {grad:?}");
        }
    }
}

/// Over the input, into a tensor of the caller's and on top of what it holds.
#[test]
fn gradients_go_where_they_are_told() {
    // An engine of its own, whose pipelines go with it.
    let engine = engine::fresh();
    let gpu = || &engine;
    let shape = [3usize, 5, 7, 2];
    let mut data = Data::new(42);
    let x = Tensor::new(&data.logits(210), &shape).unwrap();
    for (k, op) in OPS.into_iter().enumerate() {
        for (n, dtype) in [Dtype::F32, Dtype::F16].into_iter().enumerate() {
            if !takes(k + n, 2) {
                continue;
            }
            let x = x.to_dtype(dtype).unwrap();
            let loss = along(op, &[0, 2], false);
            let want = loss.forward_backward(gpu(), &[&x], None).unwrap().read(gpu()).unwrap();
            let held = own(gpu(), dtype, &shape);
            held.put(gpu(), &x);
            let call = Call {
                grad_input: GradTo::InPlace,
                ..Call::new(Mode::Fused, &[&held.tensor])
            };
            let got = values(&loss.run(gpu(), &call).unwrap(), gpu());
            assert_eq!(bits(&got), bits(&want), "{} {dtype} in place", op.name());

            let sum = own(gpu(), dtype, &shape);
            sum.put(
                gpu(),
                &Tensor::new(&[0.0f32; 210], &shape).unwrap().to_dtype(dtype).unwrap(),
            );
            let call = Call {
                grad_input: GradTo::AddTo(&sum.tensor),
                ..Call::new(Mode::Fused, &[&x])
            };
            let got = values(&loss.run(gpu(), &call).unwrap(), gpu());
            assert_eq!(bits(&got), bits(&want), "{} {dtype} added to 0", op.name());
        }
    }
}

/// Cut to small bindings, and streamed: the same bits.
#[test]
fn no_cut_changes_a_bit() {
    let shape = [40usize, 9, 3000];
    let mut data = Data::new(43);
    let x = Tensor::new(&data.logits(shape.iter().product()), &shape).unwrap();
    let pages = paged(&x);
    let mut both = engine::Both::new(192 << 10);
    for op in OPS {
        for dim in [&[0i64, 2][..], &[1, 2]] {
            let loss = along(op, dim, false);
            let run = |engine: &Engine| {
                let values = loss
                    .forward_backward(engine, &[&x], None)
                    .unwrap()
                    .read(engine)
                    .unwrap();
                bits(&values)
            };
            let whole = run(both.whole());
            assert!(whole == run(both.cut()), "{} along {dim:?}", op.name());
            let engine = both.whole();
            let call = Call::new(Mode::Fused, &[&pages]);
            let streamed = Stream::within(64 << 20).run(engine, &loss, &call).unwrap().0;
            assert!(whole == bits(&streamed), "{} along {dim:?}, streamed", op.name());
        }
    }
}

#[test]
fn what_makes_no_sense_is_told() {
    let x = Tensor::new(&[0.0f32; 24], &[2, 3, 4]).unwrap();
    for (op, dim, message) in [
        (
            ReduceOp::Sum,
            &[0i64, 2, -3][..],
            "dim: 0,2,-3 given, which names dimension 0 of an input [2, 3, 4] twice",
        ),
        (
            ReduceOp::Max,
            &[1, 3],
            "dim: 3 given, expected -3 to 2 for an input [2, 3, 4]",
        ),
        (
            ReduceOp::Argmax,
            &[0, 1],
            "dim: 0,1 given, argmax takes one dimension or, without dim, everything",
        ),
    ] {
        for engine in [gpu(), &Engine::cpu()] {
            let error = along(op, dim, false).forward(engine, &[&x]).unwrap_err();
            assert_eq!(error.to_string(), message);
        }
    }
    let empty = Tensor::new(&[0.0f32; 0], &[2, 3, 0]).unwrap();
    let max = along(ReduceOp::Max, &[0, 2], false);
    assert!(max.forward(gpu(), &[&empty]).is_err(), "the largest of nothing");
    for (op, want) in [(ReduceOp::Sum, 0.0f32), (ReduceOp::LogSumExp, f32::NEG_INFINITY)] {
        for engine in [gpu(), &Engine::cpu()] {
            let output = along(op, &[0, 2], false).forward(engine, &[&empty]).unwrap();
            assert_eq!(
                output.read(engine).unwrap().loss.unwrap().data,
                [want; 3],
                "{}",
                op.name()
            );
        }
    }
}
