//! Devices, threads and streams.

use burn::tensor::wgpu::WgpuBackend;
use burn::tensor::{Device, Int, Tensor, TensorData};
use wgloss_burn::{CrossEntropy, Mse, cross_entropy, mse};

use crate::common::{Numbers, device, near, numbers, other_device};

#[test]
fn the_device_is_burns_default() {
    assert_eq!(device(), burn::tensor::Device::default());
    assert_eq!(wgloss_burn::device().unwrap(), device());
    // A tensor made by who knows nothing of us.
    let x = Tensor::<1>::ones([3], &Default::default());
    assert_eq!(numbers(mse::<1>(&x, x.clone() * 2, &Mse::default()).unwrap()), [1.0]);
}

#[test]
fn other_memory_gives_the_same() {
    let Some(other) = other_device() else { return };
    let losses = [device(), other].map(|device| {
        let mut random = Numbers::new(47);
        let logits = random.tensor([33, 17], &device);
        let targets = Tensor::<1, Int>::from_data(TensorData::from(&random.classes(33, 17)[..]), &device);
        numbers(cross_entropy::<1>(logits, targets, &CrossEntropy::default()).unwrap())
    });
    near("memory", &losses[0], &losses[1], 1e-6);
}

#[test]
fn handles_of_ones_own() {
    let options = Device::wgpu_options().graphics_api(WgpuBackend::Vulkan);
    let Ok((_, setup)) = options.init_with_setup() else {
        return;
    };
    let device = Device::wgpu_options().setup(setup.clone()).init().unwrap();
    let x = Tensor::<1>::ones([3], &device);
    assert!(
        mse::<1>(&x, &x, &Mse::default()).is_err(),
        "burn has the handles, and we have not"
    );
    wgloss_burn::adopt(&device, &setup).unwrap();
    assert_eq!(numbers(mse::<1>(&x, x.clone() * 2, &Mse::default()).unwrap()), [1.0]);
}

#[test]
fn tensors_of_other_threads() {
    let device = device();
    for round in 0..4 {
        let there = device.clone();
        let made = std::thread::spawn(move || {
            let ones = Tensor::<2>::ones([8, 10], &there);
            (0..20).fold(ones, |a, i| a.clone() * 0.5 + a.slice([0..8, 0..1]) * (i - round))
        });
        let logits = made.join().unwrap();
        let targets = Tensor::<1, Int>::from_data([0, 1, 2, 3, 4, 5, 6, 7], &device);
        let own = cross_entropy::<1>(&logits, &targets, &CrossEntropy::default()).unwrap();
        // And back to another.
        let own = std::thread::spawn(move || numbers(own * 2.0)).join().unwrap();
        let theirs = burn::nn::loss::CrossEntropyLossConfig::new()
            .init(&device)
            .forward(logits, targets);
        near("threads", &own, &numbers(theirs * 2.0), 1e-5);
    }
}

#[test]
fn many_threads_at_once() {
    let work = |seed| {
        let device = device().autodiff();
        let mut random = Numbers::new(seed);
        let mut found = Vec::new();
        for _ in 0..5 {
            let x = random.tensor([7, 9], &device).require_grad();
            let t = random.tensor([7, 9], &device);
            let loss = mse::<1>(x.clone() * 2.0, &t, &Mse::default()).unwrap();
            let grad = numbers(x.grad(&loss.backward()).unwrap());
            let truth = numbers((x * 2.0 - t).inner() * (4.0 / 63.0));
            found.push((grad, truth));
        }
        found
    };
    let threads: Vec<_> = (0..4)
        .map(|seed| std::thread::spawn(move || work(100 + seed)))
        .collect();
    for thread in threads {
        for (grad, truth) in thread.join().unwrap() {
            near("threads", &grad, &truth, 1e-5);
        }
    }
}

#[test]
fn between_operations_that_burn_fuses() {
    let device = device().autodiff();
    let mut random = Numbers::new(53);
    let x = random.tensor([32, 16], &device).require_grad();
    let t = random.tensor([32, 16], &device);
    let run = |ours: bool| {
        let y = (x.clone() * 3.0 + 1.0).tanh().exp() - t.clone() * 0.5;
        let loss = match ours {
            true => mse::<1>(y, &t, &Mse::default()).unwrap(),
            false => (y - t.clone()).square().mean(),
        };
        let loss = ((loss * 2.0 + 1.0).log() * 5.0).exp();
        let grads = loss.backward();
        (numbers(loss), numbers(x.grad(&grads).unwrap()))
    };
    let ((own, own_grad), (theirs, their_grad)) = (run(true), run(false));
    near("fused", &own, &theirs, 1e-4);
    near("fused", &own_grad, &their_grad, 1e-4);
}
