//! What the examples that train share: layers with kernels in WGSL, the digits, readings of what the device has
//! computed, and the picture of a learning curve.

#![allow(dead_code, reason = "each example takes what it needs")]

pub mod anchors;
pub mod asked;
pub mod curve;
pub mod digits;
pub mod gpu;
pub mod layers;
pub mod maps;
pub mod readings;
pub mod scenes;
pub mod tokens;
pub mod trained;

use std::process::ExitCode;

use wgloss_shell::{Failure, drivers, print};

/// What an example does, or why it could not.
pub type Done<T = ()> = Result<T, Failure>;

/// Runs an example on the arguments of its process, and says what that ends with: 1 where a file, a folder or a device
/// is wrong, as of the command line.
pub fn main(run: impl FnOnce(std::env::ArgsOs) -> Done) -> ExitCode {
    drivers::quiet();
    match run(std::env::args_os()) {
        Ok(()) | Err(Failure::Closed) => ExitCode::SUCCESS,
        Err(failure) => {
            print::note(&format!("error: {failure}"));
            ExitCode::from(if matches!(failure, Failure::Usage(_)) { 2 } else { 1 })
        }
    }
}
