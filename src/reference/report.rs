//! What a comparison finds, and how it is told.

use std::fmt::{Display, Formatter, Result};

use crate::dtype::Dtype;

/// Results of somebody's own beside those of the reference. As text, it names the worst elements of what is not close.
#[derive(Clone, Debug)]
#[must_use = "whether it is close is in here"]
pub struct Comparison {
    /// The loss, what was computed, and how it was reduced.
    pub what: String,
    /// Everything that the call asks for, and what else there was.
    pub results: Vec<Compared>,
}

/// One result.
#[derive(Clone, Debug)]
pub struct Compared {
    /// Its name, such as `loss` or `gradient of input`.
    pub name: String,
    /// What its numbers were stored as.
    pub dtype: Dtype,
    /// As the reference has it.
    pub shape: Vec<usize>,
    /// Why nothing was compared.
    pub trouble: Option<Trouble>,
    /// So many elements are further off than allowed, ...
    pub off: usize,
    /// ... and so many only fit beside what the last digits of the inputs are worth.
    pub ill_conditioned: usize,
    /// The largest error beside the one allowed to its element.
    pub share: f64,
    /// The elements that are worst beside what they are allowed, up to eight, the worst first.
    pub worst: Vec<Deviation>,
}

/// Why a result was not compared.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Trouble {
    Missing,
    /// The call does not ask for it.
    NotAsked,
    Length {
        got: usize,
    },
    Shape {
        got: Vec<usize>,
    },
}

/// An element of a result, and how far it is off.
#[derive(Clone, Debug, PartialEq)]
pub struct Deviation {
    /// Its place along each dimension.
    pub index: Vec<usize>,
    pub mine: f64,
    /// In f64, unrounded.
    pub reference: f64,
    /// Mine minus the reference.
    pub difference: f64,
    /// The same in units of the last place of the dtype; NaN beyond its range.
    pub ulps: f64,
    /// How large the difference may be to this side, with the rounding to the dtype.
    pub allowed: f64,
}

impl Compared {
    pub(super) fn new(name: String, dtype: Dtype, shape: &[usize]) -> Self {
        Self {
            name,
            dtype,
            shape: shape.to_vec(),
            trouble: None,
            off: 0,
            ill_conditioned: 0,
            share: 0.0,
            worst: Vec::new(),
        }
    }

    /// Its elements, as the reference has them.
    pub fn count(&self) -> usize {
        self.shape.iter().product()
    }

    /// All of its elements are as near as the error model asks.
    pub fn is_close(&self) -> bool {
        self.trouble.is_none() && self.off == 0
    }
}

impl Comparison {
    /// Everything that the call asks for is there and close, and there is nothing else.
    pub fn is_close(&self) -> bool {
        self.results.iter().all(Compared::is_close)
    }
}

impl Display for Comparison {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let verdict = match self.is_close() {
            true => "close to the f64 reference",
            false => "not close to the f64 reference",
        };
        write!(f, "{}: {verdict}", self.what)?;
        self.results.iter().try_for_each(|own| write!(f, "\n{own}"))
    }
}

impl Display for Compared {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let (name, dtype, count, shape) = (&self.name, self.dtype, self.count(), &self.shape);
        match &self.trouble {
            Some(Trouble::Missing) => return write!(f, "  {name}: missing, the call asks for {shape:?}"),
            Some(Trouble::NotAsked) => return write!(f, "  {name}: given, but the call does not ask for it"),
            Some(Trouble::Length { got }) => {
                return write!(f, "  {name}: {got} elements, expected {count} of shape {shape:?}");
            }
            Some(Trouble::Shape { got }) => return write!(f, "  {name}: shape {got:?}, expected {shape:?}"),
            None => {}
        }
        if self.off == 0 {
            return write!(
                f,
                "  {name} {shape:?} {dtype}: close; the largest error is {:.2} of the one allowed",
                self.share
            );
        }
        let (off, kept) = (self.off, self.worst.len().min(self.off));
        write!(f, "  {name} {shape:?} {dtype}: {off} of {count} elements are off")?;
        let which = if kept < off {
            format!("; the worst {kept}")
        } else {
            String::new()
        };
        let head = ["index", "mine", "reference", "difference", "ulps", "allowed"].map(String::from);
        let rows = self.worst.iter().take(kept).map(Deviation::cells);
        let rows: Vec<[String; 6]> = std::iter::once(head).chain(rows).collect();
        write!(f, "{which}:")?;
        let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let widths: [usize; 6] = std::array::from_fn(width);
        for row in &rows {
            write!(f, "\n   ")?;
            for (cell, width) in row.iter().zip(widths) {
                write!(f, " {cell:>width$}")?;
            }
        }
        Ok(())
    }
}

impl Deviation {
    fn cells(&self) -> [String; 6] {
        [
            format!("{:?}", self.index),
            format!("{:e}", self.mine as f32),
            format!("{:.9e}", self.reference),
            format!("{:+.2e}", self.difference),
            format!("{:.1}", self.ulps),
            format!("{:.2e}", self.allowed),
        ]
    }
}
