//! Rows with gaps between them.

use wgloss::{
    Array, BceWithLogits, Call, CrossEntropy, Dtype, GradTo, Loss, Mode, Reduce, ReduceOp, Softmax, Tensor,
    TripletMargin, Values,
};

use super::{halves, memory};
use crate::common::cases::blank;
use crate::common::data::Data;
use crate::common::{F32, engine, gpu};

/// Windows of the user's buffers: padded rows, poison between them, an offset, a canary behind the gradient.
#[test]
fn padded_rows_in_the_users_buffers() {
    // An engine of its own, whose pipelines go with it.
    let engine = &engine::fresh();
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
        let window = |buffer| {
            Tensor::from_buffer(engine, buffer, 4 * skip as u64, Dtype::F32, &[rows, cols], Some(stride)).unwrap()
        };
        let canary = vec![123.25f32; padded.len()];
        for (loss, target) in [
            (&CrossEntropy::default() as &dyn Loss, &labels),
            (&CrossEntropy::default(), &t),
            (&BceWithLogits::default(), &t),
        ] {
            let want = loss
                .forward_backward(engine, &[&dense, target], None)
                .unwrap()
                .include_placed()
                .read(engine)
                .unwrap();
            let (input, grad) = (window(make(&padded)), make(&canary));
            let into = window(grad.clone());
            let call = Call {
                grad_input: GradTo::Into(&into),
                ..Call::new(Mode::Fused, &[&input, target])
            };
            let got = loss.run(engine, &call).unwrap().include_placed().read(engine).unwrap();
            let what = format!("{} {rows}x{cols} in rows of {stride}", loss.info().name);
            close(&what, &got, &want);
            let whole = Tensor::from_buffer(engine, grad, 0, Dtype::F32, &[padded.len()], None).unwrap();
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
                ..Call::new(Mode::Fused, &[&input, target])
            };
            close(
                &format!("{what} in place"),
                &loss.run(engine, &call).unwrap().include_placed().read(engine).unwrap(),
                &want,
            );
            let whole = Tensor::from_buffer(engine, buffer, 0, Dtype::F32, &[padded.len()], None).unwrap();
            let memory = whole.read::<f32>(engine).unwrap();
            let outside = |i: &usize| *i < skip || (*i - skip) % stride >= cols;
            assert!(
                (0..padded.len()).filter(outside).all(|i| memory[i].is_nan()),
                "{what} in place"
            );
            // One buffer read and written by one dispatch is refused, before anything is recorded.
            let twice = Call {
                grad_input: GradTo::Into(&input),
                ..Call::new(Mode::Fused, &[&input, target])
            };
            let error = loss.run(engine, &twice).unwrap_err().to_string();
            assert!(error.contains("grad_input") && error.contains("one buffer"), "{error}");
        }
        let sum = |tensor: &Tensor| {
            ReduceOp::ALL.map(|op| {
                let loss = Reduce {
                    op,
                    ..Default::default()
                };
                let values = loss
                    .forward(engine, &[tensor])
                    .unwrap()
                    .include_placed()
                    .read(engine)
                    .unwrap();
                match values.argmax {
                    Some(argmax) => argmax.data[0] as f64,
                    None => f64::from(values.scalar().unwrap()),
                }
            })
        };
        let (padded_sums, dense_sums) = (sum(&window(make(&padded))), sum(&dense));
        let argmax = ReduceOp::ALL.iter().position(|op| *op == ReduceOp::Argmax).unwrap();
        assert_eq!(padded_sums[argmax], dense_sums[argmax]);
        for (got, want) in padded_sums.iter().zip(dense_sums) {
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

/// Gaps where a family cannot take them are refused; where it takes them, they are stepped over.
#[test]
fn gaps_are_stepped_over_or_refused() {
    let engine = gpu();
    let mut failures = Vec::new();
    let mut data = Data::new(5);
    for dtype in [Dtype::F32, Dtype::F16] {
        for shape in [&[6usize, 5][..], &[3, 4, 5]] {
            let slab: usize = shape[1..].iter().product();
            let stride = slab + 3;
            let numbers = data.logits(shape.iter().product());
            let dense = Tensor::new(&numbers, shape).unwrap().to_dtype(dtype).unwrap();
            let upstream = Tensor::new(&data.logits(numbers.len()), shape)
                .unwrap()
                .to_dtype(dtype)
                .unwrap();
            let padded = |tensor: &Tensor| {
                let own = halves(tensor, engine);
                let per = dtype.bytes() as usize / 2;
                let mut all = vec![0x7e7e_u16; (shape[0] * stride).next_multiple_of(2) * per];
                for row in 0..shape[0] {
                    all[row * stride * per..][..slab * per].copy_from_slice(&own[row * slab * per..][..slab * per]);
                }
                Tensor::from_buffer(engine, memory(engine, dtype, &all), 0, dtype, shape, Some(stride)).unwrap()
            };
            let mut compare = |what: String, loss: &dyn Loss, plain: &Call<'_>, gaps: &Call<'_>| {
                let want = loss.run(engine, plain).unwrap().include_placed().read(engine).unwrap();
                match loss
                    .run(engine, gaps)
                    .and_then(|output| output.include_placed().read(engine))
                {
                    Ok(got) => {
                        let wide = |values: &Values| values.grad_input.as_ref().unwrap().data.clone();
                        let near = |(a, b): (&f32, &f32)| (a - b).abs() <= 2e-3 * (1.0 + b.abs());
                        if !wide(&got).iter().zip(&wide(&want)).all(near) {
                            failures.push(format!("{what}: another gradient"));
                        }
                    }
                    Err(error) if error.to_string().contains("gaps") => {}
                    Err(error) => failures.push(format!("{what}: {error}")),
                }
            };
            for dim in 0..shape.len() as i64 {
                let loss = Softmax {
                    dim,
                    ..Default::default()
                };
                let (own, gradient) = (padded(&dense), padded(&upstream));
                let into = padded(&blank(dtype, shape));
                let call = |input, grad_output, grad_input| Call {
                    grad_output: Some(grad_output),
                    grad_input,
                    ..Call::new(Mode::Fused, &[input])
                };
                let plain = call(&dense, &upstream, GradTo::New);
                let what = format!("softmax {dtype} {shape:?} along {dim}");
                compare(
                    format!("{what}, input"),
                    &loss,
                    &plain,
                    &call(&own, &upstream, GradTo::New),
                );
                compare(
                    format!("{what}, grad_output"),
                    &loss,
                    &plain,
                    &call(&dense, &gradient, GradTo::New),
                );
                compare(
                    format!("{what}, grad_input"),
                    &loss,
                    &plain,
                    &call(&dense, &upstream, GradTo::Into(&into)),
                );
            }
            let sum = Reduce {
                dim: vec![0],
                ..Default::default()
            };
            let into = padded(&blank(dtype, shape));
            let plain = Call::new(Mode::Fused, &[&dense]);
            let gaps = Call {
                grad_input: GradTo::Into(&into),
                ..plain.clone()
            };
            compare(format!("sum {dtype} {shape:?}"), &sum, &plain, &gaps);
            let into = padded(&blank(dtype, shape));
            let plain = Call::new(Mode::Fused, &[&dense, &upstream, &dense]);
            let gaps = Call {
                grad_input: GradTo::Into(&into),
                ..plain.clone()
            };
            compare(
                format!("triplet {dtype} {shape:?}"),
                &TripletMargin::default(),
                &plain,
                &gaps,
            );
        }
    }
    crate::common::report(failures, 32);
}
