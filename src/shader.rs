//! Shaders by concatenation: a variant is a list of pieces under a header of constants. The order of declarations in
//! a WGSL module is free, so a slot nobody fills is the compile error "no definition in scope", and one filled twice
//! is a "redefinition".

use crate::layout::Slot;
use crate::tensor::Dtype;

/// A file of `shaders/`, embedded. Those of `shaders/access` are written for any `OPERAND` and its `SLOT`, and serve every
/// operand: name and binding number are put in when a variant is composed, and for `OVER` the name of what goes over it.
#[derive(Clone, Copy, Debug)]
pub struct Piece {
    /// The path below `shaders/`.
    pub path: &'static str,
    pub text: &'static str,
    pub operand: Option<Slot>,
}

impl Piece {
    fn key(&self) -> (&'static str, Option<Slot>) {
        (self.path, self.operand)
    }

    /// The text, for its operand.
    fn written(&self) -> std::borrow::Cow<'static, str> {
        match self.operand {
            None => self.text.into(),
            Some(slot) => {
                let text = self
                    .text
                    .replace("OPERAND", slot.name())
                    .replace("OVER", slot.over().name());
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

/// Embeds `shaders/$path`; with a slot, a file of `shaders/access` for that operand.
macro_rules! piece {
    ($path:literal) => {
        $crate::shader::Piece {
            path: $path,
            text: include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/shaders/", $path)),
            operand: None,
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
}

/// What makes one pipeline: nothing that travels in the params is in here.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Variant {
    /// The pipeline's label: `cross_entropy/fused/f32/group8`.
    pub label: String,
    pub consts: Vec<Const>,
    pub pieces: Vec<Piece>,
}

/// A module's text, and where each of its lines came from.
pub struct Source {
    pub text: String,
    /// (first line of the module, counted from 1; path of the piece)
    pub lines: Vec<(usize, &'static str)>,
}

impl Source {
    /// `piece.wgsl:12` for a line of the module.
    pub fn locate(&self, line: usize) -> String {
        match self.lines.iter().rev().find(|(first, _)| *first <= line) {
            Some((first, path)) => format!("shaders/{path}:{}", line - first + 1),
            None => format!("header:{line}"),
        }
    }
}

impl Variant {
    /// Joins the header and the pieces.
    pub fn compose(&self) -> Source {
        let mut text = format!("// {}\n", self.label);
        for constant in &self.consts {
            text += &match constant {
                Const::U32(name, value) => format!("const {name}: u32 = {value}u;\n"),
                Const::Bool(name, value) => format!("const {name}: bool = {value};\n"),
            };
        }
        let mut lines = Vec::new();
        for piece in &self.pieces {
            text.push('\n');
            lines.push((text.lines().count() + 1, piece.path));
            text += &piece.written();
        }
        Source { text, lines }
    }
}

/// The pieces that more than one driver chooses from, by what they are chosen by.
pub(crate) mod pieces {
    use super::{Dtype, Piece, Slot};

    pub const MATH: Piece = piece!("piece/math.wgsl");
    pub const FAULT: Piece = piece!("piece/fault.wgsl");
    pub const TREE_WORKGROUP: Piece = piece!("piece/tree_workgroup.wgsl");
    pub const TREE_LANE: Piece = piece!("piece/tree_lane.wgsl");
    pub const SUM: Piece = piece!("monoid/sum.wgsl");
    pub const SCALE_STATIC: Piece = piece!("piece/scale_static.wgsl");
    pub const SCALE_COUNTED: Piece = piece!("piece/scale_counted.wgsl");

    /// Where an output goes.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Put {
        /// Into its memory.
        Write,
        /// On top of what its memory holds.
        Add,
    }

    /// An operand that is only read; `quads`: four at a time, aligned and whole.
    pub fn read(slot: Slot, dtype: Dtype, quads: bool) -> Piece {
        match (dtype.is_half(), quads) {
            (false, false) => piece!("access/read_f32.wgsl", slot),
            (false, true) => piece!("access/read_f32_x4.wgsl", slot),
            (true, false) => piece!("access/read_half.wgsl", slot),
            (true, true) => piece!("access/read_half_x4.wgsl", slot),
        }
    }

    /// An operand that was not given: 1 everywhere.
    pub fn one(slot: Slot) -> Piece {
        piece!("access/one.wgsl", slot)
    }

    /// An operand read one by one, or 1 where there is none.
    pub fn given(slot: Slot, dtype: Option<Dtype>) -> Piece {
        dtype.map_or(one(slot), |dtype| read(slot, dtype, false))
    }

    /// An output that is not wanted.
    pub fn skip(slot: Slot) -> Piece {
        piece!("access/skip.wgsl", slot)
    }

    /// An output.
    pub fn write(slot: Slot, dtype: Dtype, quads: bool, put: Put) -> Piece {
        match (put, dtype.is_half(), quads) {
            (Put::Write, false, false) => piece!("access/write_f32.wgsl", slot),
            (Put::Write, false, true) => piece!("access/write_f32_x4.wgsl", slot),
            (Put::Write, true, false) => piece!("access/write_half.wgsl", slot),
            (Put::Write, true, true) => piece!("access/write_half_x4.wgsl", slot),
            (Put::Add, false, false) => piece!("access/add_f32.wgsl", slot),
            (Put::Add, false, true) => piece!("access/add_f32_x4.wgsl", slot),
            (Put::Add, true, false) => piece!("access/add_half.wgsl", slot),
            (Put::Add, true, true) => piece!("access/add_half_x4.wgsl", slot),
        }
    }

    /// An operand over which [`Slot::over`] is written: its gradient, or itself anew.
    pub fn over(slot: Slot, dtype: Dtype, quads: bool) -> Piece {
        match (dtype.is_half(), quads) {
            (false, false) => piece!("access/over_f32.wgsl", slot),
            (false, true) => piece!("access/over_f32_x4.wgsl", slot),
            (true, false) => piece!("access/over_half.wgsl", slot),
            (true, true) => piece!("access/over_half_x4.wgsl", slot),
        }
    }

    /// How 16-bit floats become f32 and back; nothing where no operand has 16 bits.
    pub fn half(dtypes: impl IntoIterator<Item = Dtype>) -> &'static [Piece] {
        match dtypes.into_iter().find(|dtype| dtype.is_half()) {
            Some(Dtype::F16) => &[piece!("piece/half.wgsl"), piece!("piece/half_f16.wgsl")],
            Some(_) => &[piece!("piece/half.wgsl"), piece!("piece/half_bf16.wgsl")],
            None => &[],
        }
    }

    /// Class targets; every other dtype was refused when the problem was made.
    pub fn labels(dtype: Dtype) -> Piece {
        match dtype {
            Dtype::U8 => piece!("piece/labels_u8.wgsl"),
            Dtype::I32 => piece!("piece/labels_i32.wgsl"),
            Dtype::U32 => piece!("piece/labels_u32.wgsl"),
            _ => piece!("piece/labels_i64.wgsl"),
        }
    }
}
