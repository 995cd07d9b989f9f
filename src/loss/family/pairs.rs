//! Losses of pairs of rows.

use super::{Parts, assemble, expect_gapless, known, operands};
use crate::call::Call;
use crate::dtype::Dtype;
use crate::error::{Error, Result};
use crate::layout::Slot;
use crate::loss::Loss;
use crate::problem::{Family, Pairs, Problem};
use crate::scalars::Scalars;
use crate::shapes::{expect_same, expect_shape};
use crate::words::Role;

impl Pairs {
    /// The problem of a call: rows along the last dimension, a target for each row where there is one.
    pub(in crate::loss) fn problem(
        mut self,
        loss: &dyn Loss,
        call: &Call<'_>,
        scalars: impl Into<Scalars>,
    ) -> Result<Problem> {
        let operands = operands(loss, call, |role| match role {
            Role::Target => Slot::Target,
            Role::Input2 | Role::Positive => Slot::Second,
            Role::Negative => Slot::Third,
            _ => Slot::Input,
        })?;
        let shape = operands[0].view.shape.clone();
        let Some((&cols, terms)) = shape.split_last() else {
            return Err(Error::operand(
                operands[0].role.name(),
                "expected at least one dimension, got a 0-d tensor",
            ));
        };
        let rows = operands.iter().filter(|own| own.slot != Slot::Target);
        let rows: Vec<_> = rows.map(|own| (own.role.name(), own.view.shape.as_slice())).collect();
        expect_same(&rows)?;
        for operand in &operands {
            let (name, view) = (operand.role.name(), &operand.view);
            if operand.slot == Slot::Target && view.shape == [1] && terms.len() == 1 {
                // one target for all rows
            } else if operand.slot == Slot::Target {
                expect_shape(name, view, terms, "(one for each row)")?;
            }
            if view.shape.len() != 2 {
                expect_gapless(name, view)?;
            }
        }
        (self.rows, self.cols) = (terms.iter().product(), cols);
        if u32::try_from(cols).is_err() {
            return Err(Error::operand(
                operands[0].role.name(),
                format!("shape {shape:?}: a row is limited to 2^32 - 1 elements"),
            ));
        }
        let divisor = known(loss.reduction(), self.rows as f64);
        let parts = Parts {
            terms: terms.to_vec(),
            dtype: Dtype::F32,
            family: Family::Pairs(self),
            operands,
            divisor,
            scalars: scalars.into(),
        };
        let problem = assemble(loss, call, parts)?;
        if problem.input().shape.len() != 2 {
            for (_, _, view) in problem.grads() {
                expect_gapless("grad_input", view)?;
            }
        }
        if let Some(view) = &problem.grad_output {
            expect_gapless("grad_output", view)?;
        }
        Ok(problem)
    }
}
