//! Shaders by concatenation: a variant is a list of pieces under a header of constants. The order of declarations in
//! a WGSL module is free, so a slot nobody fills is the compile error "no definition in scope", and one filled twice
//! is a "redefinition".

use crate::tensor::Dtype;

/// A file of `shaders/`, embedded.
#[derive(Clone, Copy, Debug)]
pub struct Piece {
    /// The path below `shaders/`.
    pub path: &'static str,
    pub text: &'static str,
}

impl PartialEq for Piece {
    fn eq(&self, other: &Self) -> bool {
        self.path == other.path
    }
}

impl Eq for Piece {}

impl std::hash::Hash for Piece {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.path.hash(state);
    }
}

/// Embeds `shaders/$path`.
macro_rules! piece {
    ($path:literal) => {
        $crate::shader::Piece {
            path: $path,
            text: include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/shaders/", $path)),
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
            text += piece.text;
        }
        Source { text, lines }
    }
}

/// The pieces that more than one driver chooses from, by what they are chosen by.
pub(crate) mod pieces {
    use super::{Dtype, Piece};

    pub const MATH: Piece = piece!("piece/math.wgsl");
    pub const FAULT: Piece = piece!("piece/fault.wgsl");
    pub const TREE_WORKGROUP: Piece = piece!("piece/tree_workgroup.wgsl");
    pub const SUM: Piece = piece!("monoid/sum.wgsl");
    pub const SCALE_STATIC: Piece = piece!("piece/scale_static.wgsl");
    pub const SCALE_COUNTED: Piece = piece!("piece/scale_counted.wgsl");
    pub const GRAD_INPUT_SKIP: Piece = piece!("piece/grad_input_skip.wgsl");

    /// How operands of the input's shape are read and written.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Access {
        /// Four elements at a time.
        pub quads: bool,
        /// The gradient goes over the input.
        pub in_place: bool,
    }

    /// The binding of the input and the functions that read it.
    pub fn input(access: Access) -> [Piece; 2] {
        match (access.quads, access.in_place) {
            (false, false) => [piece!("piece/bind_input_f32.wgsl"), piece!("piece/input_f32.wgsl")],
            (true, false) => [
                piece!("piece/bind_input_f32_x4.wgsl"),
                piece!("piece/input_f32_x4.wgsl"),
            ],
            (false, true) => [
                piece!("piece/bind_input_in_place_f32.wgsl"),
                piece!("piece/input_f32.wgsl"),
            ],
            (true, true) => [
                piece!("piece/bind_input_in_place_f32_x4.wgsl"),
                piece!("piece/input_f32_x4.wgsl"),
            ],
        }
    }

    /// A target of the input's shape.
    pub fn targets(access: Access) -> Piece {
        if access.quads {
            piece!("piece/targets_f32_x4.wgsl")
        } else {
            piece!("piece/targets_f32.wgsl")
        }
    }

    pub fn grad_input(access: Access) -> Piece {
        match (access.quads, access.in_place) {
            (false, false) => piece!("piece/grad_input_f32.wgsl"),
            (true, false) => piece!("piece/grad_input_f32_x4.wgsl"),
            (false, true) => piece!("piece/grad_in_place_f32.wgsl"),
            (true, true) => piece!("piece/grad_in_place_f32_x4.wgsl"),
        }
    }

    /// Class targets; every other dtype was refused when the problem was made.
    pub fn labels(dtype: Dtype) -> Piece {
        match dtype {
            Dtype::I32 => piece!("piece/labels_i32.wgsl"),
            Dtype::U32 => piece!("piece/labels_u32.wgsl"),
            Dtype::I64 | Dtype::F32 => piece!("piece/labels_i64.wgsl"),
        }
    }

    pub fn class_weight(given: bool) -> Piece {
        if given {
            piece!("piece/class_weight_buffer.wgsl")
        } else {
            piece!("piece/class_weight_one.wgsl")
        }
    }
}
