//! The tensors of the caller's that results go into.

use super::expect_gapless;
use crate::call::Call;
use crate::dtype::Dtype;
use crate::error::{Error, Result};
use crate::problem::Problem;
use crate::shapes::{expect_dtype, expect_shape};
use crate::view::View;
use crate::words::Role;

/// The problem with the places that the caller gives its results, but for the gradient of the first tensor.
pub(in crate::loss) fn placed(mut problem: Problem, call: &Call<'_>) -> Result<Problem> {
    if call.into.iter().any(|(role, _)| *role == Role::Loss) {
        return Err(Error::operand("loss", "has its place in the call: LossTo::Into"));
    }
    let mut places = call.result_places();
    while let Some((named, tensor)) = places.next() {
        let role = problem.result_role(named);
        let name = problem.place_name(role);
        if places.clone().any(|(other, _)| other == named) {
            return Err(Error::operand(name, "has two places, expected one"));
        }
        let shape = match role {
            Role::Grad(0) => return Err(Error::operand(name, "has its place in the call: GradTo::Into")),
            Role::Grad(_) if named == role => {
                return Err(Error::operand(name, "has its place by the role of its operand"));
            }
            // To whose shape the problem may have added dimensions of size 1.
            Role::Grad(nth) => call.tensors.get(usize::from(nth)).map(|own| own.shape()),
            _ => None,
        };
        let Some(wanted) = wanted(&problem, role) else {
            let message = "a place is given for it, and the call does not compute it: ask for it too".to_owned();
            return Err(Error::operand(name, message));
        };
        let view = tensor.view();
        expect_dtype(name, view, &[wanted.dtype])?;
        expect_shape(name, view, shape.unwrap_or(&wanted.shape), "as the result")?;
        expect_gapless(name, view)?;
        let view = View::placed(wanted.dtype, &wanted.shape, view.offset);
        match role {
            Role::Grad(nth) => {
                if let Some(operand) = problem.operands.get_mut(usize::from(nth)) {
                    operand.grad = Some(view);
                }
            }
            _ => problem.placed.push((role, view)),
        }
    }
    Ok(problem)
}

/// A result that a caller may place, as it would be without that.
fn wanted(problem: &Problem, role: Role) -> Option<View> {
    match role {
        Role::Correct => problem.stats.accuracy.then(|| View::contiguous(Dtype::U32, &[])),
        _ => problem.result(role),
    }
}
