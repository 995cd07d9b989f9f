//! Losses of rows, and maps of rows.

use super::{Parts, assemble, expect_gapless, known, operands};
use crate::call::{Call, GradTo};
use crate::dtype::Dtype;
use crate::error::{Error, Result};
use crate::layout::Slot;
use crate::loss::{Loss, OperandKind};
use crate::problem::{Divisor, Family, Problem, Rows, Targets};
use crate::scalars::Scalars;
use crate::shader::Const;
use crate::shapes::{broadcast, expect_shape};
use crate::view::View;
use crate::words::{Reduction, Role};

impl Rows {
    /// The problem of a call. `slabs`, `cols` and `inner` are filled in.
    pub(in crate::loss) fn problem(
        mut self,
        loss: &dyn Loss,
        call: &Call<'_>,
        columns: impl Into<Columns>,
        scalars: impl Into<Scalars>,
    ) -> Result<Problem> {
        let columns = columns.into();
        let operands = operands(loss, call, |role| match role {
            Role::Target => Slot::Target,
            Role::Weight | Role::Alpha => Slot::Weight,
            Role::SampleWeight => Slot::SampleWeight,
            _ => Slot::Input,
        })?;
        let input = &operands[0].view;
        (self.slabs, self.cols, self.inner) = match &columns {
            Columns::Along(dims) => row_dims(input, dims, self.scattered.is_some())?,
            Columns::All => (1, input.len() as usize, 1),
        };
        let mut terms = input.shape.clone();
        match &columns {
            Columns::All if self.keeps_dim => terms.fill(1),
            Columns::All => terms.clear(),
            Columns::Along(_) if self.is_map() => {}
            Columns::Along(dims) => {
                for &dim in dims.iter().rev().filter(|&&dim| dim < input.shape.len()) {
                    if self.keeps_dim {
                        terms[dim] = 1;
                    } else {
                        terms.remove(dim);
                    }
                }
            }
        }
        let is_index = matches!(self.targets, Targets::Index { .. });
        let mut operands = operands;
        if let Some(each_weighs) = &mut self.element_weights {
            let shape = operands[0].view.shape.clone();
            if let Some(weight) = operands.iter_mut().find(|own| own.slot == Slot::Weight) {
                weight.view = weight_view(&weight.view, &shape)?;
                *each_weighs = weight.view.shape != [self.cols];
                self.kind += match weight.view.shape == shape {
                    _ if !*each_weighs => "",
                    true => "each_weighs",
                    false => "each_weighs_f32",
                };
            }
            self.consts.push(Const::Bool("EACH_WEIGHS", *each_weighs));
        }
        let input = &operands[0].view;
        for operand in &operands[1..] {
            let (name, view) = (operand.role.name(), &operand.view);
            match operand.slot {
                // One row may have its class in a list of one, and then, without ignore_index, its loss too.
                Slot::Target if is_index && terms.is_empty() && view.shape == [1] => {
                    if self.ignore_index().is_none() {
                        terms.push(1);
                    }
                }
                Slot::Target if is_index => {
                    let mut why = format!("for class indices of an input {:?}", input.shape);
                    if view.shape == input.shape && may_be_full(loss) {
                        why += " (probabilities, one-hot targets among them, are floats)";
                    }
                    expect_shape(name, view, &terms, &why)?;
                    expect_gapless(name, view)?;
                }
                Slot::Target => expect_shape(name, view, &input.shape, &as_the_input(loss, view))?,
                Slot::SampleWeight => {
                    expect_shape(name, view, &terms, "(one for each row)")?;
                    expect_gapless(name, view)?;
                }
                _ if self.element_weights == Some(true) => {}
                _ => expect_shape(name, view, &[self.cols], "(one for each class)")?,
            }
        }
        if self.inner_loops > 0 && matches!(call.grad_input, GradTo::InPlace) {
            return Err(Error::operand(
                "grad_input",
                format!(
                    "{} meets every class with every other: its gradient cannot go over the input",
                    loss.info().name
                ),
            ));
        }
        let mean = loss.reduction() == Reduction::Mean;
        let weighted = operands.iter().any(|o| o.slot == Slot::SampleWeight);
        let counts = self.ignore_index().is_some() && is_index || weighted;
        let divisor = if mean && counts {
            Divisor::Counted
        } else {
            known(loss.reduction(), self.rows() as f64)
        };
        let dtype = if self.is_map() { input.dtype } else { Dtype::F32 };
        let parts = Parts {
            family: Family::Rows(self),
            operands,
            terms,
            dtype,
            divisor,
            scalars: scalars.into(),
        };
        let problem = assemble(loss, call, parts)?;
        // Gaps lie between slabs; along other dimensions than the second they would lie within rows, or between some
        // slabs.
        let takes_gaps = match &columns {
            Columns::Along(dims) => telling(dims, &problem.input().shape).first() == Some(&1),
            Columns::All => !call.mode.wants_grad(),
        };
        if !takes_gaps {
            for own in problem
                .operands
                .iter()
                .filter(|own| own.view.shape == problem.input().shape)
            {
                expect_gapless(own.role.name(), &own.view)?;
            }
            for (_, role, view) in problem.grads() {
                expect_gapless(
                    if role == Role::Grad(0) {
                        "grad_input"
                    } else {
                        role.name()
                    },
                    view,
                )?;
            }
            if let Some(view) = &problem.grad_output {
                expect_gapless("grad_output", view)?;
            }
        }
        if let (Some(view), Some(rows)) = (&problem.grad_output, problem.rows()) {
            if rows.is_map() {
                expect_shape("grad_output", view, &problem.terms, "as the result")?;
            } else {
                expect_gapless("grad_output", view)?;
            }
        }
        Ok(problem)
    }
}

/// Takes either class indices or probabilities as its target.
fn may_be_full(loss: &dyn Loss) -> bool {
    loss.info().takes(OperandKind::IndexOrDistribution)
}

/// Why a full target is of the input's shape. Floats where a loss takes either may have been meant as class labels.
fn as_the_input(loss: &dyn Loss, target: &View) -> String {
    if may_be_full(loss) && target.dtype.is_float() {
        return "as the input (a float target holds a probability for each class; class labels are integers: save them \
                as int64)"
            .into();
    }
    "as the input".into()
}

/// The dimension of the classes: (C), (N, C) or (N, C, d1, …).
pub(in crate::loss) fn class_dim(input: &View) -> Result<usize> {
    if input.shape.is_empty() {
        return Err(Error::operand(
            "input",
            "expected shape (C), (N, C) or (N, C, d1, …), got a 0-d tensor",
        ));
    }
    Ok(usize::from(input.shape.len() > 1))
}

/// Which elements of the input are a row's columns.
#[derive(Clone, Debug)]
pub(in crate::loss) enum Columns {
    All,
    /// Those along some of its dimensions, at least one, ascending. A 0-d input has one row of one column along its
    /// dimension 0.
    Along(Vec<usize>),
}

impl From<usize> for Columns {
    fn from(dim: usize) -> Self {
        Self::Along(vec![dim])
    }
}

/// Those of some dimensions, at least one, that say where the columns lie: of a dimension of size 1 any place will do.
fn telling(dims: &[usize], shape: &[usize]) -> Vec<usize> {
    let own: Vec<usize> = dims.iter().copied().filter(|&dim| shape.get(dim) != Some(&1)).collect();
    if own.is_empty() { dims[..1].to_vec() } else { own }
}

/// Those that tell where the columns lie, if other dimensions, of more than one index, lie between them.
pub(in crate::loss) fn scattered(dims: &[usize], shape: &[usize]) -> Option<Vec<usize>> {
    let dims = telling(dims, shape);
    let (first, last) = (dims.first().copied()?, dims.last().copied()?);
    (first..last)
        .any(|dim| !dims.contains(&dim) && shape[dim] != 1)
        .then_some(dims)
}

/// A weight of rows along the last dimension: (C) where every row has the same, else with as many dimensions as the
/// input.
fn weight_view(weight: &View, shape: &[usize]) -> Result<View> {
    let cols = shape.last().copied().unwrap_or(1);
    let all = [("weight", weight.shape.as_slice()), ("input", shape)];
    if broadcast(&all).ok().as_deref() != Some(shape) {
        return Err(Error::operand(
            "weight",
            format!(
                "expected shape [{cols}] (one for each class), or one that broadcasts to the input's {shape:?}, got {:?}",
                weight.shape
            ),
        ));
    }
    expect_gapless("weight", weight)?;
    let (last, others) = weight
        .shape
        .split_last()
        .map_or((1, &[][..]), |(&last, others)| (last, others));
    let own = if last == cols && others.iter().all(|&size| size == 1) {
        vec![cols]
    } else {
        let ones = std::iter::repeat_n(1, shape.len() - weight.shape.len());
        ones.chain(weight.shape.iter().copied()).collect()
    };
    Ok(View {
        offset: weight.offset,
        ..View::contiguous(weight.dtype, &own)
    })
}

/// (slabs, cols, inner) of rows along dimensions, at least one.
fn row_dims(input: &View, dims: &[usize], scattered: bool) -> Result<(usize, usize, usize)> {
    let shape = &input.shape;
    let dims = telling(dims, shape);
    let first = dims.first().copied().unwrap_or(0);
    let size = |dim: usize| shape.get(dim).copied().unwrap_or(1);
    let cols = dims.iter().map(|&dim| size(dim)).product::<usize>();
    let slabs = shape.iter().take(first).product();
    let inner: usize = (first..shape.len())
        .filter(|dim| !dims.contains(dim))
        .map(size)
        .product();
    if u32::try_from(cols).is_err() || u32::try_from(inner).is_err() {
        return Err(Error::operand(
            "input",
            format!("shape {shape:?}: a row and the dimensions behind it are limited to 2^32 - 1 elements"),
        ));
    }
    if (first != 1 || scattered) && !input.is_contiguous() {
        // The gaps then lie within a row, or not between all of them.
        return Err(Error::operand(
            "input",
            "has gaps between its rows, which rows along this dimension do not take",
        ));
    }
    Ok((slabs, cols, inner))
}

/// The dimension that an index means, as PyTorch counts: from the end where it is negative.
pub(in crate::loss) fn row_dim(dim: i64, shape: &[usize]) -> Result<usize> {
    let rank = shape.len().max(1) as i64;
    if (-rank..rank).contains(&dim) {
        return Ok(dim.rem_euclid(rank) as usize);
    }
    Err(Error::option(
        "dim",
        format!("{dim} given, expected {} to {} for an input {shape:?}", -rank, rank - 1),
    ))
}
