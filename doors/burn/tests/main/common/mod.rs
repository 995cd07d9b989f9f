//! The device under test, numbers, and how near they are.

use std::sync::Mutex;

use burn::tensor::wgpu::MemoryConfiguration;
use burn::tensor::{Device, DeviceKind, Tensor, TensorData};

/// burn's default device, with its default memory.
pub fn device() -> Device {
    wgloss_burn::device().unwrap()
}

/// Another device, which tests take one after the other: a software adapter, where there is one, with other memory.
pub fn other_device() -> Option<Device> {
    static OTHER: Mutex<Option<Option<Device>>> = Mutex::new(None);
    let mut other = OTHER.lock().unwrap();
    let open = || {
        let options = Device::wgpu_options().device_kind(DeviceKind::Cpu);
        wgloss_burn::open(options.memory_config(MemoryConfiguration::ExclusivePages)).ok()
    };
    other.get_or_insert_with(open).clone()
}

/// Numbers in [0, 1), the same at each run.
pub struct Numbers(u64);

impl Numbers {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn next(&mut self) -> f32 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 40) as f32 / (1u64 << 24) as f32
    }

    pub fn reals(&mut self, len: usize) -> Vec<f32> {
        (0..len).map(|_| 4.0 * self.next() - 2.0).collect()
    }

    pub fn classes(&mut self, len: usize, classes: usize) -> Vec<i32> {
        (0..len).map(|_| (self.next() * classes as f32) as i32).collect()
    }

    pub fn tensor<const D: usize>(&mut self, shape: [usize; D], device: &Device) -> Tensor<D> {
        let data = self.reals(shape.iter().product());
        Tensor::from_data(TensorData::new(data, shape), device)
    }
}

pub fn numbers<const D: usize>(tensor: Tensor<D>) -> Vec<f64> {
    tensor.into_data().iter::<f64>().collect()
}

/// The largest difference, of numbers above 1 in proportion to them.
pub fn farthest(ours: &[f64], truth: &[f64]) -> f64 {
    assert_eq!(ours.len(), truth.len());
    let apart = |(a, b): (&f64, &f64)| match a.is_nan() || b.is_nan() {
        true => f64::from(u8::from(a.is_nan() != b.is_nan())),
        false => (a - b).abs() / b.abs().max(1.0),
    };
    ours.iter().zip(truth).map(apart).fold(0.0, f64::max)
}

#[track_caller]
pub fn near(what: &str, ours: &[f64], truth: &[f64], tolerance: f64) {
    let apart = farthest(ours, truth);
    assert!(apart <= tolerance, "{what}: differs by {apart:e}: {ours:?} {truth:?}");
}
