//! Tensors of others: of another engine, of another device, destroyed, without the usages that are needed, or on a
//! device that cannot compute. Each is an error that names the tensor, and the engine works on.

use wgloss::optim::State;
use wgloss::{Call, CrossEntropy, Dtype, Engine, Error, GradTo, Loss, Mode, Mse, Optimizer, Result, Sgd, Tensor};

use crate::common::engine::{fresh, opened};
use crate::common::own::{labels, own, tensor, values};
use crate::common::{bits, gpu};

fn names<T>(result: &Result<T>, wanted: &str) -> bool {
    matches!(result, Err(Error::Operand { name, .. }) if *name == wanted)
}

#[test]
fn tensors_of_another_engine_are_named() {
    let (here, there) = (gpu(), fresh());
    let (x, t) = (tensor(1, &[8, 10]), labels(1, 8, 10));
    let on = |engine: &Engine| (engine.upload(&x).unwrap(), engine.upload(&t).unwrap());
    let ((x, t), (far_x, far_t)) = (on(here), on(&there));
    let loss = CrossEntropy::default();
    let want = bits(&values(&loss.forward_backward(here, &[&x, &t], None).unwrap(), here));
    let mut encoder = here.wgpu().unwrap().0.create_command_encoder(&Default::default());
    for _ in 0..2 {
        for (x, t, wanted) in [(&far_x, &t, "input"), (&x, &far_t, "target")] {
            let call = Call::new(Mode::Fused, &[x, t]);
            let run = loss.run(here, &call);
            assert!(names(&run, wanted), "{run:?}");
            assert!(run.unwrap_err().to_string().contains("another device"));
            assert!(names(&loss.encode(here, &mut encoder, &call), wanted));
        }
        let call = Call {
            grad_input: GradTo::Into(&far_x),
            ..Call::new(Mode::Fused, &[&x, &t])
        };
        assert!(names(&loss.run(here, &call), "grad_input"));
        let weighted = CrossEntropy {
            weight: Some(there.upload(&tensor(2, &[10])).unwrap()),
            ..Default::default()
        };
        assert!(names(&weighted.forward(here, &[&x, &t]), "weight"));
        assert!(names(
            &Sgd::default().step(here, &x, &far_x, &mut State::default()),
            "grad"
        ));
        assert!(names(&far_x.numbers(here), "tensor"));
        let output = loss.forward(&there, &[&far_x, &far_t]).unwrap();
        assert!(names(&output.read(here), "loss"));
        assert!(bits(&values(&loss.forward_backward(here, &[&x, &t], None).unwrap(), here)) == want);
    }
}

/// A device that wgpu can tell from the engine's.
#[test]
fn buffers_of_another_device_are_refused() {
    let (here, there) = (opened(), opened());
    let far = own(&there, Dtype::F32, &[8]);
    let result = Tensor::from_buffer(&here, far.buffer, 0, Dtype::F32, &[8], None);
    assert!(names(&result, "buffer"), "{result:?}");
    let near = own(&here, Dtype::F32, &[8]).buffer;
    assert!(matches!(
        Tensor::from_buffer(&Engine::cpu(), near, 0, Dtype::F32, &[8], None),
        Err(Error::Device(_))
    ));
}

/// Destroyed before the first call, and between calls that are kept.
#[test]
fn destroyed_buffers_are_named() {
    let engine = fresh();
    let loss = Mse::default();
    let near = |seed| {
        let own = own(&engine, Dtype::F32, &[8, 8]);
        own.put(&engine, &tensor(seed, &[8, 8]));
        own
    };
    let t = engine.upload(&tensor(2, &[8, 8])).unwrap();
    for keeps in [false, true] {
        for place in ["input", "target", "grad_input"] {
            let (own, other) = (near(1), near(3));
            let call = match place {
                "input" => Call::new(Mode::Fused, &[&own.tensor, &t]),
                "target" => Call::new(Mode::Fused, &[&t, &own.tensor]),
                _ => Call {
                    grad_input: GradTo::Into(&own.tensor),
                    ..Call::new(Mode::Fused, &[&other.tensor, &t])
                },
            };
            if keeps {
                for _ in 0..2 {
                    drop(loss.run(&engine, &call).unwrap());
                }
            }
            own.buffer.destroy();
            let mut encoder = engine.wgpu().unwrap().0.create_command_encoder(&Default::default());
            let recorded = loss.encode(&engine, &mut encoder, &call);
            assert!(names(&recorded, place), "{place} {keeps}: {recorded:?}");
            let result = loss.run(&engine, &call);
            assert!(names(&result, place), "{place} {keeps}: {result:?}");
        }
    }
    for place in ["param", "grad"] {
        let (own, sgd, mut state) = (near(1), Sgd::default(), State::default());
        let (param, grad) = if place == "param" {
            (&own.tensor, &t)
        } else {
            (&t, &own.tensor)
        };
        drop(sgd.step(&engine, param, grad, &mut state).unwrap());
        own.buffer.destroy();
        let mut encoder = engine.wgpu().unwrap().0.create_command_encoder(&Default::default());
        assert!(names(
            &sgd.encode(&engine, &mut encoder, param, grad, &mut state),
            place
        ));
        assert!(names(&sgd.step(&engine, param, grad, &mut state), place));
        assert_eq!(state.step(), 1);
    }
    let gone = near(1);
    gone.buffer.destroy();
    assert!(names(
        &Tensor::from_buffer(&engine, gone.buffer, 0, Dtype::F32, &[8], None),
        "buffer"
    ));
    assert!(loss.forward(&engine, &[&t, &t]).unwrap().read(&engine).is_ok());
}

#[test]
fn missing_usages_are_named() {
    let engine = gpu();
    let (device, _) = engine.wgpu().unwrap();
    let of = |usage| {
        let buffer = device.create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size: 320,
            usage,
            mapped_at_creation: false,
        });
        Tensor::from_buffer(engine, buffer, 0, Dtype::F32, &[8, 10], None).unwrap()
    };
    let (x, t) = (engine.upload(&tensor(1, &[8, 10])).unwrap(), labels(1, 8, 10));
    let unbound = of(wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::COPY_SRC);
    let loss = CrossEntropy::default();
    assert!(names(&loss.forward(engine, &[&unbound, &t]), "input"));
    let into = |tensor| {
        let call = Call {
            grad_input: GradTo::Into(tensor),
            ..Call::new(Mode::Fused, &[&x, &t])
        };
        loss.run(engine, &call)
    };
    assert!(names(&into(&unbound), "grad_input"));
    // A gradient that stays where it is needs no way back.
    let kept = of(wgpu::BufferUsages::STORAGE);
    let output = into(&kept).unwrap();
    assert!(output.read(engine).unwrap().loss.is_some());
    assert!(names(&output.include_placed().read(engine), "grad_input"));
}

/// What WebGL2 gives: no compute shaders, no storage buffers.
#[test]
fn a_device_that_cannot_compute_says_so() {
    let engine = opened();
    let instance = wgpu::Instance::default();
    let adapters = pollster::block_on(instance.enumerate_adapters(wgpu::Backends::PRIMARY));
    let adapter = adapters
        .into_iter()
        .find(|own| Some(&own.get_info()) == engine.adapter_info())
        .unwrap();
    let descriptor = wgpu::DeviceDescriptor {
        required_limits: wgpu::Limits::downlevel_webgl2_defaults(),
        ..Default::default()
    };
    let (device, queue) = pollster::block_on(adapter.request_device(&descriptor)).unwrap();
    let engine = Engine::from_wgpu(device, queue);
    let (x, t) = (tensor(1, &[8, 10]), labels(1, 8, 10));
    let loss = CrossEntropy::default();
    for result in [
        loss.forward(&engine, &[&x, &t]).map(|_| ()),
        Sgd::default().step(&engine, &x, &x, &mut State::default()).map(|_| ()),
    ] {
        let error = result.unwrap_err();
        assert!(
            matches!(error, Error::Limit(_)) && error.to_string().contains("WebGL2"),
            "{error}"
        );
    }
}
