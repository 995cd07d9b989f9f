//! The f64 reference: runs any problem in definition form, in parallel. It is what tests compare with, and the answer
//! where no adapter exists.

mod count;
mod elements;
mod inspect;
mod pairs;
mod rows;
mod scattered;

use crate::error::{Error, Result};
use crate::layout::{Control, Fault, Slot};
use crate::problem::{Family, Problem, Role};
use crate::tensor::{Dtype, Tensor, View};
pub(crate) use count::{Count, Scales, Weights};

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

/// The operands of a problem by role.
pub(crate) type Operands<'a> = [(Role, &'a Tensor)];

fn find<'a>(operands: &Operands<'a>, role: Role) -> Option<&'a Tensor> {
    operands.iter().find(|(r, _)| *r == role).map(|(_, tensor)| *tensor)
}

/// A host tensor's elements as f64, addressed through a view of it.
struct Floats<'a> {
    bytes: &'a [u8],
    view: &'a View,
}

impl<'a> Floats<'a> {
    fn new(operands: &Operands<'a>, role: Role, view: &'a View) -> Result<Self> {
        let tensor = find(operands, role).ok_or_else(|| Error::operand(role.name(), "missing"))?;
        let bytes = host(role, tensor)?;
        Ok(Self {
            bytes: &bytes[view.offset as usize..],
            view,
        })
    }

    /// The operand of a slot, where there is one.
    fn of(problem: &'a Problem, operands: &Operands<'a>, slot: Slot) -> Result<Option<Self>> {
        let own = problem.operand(slot);
        own.map(|own| Self::new(operands, own.role, &own.view)).transpose()
    }

    fn upstream(problem: &'a Problem, operands: &Operands<'a>) -> Result<Option<Self>> {
        let view = problem.grad_output.as_ref();
        view.map(|view| Self::new(operands, Role::GradOutput, view)).transpose()
    }

    fn at(&self, index: usize) -> f64 {
        let bytes = |size: usize| &self.bytes[index * size..(index + 1) * size];
        match self.view.dtype {
            Dtype::F16 => bytemuck::pod_read_unaligned::<half::f16>(bytes(2)).to_f64(),
            Dtype::Bf16 => bytemuck::pod_read_unaligned::<half::bf16>(bytes(2)).to_f64(),
            _ => f64::from(bytemuck::pod_read_unaligned::<f32>(bytes(4))),
        }
    }

    fn all(&self) -> Vec<f64> {
        (0..self.view.len() as usize).map(|i| self.at(i)).collect()
    }

    /// The element at coordinates of a shape that the view broadcasts to.
    fn broadcast(&self, shape: &[usize], element: usize) -> f64 {
        self.at(place(self.view, shape, element))
    }

    /// `n` elements from `at` on, `step` apart.
    fn row(&self, at: usize, step: usize, n: usize) -> Vec<f64> {
        (0..n).map(|c| self.at(at + c * step)).collect()
    }
}

/// Where an element of a shape lies in a view that broadcasts to it.
fn place(view: &View, shape: &[usize], element: usize) -> usize {
    let strides = view.strides();
    let (mut rest, mut at) = (element, 0);
    for (d, &size) in shape.iter().enumerate().rev() {
        let coordinate = rest % size;
        rest /= size;
        if let Some(k) = (d + strides.len()).checked_sub(shape.len())
            && view.shape[k] > 1
        {
            at += coordinate * strides[k] as usize;
        }
    }
    at
}

fn host(role: Role, tensor: &Tensor) -> Result<&[u8]> {
    tensor.host_bytes().ok_or_else(|| {
        Error::operand(
            role.name(),
            format!("is {}, the engine computes on the host", tensor.whereabouts()),
        )
    })
}

/// Runs a problem on host tensors; with the factors of a whole that it is a part of, where those were counted.
///
/// # Errors
/// [`Error::Operand`] where a tensor is missing or lies on a device.
pub(crate) fn run(problem: &Problem, operands: &Operands<'_>, scales: Option<Scales>) -> Result<Results> {
    let mut results = match &problem.family {
        Family::Rows(rows) => match &rows.scattered {
            Some(own) => scattered::run(problem, rows, own, operands),
            None => rows::run(problem, rows, operands, scales),
        },
        Family::Elements(elements) => elements::run(problem, elements, operands),
        Family::Pairs(pairs) => pairs::run(problem, pairs, operands),
    }?;
    results.faults = inspect::faults(problem, operands)?;
    Ok(results)
}

/// What the labels and the weights of a problem's rows add up to.
///
/// # Errors
/// As [`run`].
pub(crate) fn count(problem: &Problem, operands: &Operands<'_>) -> Result<Count> {
    match &problem.family {
        Family::Rows(rows) => rows::counted(problem, rows, operands),
        Family::Elements(_) | Family::Pairs(_) => Ok(Count::default()),
    }
}

fn reduce_losses(problem: &Problem, losses: &[f64], scale: f64) -> Vec<f64> {
    if !problem.mode.wants_loss() {
        return Vec::new();
    }
    if problem.is_reduced() {
        // Of nothing 0, where `sum` has -0.
        return vec![losses.iter().fold(0.0, |sum, loss| sum + loss) * scale];
    }
    losses.to_vec()
}
