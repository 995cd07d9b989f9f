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
        let places = places(problem, call, tensors)?;
        for (role, view) in results(problem, call) {
            if elsewhere.contains(&role) {
                continue;
            }
            let place = places.iter().find(|(own, _)| *own == role);
            let tensor = match place {
                Some((_, given)) => (*given).clone(),
                None => self.allocate(view.dtype, &view.shape)?,
            };
            match place {
                Some(_) => output.put_placed(problem, role, &tensor),
                None => output.put(problem, role, tensor.clone()),
            }
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

/// The caller's tensors that results go into, or over: on the device, writable, and apart from all others of the call.
pub(crate) fn places<'a>(
    problem: &Problem,
    call: &Call<'a>,
    tensors: &[(Role, Tensor)],
) -> Result<Vec<(Role, &'a Tensor)>> {
    if matches!(call.grad_input, GradTo::InPlace)
        && problem.mode.wants_grad()
        && call.tensors.first().is_some_and(|own| own.memory().is_none())
    {
        return Err(Error::operand(
            "grad_input",
            "is to go over the input, which is on the host: upload it first (Engine::upload)",
        ));
    }
    let places = call.places(problem);
    for (nth, (role, own)) in places.iter().enumerate() {
        let name = problem.place_name(*role);
        if own.memory().is_none() {
            let message = format!("is {}, the engine writes on its device", own.whereabouts());
            return Err(Error::operand(name, message));
        }
        for buffer in own.parts() {
            expect_usage(name, buffer, wgpu::BufferUsages::STORAGE)?;
        }
        // A gradient that goes over the input is that operand.
        let over = problem
            .operands
            .first()
            .filter(|_| problem.in_place && *role == Role::Grad(0));
        let is_over = |(other, _): &&(Role, Tensor)| over.is_some_and(|own| own.role == *other);
        let operands = tensors.iter().filter(|own| !is_over(own));
        let operands = operands.map(|(other, tensor)| (other.name(), tensor));
        let before = places[..nth]
            .iter()
            .map(|(other, tensor)| (problem.place_name(*other), *tensor));
        expect_apart((name, own), operands.chain(before))?;
    }
    Ok(places)
}

/// Refuses a tensor that is written where another has elements: whichever is there first would be lost.
pub(crate) fn expect_apart<'a>(
    (name, own): (&'static str, &Tensor),
    others: impl Iterator<Item = (&'static str, &'a Tensor)>,
) -> Result<()> {
    let Some((other, _)) = others.into_iter().find(|(_, other)| other.overlaps(own)) else {
        return Ok(());
    };
    let message = format!("lies over elements of {other} in one buffer, and is written: give it bytes of its own");
    Err(Error::operand(name, message))
}
