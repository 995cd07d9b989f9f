//! The GPU against the reference on data that hurts; equal bits however the work is cut; the user's own buffers,
//! device and encoder.

use wgloss::{
    Array, BceWithLogits, Call, CrossEntropy, Dtype, Engine, Error, GradTo, Limits, Loss, Mode, ReduceOp, Reduction,
    SigmoidFocal, Tensor, Values, reference,
};

use crate::common::data::Data;
use crate::common::{F32, gpu, report};

/// A call on host tensors, on the GPU and in f64.
fn against_reference(what: &str, loss: &dyn Loss, call: &Call<'_>) -> Vec<String> {
    let want = reference::run(loss, call).unwrap();
    let got = match loss.run(gpu(), call).and_then(|output| output.read(gpu())) {
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
/// columns, a few quads behind them, an odd tail; a real vocabulary; strided classes.
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
        &[1, 131_071],
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
        let mut rows = shape.to_vec();
        rows.remove(usize::from(shape.len() > 1));
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
        let mut rows = vec![data.logits(cols); 6];
        rows[0]
            .iter_mut()
            .enumerate()
            .for_each(|(c, x)| *x = if c % 2 == 0 { 1e4 } else { -1e4 });
        rows[1].iter_mut().for_each(|x| *x += 1e4);
        rows[2][1] = 40.0;
        rows[3].fill(-7.25);
        rows[4].iter_mut().step_by(2).for_each(|x| *x = f32::NEG_INFINITY);
        rows[5][3] = -1e4;
        let one_row = |row: &Vec<f32>| Tensor::new(row, &[1, cols]).unwrap();
        for (n, row) in rows.iter().enumerate() {
            // Each row alone, so that a small result is judged by its own size.
            let labels = Tensor::new(&[1i64], &[1]).unwrap();
            let what = format!("row {n} of {cols}");
            let x = one_row(row);
            let call = Call::new(Mode::Fused, &x, &labels);
            failures.extend(against_reference(&what, &CrossEntropy::default(), &call));
            if n != 4 {
                let loss = CrossEntropy {
                    label_smoothing: 0.1,
                    ..Default::default()
                };
                failures.extend(against_reference(&format!("{what}, smoothed"), &loss, &call));
            }
        }
    }
    report(failures, 33);
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
        for gamma in [0.0, 0.01, 0.3, 0.5, 0.99, 1.0, 1.5, 7.0] {
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

/// Windows of the user's buffers: padded rows, poison between them, an offset, a canary behind the gradient.
#[test]
fn padded_rows_in_the_users_buffers() {
    let engine = gpu();
    let (device, queue) = engine.wgpu().unwrap();
    let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST;
    let make = |data: &[f32]| {
        let buffer = device.create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size: 4 * data.len() as u64,
            usage,
            mapped_at_creation: false,
        });
        queue.write_buffer(&buffer, 0, bytemuck::cast_slice(data));
        buffer
    };
    for (rows, cols, stride, skip) in [
        (5usize, 100, 128, 4),
        (70, 10, 16, 3),
        (3, 1000, 1003, 1),
        (2, 50_257, 50_304, 64),
    ] {
        let mut data = Data::new(cols as u64);
        let x = data.logits(rows * cols);
        let dense = Tensor::new(&x, &[rows, cols]).unwrap();
        let labels = Tensor::new(&data.labels(rows, cols, None), &[rows]).unwrap();
        let t = Tensor::new(&data.targets(rows * cols), &[rows, cols]).unwrap();
        let mut padded = vec![f32::NAN; skip + rows * stride];
        for row in 0..rows {
            padded[skip + row * stride..][..cols].copy_from_slice(&x[row * cols..][..cols]);
        }
        let window =
            |buffer| Tensor::from_buffer(buffer, 4 * skip as u64, Dtype::F32, &[rows, cols], Some(stride)).unwrap();
        let canary = vec![123.25f32; padded.len()];
        for (loss, target) in [
            (&CrossEntropy::default() as &dyn Loss, &labels),
            (&CrossEntropy::default(), &t),
            (&BceWithLogits::default(), &t),
        ] {
            let want = loss
                .forward_backward(engine, &dense, target, None)
                .unwrap()
                .read(engine)
                .unwrap();
            let (input, grad) = (window(make(&padded)), make(&canary));
            let into = window(grad.clone());
            let call = Call {
                grad_input: GradTo::Into(&into),
                ..Call::new(Mode::Fused, &input, target)
            };
            let got = loss.run(engine, &call).unwrap().read(engine).unwrap();
            let what = format!("{} {rows}x{cols} in rows of {stride}", loss.info().name);
            close(&what, &got, &want);
            let whole = Tensor::from_buffer(grad, 0, Dtype::F32, &[padded.len()], None).unwrap();
            let memory = whole.read::<f32>(engine).unwrap();
            for (i, value) in memory.iter().enumerate() {
                let inside = i >= skip && (i - skip) % stride < cols;
                assert!(inside || *value == 123.25, "{what}: wrote outside, at {i}");
            }
            // In place: the gradient over the logits, the padding untouched.
            let buffer = make(&padded);
            let input = window(buffer.clone());
            let call = Call {
                grad_input: GradTo::InPlace,
                ..Call::new(Mode::Fused, &input, target)
            };
            close(
                &format!("{what} in place"),
                &loss.run(engine, &call).unwrap().read(engine).unwrap(),
                &want,
            );
            let whole = Tensor::from_buffer(buffer, 0, Dtype::F32, &[padded.len()], None).unwrap();
            let memory = whole.read::<f32>(engine).unwrap();
            let outside = |i: &usize| *i < skip || (*i - skip) % stride >= cols;
            assert!(
                (0..padded.len()).filter(outside).all(|i| memory[i].is_nan()),
                "{what} in place"
            );
            // One buffer read and written by one dispatch is refused, before anything is recorded.
            let twice = Call {
                grad_input: GradTo::Into(&input),
                ..Call::new(Mode::Fused, &input, target)
            };
            let error = loss.run(engine, &twice).unwrap_err().to_string();
            assert!(error.contains("grad_input") && error.contains("one buffer"), "{error}");
        }
        let sum = |tensor: &Tensor| {
            ReduceOp::ALL.map(|op| {
                let output = wgloss::reduce(engine, op, tensor).unwrap();
                match op {
                    ReduceOp::Argmax => output.read::<i64>(engine).unwrap()[0] as f64,
                    _ => f64::from(output.read::<f32>(engine).unwrap()[0]),
                }
            })
        };
        for (got, want) in sum(&window(make(&padded))).iter().zip(sum(&dense)) {
            assert!(
                (got - want).abs() <= 1e-5 * (want.abs() + 1.0),
                "{got} instead of {want}"
            );
        }
    }
}

fn close(what: &str, got: &Values, want: &Values) {
    for (got, want) in [(&got.loss, &want.loss), (&got.grad_input, &want.grad_input)] {
        let wide = |array: &Option<Array>| {
            array
                .as_ref()
                .unwrap()
                .data
                .iter()
                .map(|&v| f64::from(v))
                .collect::<Vec<_>>()
        };
        F32.check(what, &got.as_ref().unwrap().data, &wide(want)).unwrap();
    }
}

fn bits(values: &Values) -> Vec<u32> {
    let arrays = [&values.loss, &values.grad_input, &values.grad_target];
    arrays
        .into_iter()
        .flatten()
        .flat_map(|array| array.data.iter().map(|v| v.to_bits()))
        .collect()
}

/// An engine of its own with small bindings, so that the data below is cut into many pieces.
fn cut_engine(max_binding_bytes: u64) -> Engine {
    let mut engine = Engine::new().unwrap();
    let limits = engine.plan_limits().unwrap();
    let small = Limits {
        max_binding_bytes,
        offset_alignment: 256,
        max_groups: 100,
        ..limits
    };
    engine.set_plan_limits(small).unwrap();
    engine
}

#[test]
fn cutting_changes_no_bit() {
    let cut = cut_engine(192 << 10);
    let mut data = Data::new(11);
    for shape in [
        &[20_000, 10][..],
        &[300, 1001],
        &[40, 30_000],
        &[30_000, 3, 2],
        &[2, 21, 9000],
        &[3, 7, 20_000],
    ] {
        let len = shape.iter().product();
        let rows: Vec<usize> = shape
            .iter()
            .enumerate()
            .filter(|(d, _)| *d != 1)
            .map(|(_, &n)| n)
            .collect();
        let count: usize = rows.iter().product();
        let x = Tensor::new(&data.logits(len), shape).unwrap();
        let labels = Tensor::new(&data.labels(count, shape[1], Some(-100)), &rows).unwrap();
        let t = Tensor::new(&data.targets(len), shape).unwrap();
        let upstream = Tensor::new(&data.logits(count), &rows).unwrap();
        let weight = Tensor::new(&data.uniform(shape[1], 0.5, 2.0), &[shape[1]]).unwrap();
        for reduction in Reduction::ALL {
            let ce = CrossEntropy {
                reduction,
                weight: Some(weight.clone()),
                label_smoothing: 0.1,
                ..Default::default()
            };
            let bce = BceWithLogits {
                reduction,
                ..Default::default()
            };
            for (loss, target, full) in [(&ce as &dyn Loss, &labels, false), (&ce, &t, true), (&bce, &t, false)] {
                let rows_loss = loss.info().name == "cross_entropy";
                let run = |engine: &Engine| {
                    let input = engine.upload(&x).unwrap();
                    let call = Call {
                        grad_output: (reduction == Reduction::None && rows_loss).then_some(&upstream),
                        grad_target: full,
                        ..Call::new(Mode::Fused, &input, target)
                    };
                    bits(&loss.run(engine, &call).unwrap().read(engine).unwrap())
                };
                let whole = run(gpu());
                assert!(
                    whole == run(&cut),
                    "{} {shape:?} {}",
                    loss.info().name,
                    reduction.name()
                );
                // In place as well, where a slab may be gathered and scattered back.
                let input = cut.upload(&x).unwrap();
                let call = Call {
                    grad_input: GradTo::InPlace,
                    ..Call::new(Mode::Fused, &input, target)
                };
                let dense = Call {
                    grad_input: GradTo::New,
                    ..call
                };
                let fresh = loss.run(&cut, &dense).unwrap().read(&cut).unwrap();
                let over = loss.run(&cut, &call).unwrap().read(&cut).unwrap();
                assert!(bits(&fresh) == bits(&over), "{} {shape:?} in place", loss.info().name);
            }
        }
    }
    let x = Tensor::new(&data.logits(1_000_003), &[1_000_003]).unwrap();
    for op in ReduceOp::ALL {
        let run = |engine: &Engine| {
            let output = wgloss::reduce(engine, op, &x).unwrap();
            match op {
                ReduceOp::Argmax => output.read::<i64>(engine).unwrap()[0] as u64,
                _ => u64::from(output.read::<f32>(engine).unwrap()[0].to_bits()),
            }
        };
        assert_eq!(run(gpu()), run(&cut), "{}", op.name());
    }
}

#[test]
fn twenty_runs_give_the_same_bits() {
    let mut data = Data::new(12);
    let x = Tensor::new(&data.logits(500 * 777), &[500, 777]).unwrap();
    let labels = Tensor::new(&data.labels(500, 777, Some(-100)), &[500]).unwrap();
    let t = Tensor::new(&data.targets(500 * 777), &[500, 777]).unwrap();
    let losses: [(&dyn Loss, &Tensor); 3] = [
        (
            &CrossEntropy {
                label_smoothing: 0.1,
                ..Default::default()
            },
            &labels,
        ),
        (&BceWithLogits::default(), &t),
        (
            &SigmoidFocal {
                reduction: Reduction::Mean,
                ..Default::default()
            },
            &t,
        ),
    ];
    for (loss, target) in losses {
        let run = || {
            bits(
                &loss
                    .forward_backward(gpu(), &x, target, None)
                    .unwrap()
                    .read(gpu())
                    .unwrap(),
            )
        };
        let first = run();
        assert!((1..20).all(|_| run() == first), "{}", loss.info().name);
    }
}

/// On the user's device, with WebGPU's default limits and no feature, into the user's encoder: nothing is submitted by
/// us, several calls share a submission, and each keeps its own params and results.
#[test]
fn encode_into_the_users_encoder() {
    let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
    descriptor.backends = wgpu::Backends::PRIMARY;
    let instance = wgpu::Instance::new(descriptor);
    let adapter = pollster::block_on(instance.enumerate_adapters(wgpu::Backends::PRIMARY)).remove(0);
    let descriptor = wgpu::DeviceDescriptor {
        required_limits: wgpu::Limits::default(),
        ..Default::default()
    };
    let (device, queue) = pollster::block_on(adapter.request_device(&descriptor)).unwrap();
    let engine = Engine::from_wgpu(device.clone(), queue.clone());
    let mut data = Data::new(13);
    let x = engine
        .upload(&Tensor::new(&data.logits(64 * 100), &[64, 100]).unwrap())
        .unwrap();
    let labels = engine
        .upload(&Tensor::new(&data.labels(64, 100, Some(7)), &[64]).unwrap())
        .unwrap();
    let loss = |label_smoothing, ignore_index| CrossEntropy {
        label_smoothing,
        ignore_index,
        ..Default::default()
    };
    let losses = [loss(0.0, 7), loss(0.0, -100), loss(0.1, 7), loss(0.3, 7)];
    let mut encoder = device.create_command_encoder(&Default::default());
    let call = Call::new(Mode::Fused, &x, &labels);
    let outputs: Vec<_> = losses
        .iter()
        .map(|loss| loss.encode(&engine, &mut encoder, &call).unwrap())
        .collect();
    let sum = wgloss::encode_reduce(
        &engine,
        &mut encoder,
        ReduceOp::Sum,
        outputs[0].grad_input.as_ref().unwrap(),
    )
    .unwrap();
    queue.submit([encoder.finish()]);
    for (loss, output) in losses.iter().zip(&outputs) {
        let alone = loss.run(&engine, &call).unwrap().read(&engine).unwrap();
        let together = pollster::block_on(output.read_async(&engine)).unwrap();
        assert_eq!(bits(&together), bits(&alone), "{loss:?}");
    }
    assert!(
        sum.read::<f32>(&engine).unwrap()[0].abs() < 1e-5,
        "the gradient of a softmax adds up to 0"
    );
    assert_ne!(
        outputs[0].read(&engine).unwrap().loss,
        outputs[3].read(&engine).unwrap().loss
    );
}

#[test]
fn the_function_form() {
    use wgloss::functional::{bce_with_logits, cross_entropy, sigmoid_focal};
    let mut data = Data::new(14);
    let (x, labels, t) = (data.logits(12), data.labels(4, 3, None), data.targets(12));
    for engine in [gpu(), &Engine::cpu()] {
        let (x, t) = ((&x[..], [4, 3]), (&t[..], [4, 3]));
        let ce = cross_entropy(engine, x, (&labels[..], [4]), &CrossEntropy::default(), Mode::Fused).unwrap();
        assert_eq!(ce.grad_input.unwrap().shape, [4, 3]);
        let bce = bce_with_logits(engine, x, t, &BceWithLogits::default(), Mode::Forward).unwrap();
        assert!(bce.loss.unwrap().data[0] > 0.0 && bce.grad_input.is_none());
        let focal = sigmoid_focal(engine, x, t, &SigmoidFocal::default(), Mode::Forward).unwrap();
        assert_eq!(
            focal.loss.unwrap().shape,
            [4, 3],
            "torchvision's default reduction is none"
        );
        assert!(matches!(
            cross_entropy(engine, (&labels[..], [4]), t, &CrossEntropy::default(), Mode::Forward),
            Err(Error::Operand { name: "input", .. })
        ));
    }
}

/// 10^7 equal elements, whose rounding errors all go one way in a running sum.
#[test]
fn sums_do_not_drift() {
    let n = 10_000_000;
    let x = Tensor::new(&vec![0.1f32; n], &[n]).unwrap();
    let got = wgloss::reduce(gpu(), ReduceOp::Sum, &x)
        .unwrap()
        .read::<f32>(gpu())
        .unwrap()[0];
    let want = f64::from(0.1f32) * n as f64;
    assert!((f64::from(got) - want).abs() < 1e-6 * want, "{got} instead of {want}");
}
