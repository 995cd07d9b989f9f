//! What is wrong is an error that names the argument, before anything is queued.

use burn::tensor::{DType, Device, Int, Tensor, TensorData};
use wgloss_burn::{CrossEntropy, Huber, LossCall, Mse, Nll, Operand, Role, Stats, cross_entropy, mse};

use crate::common::{device, other_device};

#[track_caller]
fn refused<T>(result: wgloss_burn::Result<T>, name: &str, message: &str) {
    let error = match result {
        Ok(_) => panic!("taken, {name} expected: {message}"),
        Err(error) => error.to_string(),
    };
    assert!(
        error.starts_with(&format!("{name}: ")) && error.contains(message),
        "{error}"
    );
}

#[test]
fn wrong_arguments_are_named() {
    for device in [device(), device().autodiff()] {
        let logits = Tensor::<2>::ones([4, 3], &device);
        let targets = Tensor::<1, Int>::zeros([4], &device);
        let options = CrossEntropy::default();
        let float = Tensor::<1>::ones([4], &device);

        refused(
            cross_entropy::<2>(&logits, &targets, &options),
            "loss",
            "rank 2 is asked for",
        );
        refused(
            cross_entropy::<1>(&logits, Tensor::<1, Int>::zeros([5], &device), &options),
            "target",
            "shape",
        );
        refused(
            cross_entropy::<1>(&logits, Tensor::<2, Int>::zeros([4, 3], &device), &options),
            "target",
            "shape",
        );
        refused(
            cross_entropy::<1>(&targets, &targets, &options),
            "input",
            "expected a tensor of floats, got i32",
        );
        refused(
            wgloss_burn::nll::<1>(&logits, &float, &Nll::default()),
            "target",
            "class indices, got f32",
        );
        refused(
            mse::<1>(&logits, Tensor::<2>::ones([2, 3], &device), &Mse::default()),
            "target",
            "broadcast",
        );
        let smoothed = CrossEntropy {
            label_smoothing: 1.5,
            ..Default::default()
        };
        refused(
            cross_entropy::<1>(&logits, &targets, &smoothed),
            "label_smoothing",
            "1.5 given",
        );
        refused(
            wgloss_burn::huber::<1>(
                &logits,
                &logits,
                &Huber {
                    delta: 0.0,
                    ..Default::default()
                },
            ),
            "delta",
            "0",
        );
        let weight: Operand = Tensor::<1>::ones([2], &device).into();
        let weighted = CrossEntropy {
            weight: Some(weight.clone()),
            ..Default::default()
        };
        refused(cross_entropy::<1>(&logits, &targets, &weighted), "weight", "shape");
        refused(
            LossCall::of(&options).input(&logits).run(),
            "target",
            "missing: cross_entropy takes input, target",
        );
        let unknown = LossCall::of(&Mse::default())
            .input(&logits)
            .target(&logits)
            .weight(weight);
        refused(unknown.run(), "weight", "mse takes input, target");
        let stats = Stats {
            lse: true,
            ..Default::default()
        };
        assert!(
            LossCall::of(&Mse::default())
                .input(&logits)
                .target(&logits)
                .stats(stats)
                .run()
                .is_err()
        );
        let upstream = LossCall::of(&options)
            .input(&logits)
            .target(&targets)
            .fused()
            .grad_output(&logits);
        refused(upstream.run(), "grad_output", "shape");
        let fused = LossCall::of(&options).input(&logits).target(&targets).fused();
        refused(fused.clone().grad_of(Role::Target).run(), "target", "no gradient");
        refused(fused.run().unwrap().grad::<2>(Role::Target), "grad", "not there");
        let double = TensorData::from([[0.0f64; 3]; 4]);
        let double = Tensor::<2>::from_data(double, (&device, DType::F64));
        refused(cross_entropy::<1>(&double, &targets, &options), "input", "is f64");
        let wide = Tensor::<1, Int>::from_data(TensorData::from([0i16; 4]), (&device, DType::I16));
        refused(cross_entropy::<1>(&logits, &wide, &options), "target", "is i16");
    }
}

#[test]
fn other_devices_are_named() {
    let Some(other) = other_device() else { return };
    let logits = Tensor::<2>::ones([4, 3], &device());
    let targets = Tensor::<1, Int>::zeros([4], &other);
    refused(
        cross_entropy::<1>(&logits, &targets, &CrossEntropy::default()),
        "target",
        "lies on",
    );
    let weight = Some(Tensor::<1>::ones([3], &other).into());
    let targets = Tensor::<1, Int>::zeros([4], &device());
    let options = CrossEntropy {
        weight,
        ..Default::default()
    };
    refused(cross_entropy::<1>(&logits, &targets, &options), "weight", "lies on");
}

#[test]
fn strategies_do_not_mix() {
    let a = Tensor::<2>::ones([4, 3], &device().autodiff()).require_grad();
    let b = Tensor::<2>::ones([4, 3], &device().autodiff().gradient_checkpointing()).require_grad();
    refused(mse::<1>(&a, &b, &Mse::default()), "target", "strategy");
    // One without autodiff is a constant beside one with it.
    let c = Tensor::<2>::zeros([4, 3], &device());
    let loss = mse::<1>(&a, &c, &Mse::default()).unwrap();
    assert_eq!(a.grad(&loss.backward()).unwrap().dims(), [4, 3]);
    let loss = mse::<1>(&c, &b, &Mse::default()).unwrap();
    assert_eq!(b.grad(&loss.backward()).unwrap().dims(), [4, 3]);
}

#[test]
fn a_device_that_burn_keeps_is_named() {
    // Set up by burn alone, so that nobody has its queue.
    let options = Device::wgpu_options().device_kind(burn::tensor::DeviceKind::Cpu);
    let options = options.graphics_api(burn::tensor::wgpu::WgpuBackend::Vulkan);
    let Ok(device) = options.init() else { return };
    let logits = Tensor::<2>::ones([4, 3], &device);
    let targets = Tensor::<1, Int>::zeros([4], &device);
    refused(
        cross_entropy::<1>(&logits, &targets, &CrossEntropy::default()),
        "input",
        "wgloss_burn::init",
    );
    refused(wgloss_burn::faults(&device), "device", "wgloss_burn::init");
    refused(wgloss_burn::init(&device), "device", "wgloss_burn::init");
}
