//! A validated step of an optimizer: what a problem is to a loss.

use crate::scalars::Scalars;
use crate::shader::Piece;
use crate::view::View;
use crate::words::Role;

/// What an optimizer makes of its options at one step: shader and reference read the same.
#[derive(Clone, Debug)]
pub struct UpdateRule {
    /// The file of `shaders/update`.
    pub piece: Piece,
    /// Its constants: which options change code.
    pub flags: Vec<(&'static str, bool)>,
    pub scalars: Scalars,
    /// How many of [`Info::states`](crate::optim::Info::states) there have to be.
    pub states: usize,
}

/// What gradients go through on their way into a step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Gating {
    /// Nothing.
    #[default]
    Open,
    /// [`Role::Gate`], whose factor they are multiplied by, and which may keep the step from being taken.
    Gated,
    /// The same, and [`Role::Count`] counts the steps taken: its word `turn`, 0 or 1, is the count before this one. The
    /// state begins with the step that follows on `first` others; where it was there before, with none.
    Counted { turn: u32, first: u32 },
}

/// A validated step.
#[derive(Clone, Debug)]
pub struct Update {
    pub name: &'static str,
    pub rule: UpdateRule,
    pub param: View,
    /// None where what is updated is itself a gradient.
    pub grad: Option<View>,
    pub states: Vec<(Role, View)>,
    pub gating: Gating,
}
