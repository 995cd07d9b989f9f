//! What the reference comes to, as the output of a call.

use super::{ByRole, Kept, Made, Numbers, run};
use crate::call::{Call, GradTo};
use crate::dtype::Dtype;
use crate::error::{Error, Result};
use crate::layout::{Control, Fault};
use crate::output::Output;
use crate::problem::Problem;
use crate::tensor::Tensor;
use crate::words::Role;

/// The record of class targets and weights as a tensor.
pub(crate) fn control_tensor(control: &Control) -> Result<Tensor> {
    let words = bytemuck::cast_slice::<Control, u32>(std::slice::from_ref(control));
    Tensor::new(words, &[words.len()])
}

/// Computes a call, whose own tensors may have no elements: those of the operands are read.
///
/// # Errors
/// As [`run`]; [`Error::Operand`] for a tensor to write a gradient into.
pub(crate) fn answer(problem: &Problem, call: &Call<'_>, operands: &ByRole<'_>) -> Result<Output> {
    expect_no_places(problem, call)?;
    let keeping = |role| match role {
        Role::Loss if is_exact(problem, call.tensors.first().copied()) => Kept::Exact,
        _ => Kept::Rounded(problem.result(role).map_or(Dtype::F32, |view| view.dtype)),
    };
    let made = run(problem, operands, None, &keeping)?;
    output_of(made, problem, call, &[])
}

/// Refuses tensors to write into: those of the processor are shared.
pub(crate) fn expect_no_places(problem: &Problem, call: &Call<'_>) -> Result<()> {
    let into_grad = matches!(call.grad_input, GradTo::Into(_) | GradTo::AddTo(_)) && problem.mode.wants_grad();
    let role = into_grad.then_some(Role::Grad(0));
    let others = call.result_places().map(|(role, _)| problem.result_role(role));
    match role.into_iter().chain(others).next() {
        Some(role) => Err(Error::operand(
            problem.place_name(role),
            "a tensor to write into needs a device",
        )),
        None => Ok(()),
    }
}

/// A reduction of integers has a value that f32 need not hold.
pub(crate) fn is_exact(problem: &Problem, first: Option<&Tensor>) -> bool {
    let is_reduction = problem.traits().is_reduction;
    let of_integers = first.is_some_and(|tensor| !tensor.dtype().is_float());
    is_reduction && of_integers && problem.loss_dtype() == Dtype::F32
}

/// The results of the reference as tensors, but for those that go elsewhere.
pub(crate) fn output_of(made: Made, problem: &Problem, call: &Call<'_>, elsewhere: &[Role]) -> Result<Output> {
    let stays = |role| !elsewhere.contains(&role);
    let float =
        |wanted: bool, numbers: Numbers, shape: &[usize]| wanted.then(|| numbers.into_tensor(Dtype::F32, shape));
    let whole = |wanted: bool, data: &[u32], shape: &[usize]| -> Result<Option<Tensor>> {
        wanted.then(|| Tensor::new(data, shape)).transpose()
    };
    let (stats, shape, terms) = (problem.stats, problem.loss_shape(), problem.terms.as_slice());
    let mut output = Output::empty(problem);
    if problem.mode.wants_loss() && stays(Role::Loss) {
        if is_exact(problem, call.tensors.first().copied()) && made.loss.kept == Kept::Exact {
            output.exact = Some(made.loss.exact().to_vec());
        }
        let loss = Some(made.loss.into_tensor(problem.loss_dtype(), shape));
        match problem.loss_dtype() {
            Dtype::I64 => output.argmax = loss,
            _ => output.loss = loss,
        }
    }
    output.z_loss = float(stats.z_loss && stays(Role::ZLoss), made.z_loss, shape);
    output.lse = float(stats.lse && stays(Role::Lse), made.lse, terms);
    output.entropy = float(stats.entropy && stays(Role::Entropy), made.entropy, terms);
    if stats.argmax && stays(Role::Argmax) {
        output.argmax = whole(true, &made.argmax, terms)?;
    }
    output.correct = whole(stats.accuracy, &[made.correct], &[])?;
    let control = problem.has_control().then(|| control_tensor(&made.control));
    output.control = control.transpose()?;
    for (check, fault) in problem.checks.iter().zip(&made.faults) {
        let words = bytemuck::cast_slice::<Fault, u32>(std::slice::from_ref(fault));
        output.faults.push((check.clone(), Tensor::new(words, &[words.len()])?));
    }
    for (role, grad) in made.grads {
        let Role::Grad(place) = role else { continue };
        let Some(operand) = problem.operands.get(usize::from(place)) else {
            continue;
        };
        // To whose shape the problem may have added dimensions of size 1.
        let given = call.tensors.get(usize::from(place)).map(|own| own.shape());
        let grad = grad.into_tensor(operand.view.dtype, given.unwrap_or(&operand.view.shape));
        match place {
            0 => output.grad_input = Some(grad),
            _ => output.grads.push((operand.role, grad)),
        }
    }
    Ok(output)
}
