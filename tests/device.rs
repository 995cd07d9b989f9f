//! Trouble with the device is an error of the call that meets it: no panic, no hang, and a new engine works.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use wgloss::{Call, CrossEntropy, Engine, Error, Limits, Loss, Mode, Mse, Tensor};

use crate::common::data::Data;
use crate::common::engine::{fresh, opened};
use crate::common::{bits, gpu, takes};

/// Tensors of a call of cross-entropy with so many rows of 100.
fn tensors(rows: usize) -> (Tensor, Tensor) {
    let mut data = Data::new(3);
    let x = Tensor::new(&data.logits(rows * 100), &[rows, 100]).unwrap();
    (x, Tensor::new(&data.labels(rows, 100, None), &[rows]).unwrap())
}

/// A tensor that is larger than a buffer lies in several, and nothing changes.
#[test]
fn tensors_span_buffers() {
    let mut engine = fresh();
    let limits = engine.plan_limits().unwrap();
    let mut data = Data::new(4);
    for (nth, (shape, max_buffer_bytes)) in [
        (&[1000usize, 100][..], 100 << 10),
        (&[77, 1001], 40 << 10),
        (&[3, 21, 1100], 100 << 10),
        (&[3, 40, 1160], 200 << 10),
    ]
    .into_iter()
    .enumerate()
    {
        let small = Limits {
            max_buffer_bytes,
            offset_alignment: 256,
            ..limits
        };
        engine.set_plan_limits(small).unwrap();
        let len: usize = shape.iter().product();
        let rows: Vec<usize> = shape
            .iter()
            .enumerate()
            .filter(|(d, _)| *d != 1)
            .map(|(_, &n)| n)
            .collect();
        let count: usize = rows.iter().product();
        let x = Tensor::new(&data.logits(len), shape).unwrap();
        let t = Tensor::new(&data.targets(len), shape).unwrap();
        let labels = Tensor::new(&data.labels(count, shape[1], Some(-100)), &rows).unwrap();
        let half = x.to_dtype(wgloss::Dtype::Bf16).unwrap();
        let (ce, mse) = (CrossEntropy::default(), Mse::default());
        let list: [(&dyn Loss, &Tensor, &Tensor); 3] = [(&ce, &x, &labels), (&ce, &half, &labels), (&mse, &x, &t)];
        let some = list.into_iter().enumerate().filter(|(l, _)| takes(nth + l, 2));
        for (loss, x, t) in some.map(|(_, own)| own) {
            let far = engine.upload(x).unwrap();
            assert!(far.buffers().len() > 1 && far.buffer().is_none(), "{shape:?}");
            let output = loss.forward_backward(&engine, &[&far, t], None).unwrap();
            assert!(output.grad_input.as_ref().unwrap().buffers().len() > 1);
            let values = output.read(&engine).unwrap();
            let want = loss
                .forward_backward(gpu(), &[x, t], None)
                .unwrap()
                .read(gpu())
                .unwrap();
            assert!(bits(&values) == bits(&want), "{} {shape:?}", loss.info().name);
            // In place, where windows that reach into the next buffer come back.
            let call = Call {
                grad_input: wgloss::GradTo::InPlace,
                ..Call::new(Mode::Fused, &[&far, t])
            };
            let over = loss.run(&engine, &call).unwrap().read(&engine).unwrap();
            assert!(bits(&over) == bits(&want), "{} {shape:?} in place", loss.info().name);
        }
    }
}

/// Set where memory is limited.
const LITTLE_MEMORY: &str = "WGLOSS_TEST_LITTLE_MEMORY";

/// The test below in a process that may have 8 GiB: the software adapter's memory is the host's, which gives more than
/// there is.
#[test]
#[cfg(unix)]
fn memory_that_is_not_there_is_an_error() {
    let exe = std::env::current_exe().unwrap();
    let command = format!(
        "ulimit -v {} && {LITTLE_MEMORY}=1 exec '{}' --ignored --exact device::memory_that_is_not_there",
        8 << 20,
        exe.display()
    );
    let child = std::process::Command::new("sh")
        .args(["-c", &command])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&child.stdout).into_owned() + &String::from_utf8_lossy(&child.stderr);
    assert!(child.status.success() && said.contains("1 passed"), "{said}");
}

#[test]
#[ignore = "runs in a process with little memory, see above"]
fn memory_that_is_not_there() {
    assert!(std::env::var_os(LITTLE_MEMORY).is_some(), "it would take all there is");
    // A gradient of 64 GiB that has no sink.
    let huge = Tensor::from_pages(Arc::new(Zeros), wgloss::Dtype::F32, &[1 << 10, 1 << 24]).unwrap();
    let mut stream = wgloss::Stream::within(u64::MAX);
    let call = Call::new(Mode::Fused, &[&huge, &huge]);
    let error = stream.run(gpu(), &Mse::default(), &call).unwrap_err();
    match &error {
        Error::OutOfMemory { wanted, .. } => assert!(*wanted > 1 << 20, "{error}"),
        other => panic!("{other}"),
    }
    assert!(error.to_string().contains("bytes wanted for wgloss output"), "{error}");
    let (x, labels) = tensors(8);
    let values = CrossEntropy::default()
        .forward(gpu(), &[&x, &labels])
        .unwrap()
        .read(gpu())
        .unwrap();
    assert!(values.scalar().unwrap().is_finite());
}

#[derive(Debug)]
struct Zeros;

impl wgloss::Pages for Zeros {
    fn read_at(&self, _: u64, out: &mut [u8]) -> std::io::Result<()> {
        out.fill(0);
        Ok(())
    }
}

#[test]
fn a_lost_device_is_an_error_and_a_new_engine_works() {
    let (x, labels) = tensors(64);
    let loss = CrossEntropy::default();
    let want = loss
        .forward_backward(gpu(), &[&x, &labels], None)
        .unwrap()
        .read(gpu())
        .unwrap();
    // Only an engine that opened its device hears of the loss; of an adopted one its owner does.
    let engine = opened();
    let far = engine.upload(&x).unwrap();
    let before = loss.forward_backward(&engine, &[&far, &labels], None).unwrap();
    let (device, _) = engine.wgpu().unwrap();
    device.destroy();
    let lost = |error: Error| assert!(matches!(error, Error::DeviceLost(_)), "{error:?}");
    lost(before.read(&engine).unwrap_err());
    lost(pollster::block_on(before.read_async(&engine)).unwrap_err());
    lost(engine.upload(&x).unwrap_err());
    lost(loss.forward(&engine, &[&far, &labels]).unwrap_err());
    lost(loss.forward(&engine, &[&x, &labels]).unwrap_err());
    lost(far.read::<f32>(&engine).unwrap_err());
    let mut stream = wgloss::Stream::within(64 << 20);
    lost(
        stream
            .run(&engine, &loss, &Call::new(Mode::Forward, &[&x, &labels]))
            .unwrap_err(),
    );
    let again = opened();
    let values = loss
        .forward_backward(&again, &[&x, &labels], None)
        .unwrap()
        .read(&again)
        .unwrap();
    assert!(bits(&values) == bits(&want));
}

/// On a device of the user's the handler for errors that nobody catches is the user's, and hears nothing from us.
#[test]
fn an_adopted_device_hears_of_no_error_of_ours() {
    let own = fresh();
    let (device, queue) = own.wgpu().unwrap();
    let heard = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&heard);
    device.on_uncaptured_error(Arc::new(move |_| {
        counter.fetch_add(1, Ordering::SeqCst);
    }));
    let engine = Engine::from_wgpu(device.clone(), queue.clone());
    let (x, labels) = tensors(8);
    let loss = CrossEntropy::default();
    // A tensor of another device, a buffer that cannot be bound, memory that is not there, a device that is gone.
    let foreign = gpu().upload(&x).unwrap();
    assert!(loss.forward(&engine, &[&foreign, &labels]).is_err());
    let plain = device.create_buffer(&wgpu::BufferDescriptor {
        label: None,
        size: 3200,
        usage: wgpu::BufferUsages::COPY_DST,
        mapped_at_creation: false,
    });
    let plain = Tensor::from_buffer(&engine, plain, 0, wgloss::Dtype::F32, &[8, 100], None).unwrap();
    assert!(loss.forward(&engine, &[&plain, &labels]).is_err());
    assert!(plain.read::<f32>(&engine).is_err());
    device.destroy();
    assert!(loss.forward(&engine, &[&x, &labels]).is_err());
    assert_eq!(heard.load(Ordering::SeqCst), 0);
}
