//! Losses of elements, and operands that broadcast.

use wgloss::{
    BceWithLogits, Call, Engine, GaussianNll, Loss, MarginRanking, Mode, Mse, Reduction, Role, SigmoidFocal, Tensor,
};

use super::{REDUCTIONS, floats};
use crate::common::against::against_reference;
use crate::common::cases::DTYPES;
use crate::common::data::Data;
use crate::common::{gpu, report, takes};

#[test]
fn elementwise_losses_on_shapes() {
    let mut failures = Vec::new();
    let mut total = 0;
    let sizes = [1usize, 3, 4, 5, 31, 33, 1023, 8191, 8192, 8193, 100_003];
    for (seed, n) in sizes.into_iter().enumerate() {
        let mut data = Data::new(seed as u64);
        let mut x = data.logits(n);
        for (x, hard) in x.iter_mut().skip(1).zip([100.0, -100.0, 1e4, -1e4, 0.0, 88.0, -104.0]) {
            *x = hard;
        }
        let x = Tensor::new(&x, &[n]).unwrap();
        let t = Tensor::new(&data.targets(n), &[n]).unwrap();
        let w = Tensor::new(&data.uniform(n, 0.2, 2.0), &[n]).unwrap();
        let upstream = Tensor::new(&data.logits(n), &[n]).unwrap();
        for (r, reduction) in REDUCTIONS.into_iter().enumerate() {
            let mut losses: Vec<Box<dyn Loss>> = vec![Box::new(BceWithLogits {
                weight: (seed % 2 == 0).then(|| w.clone()),
                pos_weight: (seed % 3 == 0).then(|| w.clone()),
                reduction,
            })];
            for gamma in [0.0, 0.5, 1.0, 2.0, 3.7, 5.0] {
                losses.push(Box::new(SigmoidFocal {
                    alpha: [0.25, -1.0][seed % 2],
                    gamma,
                    reduction,
                }));
            }
            for (l, loss) in losses.iter().enumerate() {
                if !takes(seed + 2 * r + l, 6) {
                    continue;
                }
                let call = Call {
                    grad_output: (reduction == Reduction::None).then_some(&upstream),
                    ..Call::new(Mode::Fused, &[&x, &t])
                };
                total += 1;
                let what = format!("{n} elements, {loss:.80?}");
                failures.extend(against_reference(&what, loss.as_ref(), &call));
            }
        }
    }
    report(failures, total);
}

/// Where torchvision's gradient is NaN: saturated logits and a gamma below 1.
#[test]
fn focal_has_no_nan() {
    let x: Vec<f32> = [17.0, 50.0, 88.0, 90.0, 104.0, 150.0, 1e4, 1e30, f32::MAX]
        .iter()
        .flat_map(|&x| [x, -x])
        .collect();
    for t in [0.0, 1e-9, 0.5, 1.0] {
        let targets = vec![t; x.len()];
        let (input, targets) = (
            Tensor::new(&x, &[x.len()]).unwrap(),
            Tensor::new(&targets, &[x.len()]).unwrap(),
        );
        for gamma in [0.0, 0.01, 0.3, 0.5, 0.99, 1.0, 1.5, 7.0, 1e30, 1e39] {
            let loss = SigmoidFocal {
                gamma,
                ..Default::default()
            };
            for engine in [gpu(), &Engine::cpu()] {
                let output = loss.forward_backward(engine, &[&input, &targets], None).unwrap();
                let values = output.read(engine).unwrap();
                for array in [values.loss.unwrap(), values.grad_input.unwrap()] {
                    let bad = array.data.iter().position(|v| !v.is_finite());
                    let (name, data) = (engine.name(), array.data);
                    assert_eq!(bad, None, "gamma {gamma}, target {t}, {name}: {data:?}");
                }
            }
        }
    }
}

#[test]
fn broadcast_weights() {
    let mut failures = Vec::new();
    let shape = [6usize, 7, 5, 4];
    let mut data = Data::new(9);
    let len = shape.iter().product();
    let x = floats(&mut data, &shape);
    let t = Tensor::new(&data.targets(len), &shape).unwrap();
    let shapes: &[&[usize]] = &[
        &[],
        &[1],
        &[4],
        &[5, 1],
        &[7, 1, 1],
        &[6, 1, 1, 1],
        &[6, 1, 5, 1],
        &[1, 7, 1, 4],
        &shape,
    ];
    for (n, weight) in shapes.iter().enumerate() {
        for (k, pos_weight) in shapes.iter().enumerate() {
            if !takes(n + k, 3) {
                continue;
            }
            let mut factor =
                |shape: &[usize]| Tensor::new(&data.uniform(shape.iter().product(), 0.2, 2.0), shape).unwrap();
            let loss = BceWithLogits {
                weight: Some(factor(weight)),
                pos_weight: Some(factor(pos_weight)),
                reduction: REDUCTIONS[n % 3],
            };
            let what = format!("weight {weight:?}, pos_weight {pos_weight:?}");
            failures.extend(against_reference(&what, &loss, &Call::new(Mode::Fused, &[&x, &t])));
        }
    }
    report(failures, 81);
}

/// Operands that broadcast against each other, whichever of them: gradients in the operand's own shape and dtype,
/// summed over what it serves, over one run of dimensions or several.
#[test]
fn operands_that_broadcast() {
    let (mut failures, mut total) = (Vec::new(), 0);
    let mut check = |what: String, loss: &dyn Loss, tensors: &[Tensor]| {
        let roles: Vec<Role> = loss.info().operands[1..].iter().map(|own| own.role).collect();
        for mode in [Mode::Fused, Mode::Backward] {
            total += 1;
            // One of five in the quick form, in both modes.
            if !takes(total + total / 5, 5) {
                continue;
            }
            let call = Call {
                grads: roles.clone(),
                ..Call::new(mode, &tensors.iter().collect::<Vec<_>>())
            };
            failures.extend(against_reference(&format!("{what} {}", mode.name()), loss, &call));
        }
    };
    let mut data = Data::new(21);
    let pairs: &[(&[usize], &[usize])] = &[
        (&[4, 3], &[3]),
        (&[4, 3], &[4, 1]),
        (&[4, 3], &[]),
        (&[4, 3], &[1, 3]),
        (&[4, 1], &[1, 3]),
        (&[3], &[5, 4, 3]),
        (&[2, 1, 4, 1, 3], &[5, 1, 6, 1]),
        (&[300, 70], &[300, 1]),
        (&[300, 70], &[70]),
        (&[1], &[20_011]),
        // A quad goes through dimensions of two, several at once.
        (&[7, 2], &[7, 1]),
        (&[5, 3, 2], &[5, 1, 2]),
        (&[2, 2, 3, 2, 2], &[2, 1, 3, 1, 2]),
    ];
    for (n, (a, b)) in pairs.iter().enumerate() {
        for (k, (dtype, other)) in [DTYPES[0], DTYPES[1], DTYPES[4]].into_iter().enumerate() {
            let x = floats(&mut data, a).to_dtype(dtype).unwrap();
            let t = floats(&mut data, b).to_dtype(other).unwrap();
            let reduction = REDUCTIONS[(n + k) % 3];
            check(
                format!("mse {a:?} {b:?} {dtype} {other} {}", reduction.name()),
                &Mse { reduction },
                &[x, t],
            );
        }
    }
    for (a, b, t) in [
        ([4, 3], [4, 3], [1, 1]),
        ([4, 1], [1, 3], [4, 3]),
        ([1, 3], [4, 3], [4, 1]),
    ] {
        for (k, (dtype, other)) in [DTYPES[0], DTYPES[2]].into_iter().enumerate() {
            let sign = |shape: &[usize], data: &mut Data| {
                let signs: Vec<f32> = data.logits(shape.iter().product()).iter().map(|x| x.signum()).collect();
                Tensor::new(&signs, shape).unwrap().to_dtype(other).unwrap()
            };
            let tensors = [
                floats(&mut data, &a).to_dtype(dtype).unwrap(),
                floats(&mut data, &b).to_dtype(other).unwrap(),
                sign(&t, &mut data),
            ];
            let loss = MarginRanking {
                margin: 0.5,
                reduction: REDUCTIONS[k],
            };
            check(format!("margin_ranking {a:?} {b:?} {t:?} {dtype}"), &loss, &tensors);
        }
    }
    for (shape, var) in [
        (&[4usize, 3][..], &[4usize, 3][..]),
        (&[4, 3], &[4, 1]),
        (&[4, 3], &[1, 3]),
        (&[4, 3], &[4]),
        (&[2, 5, 3], &[2, 5]),
        (&[2, 5, 3], &[2, 1, 3]),
    ] {
        for (k, (dtype, other)) in [DTYPES[0], DTYPES[3]].into_iter().enumerate() {
            let variance = data.uniform(var.iter().product(), 0.2, 3.0);
            let tensors = [
                floats(&mut data, shape).to_dtype(dtype).unwrap(),
                floats(&mut data, shape).to_dtype(other).unwrap(),
                Tensor::new(&variance, var).unwrap().to_dtype(other).unwrap(),
            ];
            let loss = GaussianNll {
                full: k == 0,
                reduction: REDUCTIONS[k],
                ..Default::default()
            };
            check(format!("gaussian_nll {shape:?} var {var:?} {dtype}"), &loss, &tensors);
        }
    }
    report(failures, total);
}
