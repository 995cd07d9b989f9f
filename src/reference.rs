//! The f64 reference as tests and `wgloss check` use it: truth in f64, unrounded.

use crate::cpu;
use crate::error::Result;
use crate::loss::{Call, Loss};
use crate::plan::ReduceOp;
use crate::problem::Role;
use crate::tensor::Tensor;

pub use crate::cpu::Results;

/// Computes a call on host tensors, in f64.
///
/// # Errors
/// Those of [`Loss::problem`].
pub fn run(loss: &dyn Loss, call: &Call<'_>) -> Result<Results<f64>> {
    let problem = loss.problem(call)?;
    let mut operands = vec![(Role::Input, call.input), (Role::Target, call.target)];
    operands.extend(call.grad_output.map(|tensor| (Role::GradOutput, tensor)));
    operands.extend(loss.tensors());
    cpu::run(&problem, &operands)
}

/// Reduces all elements of a host tensor, in f64; the index for argmax.
///
/// # Errors
/// [`crate::Error::Operand`] for a tensor on a device.
pub fn reduce(op: ReduceOp, tensor: &Tensor) -> Result<f64> {
    cpu::reduce(op, tensor)
}
