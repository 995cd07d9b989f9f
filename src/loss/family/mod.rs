//! From the tensors of a call to a validated problem: what all losses check alike, and a file for each family.

mod checks;
mod elements;
mod pairs;
mod rows;

use super::{Call, GradTo, Info, Loss, OperandKind};
use crate::error::{Error, Result};
use crate::layout::Slot;
use crate::problem::{Divisor, Family, Operand, Problem, Reduction, Role, Stats, expect_dtype, expect_shape};
use crate::tensor::{Dtype, View};

pub(super) use rows::{SOFTMAX, class_dim, row_dim};

/// The tensors of a call as operands, each in the slot that the family gives it; the first may be of any float dtype.
fn operands(loss: &dyn Loss, call: &Call<'_>, slot_of: impl Fn(Role) -> Slot) -> Result<Vec<Operand>> {
    let info = loss.info();
    if call.tensors.len() != info.operands.len() {
        let names: Vec<_> = info.operands.iter().map(|operand| operand.role.name()).collect();
        return Err(Error::operand(
            info.name,
            format!(
                "takes {} ({}), got {} tensors",
                names.len(),
                names.join(", "),
                call.tensors.len()
            ),
        ));
    }
    let mut list = Vec::new();
    for (own, tensor) in info.operands.iter().zip(&call.tensors) {
        let view = tensor.view();
        let floats = || match list.first() {
            None => Dtype::FLOATS.to_vec(),
            Some(Operand { view, .. }) => or_f32(view.dtype),
        };
        let name = own.role.name();
        match own.kind {
            OperandKind::Index | OperandKind::IndexList => expect_classes(name, own.kind, view)?,
            OperandKind::IndexOrDistribution if Dtype::LABELS.contains(&view.dtype) => {}
            _ => expect_dtype(name, view, &floats())?,
        }
        list.push(Operand {
            role: own.role,
            slot: slot_of(own.role),
            view: view.clone(),
            grad: None,
        });
    }
    for (role, tensor) in loss.tensors() {
        expect_dtype(role.name(), tensor.view(), &or_f32(list[0].view.dtype))?;
        list.push(Operand {
            role,
            slot: slot_of(role),
            view: tensor.view().clone(),
            grad: None,
        });
    }
    Ok(list)
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
    hyper: [f64; 4],
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
        if grad && place > 0 {
            operands[place].grad = Some(fresh(&operands[place].view));
        }
    }
    let problem = Problem {
        name: info.name,
        mode: call.mode,
        reduction,
        divisor: parts.divisor,
        zero_on_empty: false,
        family: parts.family,
        terms: parts.terms,
        dtype: parts.dtype,
        grad_output: call.grad_output.map(|tensor| tensor.view().clone()),
        in_place,
        accumulates: grad && matches!(call.grad_input, GradTo::AddTo(_)),
        stats: Stats::default(),
        checks: checks::of(loss, call),
        hyper: parts.hyper,
        operands,
    };
    if let Some(view) = &problem.grad_output {
        expect_dtype("grad_output", view, &or_f32(first.dtype))?;
        if !view.shape.is_empty() {
            let why = format!("as the loss under reduction {}, or 0-d", reduction.name());
            expect_shape("grad_output", view, problem.loss_shape(), &why)?;
        }
    }
    Ok(problem)
}

/// The place of an operand whose gradient is wanted.
fn gradient_place(info: &Info, operands: &[Operand], role: Role) -> Result<usize> {
    let place = info.operands.iter().position(|own| own.role == role);
    if let Some(place) = place.filter(|&place| !operands[place].view.dtype.is_float()) {
        let what = if info.operands[place].kind.is_classes() {
            "class indices have"
        } else {
            "an integer tensor has"
        };
        return Err(Error::operand(role.name(), format!("{what} no gradient")));
    }
    place.filter(|&place| info.operands[place].grad).ok_or_else(|| {
        let have = info.operands.iter().filter(|own| own.grad).map(|own| own.role.name());
        let have: Vec<_> = have.collect();
        let message = format!("{} has no gradient by it, only by {}", info.name, have.join(" and "));
        Error::operand(role.name(), message)
    })
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
