//! What calls found that nobody waited for.

use burn::backend::{Backend, Dispatch};
use burn::tensor::Device;
use wgloss::{Error, Found, Result};

use crate::room::{Watch, room};

/// What the calls on a device have found of labels and values out of range, since the start or since it was cleared:
/// how many calls and elements are concerned, the number of the first such call (forward calls count from 0, in the
/// order in which burn executes them), and of that call the first row with its value. `None` where all was in order.
///
/// Waits for what this thread has queued on the device. (With fusion, calls of other threads are found once burn has
/// executed them, as it does where they read a result or wait.)
///
/// ```no_run
/// # fn main() -> wgloss::Result<()> {
/// # let device = wgloss_burn::device()?;
/// if let Some(found) = wgloss_burn::faults(&device)? {
///     // "call 12: target: 1 of 64 class indices out of range: the first is 99 in row 7, expected 0 to 9"
///     println!("call {}: {}", found.first_call, found.first);
/// }
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// [`Error::Operand`] for a device that is not known ([`crate::init`]). What failed on the device in a call that
/// nobody waited for, [`Error::OutOfMemory`] for example, is told once; the results of that call are NaN.
pub fn faults(device: &Device) -> Result<Option<Found>> {
    let inner = device.as_dispatch().clone().inner();
    let room = room("device", &inner)?;
    Dispatch::sync(&inner).map_err(|error| Error::Device(error.to_string()))?;
    found(&room.watch(), &room.engine)
}

/// Forgets what was found on a device; calls count from 0 again.
///
/// # Errors
/// [`Error::Operand`] for a device that is not known, [`Error::Device`].
pub fn clear_faults(device: &Device) -> Result<()> {
    let inner = device.as_dispatch().clone().inner();
    let room = room("device", &inner)?;
    Dispatch::sync(&inner).map_err(|error| Error::Device(error.to_string()))?;
    room.clear()
}

/// What a log has, once all was executed.
pub(crate) fn found(watch: &Watch, engine: &wgloss::Engine) -> Result<Option<Found>> {
    match watch.failure() {
        Some(error) => Err(error),
        None => watch.faults.read(engine),
    }
}
