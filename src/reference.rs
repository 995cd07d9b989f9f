//! The f64 reference as tests and `wgloss check` use it: truth in f64, unrounded.
//!
//! Not promised by semver.

use crate::call::{Call, operands};
use crate::cpu::{self, Kept};
use crate::error::Result;
use crate::layout::{Control, Fault};
use crate::loss::Loss;
use crate::words::Role;

/// The outputs of a run; empty where they were not asked for.
#[derive(Clone, Debug, Default)]
pub struct Results {
    pub loss: Vec<f64>,
    /// Gradients of the operands, contiguous, by place in the signature.
    pub grads: Vec<(Role, Vec<f64>)>,
    pub z_loss: Vec<f64>,
    pub lse: Vec<f64>,
    pub entropy: Vec<f64>,
    pub argmax: Vec<u32>,
    pub correct: u32,
    pub control: Control,
    /// What each of the problem's checks found.
    pub faults: Vec<Fault>,
}

impl Results {
    /// The gradient of an operand.
    pub fn grad(&self, role: Role) -> Option<&[f64]> {
        self.grads
            .iter()
            .find(|(own, _)| *own == role)
            .map(|(_, grad)| grad.as_slice())
    }
}

/// Computes a call on host tensors, in f64.
///
/// # Errors
/// Those of [`Loss::problem`].
pub fn run(loss: &dyn Loss, call: &Call<'_>) -> Result<Results> {
    let problem = loss.problem(call)?;
    let made = cpu::run(&problem, &operands(&problem, call, &loss.tensors()), None, &|_| {
        Kept::Exact
    })?;
    let grads = made.grads.into_iter().map(|(role, grad)| (role, grad.into_exact()));
    Ok(Results {
        loss: made.loss.into_exact(),
        grads: grads.collect(),
        z_loss: made.z_loss.into_exact(),
        lse: made.lse.into_exact(),
        entropy: made.entropy.into_exact(),
        argmax: made.argmax,
        correct: made.correct,
        control: made.control,
        faults: made.faults,
    })
}
