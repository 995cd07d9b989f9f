//! Adapters, and how one becomes a device of ours.

use std::sync::{Arc, Mutex, OnceLock};

use super::probe::unproved;
use super::{Counters, Gpu, Pace, Pipelines, Poller, Troubles, wait};
use crate::error::Result;
use crate::limits::Limits;
use crate::memory::{Returned, lock};
use crate::tuning::Tuning;

/// The backends looked at: all but OpenGL, whose libraries print to a headless terminal. `WGPU_BACKEND` asks for
/// others.
fn backends() -> wgpu::Backends {
    wgpu::Backends::from_env().unwrap_or(wgpu::Backends::PRIMARY)
}

/// A real GPU before a software one.
fn rank(kind: wgpu::DeviceType) -> u32 {
    match kind {
        wgpu::DeviceType::DiscreteGpu => 0,
        wgpu::DeviceType::IntegratedGpu => 1,
        wgpu::DeviceType::VirtualGpu => 2,
        wgpu::DeviceType::Other => 3,
        wgpu::DeviceType::Cpu => 4,
    }
}

/// One instance for all engines, so that wgpu can tell a tensor of another engine's device from one of this engine's.
fn instance() -> &'static wgpu::Instance {
    static INSTANCE: OnceLock<wgpu::Instance> = OnceLock::new();
    INSTANCE.get_or_init(|| {
        let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
        descriptor.backends = backends();
        wgpu::Instance::new(descriptor)
    })
}

/// All adapters, the best first.
pub(crate) fn adapters() -> Vec<wgpu::Adapter> {
    let mut list = wait::adapters(instance(), backends());
    list.sort_by_key(|adapter| rank(adapter.get_info().device_type));
    list
}

/// `llvmpipe (LLVM 15.0.6, 256 bits) (Vulkan, Cpu)`
pub(crate) fn describe(info: &wgpu::AdapterInfo) -> String {
    format!("{} ({:?}, {:?})", info.name, info.backend, info.device_type)
}

impl Gpu {
    /// Opens an adapter with all its limits.
    pub fn open(adapter: &wgpu::Adapter) -> Result<Self> {
        let descriptor = wgpu::DeviceDescriptor {
            label: Some("wgloss"),
            required_features: Self::features(adapter),
            required_limits: adapter.limits(),
            ..Default::default()
        };
        let (device, queue) = wait::open(adapter, &descriptor)?;
        let troubles = Arc::new(Troubles::default());
        let (seen, seen_lost) = (Arc::clone(&troubles), Arc::clone(&troubles));
        // wgpu's own handler panics.
        device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| {
            lock(&seen.uncaptured).get_or_insert(error.to_string());
        }));
        device.set_device_lost_callback(move |reason, message| {
            lock(&seen_lost.lost).get_or_insert(format!("{reason:?}: {message}"));
        });
        Ok(Self::adopt(device, queue, troubles))
    }

    /// Works on a device that somebody opened.
    pub fn adopt(device: wgpu::Device, queue: wgpu::Queue, troubles: Arc<Troubles>) -> Self {
        let info = device.adapter_info();
        let limits = unproved(Limits::of(&device));
        let mut gpu = Self {
            pace: Mutex::new(Pace::new(&limits)),
            device,
            queue,
            limits,
            has: limits,
            tuning: Tuning::of(&info).within(&limits),
            pipelines: Pipelines::default(),
            disk: None,
            counters: Counters::default(),
            calls: Arc::default(),
            pool: Arc::default(),
            returned: Arc::new(Returned::new(Limits::returned_bytes(info.device_type))),
            troubles,
            markers: Arc::default(),
            poller: Poller::default(),
            alters: None,
            probe: OnceLock::new(),
            info,
        };
        gpu.has = gpu.proved(Limits::of(&gpu.device));
        gpu.limits = gpu.has;
        if gpu.info.device_type == wgpu::DeviceType::Cpu {
            // Software adapters were tuned with integers; whether theirs are faster was not measured.
            (gpu.limits.unpacks_f16, gpu.limits.packs_f16) = (false, false);
        }
        gpu
    }

    /// The optional features that are used where an adapter has them.
    pub fn features(adapter: &wgpu::Adapter) -> wgpu::Features {
        adapter.features()
            & (wgpu::Features::TIMESTAMP_QUERY | wgpu::Features::PIPELINE_CACHE | wgpu::Features::SUBGROUP)
    }
}
