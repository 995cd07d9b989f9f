//! What goes wrong on a device becomes an error of the call that met it. wgpu's own handler for errors that nobody
//! catches panics, and that of an adopted device is its owner's: so whatever may fail runs in error scopes.

use std::sync::Mutex;

use super::{Gpu, wait};
use crate::error::{Error, Result};
use crate::memory::lock;

/// What a device that the engine opened reported outside of any call.
#[derive(Debug, Default)]
pub(crate) struct Troubles {
    /// The first error that no scope caught.
    pub uncaptured: Mutex<Option<String>>,
    /// Why the device was lost.
    pub lost: Mutex<Option<String>>,
}

impl Gpu {
    /// Runs what creates or records something, and turns what wgpu reports meanwhile into an error. `wanted`: the bytes
    /// that it asks for.
    pub fn guarded<T>(&self, what: &str, wanted: u64, run: impl FnOnce() -> T) -> Result<T> {
        self.check()?;
        let filters = [
            wgpu::ErrorFilter::Internal,
            wgpu::ErrorFilter::Validation,
            wgpu::ErrorFilter::OutOfMemory,
        ];
        let scopes = filters.map(|filter| self.device.push_error_scope(filter));
        let made = run();
        // The last pushed goes first.
        let mut found = None;
        for scope in scopes.into_iter().rev() {
            found = found.or(wait::caught(scope));
        }
        match found {
            None => self.check().map(|()| made),
            Some(wgpu::Error::OutOfMemory { .. }) => Err(self.lost_or(Error::OutOfMemory {
                what: what.into(),
                wanted,
            })),
            Some(error) => Err(self.lost_or(Error::Device(format!("{what}: {error}")))),
        }
    }

    /// Reports what wgpu reported since the last call.
    pub fn check(&self) -> Result<()> {
        if let Some(reason) = lock(&self.troubles.lost).as_ref() {
            return Err(Error::DeviceLost(reason.clone()));
        }
        let uncaptured = lock(&self.troubles.uncaptured).take();
        match uncaptured {
            Some(message) => Err(self.lost_or(Error::Device(message))),
            None => Ok(()),
        }
    }

    /// The loss of the device, where that is what is behind an error.
    pub fn lost_or(&self, error: Error) -> Error {
        // The callback that tells of a loss comes with a poll that finds the queue empty.
        self.settle();
        match lock(&self.troubles.lost).as_ref() {
            Some(reason) => Error::DeviceLost(reason.clone()),
            None => error,
        }
    }
}
