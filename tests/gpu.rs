//! The GPU against the reference on data that hurts.

use wgloss::{
    Array, BceWithLogits, Call, CrossEntropy, Engine, Loss, Mode, Reduction, SigmoidFocal, Tensor, reference,
    reference::Results,
};

use crate::common::data::{Data, row_shape};
use crate::common::{F32, gpu, hardware, report};

/// A call on host tensors, on the GPU and in f64: cut as for this adapter, and as for a hardware one.
fn against_reference(what: &str, loss: &dyn Loss, call: &Call<'_>) -> Vec<String> {
    let want = reference::run(loss, call).unwrap();
    let mut failures = compare(what, gpu(), loss, call, &want);
    failures.extend(compare(
        &format!("{what}, hardware tuning"),
        hardware(),
        loss,
        call,
        &want,
    ));
    failures
}

fn compare(what: &str, engine: &Engine, loss: &dyn Loss, call: &Call<'_>, want: &Results<f64>) -> Vec<String> {
    let got = match loss.run(engine, call).and_then(|output| output.read(engine)) {
        Ok(values) => values,
        Err(error) => return vec![format!("{what}: {error}")],
    };
    let data = |array: Option<Array>| array.map_or_else(Vec::new, |array| array.data);
    [
        F32.check(&format!("{what} loss"), &data(got.loss), &want.loss),
        F32.check(&format!("{what} grad_input"), &data(got.grad_input), &want.grad_input),
        F32.check(
            &format!("{what} grad_target"),
            &data(got.grad_target),
            &want.grad_target,
        ),
    ]
    .into_iter()
    .filter_map(Result::err)
    .collect()
}

/// Regimes: one lane per row up to 64 classes (also one more and one less), one group beyond; whole blocks of 16 × 8
/// columns, a few quads behind them, an odd tail; a real vocabulary; a row whose loops come
/// close to the loop limit; strided classes.
#[test]
fn cross_entropy_on_shapes() {
    let shapes: &[&[usize]] = &[
        &[1, 1],
        &[3, 2],
        &[65, 3],
        &[64, 10],
        &[63, 63],
        &[5, 64],
        &[5, 65],
        &[5, 127],
        &[4, 128],
        &[4, 129],
        &[3, 1023],
        &[3, 1024],
        &[3, 1025],
        &[2, 32_000],
        &[2, 32_003],
        &[1, 2_000_003],
        &[9],
        &[300],
        &[2, 5, 7],
        &[3, 21, 33],
        &[2, 3, 1025],
        &[1, 4097, 3],
        &[2, 70, 5, 2],
        &[1000, 17],
    ];
    let mut failures = Vec::new();
    for (seed, shape) in shapes.iter().enumerate() {
        let mut data = Data::new(seed as u64);
        let len = shape.iter().product();
        let cols = shape[usize::from(shape.len() > 1)];
        let rows = row_shape(shape);
        let count = len / cols;
        let x = Tensor::new(&data.logits(len), shape).unwrap();
        let labels = Tensor::new(&data.labels(count, cols, Some(-100)), &rows).unwrap();
        let p = Tensor::new(&data.uniform(len, 0.0, 1.0), shape).unwrap();
        let weight = Tensor::new(&data.uniform(cols, 0.2, 2.0), &[cols]).unwrap();
        let upstream = Tensor::new(&data.logits(count), &rows).unwrap();
        let scalar = Tensor::new(&[-1.5f32], &[]).unwrap();
        for (n, reduction) in Reduction::ALL.into_iter().enumerate() {
            for (target, grad_target) in [(&labels, false), (&p, true)] {
                let loss = CrossEntropy {
                    label_smoothing: [0.0, 0.1][(seed + n) % 2],
                    weight: (seed % 3 != 0).then(|| weight.clone()),
                    reduction,
                    ..Default::default()
                };
                let call = Call {
                    grad_output: Some(if reduction == Reduction::None {
                        &upstream
                    } else {
                        &scalar
                    }),
                    grad_target,
                    ..Call::new(Mode::Fused, &x, target)
                };
                let what = format!("{shape:?} {} {}, seed {seed}", reduction.name(), target.dtype());
                failures.extend(against_reference(&what, &loss, &call));
            }
        }
    }
    report(failures, shapes.len() * 6);
}

/// Logits of ±1e4, a row sure of its class, ties, and holes of -inf.
#[test]
fn cross_entropy_at_the_extremes() {
    let mut failures = Vec::new();
    for cols in [5usize, 200, 1000] {
        let mut data = Data::new(cols as u64);
        let mut rows = vec![data.logits(cols); 7];
        rows[0]
            .iter_mut()
            .enumerate()
            .for_each(|(c, x)| *x = if c % 2 == 0 { 1e4 } else { -1e4 });
        rows[1].iter_mut().for_each(|x| *x += 1e4);
        rows[2][1] = 40.0;
        rows[3].fill(-7.25);
        rows[4].iter_mut().step_by(2).for_each(|x| *x = f32::NEG_INFINITY);
        rows[5][3] = -1e4;
        rows[6][1..].fill(f32::NEG_INFINITY);
        let one_row = |row: &Vec<f32>| Tensor::new(row, &[1, cols]).unwrap();
        for (n, row) in rows.iter().enumerate() {
            // Each row alone, so that a small result is judged by its own size.
            let labels = Tensor::new(&[1i64], &[1]).unwrap();
            let what = format!("row {n} of {cols}");
            let x = one_row(row);
            let call = Call::new(Mode::Fused, &x, &labels);
            failures.extend(against_reference(&what, &CrossEntropy::default(), &call));
            let loss = CrossEntropy {
                label_smoothing: 0.1,
                ..Default::default()
            };
            failures.extend(against_reference(&format!("{what}, smoothed"), &loss, &call));
            // Equal logits and probabilities have gradients of exactly 0, of which f64 keeps a rounding error.
            if n == 3 {
                continue;
            }
            let p = Tensor::new(&vec![1.0 / cols as f32; cols], &[1, cols]).unwrap();
            let call = Call {
                grad_target: true,
                ..Call::new(Mode::Fused, &x, &p)
            };
            failures.extend(against_reference(
                &format!("{what}, uniform p"),
                &CrossEntropy::default(),
                &call,
            ));
        }
    }
    report(failures, 3 * (7 * 3 - 1));
}

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
        for reduction in Reduction::ALL {
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
            for loss in &losses {
                let call = Call {
                    grad_output: (reduction == Reduction::None).then_some(&upstream),
                    ..Call::new(Mode::Fused, &x, &t)
                };
                total += 1;
                failures.extend(against_reference(
                    &format!("{n} elements, {loss:.80?}"),
                    loss.as_ref(),
                    &call,
                ));
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
                let values = loss
                    .forward_backward(engine, &input, &targets, None)
                    .unwrap()
                    .read(engine)
                    .unwrap();
                for array in [values.loss.unwrap(), values.grad_input.unwrap()] {
                    let bad = array.data.iter().position(|v| !v.is_finite());
                    assert_eq!(
                        bad,
                        None,
                        "gamma {gamma}, target {t}, {}: {:?}",
                        engine.name(),
                        array.data
                    );
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
    let x = Tensor::new(&data.logits(len), &shape).unwrap();
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
        for pos_weight in shapes {
            let mut factor =
                |shape: &[usize]| Tensor::new(&data.uniform(shape.iter().product(), 0.2, 2.0), shape).unwrap();
            let loss = BceWithLogits {
                weight: Some(factor(weight)),
                pos_weight: Some(factor(pos_weight)),
                reduction: Reduction::ALL[n % 3],
            };
            let what = format!("weight {weight:?}, pos_weight {pos_weight:?}");
            failures.extend(against_reference(&what, &loss, &Call::new(Mode::Fused, &x, &t)));
        }
    }
    report(failures, 81);
}
