//! The f64 reference: runs any problem in definition form, in parallel. It is what tests compare with, and the answer
//! where no adapter exists.
//!
//! Work is cut by shapes alone, and what is added up is added in one order, so that results do not depend on how many
//! threads there are. Operands are widened and results rounded on the way, in pieces that stay in caches.

mod count;
mod elements;
mod floats;
mod inspect;
mod linear;
mod numbers;
mod output;
mod pairs;
mod rows;
mod scattered;

use crate::dtype::Dtype;
use crate::error::{Error, Result};
use crate::layout::{Control, Fault};
use crate::problem::{Family, Problem};
use crate::tensor::Tensor;
use crate::words::Role;
pub(crate) use count::{Count, Scales, Weights};
use floats::Floats;
pub(crate) use numbers::{Kept, Numbers};
pub(crate) use output::{answer, control_tensor, expect_no_places, is_exact, output_of};

/// The outputs of a run; empty where they were not asked for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Made {
    pub loss: Numbers,
    /// Gradients of the operands, contiguous, by place in the signature.
    pub grads: Vec<(Role, Numbers)>,
    pub z_loss: Numbers,
    pub lse: Numbers,
    pub entropy: Numbers,
    pub argmax: Vec<u32>,
    pub correct: u32,
    pub control: Control,
    /// What each of the problem's checks found.
    pub faults: Vec<Fault>,
}

/// The memory of an operand: a tensor's, or bytes on the host that are lent for the call.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Held<'a> {
    Tensor(&'a Tensor),
    Bytes(Dtype, &'a [u8]),
}

impl<'a> Held<'a> {
    pub fn dtype(self) -> Dtype {
        match self {
            Self::Tensor(tensor) => tensor.dtype(),
            Self::Bytes(dtype, _) => dtype,
        }
    }

    /// # Errors
    /// [`Error::Operand`] for a tensor that is not on the host.
    pub fn bytes(self, role: Role) -> Result<&'a [u8]> {
        match self {
            Self::Bytes(_, bytes) => Ok(bytes),
            Self::Tensor(tensor) => tensor.host_bytes().ok_or_else(|| {
                let message = format!("is {}, the engine computes on the host", tensor.whereabouts());
                Error::operand(role.name(), message)
            }),
        }
    }
}

/// Tensors as operands.
pub(crate) fn held<'a>(tensors: &[(Role, &'a Tensor)]) -> Vec<(Role, Held<'a>)> {
    tensors
        .iter()
        .map(|&(role, tensor)| (role, Held::Tensor(tensor)))
        .collect()
}

/// The operands of a problem by role.
pub(crate) type ByRole<'a> = [(Role, Held<'a>)];

/// How the numbers of each result are to be kept.
pub(crate) type Keeping<'a> = dyn Fn(Role) -> Kept + 'a;

/// Runs a problem on host tensors; with the factors of a whole that it is a part of, where those were counted.
///
/// # Errors
/// [`Error::Operand`] where a tensor is missing or lies on a device.
pub(crate) fn run(
    problem: &Problem,
    operands: &ByRole<'_>,
    scales: Option<Scales>,
    keeping: &Keeping<'_>,
) -> Result<Made> {
    let mut made = match &problem.family {
        Family::Rows(rows) => match (&rows.scattered, rows.linear) {
            (Some(own), _) => scattered::run(problem, rows, own, operands, keeping),
            (None, Some(own)) => linear::run(problem, own, operands, scales, keeping),
            (None, None) => rows::run(problem, rows, operands, scales, keeping, None),
        },
        Family::Elements(elements) => elements::run(problem, elements, operands, keeping),
        Family::Pairs(pairs) => pairs::run(problem, pairs, operands, keeping),
    }?;
    made.faults = inspect::faults(problem, operands)?;
    Ok(made)
}

/// What the labels and the weights of a problem's rows add up to.
///
/// # Errors
/// As [`run`].
pub(crate) fn count(problem: &Problem, operands: &ByRole<'_>) -> Result<Count> {
    problem
        .rows()
        .map_or(Ok(Count::default()), |rows| rows::counted(problem, rows, operands))
}

/// Losses one after the other: each by itself, or their sum alone.
struct Losses {
    each: Option<Numbers>,
    kept: Kept,
    // From 0, so that of nothing it is 0, where `Iterator::sum` has -0.
    sum: f64,
}

impl Losses {
    fn new(problem: &Problem, kept: Kept) -> Self {
        let each = (!problem.is_reduced()).then(|| Numbers::new(kept, problem.term_count() as usize));
        Self { each, kept, sum: 0.0 }
    }

    /// Adds the loss of a term.
    fn push(&mut self, place: usize, loss: f64) {
        self.sum += loss;
        if let Some(each) = &mut self.each {
            each.part(place..place + 1).write(0, &[loss]);
        }
    }

    fn finish(self, scale: f64) -> Numbers {
        self.each.unwrap_or_else(|| Numbers::of(self.kept, &[self.sum * scale]))
    }
}
