//! Rows whose columns go in tiles to several workgroups, whichever way they lie (`wide`, `across`): the passes over them,
//! and what these hand on.

use super::{Full, RowsPlanner};
use crate::layout::Slot;
use crate::shader::{Piece, piece};

/// Bytes of `Opened` of `shaders/row/wide.wgsl`, and of its `Folded` and `Merged`.
pub(crate) const OPENED_BYTES: u64 = 32;
pub(super) const FOLDED_BYTES: u64 = 32;
pub(super) const MERGED_BYTES: u64 = 64;

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Pass {
    /// Looks up each row's label.
    Open,
    Fold,
    /// Its tiles are rows.
    Merge,
    /// Writes the columns of gradients or results.
    Put,
}

impl Pass {
    pub fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Fold => "fold",
            Self::Merge => "merge",
            Self::Put => "put",
        }
    }

    /// Opens rows, or takes those that were opened.
    pub fn opened(self) -> Piece {
        match self {
            Self::Open => piece!("row/wide_open.wgsl"),
            _ => piece!("row/wide_opened.wgsl"),
        }
    }
}

/// Loop iterations of the pass that merges so many states of each row: those of a lane, the runs of 16, the tree.
pub(super) fn merge_iterations(states: u64, width: u32) -> u64 {
    let of_lane = states.div_ceil(u64::from(width));
    of_lane + of_lane.div_ceil(16) + 16
}

impl RowsPlanner<'_> {
    /// What makes a row's loss of its state; `keeps`: a last pass needs what the row came to.
    pub(super) fn merge_pieces(&self, keeps: bool, full: &[Full], losses: Vec<Piece>) -> Vec<Piece> {
        let mut list = vec![self.scale(), self.read(Slot::SampleWeight, full, false)];
        list.extend(losses);
        list.extend(keeps.then(|| piece!("row/wide_keep.wgsl")));
        list
    }
}
