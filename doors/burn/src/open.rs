//! Devices that are set up here, so that their queue is known.

use std::fmt::Display;
use std::sync::Mutex;

use burn::backend::DispatchDevice;
use burn::tensor::Device;
use burn::tensor::wgpu::{WgpuInitError, WgpuOptions};
use burn_cubecl::CubeDevice;
use burn_cubecl::cubecl::device::WgpuDeviceKind;
use burn_cubecl::cubecl::wgpu::{AutoGraphicsApi, RuntimeOptions, try_init_setup};
use wgloss::{Error, Result};

use crate::room::{adopt, find, kept_by_burn, lock, no_wgpu};

/// burn's default device, as [`Device::default`] gives it, on which our losses compute: [`init`] of it.
///
/// # Errors
/// Those of [`init`].
pub fn device() -> Result<Device> {
    let device = Device::default();
    init(&device)?;
    Ok(device)
}

/// Sets up a wgpu device of burn's, as burn itself would, and keeps what our losses need of it. This comes before the
/// first tensor on the device, with which burn would set it up by itself; after that every further call does nothing.
///
/// # Errors
/// [`Error::Operand`] where burn has set the device up before, or for a device that is not of burn's wgpu backend;
/// [`Error::Device`] where it cannot be set up.
pub fn init(device: &Device) -> Result<()> {
    static ONE: Mutex<()> = Mutex::new(());
    let _one = lock(&ONE);
    let inner = device.as_dispatch().clone().inner();
    if find(&inner).is_some() {
        return Ok(());
    }
    let DispatchDevice::Cube(CubeDevice::Wgpu(own)) = &inner else {
        return Err(no_wgpu(&inner));
    };
    if matches!(own.kind, WgpuDeviceKind::Existing(_)) {
        return Err(kept_by_burn("device", &inner));
    }
    let options = RuntimeOptions::try_default().map_err(device_error)?;
    let setup = try_init_setup::<AutoGraphicsApi>(own, options).map_err(|error| match error {
        WgpuInitError::Registration { .. } => kept_by_burn("device", &inner),
        other => device_error(other),
    })?;
    adopt(device, &setup)
}

/// Sets up a device of burn's (its adapter, its memory, …) on which our losses compute, in place of the options' own
/// `init`.
///
/// # Errors
/// [`Error::Device`] where burn cannot set it up, or has done so before.
pub fn open(options: WgpuOptions) -> Result<Device> {
    let (device, setup) = options.init_with_setup().map_err(device_error)?;
    adopt(&device, &setup)?;
    Ok(device)
}

fn device_error(error: impl Display) -> Error {
    Error::Device(error.to_string())
}
