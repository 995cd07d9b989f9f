//! Rows whose columns go in tiles to several workgroups, whichever way they lie (`wide`, `across`): the passes over
//! them, and what these hand on.

use super::{Full, RowsPlanner};
use crate::layout::Slot;
use crate::shader::{Piece, piece};
use crate::tuning::{MAX_STATES, Tuning};

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

/// Columns of a tile: the most, or fewer, but for the least, so that `count` rows, or workgroups' worth of them, are
/// enough workgroups; or more, so that one of a later pass merges the states of a row. Quads stay whole.
pub(super) fn tile_of((most, least): (u64, u64), count: u64, cols: u64, workgroups: u64, tuning: &Tuning) -> u64 {
    let mut tile = most;
    while tile / 2 >= least && tile.is_multiple_of(8) && count * cols.div_ceil(tile) < workgroups {
        tile /= 2;
    }
    while tuning.workgroups > 0 && cols.div_ceil(tile) > u64::from(MAX_STATES) {
        tile *= 2;
    }
    tile
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
        list.extend(keeps.then_some(piece!("row/wide_keep.wgsl")));
        list
    }
}
