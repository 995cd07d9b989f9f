//! Losses of rows that are products of the input with a matrix.

use super::{Parts, assemble, expect_gapless, known, operands};
use crate::call::{Call, GradTo};
use crate::dtype::Dtype;
use crate::error::{Error, Result};
use crate::layout::Slot;
use crate::loss::Loss;
use crate::problem::{Divisor, Family, Linear, Problem, Rows, Targets};
use crate::scalars::Scalars;
use crate::shapes::expect_shape;
use crate::view::View;
use crate::words::{Reduction, Role};

/// What an input and a matrix go together to.
struct Layer {
    linear: Linear,
    classes: usize,
    /// The shape of the losses: the rows of the input, where it has a dimension of them, and the head's dimensions.
    terms: Vec<usize>,
    /// That of a probability target: the classes come behind the rows.
    full: Vec<usize>,
}

impl Layer {
    fn of(input: &View, matrix: &View) -> Result<Self> {
        let (&features, rows) = match input.shape.split_last() {
            Some(own) if input.shape.len() <= 2 => own,
            _ => {
                let message = format!("expected shape (H) or (N, H), got {:?}", input.shape);
                return Err(Error::operand("input", message));
            }
        };
        let [classes, head @ .., own] = matrix.shape.as_slice() else {
            let message = format!("expected shape (C, H) or (C, d1, …, H), got {:?}", matrix.shape);
            return Err(Error::operand("linear_weight", message));
        };
        if *own != features {
            let message = format!(
                "input has {features} features, linear_weight {own}: {:?} and {:?}",
                input.shape, matrix.shape
            );
            return Err(Error::operand("linear_weight", message));
        }
        if *classes == 0 {
            let message = format!("shape {:?} has 0 classes, expected at least 1", matrix.shape);
            return Err(Error::operand("linear_weight", message));
        }
        let (inputs, heads) = (rows.iter().product::<usize>(), head.iter().product::<usize>());
        let is_counted = |count: usize| u32::try_from(count).is_ok();
        if !is_counted(*classes) || !is_counted(heads) || !is_counted(features) {
            let message = format!("shape {:?}: sizes are limited to 2^32 - 1", matrix.shape);
            return Err(Error::operand("linear_weight", message));
        }
        Ok(Self {
            linear: Linear {
                inputs,
                heads,
                features,
                is_streamed: false,
                filter_eps: 0.0,
                moved: None,
            },
            classes: *classes,
            terms: [rows, head].concat(),
            full: [rows, &[*classes], head].concat(),
        })
    }
}

impl Rows {
    /// The problem of a call on the input, the matrix and the target of a layer. `slabs`, `cols` and `linear` are
    /// filled in.
    pub(in crate::loss) fn linear_problem(
        mut self,
        loss: &dyn Loss,
        call: &Call<'_>,
        scalars: impl Into<Scalars>,
        filter_eps: f32,
    ) -> Result<Problem> {
        let operands = operands(loss, call, |role| match role {
            Role::Target => Slot::Target,
            Role::Weight => Slot::Weight,
            Role::SampleWeight => Slot::SampleWeight,
            Role::LinearWeight => Slot::Right,
            Role::LinearBias => Slot::Bias,
            _ => Slot::Left,
        })?;
        let Layer {
            linear,
            classes,
            terms,
            full,
        } = Layer::of(&operands[0].view, &operands[1].view)?;
        let is_full = self.targets == Targets::Full;
        let head = &terms[terms.len() - (operands[1].view.shape.len() - 2)..];
        for operand in &operands[2..] {
            let (name, view) = (operand.role.name(), &operand.view);
            match operand.slot {
                Slot::Target if is_full => {
                    let why = "for probabilities (a float target holds one for each class; class labels are integers: \
                               save them as int64)";
                    expect_shape(name, view, &full, why)?;
                }
                Slot::Target => {
                    let mut why = format!("for class indices of an input {:?}", operands[0].view.shape);
                    if view.shape == full {
                        why += " (probabilities, one-hot targets among them, are floats)";
                    }
                    expect_shape(name, view, &terms, &why)?;
                }
                Slot::SampleWeight => expect_shape(name, view, &terms, "(one for each row)")?,
                Slot::Bias => expect_shape(name, view, &[&[classes], head].concat(), "(one for each logit)")?,
                _ => expect_shape(name, view, &[classes], "(one for each class)")?,
            }
            expect_gapless(name, view)?;
        }
        // Gaps lie between rows of the input, or of a matrix; those of a head would lie within a class.
        if !head.is_empty() {
            expect_gapless("linear_weight", &operands[1].view)?;
        }
        if matches!(call.grad_input, GradTo::InPlace) {
            let message = "its gradient cannot go over the input, which the gradient of linear_weight needs: give it \
                           another tensor";
            return Err(Error::operand("grad_input", message));
        }
        (self.slabs, self.cols, self.inner) = (linear.inputs * linear.heads, classes, 1);
        self.linear = Some(Linear { filter_eps, ..linear });
        let mean = loss.reduction() == Reduction::Mean;
        let weighted = operands.iter().any(|own| own.slot == Slot::SampleWeight);
        let divisor = match mean && (weighted || !is_full) {
            true => Divisor::Counted,
            false => known(loss.reduction(), self.rows() as f64),
        };
        let parts = Parts {
            family: Family::Rows(self),
            operands,
            terms,
            dtype: Dtype::F32,
            divisor,
            scalars: scalars.into(),
        };
        let problem = assemble(loss, call, parts)?;
        if let Some(view) = &problem.grad_output {
            expect_gapless("grad_output", view)?;
        }
        Ok(problem)
    }
}
