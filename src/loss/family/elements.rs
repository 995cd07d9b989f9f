//! Losses of elements.

use super::{Parts, assemble, expect_gapless, known, operands};
use crate::call::{Call, GradTo};
use crate::dtype::Dtype;
use crate::error::{Error, Result};
use crate::layout::Slot;
use crate::loss::Loss;
use crate::problem::{Divisor, Elements, Family, Operand, Problem};
use crate::scalars::Scalars;
use crate::shapes::{broadcast, expect_shape};
use crate::view::View;
use crate::words::{Reduction, Role};

impl Elements {
    fn operands(&self, loss: &dyn Loss, call: &Call<'_>) -> Result<Vec<Operand>> {
        operands(loss, call, |role| match role {
            Role::Target => Slot::Target,
            Role::Weight => Slot::Weight,
            Role::Input2 | Role::Var | Role::PosWeight => Slot::Third,
            _ => Slot::Input,
        })
    }

    /// The problem of a call. Optional tensors broadcast to the operands' joint shape.
    pub(in crate::loss) fn problem(
        self,
        loss: &dyn Loss,
        call: &Call<'_>,
        scalars: impl Into<Scalars>,
    ) -> Result<Problem> {
        let operands = self.operands(loss, call)?;
        self.problem_of(loss, call, operands, scalars.into())
    }

    /// The same under `gaussian_nll`'s rule: a variance of the input's shape without the last dimension is one for each
    /// row; any other broadcasts to the shape of input and target.
    pub(in crate::loss) fn problem_with_variance(
        self,
        loss: &dyn Loss,
        call: &Call<'_>,
        scalars: impl Into<Scalars>,
    ) -> Result<Problem> {
        let mut operands = self.operands(loss, call)?;
        let shape = operands[0].view.shape.clone();
        let others: Vec<_> = operands
            .iter()
            .filter(|own| own.role != Role::Var)
            .map(|own| (own.role.name(), own.view.shape.as_slice()))
            .collect();
        let joint = broadcast(&others)?;
        if let Some(var) = operands.iter_mut().find(|own| own.role == Role::Var) {
            let own = &var.view.shape;
            if shape.split_last().is_some_and(|(_, rest)| rest == own) {
                expect_gapless("var", &var.view)?;
                var.view = View {
                    shape: own.iter().copied().chain([1]).collect(),
                    row_stride: own.iter().skip(1).product(),
                    ..var.view
                };
            } else if broadcast(&[("var", own), ("input", &joint)]).ok().as_ref() != Some(&joint) {
                return Err(Error::operand(
                    "var",
                    format!(
                        "expected a number, {} (one for each row), or a shape that broadcasts to {joint:?}, got {own:?}",
                        match shape.split_last() {
                            Some((_, rest)) => format!("the input's shape without its last dimension {rest:?}"),
                            None => "the input's shape".into(),
                        }
                    ),
                ));
            }
        }
        self.problem_of(loss, call, operands, scalars.into())
    }

    fn problem_of(self, loss: &dyn Loss, call: &Call<'_>, operands: Vec<Operand>, scalars: Scalars) -> Result<Problem> {
        let signature = &operands[..call.tensors.len()];
        let shapes: Vec<_> = signature
            .iter()
            .map(|operand| (operand.role.name(), operand.view.shape.as_slice()))
            .collect();
        if !self.broadcasts
            && let Some((name, _)) = shapes.iter().find(|(_, shape)| *shape != shapes[0].1)
        {
            let view = &signature
                .iter()
                .find(|o| o.role.name() == *name)
                .unwrap_or(&signature[0])
                .view;
            expect_shape(name, view, shapes[0].1, "as the input")?;
        }
        let terms = broadcast(&shapes)?;
        for operand in &operands[call.tensors.len()..] {
            let (name, view) = (operand.role.name(), &operand.view);
            if broadcast(&[(name, &view.shape), ("input", &terms)]).ok().as_ref() != Some(&terms) {
                return Err(Error::operand(
                    name,
                    format!("shape {:?} does not broadcast to the input's {terms:?}", view.shape),
                ));
            }
        }
        let first = &operands[0].view;
        if first.shape != terms {
            match call.grad_input {
                GradTo::New => {}
                GradTo::Into(own) => expect_gapless("grad_input", own.view())?,
                GradTo::InPlace | GradTo::AddTo(_) => {
                    return Err(Error::operand(
                        "grad_input",
                        format!(
                            "of an operand {:?} that broadcasts to {terms:?} is added up: it goes into a tensor of its \
                             own",
                            first.shape
                        ),
                    ));
                }
            }
        }
        let count = terms.iter().map(|&n| n as f64).product();
        let divisor = match (loss.reduction(), first.shape.first()) {
            // A 0-d input is a batch of one.
            (Reduction::BatchMean, batch) => Divisor::Known(batch.map_or(1.0, |&n| n as f64)),
            (reduction, _) => known(reduction, count),
        };
        // Functions return the input's dtype, losses f32.
        let is_function = call.tensors.len() == 1;
        let dtype = if is_function {
            operands[0].view.dtype
        } else {
            Dtype::F32
        };
        let parts = Parts {
            family: Family::Elements(self),
            operands,
            terms,
            dtype,
            divisor,
            scalars,
        };
        assemble(loss, call, parts)
    }
}
