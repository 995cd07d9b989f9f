//! From the tensors of a call to a validated problem: what all losses check alike, and a file for each family.

mod checks;
mod elements;
mod linear;
mod pairs;
mod placed;
mod rows;

use super::{Call, GradTo, Info, Loss, OperandKind};
use crate::dtype::Dtype;
use crate::error::{Error, Result};
use crate::layout::Slot;
use crate::problem::{Divisor, Family, Operand, Problem};
use crate::scalars::Scalars;
use crate::shapes::{expect_dtype, expect_shape};
use crate::tensor::Tensor;
use crate::view::View;
use crate::words::{Reduction, Role, Stats};

pub(super) use placed::placed;
pub(super) use rows::{Columns, class_dim, row_dim, scattered};

/// The tensors of a call as operands, each in the slot that the family gives it; the first may be of any float dtype.
fn operands(loss: &dyn Loss, call: &Call<'_>, slot_of: impl Fn(Role) -> Slot) -> Result<Vec<Operand>> {
    let info = loss.info();
    if call.tensors.len() != info.operands.len() {
        let names: Vec<_> = info.operands.iter().map(|operand| operand.role.name()).collect();
        let mut message = format!(
            "takes {} ({}), got {} tensors",
            names.len(),
            names.join(", "),
            call.tensors.len()
        );
        if call.tensors.len() > names.len() && !info.tensors.is_empty() {
            let optional: Vec<_> = info.tensors.iter().map(|own| own.role.name()).collect();
            message += &format!("; {} are fields of the loss, beside its options", optional.join(", "));
        }
        return Err(Error::operand(info.name, message));
    }
    let mut list: Vec<Operand> = Vec::new();
    for (own, tensor) in info.operands.iter().zip(&call.tensors) {
        let name = own.role.name();
        let view = match (own.kind, list.first()) {
            (OperandKind::Index | OperandKind::IndexList, _) => {
                expect_classes(name, own.kind, tensor.view())?;
                tensor.view().clone()
            }
            (OperandKind::IndexOrDistribution, _) if Dtype::LABELS.contains(&tensor.dtype()) => tensor.view().clone(),
            _ if own.role == Role::LinearWeight => as_floats(name, tensor, &Dtype::FLOATS, Dtype::F32)?,
            (_, Some(first)) => as_floats(name, tensor, &or_f32(first.view.dtype), Dtype::F32)?,
            // An input of integers goes with the floats that there are.
            (_, None) => {
                let mut dtypes = call.tensors.iter().map(|tensor| tensor.dtype());
                let like = dtypes.find(|dtype| dtype.is_float()).unwrap_or(Dtype::F32);
                as_floats(name, tensor, &Dtype::FLOATS, like)?
            }
        };
        list.push(Operand {
            role: own.role,
            slot: slot_of(own.role),
            view,
            grad: None,
        });
    }
    for (role, tensor) in loss.tensors() {
        // A bias goes with its matrix, all else with the input.
        let like = match role {
            Role::LinearBias => list.iter().find(|own| own.role == Role::LinearWeight),
            _ => list.first(),
        };
        let like = like.map_or(Dtype::F32, |own| own.view.dtype);
        list.push(Operand {
            role,
            slot: slot_of(role),
            view: as_floats(role.name(), tensor, &or_f32(like), Dtype::F32)?,
            grad: None,
        });
    }
    Ok(list)
}

/// The view of a tensor where floats are expected. Integers are taken as their values: they become floats on their way
/// to the device, so that they have to be on this side of it.
fn as_floats(name: &'static str, tensor: &Tensor, allowed: &[Dtype], integers: Dtype) -> Result<View> {
    if tensor.dtype().is_float() {
        expect_dtype(name, tensor.view(), allowed)?;
        return Ok(tensor.view().clone());
    }
    if tensor.memory().is_some() {
        return Err(Error::operand(
            name,
            format!(
                "is {} on the device, where floats are expected: convert it before the upload (Tensor::to_dtype)",
                tensor.dtype()
            ),
        ));
    }
    Ok(View::contiguous(integers, tensor.shape()))
}

/// Refuses class targets that are no integers.
fn expect_classes(name: &'static str, kind: OperandKind, view: &View) -> Result<()> {
    if Dtype::LABELS.contains(&view.dtype) {
        return Ok(());
    }
    let names: Vec<_> = Dtype::LABELS.iter().map(|dtype| dtype.name()).collect();
    let each = if kind == OperandKind::IndexList {
        "classes"
    } else {
        "class"
    };
    Err(Error::operand(
        name,
        format!(
            "expected dtype {}, got {}: it holds the {each} of each row, as integers (save it as int64)",
            names.join(" or "),
            view.dtype
        ),
    ))
}

/// What goes with inputs of a dtype.
fn or_f32(dtype: Dtype) -> Vec<Dtype> {
    if dtype == Dtype::F32 {
        vec![dtype]
    } else {
        vec![dtype, Dtype::F32]
    }
}

/// A family's part of a problem.
struct Parts {
    family: Family,
    operands: Vec<Operand>,
    terms: Vec<usize>,
    dtype: Dtype,
    divisor: Divisor,
    scalars: Scalars,
}

/// The checks that all losses share, and the parts of a problem that come from the call.
fn assemble(loss: &dyn Loss, call: &Call<'_>, parts: Parts) -> Result<Problem> {
    let info = loss.info();
    let reduction = loss.reduction();
    if !info.reductions.contains(&reduction) {
        let names: Vec<_> = info.reductions.iter().map(|r| r.name()).collect();
        return Err(Error::option(
            "reduction",
            format!("{} given, {} has {}", reduction.name(), info.name, names.join(", ")),
        ));
    }
    if call.stats.any() && !info.statistics {
        return Err(Error::option(
            "stats",
            format!("{} has no statistics of rows", info.name),
        ));
    }
    let mut operands = parts.operands;
    let grad = call.mode.wants_grad();
    let in_place = grad && matches!(call.grad_input, GradTo::InPlace) && call.tensors[0].parts().len() == 1;
    let first = operands[0].view.clone();
    if !grad && !matches!(call.grad_input, GradTo::New) {
        return Err(Error::operand(
            "grad_input",
            "a place is given, and mode forward computes no gradient: ask for backward or fused",
        ));
    }
    if grad {
        expect_slope(operands[0].role.name(), call.tensors[0])?;
    }
    let fresh = |view: &View| View::contiguous(view.dtype, &view.shape);
    if grad {
        operands[0].grad = Some(match call.grad_input {
            GradTo::Into(tensor) | GradTo::AddTo(tensor) => {
                expect_dtype("grad_input", tensor.view(), &[first.dtype])?;
                expect_shape("grad_input", tensor.view(), &first.shape, "as the input")?;
                tensor.view().clone()
            }
            GradTo::InPlace if in_place => first.clone(),
            GradTo::InPlace | GradTo::New => fresh(&first),
        });
    }
    for role in &call.grads {
        let place = gradient_place(info, &operands, *role)?;
        if let Some(tensor) = call.tensors.get(place) {
            expect_slope(role.name(), tensor)?;
        }
        if grad && place > 0 {
            operands[place].grad = Some(fresh(&operands[place].view));
        }
    }
    let upstream = call.grad_output;
    let grad_output = upstream.map(|tensor| as_floats("grad_output", tensor, &or_f32(first.dtype), Dtype::F32));
    let grad_output = grad_output.transpose()?;
    let grad_stats = grad_stats(info, call, &first, &parts.terms)?;
    let problem = Problem {
        name: info.name,
        mode: call.mode,
        reduction,
        divisor: parts.divisor,
        zero_on_empty: false,
        family: parts.family,
        terms: parts.terms,
        dtype: parts.dtype,
        grad_output,
        grad_stats,
        in_place,
        accumulates: grad && matches!(call.grad_input, GradTo::AddTo(_)),
        stats: Stats::default(),
        placed: Vec::new(),
        checks: checks::of(loss, call, &operands),
        scalars: parts.scalars,
        operands,
    };
    if let Some(view) = problem.grad_output.as_ref().filter(|view| !view.shape.is_empty()) {
        let why = format!("as the loss under reduction {}, or 0-d", reduction.name());
        expect_shape("grad_output", view, problem.loss_shape(), &why)?;
    }
    Ok(problem)
}

/// The upstream gradients of rows' statistics, of a loss that has these.
fn grad_stats(info: &Info, call: &Call<'_>, input: &View, terms: &[usize]) -> Result<Vec<(Role, View)>> {
    let view = |(role, tensor): (Role, &Tensor)| {
        let name = role.name();
        if !info.statistics {
            let message = format!("given, and {} has no statistics of rows", info.name);
            return Err(Error::operand(name, message));
        }
        if !call.mode.wants_grad() {
            let message = "given, and mode forward computes no gradient: ask for backward or fused";
            return Err(Error::operand(name, message));
        }
        let view = as_floats(name, tensor, &or_f32(input.dtype), Dtype::F32)?;
        expect_shape(name, &view, terms, "(one for each row)")?;
        expect_gapless(name, &view)?;
        Ok((role, view))
    };
    call.grad_stats().map(view).collect()
}

/// Refuses a gradient by integers.
fn expect_slope(name: &'static str, tensor: &Tensor) -> Result<()> {
    if tensor.dtype().is_float() {
        return Ok(());
    }
    Err(Error::operand(
        name,
        format!(
            "is {}: there is no gradient by integers, only by floats",
            tensor.dtype()
        ),
    ))
}

/// The place of an operand whose gradient is wanted.
fn gradient_place(info: &Info, operands: &[Operand], role: Role) -> Result<usize> {
    let place = operands.iter().position(|own| own.role == role);
    if place.is_some_and(|place| !operands[place].view.dtype.is_float()) {
        return Err(Error::operand(role.name(), "class indices have no gradient"));
    }
    let first = info.operands.first().filter(|own| own.grad).map(|own| own.role);
    let have: Vec<Role> = first.into_iter().chain(info.graded().map(|(_, role)| role)).collect();
    let message = match (have.contains(&role), place) {
        (true, Some(place)) => return Ok(place),
        (true, None) => "its gradient is asked for, and it was not given".into(),
        (false, _) => {
            let names: Vec<_> = have.into_iter().map(Role::name).collect();
            format!("{} has no gradient by it, only by {}", info.name, names.join(" and "))
        }
    };
    Err(Error::operand(role.name(), message))
}

/// The divisor of a mean over so many terms.
fn known(reduction: Reduction, terms: f64) -> Divisor {
    Divisor::Known(if reduction == Reduction::Mean { terms } else { 1.0 })
}

fn expect_gapless(name: &'static str, view: &View) -> Result<()> {
    if view.is_contiguous() {
        return Ok(());
    }
    Err(Error::operand(
        name,
        "has gaps between its rows, which this loss does not take",
    ))
}
