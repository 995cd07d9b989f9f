//! Your own results beside the f64 reference.
//!
//! [`assert_close`] is for the tests of somebody who has a loss of their own, such as a kernel in WGSL: it computes the
//! same call here, in f64, works out from the call how large the error of arithmetic in f32 may be, and panics with the
//! worst elements where a result is further off.
//!
//! ```
//! use wgloss::reference::{Mine, assert_close};
//! use wgloss::{Call, Mode, Mse, Reduction, Tensor};
//!
//! # fn main() -> wgloss::Result<()> {
//! let (x, t) = ([1.0f32, 2.0, 4.0], [1.5f32, 2.0, 3.0]);
//! // What some code of yours has computed of them.
//! let losses: Vec<f32> = x.iter().zip(t).map(|(x, t)| (x - t) * (x - t)).collect();
//! let gradient: Vec<f32> = x.iter().zip(t).map(|(x, t)| 2.0 * (x - t)).collect();
//!
//! let (x, t) = (Tensor::new(&x, &[3])?, Tensor::new(&t, &[3])?);
//! let loss = Mse { reduction: Reduction::None };
//! let call = Call::new(Mode::Fused, &[&x, &t]);
//! assert_close(&loss, &call, (&losses, &gradient));
//! assert_close(&loss, &call, Mine::new().loss(&losses).grad_input(&gradient)); // the same, by name
//! # Ok(())
//! # }
//! ```
//!
//! # What is allowed
//!
//! A number may be off by [`precision::bound`](crate::precision::bound): (32 + depth) · 2^-24 times the size of the
//! numbers that it is made of, and what its dtype rounds away. The depth is that of a sum in a tree: of the orders in
//! which this library adds on software and hardware adapters, the longer way ([`compare_on`]: the way of that engine).
//! So a kernel may add in whatever order of its own that is not much deeper than a tree; what one running sum over many
//! thousands of terms loses is more than that, and is found. The size is the number's own and, where that is less than
//! 1, that of the largest of its tensor; of sums, and of what cancels (distances, sums of both signs), that of the
//! terms.
//!
//! Where a number is further off than that, it may be ill-conditioned, and is held to what inputs that are two ulps off
//! would make of it ([`precision`](crate::precision#what-is-ill-conditioned)). Equal numbers stay equal there, and
//! multiples of a half what they are, so that the gradient at a tie or a kink has to be the right one; not so in a
//! layer, whose logits are sums that cancel. NaN and infinities have to be where the reference has them.

mod judge;
mod mine;
mod report;
mod sizes;
mod slack;
mod subject;

use crate::call::{Call, operands};
use crate::cpu::{self, Kept};
use crate::error::Result;
use crate::layout::{Control, Fault};
use crate::loss::Loss;
use crate::words::Role;

pub use judge::{assert_close, compare, compare_on};
pub use mine::Mine;
pub use report::{Compared, Comparison, Deviation, Trouble};

/// The outputs of a run, unrounded; empty where they were not asked for. Gradients have the names that they have in
/// [`Output`](crate::Output) and [`Values`](crate::Values).
#[derive(Clone, Debug, Default)]
pub struct Results {
    /// One number for reductions; the value of a function.
    pub loss: Vec<f64>,
    /// The gradient of the first tensor of the signature, contiguous.
    pub grad_input: Option<Vec<f64>>,
    /// The gradients of the others that were asked for.
    pub grads: Vec<(Role, Vec<f64>)>,
    pub z_loss: Vec<f64>,
    pub lse: Vec<f64>,
    pub entropy: Vec<f64>,
    pub argmax: Vec<u32>,
    pub correct: u32,
    #[doc(hidden)]
    pub control: Control,
    /// What each of the problem's checks found.
    #[doc(hidden)]
    pub faults: Vec<Fault>,
}

impl Results {
    /// The gradient of a tensor of the signature other than the first.
    pub fn grad(&self, role: Role) -> Option<&[f64]> {
        self.grads
            .iter()
            .find(|(own, _)| *own == role)
            .map(|(_, grad)| grad.as_slice())
    }
}

/// Computes a call on host tensors, in f64. Gradients come back whatever place the call has for them.
///
/// # Errors
/// Those of [`Loss::problem`]; [`Error::Operand`](crate::Error::Operand) for a tensor that is not on the host.
pub fn run(loss: &dyn Loss, call: &Call<'_>) -> Result<Results> {
    let problem = loss.problem(call)?;
    let operands = cpu::held(&operands(&problem, call, &loss.tensors()));
    let made = cpu::run(&problem, &operands, None, &|_| Kept::Exact)?;
    let mut results = Results {
        loss: made.loss.into_exact(),
        z_loss: made.z_loss.into_exact(),
        lse: made.lse.into_exact(),
        entropy: made.entropy.into_exact(),
        argmax: made.argmax,
        correct: made.correct,
        control: made.control,
        faults: made.faults,
        ..Results::default()
    };
    for (role, grad) in made.grads {
        let operand = match role {
            Role::Grad(place) => problem.operands.get(usize::from(place)),
            _ => None,
        };
        match (role, operand) {
            (Role::Grad(0), _) => results.grad_input = Some(grad.into_exact()),
            (_, Some(operand)) => results.grads.push((operand.role, grad.into_exact())),
            _ => {}
        }
    }
    Ok(results)
}
