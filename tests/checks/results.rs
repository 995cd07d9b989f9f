//! What is reported and in which order, and what the results are beside a report.

use wgloss::{
    Bce, Call, Checks, CrossEntropy, Dtype, Error, GaussianNll, GradTo, Loss, Mode, OnNan, Reduction, Role, Tensor,
    Values,
};

use super::{INF, NAN, NO_NAN, STRICT, checked, engines, found, look, tensor};
use crate::common::data::Data;
use crate::common::{bits, gpu, hardware, takes};

/// Across tiles and the seams of the tiny engine's dispatches; all else is as it would be without.
#[test]
fn probabilities_outside_are_reported_and_not_followed() {
    let (rows, cols) = (3, 7001);
    let len = rows * cols;
    let mut data = Data::new(11);
    let (x, t) = (data.uniform(len, 0.0, 1.0), data.targets(len));
    for (n, dtype) in Dtype::FLOATS.into_iter().enumerate() {
        for places in [
            &[8191, 8192, 16_383, len - 1][..],
            &[511, 512, 513],
            &[6144, 12_288],
            &[0],
            &[len - 1],
        ] {
            let values = [1.5, -0.25, INF, -INF];
            let mut bad = x.clone();
            for (k, &at) in places.iter().enumerate() {
                bad[at] = values[(k + n) % 4];
            }
            let (good, bad) = (tensor(&x, &[rows, cols], dtype), tensor(&bad, &[rows, cols], dtype));
            let target = tensor(&t, &[rows, cols], dtype);
            let first = places[0];
            let count = (places.len() as u64, len as u64);
            let want = found("input", count, &[first / cols, first % cols], values[n % 4]);
            // Of the four, two have each dtype in the quick form.
            let all = engines().into_iter().chain([hardware()]).enumerate();
            for (_, engine) in all.filter(|(e, _)| takes(n + e, 2)) {
                for (mode, reduction) in [
                    (Mode::Fused, Reduction::None),
                    (Mode::Forward, Reduction::Mean),
                    (Mode::Backward, Reduction::Sum),
                ] {
                    let loss = Bce {
                        reduction,
                        ..Default::default()
                    };
                    let run = |input: &Tensor| {
                        let call = Call {
                            grads: vec![Role::Target],
                            ..Call::new(mode, &[input, &target])
                        };
                        look(engine, &loss, &call)
                    };
                    let (none, before) = run(&good);
                    assert_eq!(none, None);
                    let (got, after) = run(&bad);
                    let what = format!("{dtype} {places:?} {} {}", mode.name(), engine.name());
                    assert_eq!(got, want, "{what}");
                    let arrays = |values: &Values| {
                        let grads = [values.grad_input.clone(), values.grad(Role::Target).cloned()];
                        (values.loss.clone(), grads)
                    };
                    let ((loss_before, grads_before), (loss_after, grads_after)) = (arrays(&before), arrays(&after));
                    if let (Some(before), Some(after)) = (loss_before, loss_after) {
                        if reduction == Reduction::None {
                            for (i, (a, b)) in before.data.iter().zip(&after.data).enumerate() {
                                assert!(
                                    if places.contains(&i) { b.is_nan() } else { a == b },
                                    "{what}: loss {i}"
                                );
                            }
                        } else {
                            assert!(after.data[0].is_nan(), "{what}");
                        }
                    }
                    for (before, after) in grads_before.into_iter().zip(grads_after) {
                        let (Some(before), Some(after)) = (before, after) else {
                            assert_eq!(mode, Mode::Forward);
                            continue;
                        };
                        for (i, (a, b)) in before.data.iter().zip(&after.data).enumerate() {
                            let fits = if places.contains(&i) {
                                *b == 0.0
                            } else {
                                a.to_bits() == b.to_bits()
                            };
                            assert!(fits, "{what}: gradient {i} is {b}, was {a}");
                        }
                    }
                }
            }
        }
    }
}

/// A variance is named in its own shape, wherever it broadcasts; the loss takes it for less than eps, as ever.
#[test]
fn negative_variances_are_reported_in_their_own_shape() {
    let mut data = Data::new(3);
    let x = tensor(&data.logits(24), &[2, 3, 4], Dtype::F32);
    let loss = GaussianNll::default();
    for (shape, at, first) in [
        (&[2, 3, 4][..], 17, &[1, 1, 1][..]),
        (&[2, 3, 1], 4, &[1, 1, 0]),
        (&[2, 3], 4, &[1, 1]),
        (&[2, 1, 4], 6, &[1, 0, 2]),
    ] {
        let len: usize = shape.iter().product();
        let mut var = data.uniform(len, 0.2, 2.0);
        (var[at], var[len - 1]) = (-3.0, -1.0);
        let bad = tensor(&var, shape, Dtype::F32);
        (var[at], var[len - 1]) = (0.0, 0.0);
        let zero = tensor(&var, shape, Dtype::F32);
        for engine in engines() {
            let run = |var| look(engine, &loss, &Call::new(Mode::Fused, &[&x, &x, var]));
            let (none, want) = run(&zero);
            assert_eq!(none, None);
            // Where they lie makes no difference.
            for placed in [&bad, &engine.upload(&bad).unwrap()] {
                let (got, values) = run(placed);
                assert_eq!(got, found("var", (2, len as u64), first, -3.0), "{shape:?}");
                assert_eq!(bits(&want), bits(&values), "{shape:?}");
            }
        }
    }
}

/// Labels before values, an operand before the next, what is not finite before what is out of range.
#[test]
fn of_several_the_first_is_reported() {
    let x = tensor(&[0.5, 2.0, NAN, 0.5], &[2, 2], Dtype::F32);
    let t = tensor(&[0.5, 0.5, -1.0, NAN], &[2, 2], Dtype::F32);
    let all = Checks {
        strict: true,
        nan: OnNan::Error,
    };
    let labels = Tensor::new(&[0i64, 2], &[2]).unwrap();
    for engine in engines() {
        let find = |checks| look(engine, &Bce::default(), &checked(Mode::Fused, &[&x, &t], checks)).0;
        assert_eq!(find(Checks::default()), found("input", (1, 4), &[0, 1], 2.0));
        assert_eq!(find(STRICT), found("input", (1, 4), &[0, 1], 2.0));
        assert_eq!(find(all), found("input", (1, 4), &[1, 0], NAN));
        let good = tensor(&[0.5; 4], &[2, 2], Dtype::F32);
        let target = |checks| look(engine, &Bce::default(), &checked(Mode::Fused, &[&good, &t], checks)).0;
        assert_eq!(target(STRICT), found("target", (2, 4), &[1, 0], -1.0));
        assert_eq!(target(all), found("target", (1, 4), &[1, 1], NAN));
        let call = checked(Mode::Fused, &[&x, &labels], all);
        let error = CrossEntropy::default()
            .run(engine, &call)
            .unwrap()
            .include_placed()
            .read(engine)
            .unwrap_err();
        assert!(
            matches!(
                &error,
                Error::BadLabels {
                    count: 1,
                    first_row: 1,
                    ..
                }
            ),
            "{error}"
        );
        let text = Bce::default()
            .forward(engine, &[&x, &t])
            .unwrap()
            .include_placed()
            .read(engine)
            .unwrap_err();
        let wanted = "input: 1 of 4 elements out of range: the first is 2 at [0, 1], expected a number in [0, 1]";
        assert_eq!(text.to_string(), wanted);
        // Of nothing, nothing.
        let none = tensor(&[], &[0, 2], Dtype::F32);
        assert_eq!(
            look(engine, &Bce::default(), &checked(Mode::Fused, &[&none, &none], all)).0,
            None
        );
    }
}

/// Windows of the user's buffers: what lies between rows is in nobody's way, and a gradient over the input neither.
#[test]
fn padded_rows_and_gradients_in_place() {
    let (rows, cols) = (40, 300);
    let mut data = Data::new(9);
    let x = data.uniform(rows * cols, 0.0, 1.0);
    let places = [5 * cols + 299, 6 * cols, 39 * cols + 299];
    for (e, engine) in [gpu(), engines()[2], hardware()].into_iter().enumerate() {
        let (device, queue) = engine.wgpu().unwrap();
        for (n, (dtype, stride, skip)) in [
            (Dtype::F32, 304, 4),
            (Dtype::F32, 301, 1),
            (Dtype::F16, 302, 2),
            (Dtype::Bf16, 301, 3),
        ]
        .into_iter()
        .enumerate()
        {
            // Each way to lie on one of the engines, in the quick form, or two.
            if !takes(n + 2 * e, 3) {
                continue;
            }
            let window = |numbers: &[f32], fill: f32| {
                let mut padded = vec![fill; skip + rows * stride + 1];
                for (row, own) in numbers.chunks(cols).enumerate() {
                    padded[skip + row * stride..][..cols].copy_from_slice(own);
                }
                let bytes: Vec<u8> = match dtype {
                    Dtype::F16 => padded
                        .iter()
                        .flat_map(|&v| half::f16::from_f32(v).to_le_bytes())
                        .collect(),
                    Dtype::Bf16 => padded
                        .iter()
                        .flat_map(|&v| half::bf16::from_f32(v).to_le_bytes())
                        .collect(),
                    _ => padded.iter().flat_map(|v| v.to_le_bytes()).collect(),
                };
                let buffer = device.create_buffer(&wgpu::BufferDescriptor {
                    label: None,
                    size: (bytes.len() as u64).next_multiple_of(16),
                    usage: wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST,
                    mapped_at_creation: false,
                });
                let whole = bytes.len() / 4 * 4;
                queue.write_buffer(&buffer, 0, &bytes[..whole]);
                let offset = skip as u64 * dtype.bytes();
                Tensor::from_buffer(engine, buffer, offset, dtype, &[rows, cols], Some(stride)).unwrap()
            };
            let mut bad = x.clone();
            places.iter().for_each(|&at| bad[at] = 1.5);
            let good = window(&x, -7.0);
            let all = Checks {
                strict: true,
                nan: OnNan::Error,
            };
            let what = format!("{dtype} in rows of {stride}, {}", engine.name());
            for grad_input in [GradTo::New, GradTo::InPlace] {
                let run = |input: &Tensor, target: &Tensor, checks| {
                    let call = Call {
                        grad_input,
                        checks,
                        ..Call::new(Mode::Fused, &[input, target])
                    };
                    look(engine, &Bce::default(), &call)
                };
                let want = |name| found(name, (3, 12_000), &[5, 299], 1.5);
                assert_eq!(run(&window(&x, 9.0), &good, all).0, None, "{what}");
                let (got, values) = run(&window(&bad, NAN), &good, Checks::default());
                assert_eq!(got, want("input"), "{what}");
                let grad = values.grad_input.unwrap().data;
                let zeros: Vec<usize> = (0..grad.len()).filter(|&i| grad[i] == 0.0).collect();
                assert!(
                    places.iter().all(|at| zeros.contains(at)) && grad.iter().all(|g| g.is_finite()),
                    "{what}"
                );
                assert_eq!(
                    run(&window(&x, 9.0), &window(&bad, NAN), STRICT).0,
                    want("target"),
                    "{what}"
                );
                assert_eq!(run(&window(&x, 9.0), &window(&bad, INF), NO_NAN).0, None, "{what}");
            }
        }
    }
}
