//! What the reduce driver folds: the monoids of `shaders/state`, and the factor of a sum.

use crate::inspect::Check;
use crate::problem::Problem;
use crate::shader::{Const, Piece, piece, pieces};
use crate::words::{ReduceOp, Rule};

impl ReduceOp {
    pub(super) fn monoid(self) -> Monoid {
        match self {
            Self::Sum | Self::Mean => Monoid::SUM,
            Self::Max => Monoid::extreme(true, 8, &[piece!("state/extreme_value.wgsl")]),
            Self::Min => Monoid::extreme(false, 8, &[piece!("state/extreme_value.wgsl")]),
            Self::Argmax => Monoid::extreme(true, 20, EXTREME_INDEX),
            Self::LogSumExp => Monoid {
                state_bytes: 28,
                consts: vec![Const::Bool("WANTS_STATS", false)],
                pieces: &[piece!("state/softmax.wgsl"), piece!("state/logsumexp.wgsl")],
            },
        }
    }
}

/// A monoid of `shaders/state`: its pieces and the size of its `State`, which a test compares with the shader's.
#[derive(Clone, Debug)]
pub(crate) struct Monoid {
    pub state_bytes: u64,
    pub consts: Vec<Const>,
    pub pieces: &'static [Piece],
}

impl Monoid {
    pub const SUM: Self = Self {
        state_bytes: SUM_STATE_BYTES,
        consts: vec![],
        pieces: &[pieces::SUM],
    };
    pub const ONES: Self = Self {
        state_bytes: SUM_STATE_BYTES,
        consts: vec![],
        pieces: &[piece!("state/sum_ones.wgsl")],
    };

    /// Of the norm of this type, with its name.
    pub fn norm(norm_type: f64) -> (&'static str, Self) {
        let (name, kind) = match norm_type {
            f64::INFINITY => ("inf", 0),
            1.0 => ("1", 1),
            2.0 => ("2", 2),
            _ => ("p", 3),
        };
        let monoid = Self {
            state_bytes: 12,
            consts: vec![Const::U32("NORM", kind)],
            pieces: &[piece!("state/norm.wgsl")],
        };
        (name, monoid)
    }

    /// Of the values that break a check's rule.
    pub fn fault(check: &Check) -> Self {
        Self {
            state_bytes: FAULT_BYTES,
            consts: vec![nan_breaks(check)],
            pieces: match check.rule {
                Rule::Finite => const { &[rule(Rule::Finite), FAULT, FAULT_STATE] },
                Rule::UnitInterval => const { &[rule(Rule::UnitInterval), FAULT, FAULT_STATE] },
                Rule::NonNegative => const { &[rule(Rule::NonNegative), FAULT, FAULT_STATE] },
                Rule::Sign => const { &[rule(Rule::Sign), FAULT, FAULT_STATE] },
            },
        }
    }

    fn extreme(largest: bool, state_bytes: u64, pieces: &'static [Piece]) -> Self {
        Self {
            state_bytes,
            consts: vec![Const::Bool("LARGEST", largest)],
            pieces,
        }
    }
}

/// The factor of a sum.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Scale {
    Static(f32),
    /// One over the denominator in [`Role::Control`].
    Counted,
    /// One over the denominator of the z-loss there.
    CountedZ,
}

impl Scale {
    /// Of a problem's losses, or of its z-loss.
    pub fn of(problem: &Problem, z_loss: bool) -> Self {
        match (problem.is_counted(), z_loss) {
            (false, _) => Self::Static(problem.static_scale() as f32),
            (true, false) => Self::Counted,
            (true, true) => Self::CountedZ,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Static(_) => "",
            Self::Counted => "/counted",
            Self::CountedZ => "/counted_z",
        }
    }
}

const EXTREME_INDEX: &[Piece] = &[piece!("state/extreme.wgsl"), piece!("state/extreme_index.wgsl")];

pub(super) const FAULT: Piece = piece!("fault/fault.wgsl");
const FAULT_STATE: Piece = piece!("state/fault.wgsl");

/// The piece that tells what breaks a rule.
pub(super) const fn rule(rule: Rule) -> Piece {
    match rule {
        Rule::Finite => piece!("fault/rule.wgsl"; Const::U32("RULE", 0)),
        Rule::UnitInterval => piece!("fault/rule.wgsl"; Const::U32("RULE", 1)),
        Rule::NonNegative => piece!("fault/rule.wgsl"; Const::U32("RULE", 2)),
        Rule::Sign => piece!("fault/rule.wgsl"; Const::U32("RULE", 3)),
    }
}

pub(super) fn nan_breaks(check: &Check) -> Const {
    Const::Bool("NAN_BREAKS", check.refuses_nan)
}

/// Bytes of `Fault`.
pub(super) const FAULT_BYTES: u64 = size_of::<crate::layout::Fault>() as u64;
/// Bytes of `State` of `state/sum.wgsl`, which is what the tiles of the other drivers leave.
pub(crate) const SUM_STATE_BYTES: u64 = 4;
pub(super) const COUNT_STATE_BYTES: u64 = 32;
/// Words of `Control`.
pub(crate) const CONTROL_WORDS: u64 = size_of::<crate::layout::Control>() as u64 / 4;
