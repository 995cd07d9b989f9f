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

/// A validated step.
#[derive(Clone, Debug)]
pub struct Update {
    pub name: &'static str,
    pub rule: UpdateRule,
    pub param: View,
    pub grad: View,
    pub states: Vec<(Role, View)>,
}
