//! The filter of a layer's gradient: what it leaves out stays within its bound, whatever the target.

use wgloss::{Call, Dtype, Engine, Limits, LinearCrossEntropy, Loss, Mode, Reduction, Role, Tensor, Values};

use crate::common::data::Data;
use crate::common::{bits, engine, gpu, hardware};

const SIZES: [usize; 3] = [150, 24, 520];

/// A layer that is sure of some of its classes: input, matrix and target, of classes or of probabilities.
fn tensors(dtype: Dtype, full: bool) -> [Tensor; 3] {
    let [rows, features, classes] = SIZES;
    let mut data = Data::new(3);
    let mut of = |shape: &[usize], most: f32| {
        let numbers = data.uniform(shape.iter().product(), -most, most);
        Tensor::new(&numbers, shape).unwrap().to_dtype(dtype).unwrap()
    };
    let (input, matrix) = (of(&[rows, features], 2.0), of(&[classes, features], 2.0));
    let target = match full {
        true => Tensor::new(&vec![1.0 / classes as f32; rows * classes], &[rows, classes]).unwrap(),
        false => {
            let labels: Vec<i64> = (0..rows)
                .map(|n| if n % 7 == 0 { -100 } else { (n * 31 % classes) as i64 })
                .collect();
            Tensor::new(&labels, &[rows]).unwrap()
        }
    };
    [input, matrix, target]
}

fn run(engine: &Engine, tensors: &[Tensor; 3], smoothing: f64, eps: f64) -> Values {
    let bias = Tensor::new(&vec![0.1f32; SIZES[2]], &[SIZES[2]]).unwrap();
    let loss = LinearCrossEntropy {
        filter_eps: eps,
        label_smoothing: smoothing,
        linear_bias: Some(bias),
        reduction: Reduction::Sum,
        ..Default::default()
    };
    let call = Call {
        grads: vec![Role::LinearWeight, Role::LinearBias],
        ..Call::new(Mode::Fused, &tensors.each_ref())
    };
    loss.run(engine, &call).unwrap().read(engine).unwrap()
}

fn grads(values: &Values) -> [&[f32]; 3] {
    let of = |role| values.grad(role).unwrap().data.as_slice();
    [
        &values.grad_input.as_ref().unwrap().data,
        of(Role::LinearWeight),
        of(Role::LinearBias),
    ]
}

/// What the magnitudes of each column of a matrix add up to.
fn sums(matrix: &Tensor) -> Vec<f64> {
    let numbers = matrix.to_dtype(Dtype::F32).unwrap();
    let features = matrix.shape()[1];
    let mut sums = vec![0.0; features];
    for row in numbers.as_slice::<f32>().unwrap().chunks(features) {
        sums.iter_mut().zip(row).for_each(|(sum, x)| *sum += f64::from(x.abs()));
    }
    sums
}

#[test]
fn what_is_left_out_stays_within_its_bound() {
    for (dtype, full, smoothing) in [
        (Dtype::F32, false, 0.0),
        (Dtype::F32, false, 0.1),
        (Dtype::F32, true, 0.0),
        (Dtype::Bf16, false, 0.0),
    ] {
        let own = tensors(dtype, full);
        for eps in [1e-6, 1e-3, 2e-2] {
            for engine in [gpu(), hardware(), &Engine::cpu()] {
                let (all, some) = (run(engine, &own, smoothing, 0.0), run(engine, &own, smoothing, eps));
                assert_eq!(all.loss, some.loss);
                let by_input = sums(&own[1]).iter().map(|sum| eps * sum).collect::<Vec<f64>>();
                let by_matrix = sums(&own[0]).iter().map(|sum| eps * sum).collect::<Vec<f64>>();
                let bounds = [&by_input[..], &by_matrix, &[eps * SIZES[0] as f64]];
                let mut differ = 0;
                for ((a, b), bound) in grads(&all).into_iter().zip(grads(&some)).zip(bounds) {
                    for (n, (a, b)) in a.iter().zip(b).enumerate() {
                        // Of 16 bits each is rounded once more.
                        let rounded = if dtype.is_half() {
                            f64::from(a.abs()) / 128.0
                        } else {
                            1e-5
                        };
                        let off = f64::from((a - b).abs());
                        assert!(
                            off <= bound[n % bound.len()] + rounded,
                            "{} {eps}: {a} and {b}",
                            engine.name()
                        );
                        differ += usize::from(a != b);
                    }
                }
                // A flat target leaves each column something.
                assert!(
                    differ > 0 || eps < 1e-3 || full || smoothing > 0.0,
                    "{} {dtype} {eps}",
                    engine.name()
                );
            }
        }
        // All that there is.
        for engine in [gpu(), &Engine::cpu()] {
            let none = run(engine, &own, smoothing, 10.0);
            assert!(
                grads(&none).iter().all(|own| own.iter().all(|g| *g == 0.0)),
                "{}",
                engine.name()
            );
        }
    }
}

/// Both sides leave the same out, and neither scratch nor limits say what.
#[test]
fn nothing_but_the_gradient_decides() {
    let mut engine = engine::fresh();
    let whole = engine.plan_limits().unwrap();
    for dtype in [Dtype::F32, Dtype::Bf16] {
        let own = tensors(dtype, false);
        let mut want = None;
        for scratch_bytes in [64 << 20, 80_000, 46_000] {
            engine.set_plan_limits(Limits { scratch_bytes, ..whole }).unwrap();
            let got = bits(&run(&engine, &own, 0.0, 1e-3));
            assert_eq!(want.get_or_insert_with(|| got.clone()), &got, "{dtype} {scratch_bytes}");
        }
    }
    let own = tensors(Dtype::F32, false);
    let (ours, reference) = (run(gpu(), &own, 0.0, 1e-3), run(&Engine::cpu(), &own, 0.0, 1e-3));
    for (a, b) in grads(&ours).into_iter().zip(grads(&reference)) {
        let far = a
            .iter()
            .zip(b)
            .filter(|(a, b)| (*a - *b).abs() > 1e-4 + 1e-4 * b.abs())
            .count();
        assert!(far * 100 < a.len(), "{far} of {}", a.len());
    }
}

/// NaN is below nothing.
#[test]
fn nan_is_not_left_out() {
    let [input, matrix, target] = tensors(Dtype::F32, false);
    let mut data = input.as_slice::<f32>().unwrap().to_vec();
    data[SIZES[1] + 3] = f32::NAN;
    let own = [Tensor::new(&data, input.shape()).unwrap(), matrix, target];
    for engine in [gpu(), hardware(), &Engine::cpu()] {
        let got = run(engine, &own, 0.0, 10.0);
        let row = &grads(&got)[0][SIZES[1]..2 * SIZES[1]];
        assert!(row.iter().all(|g| g.is_nan()), "{}", engine.name());
    }
}
