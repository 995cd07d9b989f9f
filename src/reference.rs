//! The f64 reference as tests and `wgloss check` use it: truth in f64, unrounded.

use crate::cpu;
use crate::error::Result;
use crate::gpu::operands;
use crate::loss::{Call, Loss};

pub use crate::cpu::Results;

/// Computes a call on host tensors, in f64.
///
/// # Errors
/// Those of [`Loss::problem`].
pub fn run(loss: &dyn Loss, call: &Call<'_>) -> Result<Results> {
    let problem = loss.problem(call)?;
    cpu::run(&problem, &operands(&problem, call, &loss.tensors()), None)
}
