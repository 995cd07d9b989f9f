//! A device of burn's with the engine that computes on it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use burn::backend::DispatchDevice;
use burn::tensor::Device;
use burn::tensor::wgpu::WgpuSetup;
use burn_cubecl::CubeDevice;
use wgloss::{Engine, Error, Faults, Result};

use crate::convert::Converter;

/// What calls found, and what failed.
#[derive(Debug)]
pub struct Watch {
    pub faults: Faults,
    /// The first failure of the device in a call that nobody waited for.
    failure: Mutex<Option<Error>>,
}

impl Watch {
    pub fn new(engine: &Engine) -> Result<Self> {
        Ok(Self {
            faults: Faults::new(engine)?,
            failure: Mutex::default(),
        })
    }

    pub fn fail(&self, error: Error) {
        lock(&self.failure).get_or_insert(error);
    }

    /// The failure, which is told once.
    pub fn failure(&self) -> Option<Error> {
        lock(&self.failure).take()
    }
}

/// A device of burn's, known with its handles.
#[derive(Debug)]
pub struct Room {
    pub engine: Engine,
    pub converter: Converter,
    watch: Mutex<Arc<Watch>>,
}

impl Room {
    /// The log that calls are added to which have none of their own.
    pub fn watch(&self) -> Arc<Watch> {
        Arc::clone(&lock(&self.watch))
    }

    /// A new log takes its place.
    pub fn clear(&self) -> Result<()> {
        let new = Arc::new(Watch::new(&self.engine)?);
        *lock(&self.watch) = new;
        Ok(())
    }
}

/// The devices that are known. There are few.
static ROOMS: Mutex<Vec<(DispatchDevice, Arc<Room>)>> = Mutex::new(Vec::new());

pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner) // what is in there is whole between any two steps
}

/// The room of a device that is known.
pub fn find(device: &DispatchDevice) -> Option<Arc<Room>> {
    let rooms = lock(&ROOMS);
    let own = rooms.iter().find(|(own, _)| own == device);
    own.map(|(_, room)| Arc::clone(room))
}

/// The engine of a device; `name` is the operand that lies there.
pub fn room(name: &'static str, device: &DispatchDevice) -> Result<Arc<Room>> {
    find(device).ok_or_else(|| kept_by_burn(name, device))
}

/// wgpu's queue cannot be had from a device, nor from a buffer, and burn gives it out where a device is set up and
/// nowhere else.
pub fn kept_by_burn(name: &'static str, device: &DispatchDevice) -> Error {
    Error::Operand {
        name,
        message: format!(
            "lies on {device:?}, which burn has set up by itself, and keeps the queue of: call `wgloss_burn::init` \
             before the device's first tensor, or take it from `wgloss_burn::device()`, `wgloss_burn::open(options)` \
             or, with a setup of your own, `wgloss_burn::adopt`"
        ),
    }
}

/// Computes on a device of burn's that was set up elsewhere, from what `init_with_setup` returned beside it or was
/// given to `setup`.
///
/// # Errors
/// [`Error::Operand`] for a device that is not of burn's wgpu backend.
pub fn adopt(device: &Device, setup: &WgpuSetup) -> Result<()> {
    let device = device.as_dispatch().clone().inner();
    if !is_wgpu(&device) {
        return Err(no_wgpu(&device));
    }
    let engine = Engine::from_wgpu(setup.device.clone(), setup.queue.clone());
    let watch = Mutex::new(Arc::new(Watch::new(&engine)?));
    let converter = Converter::default();
    let mut rooms = lock(&ROOMS);
    if rooms.iter().all(|(own, _)| *own != device) {
        rooms.push((
            device,
            Arc::new(Room {
                engine,
                converter,
                watch,
            }),
        ));
    }
    Ok(())
}

pub fn no_wgpu(device: &DispatchDevice) -> Error {
    Error::Operand {
        name: "device",
        message: format!("{device:?} is no device of burn's wgpu backend"),
    }
}

/// A device of burn's wgpu backend.
pub fn is_wgpu(device: &DispatchDevice) -> bool {
    matches!(device, DispatchDevice::Cube(CubeDevice::Wgpu(_)))
}

/// The engine on a device of burn's: to warm it up, to keep its pipelines in a file, to time calls on it.
///
/// # Errors
/// [`Error::Operand`] for a device that is not known: see [`init`](crate::init).
pub fn with_engine<T>(device: &Device, with: impl FnOnce(&Engine) -> T) -> Result<T> {
    let room = room("device", &device.as_dispatch().clone().inner())?;
    Ok(with(&room.engine))
}
