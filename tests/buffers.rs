//! The user's own buffers, device and encoder, and the function forms.

use half::{bf16, f16};
use wgloss::{
    Array, BceWithLogits, Call, CrossEntropy, Dtype, Engine, Error, GradTo, Loss, Mode, REGISTRY, Reduce, ReduceOp,
    Role, SigmoidFocal, Softmax, Tensor, TripletMargin, Values,
};

use crate::common::cases::{Setup, blank, by_rows, make};
use crate::common::data::Data;
use crate::common::{F32, bits, engine, gpu};

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
                .forward_backward(engine, &[&dense, target], None)
                .unwrap()
                .read(engine)
                .unwrap();
            let (input, grad) = (window(make(&padded)), make(&canary));
            let into = window(grad.clone());
            let call = Call {
                grad_input: GradTo::Into(&into),
                ..Call::new(Mode::Fused, &[&input, target])
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
                ..Call::new(Mode::Fused, &[&input, target])
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
                let values = loss.forward(engine, &[tensor]).unwrap().read(engine).unwrap();
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

/// On the user's device, with WebGPU's default limits and no feature, into the user's encoder: nothing is submitted by
/// us, several calls share a submission, and each keeps its own params and results.
#[test]
fn encode_into_the_users_encoder() {
    let (device, queue) = engine::webgpu_device();
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
    let call = Call::new(Mode::Fused, &[&x, &labels]);
    let outputs: Vec<_> = losses
        .iter()
        .map(|loss| loss.encode(&engine, &mut encoder, &call).unwrap())
        .collect();
    let grad = outputs[0].grad_input.as_ref().unwrap();
    let sum = Reduce::default()
        .encode(&engine, &mut encoder, &Call::new(Mode::Forward, &[grad]))
        .unwrap();
    queue.submit([encoder.finish()]);
    for (loss, output) in losses.iter().zip(&outputs) {
        let alone = loss.run(&engine, &call).unwrap().read(&engine).unwrap();
        let together = pollster::block_on(output.read_async(&engine)).unwrap();
        assert_eq!(bits(&together), bits(&alone), "{loss:?}");
    }
    assert!(
        sum.read(&engine).unwrap().scalar().unwrap().abs() < 1e-5,
        "the gradient of a softmax adds up to 0"
    );
    assert_ne!(
        outputs[0].read(&engine).unwrap().loss,
        outputs[3].read(&engine).unwrap().loss
    );
}

#[test]
fn the_function_form() {
    use wgloss::functional::{bce_with_logits, cross_entropy, sigmoid_focal, triplet_margin};
    let mut data = Data::new(14);
    let (x, labels, t) = (data.logits(12), data.labels(4, 3, None), data.targets(12));
    for engine in [gpu(), &Engine::cpu()] {
        let (x, t) = ((&x[..], [4, 3]), (&t[..], [4, 3]));
        let ce = cross_entropy(engine, x, (&labels[..], [4]), &CrossEntropy::default(), Mode::Fused).unwrap();
        let grad = ce.grad_input.unwrap();
        assert_eq!(grad.shape, [4, 3]);
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
        let triplet = triplet_margin(engine, x, t, x, &TripletMargin::default(), Mode::Fused).unwrap();
        assert_eq!(triplet.grad_input.unwrap().shape, [4, 3]);
        assert!(matches!(
            cross_entropy(engine, (&labels[..], [4]), t, &CrossEntropy::default(), Mode::Forward),
            Err(Error::Operand { name: "target", .. })
        ));
    }
}

/// A tensor of another engine's device is an error, and nothing is read or written through it.
#[test]
fn tensors_of_another_engine_are_refused() {
    let other = engine::fresh();
    let x = other.upload(&Tensor::new(&[1.0f32, 2.0], &[1, 2]).unwrap()).unwrap();
    let labels = Tensor::new(&[1i64], &[1]).unwrap();
    let here = gpu();
    assert!(matches!(
        CrossEntropy::default().forward(here, &[&x, &labels]),
        Err(Error::Device(_))
    ));
    assert!(matches!(
        CrossEntropy::default().forward(&Engine::cpu(), &[&x, &labels]),
        Err(Error::Operand { .. })
    ));
    let on_host = Tensor::new(&[1.0f32, 2.0], &[1, 2]).unwrap();
    let call = Call {
        grad_input: GradTo::Into(&on_host),
        ..Call::new(Mode::Fused, &[&on_host, &labels])
    };
    assert!(matches!(
        CrossEntropy::default().run(here, &call),
        Err(Error::Operand { name: "grad_input", .. })
    ));
    assert!(
        CrossEntropy::default()
            .forward(here, &[&on_host, &labels])
            .unwrap()
            .read(here)
            .is_ok(),
        "and life goes on"
    );
}

/// A buffer of 16-bit or 32-bit floats, with `canary` wherever `data` does not lie.
fn memory(engine: &Engine, dtype: Dtype, words: &[u16]) -> wgpu::Buffer {
    let (device, queue) = engine.wgpu().unwrap();
    let bytes: &[u8] = bytemuck::cast_slice(words);
    let buffer = device.create_buffer(&wgpu::BufferDescriptor {
        label: Some(dtype.name()),
        size: bytes.len() as u64,
        usage: wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST,
        mapped_at_creation: false,
    });
    queue.write_buffer(&buffer, 0, bytes);
    buffer
}

/// The halves of the words of all elements, in order.
fn halves(tensor: &Tensor, engine: &Engine) -> Vec<u16> {
    match tensor.dtype() {
        Dtype::F16 => bytemuck::cast_slice(&tensor.read::<f16>(engine).unwrap()).to_vec(),
        Dtype::Bf16 => bytemuck::cast_slice(&tensor.read::<bf16>(engine).unwrap()).to_vec(),
        _ => bytemuck::cast_slice(&tensor.read::<f32>(engine).unwrap()).to_vec(),
    }
}

/// Every loss in windows of the user's buffers, of every dtype, with rows of odd length, an odd number of elements and an
/// odd offset: gradients into a window, added to it, and over the input. The bits are those of dense tensors (but for the
/// order of sums where whole quads are read, within the tolerance), and nothing between the rows, before or behind changes.
#[test]
fn windows_of_every_dtype() {
    const CANARY: u16 = 0x5a5a;
    let engine = gpu();
    let (mut failures, mut total) = (Vec::new(), 0);
    for (n, info) in REGISTRY.iter().enumerate() {
        // Compiling takes most of the time: each loss in two of the layouts, in 16 bits, and some in f32.
        for k in 0..if n % 4 == 0 { 3 } else { 2 } {
            let dtype = [
                [Dtype::F16, Dtype::Bf16, Dtype::F32],
                [Dtype::Bf16, Dtype::F16, Dtype::F32],
            ][n % 2][k];
            let (rows, cols, stride, skip) =
                [(5usize, 7usize, 9usize, 1usize), (3, 9, 9, 3), (3, 8, 12, 4)][(n / 2 + k) % 3];
            let shape = [rows, cols];
            let reduction = info.reductions[(n + k) % info.reductions.len()];
            let setup = Setup {
                dtype,
                other: dtype,
                reduction,
                setting: by_rows(info),
                ..Setup::new(&shape)
            };
            let Some(case) = make(info, &setup) else { continue };
            total += 1;
            let per = dtype.bytes() as usize / 2;
            let words = |data: &[u16], fill: u16| {
                let mut all = vec![fill; (skip + rows * stride + 5).next_multiple_of(2) * per];
                for row in 0..rows {
                    let at = (skip + row * stride) * per;
                    all[at..at + cols * per].copy_from_slice(&data[row * cols * per..][..cols * per]);
                }
                all
            };
            let window = |buffer: &wgpu::Buffer| {
                let offset = skip as u64 * dtype.bytes();
                Tensor::from_buffer(buffer.clone(), offset, dtype, &shape, Some(stride)).unwrap()
            };
            let whole = |buffer: &wgpu::Buffer| {
                let len = (buffer.size() / dtype.bytes()) as usize;
                halves(
                    &Tensor::from_buffer(buffer.clone(), 0, dtype, &[len], None).unwrap(),
                    engine,
                )
            };
            let outside = |memory: &[u16]| -> usize {
                let inside = |i: usize| i >= skip && i < skip + rows * stride && (i - skip) % stride < cols;
                (0..memory.len())
                    .filter(|&i| !inside(i / per) && memory[i] != CANARY)
                    .count()
            };
            let data = halves(&case.tensors[0], engine);
            let dense = case
                .loss
                .run(engine, &case.call(Mode::Fused))
                .and_then(|output| output.read(engine));
            let dense = match dense {
                Ok(dense) => dense,
                Err(error) => {
                    failures.push(format!("{}: {error}", case.what));
                    continue;
                }
            };
            let want: Vec<f64> = dense
                .grad_input
                .as_ref()
                .unwrap()
                .data
                .iter()
                .map(|&g| f64::from(g))
                .collect();
            let twice: Vec<f64> = want.iter().map(|g| 2.0 * g).collect();
            for way in ["into", "added", "in place"] {
                let source = memory(engine, dtype, &words(&data, CANARY));
                let input = window(&source);
                let target = memory(engine, dtype, &words(&vec![0; data.len()], CANARY));
                let into = window(&target);
                let mut call = case.call(Mode::Fused);
                call.tensors = std::iter::once(&input).chain(&case.tensors[1..]).collect();
                call.grad_input = match way {
                    "into" => GradTo::Into(&into),
                    "added" => GradTo::AddTo(&into),
                    _ => GradTo::InPlace,
                };
                let what = format!("{} in rows of {stride}, {way}", case.what);
                let first = case.loss.run(engine, &call).and_then(|output| output.read(engine));
                let (got, wanted) = match (first, way) {
                    // 16-bit sums are of rounded numbers, and the double of one is exact.
                    (Ok(_), "added") => (
                        case.loss.run(engine, &call).and_then(|output| output.read(engine)),
                        &twice,
                    ),
                    (first, _) => (first, &want),
                };
                match got {
                    Ok(got) => failures.extend(within_an_ulp(&what, dtype, &got, wanted)),
                    // A loss whose columns meet each other has nothing else to read.
                    Err(error) if way == "in place" && error.to_string().contains("cannot go over") => continue,
                    Err(error) => failures.push(format!("{what}: {error}")),
                }
                let written = whole(if way == "in place" { &source } else { &target });
                if outside(&written) > 0 {
                    failures.push(format!(
                        "{what}: {} words outside of the window changed",
                        outside(&written)
                    ));
                }
            }
        }
    }
    assert!(total > 50, "only {total}");
    crate::common::report(failures, total);
}

/// The gradient of another reading of the same numbers: f32's tolerance, or the next 16-bit float where that crosses a
/// rounding boundary.
fn within_an_ulp(what: &str, dtype: Dtype, got: &Values, want: &[f64]) -> Option<String> {
    let grad = got.grad_input.as_ref().unwrap();
    let step = match dtype {
        Dtype::F16 => 1.0 / 1024.0,
        Dtype::Bf16 => 1.0 / 128.0,
        _ => 0.0,
    };
    let largest = want.iter().fold(0.0f64, |m, w| m.max(w.abs())).min(1.0);
    let near = |(g, w): (&f32, &f64)| (f64::from(*g) - w).abs() <= step * w.abs() + 1e-5 * (w.abs() + largest);
    let same = |(g, w): (&f32, &f64)| near((g, w)) || f64::from(*g) == *w || g.is_nan() && w.is_nan();
    let wrong = grad.data.iter().zip(want).position(|pair| !same(pair));
    wrong.map(|i| format!("{what} [{i}]: {} instead of {}", grad.data[i], want[i]))
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
                Tensor::from_buffer(memory(engine, dtype, &all), 0, dtype, shape, Some(stride)).unwrap()
            };
            let mut compare = |what: String, loss: &dyn Loss, plain: &Call<'_>, gaps: &Call<'_>| {
                let want = loss.run(engine, plain).unwrap().read(engine).unwrap();
                match loss.run(engine, gaps).and_then(|output| output.read(engine)) {
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

/// Two micro-batches in one buffer: their gradients add up.
#[test]
fn gradients_of_micro_batches_add_up() {
    let engine = gpu();
    let mut data = Data::new(6);
    for dtype in Dtype::FLOATS {
        let label = Tensor::new(&data.labels(11, 7, None), &[11]).unwrap();
        let batch = |data: &mut Data| {
            Tensor::new(&data.logits(77), &[11, 7])
                .unwrap()
                .to_dtype(dtype)
                .unwrap()
        };
        let (one, two) = (batch(&mut data), batch(&mut data));
        let loss = CrossEntropy::default();
        let sum = engine.upload(&blank(dtype, &[11, 7])).unwrap();
        let mut want = vec![0.0; 77];
        for x in [&one, &two] {
            let call = Call {
                grad_input: GradTo::AddTo(&sum),
                ..Call::new(Mode::Backward, &[x, &label])
            };
            loss.run(engine, &call).unwrap().read(engine).unwrap();
            let own = wgloss::reference::run(&loss, &Call::new(Mode::Backward, &[x, &label])).unwrap();
            want.iter_mut()
                .zip(own.grad(Role::Grad(0)).unwrap())
                .for_each(|(w, g)| *w += g);
            // What lies in the buffer was rounded, and the next is added to that.
            if dtype.is_half() {
                want.iter_mut().for_each(|w| *w = wgloss::precision::rounded(dtype, *w));
            }
        }
        let values = Values {
            grad_input: Some(Array {
                shape: vec![11, 7],
                data: halves(&sum, engine)
                    .chunks(dtype.bytes() as usize / 2)
                    .map(|c| widen(dtype, c))
                    .collect(),
                dtype,
            }),
            ..Default::default()
        };
        assert_eq!(within_an_ulp(dtype.name(), dtype, &values, &want), None);
    }
}

fn widen(dtype: Dtype, words: &[u16]) -> f32 {
    match dtype {
        Dtype::F16 => f16::from_bits(words[0]).to_f32(),
        Dtype::Bf16 => bf16::from_bits(words[0]).to_f32(),
        _ => f32::from_bits(u32::from(words[0]) | u32::from(words[1]) << 16),
    }
}
