//! The user's own buffers, device and encoder, and the function forms.

use wgloss::{
    Array, BceWithLogits, Call, CrossEntropy, Dtype, Engine, Error, GradTo, Loss, Mode, ReduceOp, SigmoidFocal, Tensor,
    Values,
};

use crate::common::data::Data;
use crate::common::{F32, bits, gpu};

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
    use wgloss::functional::{bce_with_logits, compute, cross_entropy, sigmoid_focal};
    let mut data = Data::new(14);
    let (x, labels, t) = (data.logits(12), data.labels(4, 3, None), data.targets(12));
    for engine in [gpu(), &Engine::cpu()] {
        let (x, t) = ((&x[..], [4, 3]), (&t[..], [4, 3]));
        let ce = cross_entropy(engine, x, (&labels[..], [4]), &CrossEntropy::default(), Mode::Fused).unwrap();
        let grad = ce.grad_input.unwrap();
        assert_eq!(grad.shape, [4, 3]);
        let upstream = Tensor::new(&[2.0f32], &[]).unwrap();
        let options = CrossEntropy::default();
        let twice = compute(
            engine,
            &options,
            Mode::Fused,
            x,
            (&labels[..], [4]),
            Some(upstream),
            false,
        )
        .unwrap();
        let doubled: Vec<f32> = grad.data.iter().map(|g| 2.0 * g).collect();
        assert_eq!(twice.grad_input.unwrap().data, doubled);
        let again = Tensor::try_from(&grad).unwrap();
        assert_eq!(again.shape(), [4, 3]);
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

/// A tensor of another engine's device is an error, and nothing is read or written through it.
#[test]
fn tensors_of_another_engine_are_refused() {
    let other = Engine::new().unwrap();
    let x = other.upload(&Tensor::new(&[1.0f32, 2.0], &[1, 2]).unwrap()).unwrap();
    let labels = Tensor::new(&[1i64], &[1]).unwrap();
    let here = gpu();
    assert!(matches!(
        CrossEntropy::default().forward(here, &x, &labels),
        Err(Error::Device(_))
    ));
    assert!(matches!(
        CrossEntropy::default().forward(&Engine::cpu(), &x, &labels),
        Err(Error::Operand { .. })
    ));
    let on_host = Tensor::new(&[1.0f32, 2.0], &[1, 2]).unwrap();
    let call = Call {
        grad_input: GradTo::Into(&on_host),
        ..Call::new(Mode::Fused, &on_host, &labels)
    };
    assert!(matches!(
        CrossEntropy::default().run(here, &call),
        Err(Error::Operand { name: "grad_input", .. })
    ));
    assert!(
        CrossEntropy::default()
            .forward(here, &on_host, &labels)
            .unwrap()
            .read(here)
            .is_ok(),
        "and life goes on"
    );
}
