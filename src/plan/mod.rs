//! Problem and limits become dispatches: pure arithmetic, no device.
//!
//! A plan cuts the work at tiles whose size no limit changes, so that the cut never changes bits: a chunk is a run of
//! whole tiles whose windows fit into bindings.
//!
//! Not promised by semver.

mod axis;
mod broadcast;
mod column_sums;
mod columns;
mod copy;
mod elements;
mod filter;
mod gate;
mod gather;
mod inspect;
mod labels;
mod monoid;
mod multiply;
mod naive;
mod order;
mod pairs;
pub(crate) mod parts;
mod pass;
mod probe;
mod product;
mod reduce;
mod rounded;
mod rows;
mod scattered;
pub(crate) mod sharing;
mod software;
mod spread;
mod tree;
mod update;
mod window;
mod work;

use crate::error::Result;
use crate::layout::Slot;
use crate::limits::Limits;
use crate::problem::{Family, Problem};
use crate::shader::Variant;
use crate::tuning::Tuning;
use crate::words::Role;

pub(crate) use broadcast::smallest_tile;
pub use copy::plan_copy;
pub use gate::{plan_gate, plan_norm, plan_rescale};
pub use gather::plan_gather;
pub(crate) use monoid::CONTROL_WORDS;
pub use multiply::plan_multiply;
pub use naive::plan_naive;
pub use parts::{Course, Known, Parts};
pub use probe::{PROBE_WORDS, Probe, Question, probes};
pub use product::plan_product;
pub use reduce::plan_reduce;
pub(crate) use rows::{Across, Wide};
pub(crate) use scattered::folds;
pub(crate) use spread::{SHORT_COLS, Spread};
pub use update::plan_update;
pub use work::{Moved, Takes, Work};

/// Where the memory of a binding or a copy comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Origin {
    /// An operand or output of the problem.
    Tensor(Role),
    /// A scratch buffer, by its index in [`Plan::scratch`].
    Scratch(usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Binding {
    pub slot: Slot,
    pub source: Origin,
    pub offset: u64,
    pub size: u64,
    /// The bytes of its own elements within that, from the start of the tensor's memory.
    pub own: (u64, u64),
    /// Bytes that the dispatch reads or writes there, and those that are brought together for it.
    pub touched: u64,
    /// Those that are brought together, of `touched`.
    pub moved: u64,
    /// Bytes of one element.
    pub element: u64,
    /// The shader writes it.
    pub written: bool,
}

/// One dispatch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dispatch {
    pub variant: Variant,
    pub params: Vec<u8>,
    pub bindings: Vec<Binding>,
    pub groups: [u32; 2],
    /// Loop iterations of its longest invocation.
    pub iterations: u64,
    /// The tiles it folds.
    pub tiles: (u64, u64),
    /// Of a product.
    pub multiply_adds: u64,
}

/// Multiply-adds that take as long as a byte does, on an adapter whose arithmetic is slow beside its memory: what a
/// dispatch or a submission may take is counted in bytes.
pub(crate) const MULTIPLY_ADDS_PER_BYTE: u64 = 4;

/// One copy between buffers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BufferCopy {
    pub from: Origin,
    pub from_offset: u64,
    pub to: Origin,
    pub to_offset: u64,
    pub size: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    Dispatch(Box<Dispatch>),
    Copy(BufferCopy),
}

impl Step {
    /// The bytes that it touches, or as many as would take as long as its multiply-adds.
    pub(crate) fn bytes(&self) -> u64 {
        match self {
            Self::Dispatch(dispatch) => {
                let of = |binding: &Binding| binding.touched * moves(binding.slot);
                let touched: u64 = dispatch.bindings.iter().map(of).sum();
                touched.max(dispatch.multiply_adds / MULTIPLY_ADDS_PER_BYTE)
            }
            Self::Copy(copy) => 2 * copy.size,
        }
    }
}

/// How often a kernel moves an element of an operand.
fn moves(slot: Slot) -> u64 {
    1 + u64::from(slot.is_renewed())
}

/// Steps in order, and the scratch they need.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    pub steps: Vec<Step>,
    /// Bytes of each scratch buffer.
    pub scratch: Vec<u64>,
}

impl Plan {
    pub fn dispatches(&self) -> impl Iterator<Item = &Dispatch> {
        self.steps.iter().filter_map(|step| match step {
            Step::Dispatch(dispatch) => Some(dispatch.as_ref()),
            Step::Copy(_) => None,
        })
    }

    /// What one invocation does, on records.
    fn of_one_invocation(variant: Variant, params: &[u8], bindings: Vec<Binding>) -> Self {
        let dispatch = Dispatch {
            variant,
            params: params.to_vec(),
            bindings,
            groups: [1, 1],
            iterations: 0,
            tiles: (0, 1),
            multiply_adds: 0,
        };
        Self {
            steps: vec![Step::Dispatch(Box::new(dispatch))],
            scratch: Vec::new(),
        }
    }

    /// Appends the steps of a plan whose tensors lie where `place` says.
    pub(crate) fn append(&mut self, part: Plan, place: impl Fn(Role) -> Origin) {
        let offset = self.scratch.len();
        self.scratch.extend(part.scratch);
        let moved = |source: &mut Origin| {
            *source = match *source {
                Origin::Tensor(role) => place(role),
                Origin::Scratch(index) => Origin::Scratch(index + offset),
            };
        };
        for mut step in part.steps {
            match &mut step {
                Step::Dispatch(dispatch) => dispatch
                    .bindings
                    .iter_mut()
                    .for_each(|binding| moved(&mut binding.source)),
                Step::Copy(copy) => {
                    moved(&mut copy.from);
                    moved(&mut copy.to);
                }
            }
            self.steps.push(step);
        }
    }

    pub(crate) fn add_scratch(&mut self, bytes: u64) -> Origin {
        self.scratch.push(bytes.max(32));
        Origin::Scratch(self.scratch.len() - 1)
    }
}

/// Plans a problem.
///
/// # Errors
/// [`Error::Limit`](crate::Error::Limit) where no splitting helps: a row that is not wide or a broadcast operand,
/// larger than one binding.
pub fn plan(problem: &Problem, limits: &Limits, tuning: &Tuning) -> Result<Plan> {
    let mut all = Plan::default();
    inspect::add_passes(&mut all, problem, limits, tuning)?;
    let own = match &problem.family {
        Family::Rows(family) => rows::plan(problem, family, limits, tuning),
        Family::Elements(family) => elements::plan(problem, family, limits, tuning),
        Family::Pairs(family) => pairs::plan(problem, family, limits, tuning),
    }?;
    all.append(own, Origin::Tensor);
    Ok(all)
}

/// Plans what class targets and the weights of rows add up to, alone.
pub(crate) fn plan_count(problem: &Problem, limits: &Limits, tuning: &Tuning) -> Result<Plan> {
    let mut plan = Plan::default();
    if let Some(rows) = problem.rows() {
        labels::add_count(&mut plan, problem, rows, None, limits, tuning)?;
    }
    Ok(plan)
}

/// Whether one dispatch can have that many workgroups.
pub(crate) fn in_one_grid(tiles: u64, limits: &Limits) -> bool {
    tiles <= u64::from(limits.max_groups) * u64::from(limits.max_groups)
}

/// The grid of `tiles` workgroups, which fit into one: along x as far as the limit lets, then along y.
pub(crate) fn grid(tiles: u64, limits: &Limits) -> [u32; 2] {
    let x = tiles.min(u64::from(limits.max_groups)).max(1);
    [x as u32, tiles.div_ceil(x).max(1) as u32]
}

/// The largest `end` in `first + 1 ..= last` for which `fits(end)` holds, for a condition that only gets harder.
pub(crate) fn furthest(first: u64, last: u64, fits: impl Fn(u64) -> bool) -> Option<u64> {
    if !fits(first + 1) {
        return None;
    }
    let (mut good, mut bad) = (first + 1, last + 1);
    while bad - good > 1 {
        let middle = good + (bad - good) / 2;
        if fits(middle) {
            good = middle;
        } else {
            bad = middle;
        }
    }
    Some(good)
}

/// Where a part that can go as far as `end` ends: in the middle where the tiles left up to `last` are too few for a
/// GPU, and half of all are not.
pub(crate) fn balanced(first: u64, end: u64, last: u64, tuning: &Tuning) -> u64 {
    let (left, all, enough) = (last - end, last - first, u64::from(tuning.workgroups));
    if left > 0 && left < enough && all >= 2 * enough {
        first + all.div_ceil(2)
    } else {
        end
    }
}

/// A part of a pipeline label, with the slash behind it.
pub(crate) fn named(kind: &str) -> String {
    if kind.is_empty() {
        String::new()
    } else {
        format!("{kind}/")
    }
}
