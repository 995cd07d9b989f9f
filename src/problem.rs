//! A problem: everything that a run computes, validated. Whoever holds one has found all errors of shape, dtype and
//! option that there are; planning can only fail on limits, recording on what
//! the buffers are.

use crate::error::{Error, Result};
use crate::shader::Piece;
use crate::tensor::{Dtype, View};

/// How the losses of rows or elements become the result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Reduction {
    /// Each loss by itself.
    None,
    /// The sum over the denominator that the loss defines.
    #[default]
    Mean,
    Sum,
}

impl Reduction {
    pub const ALL: [Self; 3] = [Self::None, Self::Mean, Self::Sum];

    /// PyTorch's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Mean => "mean",
            Self::Sum => "sum",
        }
    }
}

impl std::str::FromStr for Reduction {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        Self::ALL
            .into_iter()
            .find(|r| r.name() == name)
            .ok_or_else(|| Error::option("reduction", format!("{name:?} given, expected none, mean or sum")))
    }
}

/// What a run computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mode {
    Forward,
    Backward,
    /// Loss and gradient in one call.
    Fused,
}

impl Mode {
    pub const ALL: [Self; 3] = [Self::Forward, Self::Backward, Self::Fused];

    pub fn name(self) -> &'static str {
        match self {
            Self::Forward => "forward",
            Self::Backward => "backward",
            Self::Fused => "fused",
        }
    }

    pub fn wants_loss(self) -> bool {
        self != Self::Backward
    }

    pub fn wants_grad(self) -> bool {
        self != Self::Forward
    }
}

/// Names the tensors of a problem, as operands and as outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    Input,
    Target,
    Weight,
    PosWeight,
    GradOutput,
    Loss,
    GradInput,
    GradTarget,
    Control,
}

impl Role {
    /// PyTorch's name of the argument.
    pub fn name(self) -> &'static str {
        match self {
            Self::Input => "input",
            Self::Target => "target",
            Self::Weight => "weight",
            Self::PosWeight => "pos_weight",
            Self::GradOutput => "grad_output",
            Self::Loss => "loss",
            Self::GradInput => "grad_input",
            Self::GradTarget => "grad_target",
            Self::Control => "control",
        }
    }
}

/// A validated problem.
#[derive(Clone, Debug)]
pub struct Problem {
    /// The loss's stem.
    pub name: &'static str,
    pub mode: Mode,
    pub reduction: Reduction,
    pub family: Family,
    pub input: View,
    pub target: View,
    pub grad_output: Option<View>,
    /// Where the gradient goes: of the input's shape, its row stride its own.
    pub grad_input: View,
    pub in_place: bool,
    pub wants_grad_target: bool,
    /// The loss's own scalars, in the order its shader and its reference read them.
    pub hyper: [f64; 4],
}

#[derive(Clone, Debug)]
pub enum Family {
    Rows(Rows),
    Elements(Elements),
}

/// Losses of the rows of a (slabs, cols, inner) array.
#[derive(Clone, Debug)]
pub struct Rows {
    pub slabs: usize,
    pub cols: usize,
    pub inner: usize,
    pub targets: Targets,
    pub weight: Option<View>,
    /// Slot functions of the row driver.
    pub pieces: Vec<Piece>,
    /// Part of the pipeline label: the kind of target and which options change code.
    pub kind: String,
    pub reference: RowReference,
}

impl Rows {
    pub fn rows(&self) -> u64 {
        self.slabs as u64 * self.inner as u64
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Targets {
    /// A class for each row.
    Index { ignore_index: i64 },
    /// A number for each class of each row.
    Full,
}

/// Losses of single elements, with operands that broadcast to the input's shape.
#[derive(Clone, Debug)]
pub struct Elements {
    pub weight: Option<View>,
    /// The third argument of the slot functions: pos_weight here.
    pub third: Option<View>,
    pub piece: Piece,
    pub reference: ElementReference,
}

/// The definition of a loss of rows, in f64.
#[derive(Clone, Copy, Debug)]
pub struct RowReference {
    /// The row's loss.
    pub loss: fn(&Row<'_>) -> f64,
    /// Its derivative by each logit.
    pub grad_input: fn(&Row<'_>, &mut [f64]),
    /// Its derivative by each number of a full target.
    pub grad_target: Option<fn(&Row<'_>, &mut [f64])>,
}

/// A row as the reference sees it.
pub struct Row<'a> {
    pub x: &'a [f64],
    pub class: Option<usize>,
    /// A full target; empty where there is a class.
    pub p: &'a [f64],
    pub weight: Option<&'a [f64]>,
    pub hyper: &'a [f64; 4],
}

/// The definition of a loss of elements, in f64: of x, t, the third operand and the scalars.
#[derive(Clone, Copy, Debug)]
pub struct ElementReference {
    pub loss: fn(f64, f64, f64, &[f64; 4]) -> f64,
    pub grad_input: fn(f64, f64, f64, &[f64; 4]) -> f64,
}

impl Problem {
    /// Losses before the reduction: rows, or elements.
    pub fn terms(&self) -> u64 {
        match &self.family {
            Family::Rows(rows) => rows.rows(),
            Family::Elements(_) => self.input.len(),
        }
    }

    /// The shape of the loss without reduction.
    pub fn term_shape(&self) -> Vec<usize> {
        match &self.family {
            Family::Rows(_) => {
                let mut shape = self.input.shape.clone();
                shape.remove(usize::from(shape.len() > 1));
                shape
            }
            Family::Elements(_) => self.input.shape.clone(),
        }
    }

    pub fn loss_shape(&self) -> Vec<usize> {
        match self.reduction {
            Reduction::None => self.term_shape(),
            Reduction::Mean | Reduction::Sum => Vec::new(),
        }
    }

    /// The reduction's factor where the denominator is known before the run.
    pub fn static_scale(&self) -> f64 {
        match self.reduction {
            Reduction::Mean => 1.0 / self.terms() as f64,
            Reduction::None | Reduction::Sum => 1.0,
        }
    }

    /// The scalars as the params hold them. One beyond the range of f32 becomes a quarter of the largest, for 0 times infinity
    /// would be NaN, and drivers fold it with constants of their own (log2 e in exp).
    pub fn hyper_f32(&self) -> [f32; 4] {
        self.hyper.map(|h| (h as f32).clamp(f32::MIN / 4.0, f32::MAX / 4.0))
    }

    /// `mean` divides by what the class targets add up to.
    pub fn counts_denominator(&self) -> bool {
        self.reduction == Reduction::Mean && self.ignore_index().is_some()
    }

    /// For class targets.
    pub fn ignore_index(&self) -> Option<i64> {
        match &self.family {
            Family::Rows(Rows {
                targets: Targets::Index { ignore_index },
                ..
            }) => Some(*ignore_index),
            _ => None,
        }
    }

    pub fn weight(&self) -> Option<&View> {
        match &self.family {
            Family::Rows(rows) => rows.weight.as_ref(),
            Family::Elements(elements) => elements.weight.as_ref(),
        }
    }
}

/// Refuses a dtype that a place does not take.
pub(crate) fn expect_dtype(name: &'static str, view: &View, allowed: &[Dtype]) -> Result<()> {
    if allowed.contains(&view.dtype) {
        return Ok(());
    }
    let allowed: Vec<_> = allowed.iter().map(|d| d.name()).collect();
    Err(Error::operand(
        name,
        format!("expected dtype {}, got {}", allowed.join(" or "), view.dtype),
    ))
}

/// Refuses a shape that a place does not take.
pub(crate) fn expect_shape(name: &'static str, view: &View, wanted: &[usize], why: &str) -> Result<()> {
    if view.shape == wanted {
        return Ok(());
    }
    Err(Error::operand(
        name,
        format!("expected shape {wanted:?} {why}, got {:?}", view.shape),
    ))
}

/// Refuses a shape that does not broadcast to the input's.
pub(crate) fn expect_broadcast(name: &'static str, view: &View, to: &[usize]) -> Result<()> {
    let fits = view.shape.len() <= to.len()
        && view
            .shape
            .iter()
            .rev()
            .zip(to.iter().rev())
            .all(|(&own, &want)| own == want || own == 1);
    if fits {
        return Ok(());
    }
    Err(Error::operand(
        name,
        format!("shape {:?} does not broadcast to the input's {to:?}", view.shape),
    ))
}
