//! Shaders by concatenation: a variant is a list of pieces under a header of constants. The order of declarations in a
//! WGSL module is free, so a slot nobody fills is the compile error "no definition in scope", and one filled twice is a
//! "redefinition". A function under the line `// default` stands only where it is called and no other piece has one of
//! its name, like a method that a trait provides.
//!
//! Not promised by semver.

mod compose;
mod functions;
mod lanes;
pub(crate) mod pieces;
mod prune;
mod unroll;

pub use compose::{Segment, Source};

use crate::layout::Slot;

/// A file of `shaders/`, embedded. Those of `shaders/access` are written for any `OPERAND` and its `SLOT`, and serve
/// every operand: name and binding number are put in when a variant is composed, and for `OVER` the name of what goes
/// over it.
#[derive(Clone, Copy, Debug)]
pub struct Piece {
    /// The path below `shaders/`.
    pub path: &'static str,
    pub text: &'static str,
    pub operand: Option<Slot>,
    /// The constants that choose among what it does.
    pub consts: &'static [Const],
}

impl Piece {
    fn key(&self) -> (&'static str, Option<Slot>, &'static [Const]) {
        (self.path, self.operand, self.consts)
    }

    /// A text of the file, or the name of a constant, for its operand.
    fn for_operand(&self, text: &'static str) -> std::borrow::Cow<'static, str> {
        match self.operand {
            None => text.into(),
            Some(slot) => {
                let text = text.replace("OPERAND", slot.name()).replace("OVER", slot.over().name());
                text.replace("SLOT", &(slot as u32).to_string()).into()
            }
        }
    }
}

impl PartialEq for Piece {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Piece {}

impl std::hash::Hash for Piece {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.key().hash(state);
    }
}

/// Embeds `shaders/$path`; with a slot, a file of `shaders/access` for that operand; with constants, those that it asks
/// for.
macro_rules! piece {
    ($path:literal) => {
        $crate::shader::Piece {
            path: $path,
            text: include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/shaders/", $path)),
            operand: None,
            consts: &[],
        }
    };
    ($path:literal; $($const:expr),+) => {
        $crate::shader::Piece {
            consts: &[$($const),+],
            ..piece!($path)
        }
    };
    ($path:literal, $slot:expr; $($const:expr),+) => {
        $crate::shader::Piece {
            consts: &[$($const),+],
            ..piece!($path, $slot)
        }
    };
    ($path:literal, $slot:expr) => {
        $crate::shader::Piece {
            operand: Some($slot),
            ..piece!($path)
        }
    };
}
pub(crate) use piece;

/// A constant of the header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Const {
    U32(&'static str, u32),
    Bool(&'static str, bool),
    /// A function of no arguments that reads a number of the params: name and place.
    Scalar(&'static str, &'static str),
}

/// What makes one pipeline: nothing that travels in the params is in here.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Variant {
    /// The pipeline's label: `cross_entropy/fused/f32/group8`.
    pub label: String,
    pub consts: Vec<Const>,
    pub pieces: Vec<Piece>,
    /// Operands that are read alone, but bound `read_write`: they lie in a buffer that the shader writes to through
    /// another binding, and all bindings of such a buffer have to be writable.
    pub shared: Vec<Slot>,
}

impl Variant {
    /// The same with such operands.
    pub fn sharing(&self, slots: Vec<Slot>) -> Self {
        let names: Vec<_> = slots.iter().map(|slot| slot.name()).collect();
        Self {
            label: format!("{}/shared-{}", self.label, names.join("-")),
            shared: slots,
            ..self.clone()
        }
    }
}
