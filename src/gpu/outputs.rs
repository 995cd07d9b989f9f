//! The tensors of a call on a device: its operands, and outputs made for it.

use super::{Gpu, expect_usage};
use crate::call::{Call, GradTo, operands};
use crate::dtype::Dtype;
use crate::error::{Error, Result};
use crate::layout::FAULT_WORDS;
use crate::output::Output;
use crate::plan::CONTROL_WORDS;
use crate::problem::Problem;
use crate::tensor::Tensor;
use crate::view::View;
use crate::words::Role;

impl Gpu {
    /// All tensors that the plan of a call names: operands brought to the device, and outputs made for it.
    pub fn prepare(
        &self,
        problem: &Problem,
        call: &Call<'_>,
        given: &[(Role, &Tensor)],
    ) -> Result<(Vec<(Role, Tensor)>, Output)> {
        let mut tensors = self.place(&operands(problem, call, given), Some(problem))?;
        let output = self.outputs(problem, call, &mut tensors, &[])?;
        Ok((tensors, output))
    }

    /// Makes the outputs of a problem, and adds them to the tensors that its plan names; not those that go `elsewhere`.
    pub fn outputs(
        &self,
        problem: &Problem,
        call: &Call<'_>,
        tensors: &mut Vec<(Role, Tensor)>,
        elsewhere: &[Role],
    ) -> Result<Output> {
        let mut output = Output::empty(problem);
        for (role, view) in results(problem, call) {
            if elsewhere.contains(&role) {
                continue;
            }
            let given = match role {
                Role::Grad(0) => grad_input(problem, call, tensors)?.cloned(),
                _ => None,
            };
            let tensor = match given {
                Some(given) => given,
                None => self.allocate(view.dtype, &view.shape)?,
            };
            output.put(problem, role, tensor.clone());
            tensors.push((role, tensor));
        }
        Ok(output)
    }
}

/// All results of a call, with what only reports are made of. A gradient has the shape of its tensor, to which the
/// problem may have added dimensions of size 1.
pub(crate) fn results(problem: &Problem, call: &Call<'_>) -> impl Iterator<Item = (Role, View)> {
    let own = problem.results().map(|(role, view)| match role {
        Role::Grad(nth) => {
            let tensor = call.tensors.get(usize::from(nth));
            let shape = tensor.map_or(view.shape.as_slice(), |tensor| tensor.shape());
            (role, View::contiguous(view.dtype, shape))
        }
        _ => (role, view),
    });
    let words = |role, words: &[usize]| (role, View::contiguous(Dtype::U32, words));
    let correct = problem.stats.accuracy.then(|| words(Role::Correct, &[]));
    let control = problem
        .has_control()
        .then(|| words(Role::Control, &[CONTROL_WORDS as usize]));
    let faults = (0..problem.checks.len()).map(move |nth| words(Role::Fault(nth as u8), &[FAULT_WORDS]));
    own.chain(correct).chain(control).chain(faults)
}

/// The caller's tensor that the gradient of the first goes into, or over; refused where another tensor of the call
/// shares its buffer.
pub(crate) fn grad_input<'a>(
    problem: &Problem,
    call: &Call<'a>,
    tensors: &[(Role, Tensor)],
) -> Result<Option<&'a Tensor>> {
    match call.grad_input {
        _ if !problem.mode.wants_grad() => Ok(None),
        GradTo::New => Ok(None),
        GradTo::Into(own) | GradTo::AddTo(own) if own.memory().is_none() => Err(Error::operand(
            "grad_input",
            format!("is {}, the engine writes on its device", own.whereabouts()),
        )),
        GradTo::Into(own) | GradTo::AddTo(own) => expect_alone(own, tensors).map(|()| Some(own)),
        GradTo::InPlace if call.tensors.first().is_some_and(|own| own.memory().is_none()) => Err(Error::operand(
            "grad_input",
            "is to go over the input, which is on the host: upload it first (Engine::upload)",
        )),
        GradTo::InPlace => {
            let own = call.tensors.first().copied().filter(|_| problem.in_place);
            // One in several buffers gets a new tensor.
            own.map_or(Ok(()), |own| expect_alone_in_place(own, tensors))
                .map(|()| own)
        }
    }
}

/// Refuses a place for the gradient that another tensor of the call shares.
fn expect_alone(grad: &Tensor, tensors: &[(Role, Tensor)]) -> Result<()> {
    for buffer in grad.parts() {
        expect_usage("grad_input", buffer, wgpu::BufferUsages::STORAGE)?;
    }
    match tensors.iter().find(|(_, tensor)| tensor.shares_buffer(grad)) {
        Some((role, _)) => Err(Error::operand(
            "grad_input",
            format!(
                "lies in the same buffer as {}; wgpu forbids a dispatch to read and write one buffer \
                     (give it a buffer of its own, or write over the input in place)",
                role.name()
            ),
        )),
        None => Ok(()),
    }
}

/// Refuses a tensor in the buffer that the gradient is to be written over.
fn expect_alone_in_place(input: &Tensor, tensors: &[(Role, Tensor)]) -> Result<()> {
    let shares = |(_, tensor): &&(Role, Tensor)| tensor.shares_buffer(input);
    match tensors.iter().filter(shares).nth(1) {
        Some((role, _)) => Err(Error::operand(
            role.name(),
            "lies in the buffer of the input, which the gradient is to be written over; wgpu forbids a dispatch to read \
             and write one buffer",
        )),
        None => Ok(()),
    }
}
