//! The pieces that more than one driver chooses from, by what they are chosen by.

use super::{Const, Piece, piece};
use crate::dtype::Dtype;
use crate::layout::Slot;
use crate::limits::Limits;

pub const PARAMS: Piece = piece!("params/uniforms.wgsl");
pub const MATH: Piece = piece!("math/math.wgsl");
/// What fast math must not see through.
pub const GUARD: Piece = piece!("math/guard.wgsl");
pub const CLASSIFY: Piece = piece!("labels/classify.wgsl");
pub const CLASS_WEIGHT: Piece = piece!("labels/weight.wgsl");
pub const OUTCOME: Piece = piece!("outcome/row.wgsl");
pub const SUM: Piece = piece!("state/sum.wgsl");
pub const SCALE_STATIC: Piece = piece!("total/scale_static.wgsl");
pub const SCALE_COUNTED: Piece = piece!("total/scale_counted.wgsl"; Const::U32("FACTOR", 0));
/// The factor of the z-loss by itself.
pub const SCALE_COUNTED_Z: Piece = piece!("total/scale_counted.wgsl"; Const::U32("FACTOR", 8));

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

/// An operand that was not given, or an output that is not wanted.
pub fn absent(slot: Slot) -> Piece {
    piece!("access/absent.wgsl", slot)
}

/// How operands are read of which there may be 16-bit floats of both kinds: then `half` converts f16, and operands of
/// bf16 convert themselves.
#[derive(Clone, Copy, Debug)]
pub struct Reads {
    is_mixed: bool,
}

impl Reads {
    /// Of a kernel with operands of these dtypes.
    pub fn of(dtypes: impl IntoIterator<Item = Dtype>) -> Self {
        let mut seen = [false; 2];
        for dtype in dtypes {
            seen[0] |= dtype == Dtype::F16;
            seen[1] |= dtype == Dtype::Bf16;
        }
        Self {
            is_mixed: seen == [true; 2],
        }
    }

    pub fn read(self, slot: Slot, dtype: Dtype, quads: bool) -> Piece {
        match (self.is_mixed && dtype == Dtype::Bf16, quads) {
            (true, false) => piece!("access/read_bf16.wgsl", slot),
            (true, true) => piece!("access/read_bf16_x4.wgsl", slot),
            (false, _) => read(slot, dtype, quads),
        }
    }

    pub fn given(self, slot: Slot, dtype: Option<Dtype>) -> Piece {
        dtype.map_or(absent(slot), |dtype| self.read(slot, dtype, false))
    }
}

/// An operand read one by one, or 1 where there is none.
pub fn given(slot: Slot, dtype: Option<Dtype>) -> Piece {
    dtype.map_or(absent(slot), |dtype| read(slot, dtype, false))
}

/// An output.
pub fn write(slot: Slot, dtype: Dtype, quads: bool, put: Put) -> Piece {
    let file = match (dtype.is_half(), quads) {
        (false, false) => piece!("access/write_f32.wgsl", slot),
        (false, true) => piece!("access/write_f32_x4.wgsl", slot),
        (true, false) => piece!("access/write_half.wgsl", slot),
        (true, true) => piece!("access/write_half_x4.wgsl", slot),
    };
    let consts: &'static [Const] = match put {
        Put::Write => &[Const::Bool("ADDS_OPERAND", false)],
        Put::Add => &[Const::Bool("ADDS_OPERAND", true)],
    };
    Piece { consts, ..file }
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

/// The constants of 16-bit floats: which ones they are, and whether WGSL's own functions convert them.
macro_rules! halves {
    ($bf16:literal, $unpacks:literal, $packs:literal) => {
        &[
            Const::Bool("BF16", $bf16),
            Const::Bool("UNPACKS_F16", $unpacks),
            Const::Bool("PACKS_F16", $packs),
        ]
    };
}

/// How 16-bit floats become f32 and back; nothing where no operand has 16 bits. Where they are of both kinds, this is
/// of f16 ([`Reads`]).
pub fn half(dtypes: impl IntoIterator<Item = Dtype>, limits: &Limits) -> Option<Piece> {
    let mut halves = dtypes.into_iter().filter(|dtype| dtype.is_half());
    let first = halves.next()?;
    let half = halves.find(|&own| own == Dtype::F16).unwrap_or(first);
    let consts: &'static [Const] = match (half, limits.unpacks_f16, limits.packs_f16) {
        (Dtype::F16, false, false) => halves!(false, false, false),
        (Dtype::F16, false, true) => halves!(false, false, true),
        (Dtype::F16, true, false) => halves!(false, true, false),
        (Dtype::F16, true, true) => halves!(false, true, true),
        _ => halves!(true, false, false),
    };
    Some(Piece {
        consts,
        ..piece!("math/half.wgsl")
    })
}

/// Class targets; every other dtype was refused when the problem was made.
pub fn labels(dtype: Dtype) -> Piece {
    match dtype {
        Dtype::U8 => piece!("labels/words.wgsl"; Const::Bool("BYTES", true), Const::Bool("SIGNED", false)),
        Dtype::I32 => piece!("labels/words.wgsl"; Const::Bool("BYTES", false), Const::Bool("SIGNED", true)),
        Dtype::U32 => piece!("labels/words.wgsl"; Const::Bool("BYTES", false), Const::Bool("SIGNED", false)),
        _ => piece!("labels/i64.wgsl"),
    }
}
