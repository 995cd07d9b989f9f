//! From the tensors of a call to a validated problem: what the losses of a family check alike.

use super::{Call, GradTo, Loss, OperandKind};
use crate::error::{Error, Result};
use crate::layout::Slot;
use crate::problem::{
    Divisor, ElementReference, Elements, Family, Operand, PairReference, Pairs, Problem, Reduction, Role, RowReference,
    Rows, Stats, Targets, broadcast, expect_dtype, expect_shape,
};
use crate::shader::{Piece, piece, pieces};
use crate::tensor::{Dtype, Tensor, View, floats};

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
            OperandKind::Index | OperandKind::IndexList => expect_dtype(name, view, &Dtype::LABELS)?,
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
    for (own, tensor) in info.operands.iter().zip(&call.tensors) {
        expect_values(own.role, own.kind, tensor)?;
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

/// Refuses what PyTorch refuses of an operand's values, where they lie on the host: negative variances, and first operands
/// that are no probabilities.
fn expect_values(role: Role, kind: OperandKind, tensor: &Tensor) -> Result<()> {
    let (fits, wanted): (fn(f32) -> bool, _) = match (role, kind) {
        (_, OperandKind::Variance) => (|x| !(x < 0.0), "no negative numbers"),
        (Role::Input, OperandKind::UnitInterval) => (|x| !(x < 0.0 || x > 1.0), "numbers in [0, 1]"),
        _ => return Ok(()),
    };
    let Some(bytes) = tensor.host_bytes() else {
        return Ok(());
    };
    match floats(tensor.dtype(), bytes)
        .into_iter()
        .enumerate()
        .find(|&(_, x)| !fits(x))
    {
        Some((at, x)) => Err(Error::operand(
            role.name(),
            format!("expected {wanted}, got {x} at element {at}"),
        )),
        None => Ok(()),
    }
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
    let mut operands = parts.operands;
    let grad = call.mode.wants_grad();
    let in_place = grad && matches!(call.grad_input, GradTo::InPlace) && call.tensors[0].buffer().is_some();
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
        let place = info.operands.iter().position(|own| own.role == *role && own.grad);
        let allowed = place.filter(|&place| operands[place].view.dtype.is_float());
        let Some(place) = allowed else {
            let have: Vec<_> = info
                .operands
                .iter()
                .filter(|own| own.grad)
                .map(|own| own.role.name())
                .collect();
            return Err(Error::operand(
                role.name(),
                format!("{} has no gradient by it here, only by {}", info.name, have.join(", ")),
            ));
        };
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
        hyper: parts.hyper,
        operands,
    };
    if let Some(view) = &problem.grad_output {
        expect_dtype("grad_output", view, &or_f32(first.dtype))?;
        if !view.shape.is_empty() {
            let why = format!("as the loss under reduction {}, or 0-d", reduction.name());
            expect_shape("grad_output", view, problem.loss_shape(), &why)?;
        }
    } else if matches!(&problem.family, Family::Rows(rows) if rows.is_map()) && grad {
        return Err(Error::operand(
            "grad_output",
            "missing: the gradient of a function needs the upstream gradient",
        ));
    }
    Ok(problem)
}

/// The divisor of a mean over so many terms.
fn known(reduction: Reduction, terms: f64) -> Divisor {
    Divisor::Known(if reduction == Reduction::Mean { terms } else { 1.0 })
}

impl Default for Elements {
    fn default() -> Self {
        Self {
            piece: pieces::MATH,
            consts: Vec::new(),
            kind: String::new(),
            broadcasts: true,
            reference: ElementReference {
                loss: |_, _, _, _| f64::NAN,
                grads: [None; 3],
            },
        }
    }
}

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
    pub(super) fn problem(self, loss: &dyn Loss, call: &Call<'_>, hyper: [f64; 4]) -> Result<Problem> {
        let operands = self.operands(loss, call)?;
        self.problem_of(loss, call, operands, hyper)
    }

    /// The same under `gaussian_nll`'s rule: a variance of the input's shape, or with one dimension of size 1, or without
    /// the last dimension.
    pub(super) fn problem_with_variance(self, loss: &dyn Loss, call: &Call<'_>, hyper: [f64; 4]) -> Result<Problem> {
        let mut operands = self.operands(loss, call)?;
        let shape = operands[0].view.shape.clone();
        if let Some(var) = operands.iter_mut().find(|own| own.role == Role::Var) {
            let own = &var.view.shape;
            let shorter = shape.split_last().is_some_and(|(_, rest)| rest == own);
            let differ: Vec<usize> = own
                .iter()
                .zip(&shape)
                .filter(|(a, b)| a != b)
                .map(|(&n, _)| n)
                .collect();
            if own.len() == shape.len() && (differ.is_empty() || differ == [1]) {
            } else if shorter && var.view.is_contiguous() {
                var.view = View {
                    shape: own.iter().copied().chain([1]).collect(),
                    row_stride: own.iter().skip(1).product(),
                    ..var.view
                };
            } else {
                return Err(Error::operand(
                    "var",
                    format!(
                        "expected the input's shape {shape:?}, with one dimension of size 1 at most, or without the last, got {own:?}"
                    ),
                ));
            }
        }
        self.problem_of(loss, call, operands, hyper)
    }

    fn problem_of(self, loss: &dyn Loss, call: &Call<'_>, operands: Vec<Operand>, hyper: [f64; 4]) -> Result<Problem> {
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
        if first.shape != terms && !matches!(call.grad_input, GradTo::New) {
            return Err(Error::operand(
                "grad_input",
                format!(
                    "of an operand {:?} that broadcasts to {terms:?} has to be a new tensor",
                    first.shape
                ),
            ));
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
            hyper,
        };
        assemble(loss, call, parts)
    }
}

impl Default for Rows {
    fn default() -> Self {
        Self {
            slabs: 0,
            cols: 0,
            inner: 0,
            targets: Targets::None,
            reads: true,
            monoid: SOFTMAX,
            map: piece!("piece/row_map_none.wgsl"),
            pieces: Vec::new(),
            consts: Vec::new(),
            kind: String::new(),
            inner_loops: 0,
            counts_weights: false,
            whole: None,
            reference: RowReference::Map {
                value: |_, _| {},
                grad_input: |_, _| {},
            },
        }
    }
}

/// The statistics of the softmax family.
pub(super) const SOFTMAX: &[Piece] = &[
    piece!("monoid/softmax.wgsl"),
    piece!("monoid/softmax_value.wgsl"),
    piece!("piece/row_push_softmax.wgsl"),
];

impl Rows {
    /// The problem of a call, for rows along a dimension of the input, or for all of it as one row. `slabs`, `cols` and
    /// `inner` are filled in.
    pub(super) fn problem(
        mut self,
        loss: &dyn Loss,
        call: &Call<'_>,
        dim: impl Into<Option<usize>>,
        hyper: [f64; 4],
    ) -> Result<Problem> {
        let dim = dim.into();
        let operands = operands(loss, call, |role| match role {
            Role::Target => Slot::Target,
            Role::Weight | Role::Alpha => Slot::Weight,
            Role::SampleWeight => Slot::SampleWeight,
            _ => Slot::Input,
        })?;
        let input = &operands[0].view;
        (self.slabs, self.cols, self.inner) = match dim {
            Some(dim) => row_dims(input, dim)?,
            None => (1, input.len() as usize, 1),
        };
        let mut terms = input.shape.clone();
        match dim {
            None => terms.clear(),
            Some(dim) if !self.is_map() && dim < terms.len() => drop(terms.remove(dim)),
            Some(_) => {}
        }
        let is_index = matches!(self.targets, Targets::Index { .. });
        for operand in &operands[1..] {
            let (name, view) = (operand.role.name(), &operand.view);
            match operand.slot {
                // One row may have its class in a list of one.
                Slot::Target if is_index && terms.is_empty() && view.shape == [1] => {}
                Slot::Target if is_index => {
                    let why = format!("for class indices of an input {:?}", input.shape);
                    expect_shape(name, view, &terms, &why)?;
                    expect_gapless(name, view)?;
                }
                Slot::Target => expect_shape(name, view, &input.shape, "as the input")?,
                Slot::SampleWeight => {
                    expect_shape(name, view, &terms, "(one for each row)")?;
                    expect_gapless(name, view)?;
                }
                _ => expect_shape(name, view, &[self.cols], "(one for each class)")?,
            }
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
            hyper,
        };
        let problem = assemble(loss, call, parts)?;
        if let Some(view) = &problem.grad_output
            && !matches!(&problem.family, Family::Rows(rows) if rows.is_map())
        {
            expect_gapless("grad_output", view)?;
        }
        Ok(problem)
    }
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

/// The dimension of the classes: (C), (N, C) or (N, C, d1, …).
pub(super) fn class_dim(input: &View) -> Result<usize> {
    if input.shape.is_empty() {
        return Err(Error::operand(
            "input",
            "expected shape (C), (N, C) or (N, C, d1, …), got a 0-d tensor",
        ));
    }
    Ok(usize::from(input.shape.len() > 1))
}

/// (slabs, cols, inner) of rows along a dimension.
fn row_dims(input: &View, dim: usize) -> Result<(usize, usize, usize)> {
    let shape = &input.shape;
    let cols = shape.get(dim).copied().unwrap_or(1);
    let slabs = shape.iter().take(dim).product();
    let inner: usize = shape.iter().skip(dim + 1).product();
    if u32::try_from(cols).is_err() || u32::try_from(inner).is_err() {
        return Err(Error::operand(
            "input",
            format!("shape {shape:?}: a row and the dimensions behind it are limited to 2^32 - 1 elements"),
        ));
    }
    if dim != 1 && !input.is_contiguous() {
        // The gaps then lie within a row, or not between all of them.
        return Err(Error::operand(
            "input",
            "has gaps between its rows, which rows along this dimension do not take",
        ));
    }
    Ok((slabs, cols, inner))
}

impl Default for Pairs {
    fn default() -> Self {
        Self {
            rows: 0,
            cols: 0,
            piece: pieces::MATH,
            consts: Vec::new(),
            kind: String::new(),
            reference: PairReference {
                loss: |_| f64::NAN,
                grads: [None; 3],
            },
        }
    }
}

impl Pairs {
    /// The problem of a call: rows along the last dimension, a target for each row where there is one.
    pub(super) fn problem(mut self, loss: &dyn Loss, call: &Call<'_>, hyper: [f64; 4]) -> Result<Problem> {
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
        for operand in &operands {
            let (name, view) = (operand.role.name(), &operand.view);
            if operand.slot == Slot::Target && view.shape == [1] && terms.len() == 1 {
                // one target for all rows
            } else if operand.slot == Slot::Target {
                expect_shape(name, view, terms, "(one for each row)")?;
            } else {
                expect_shape(name, view, &shape, &format!("as {}", operands[0].role.name()))?;
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
            hyper,
        };
        let problem = assemble(loss, call, parts)?;
        if let Some(view) = &problem.grad_output {
            expect_gapless("grad_output", view)?;
        }
        Ok(problem)
    }
}
