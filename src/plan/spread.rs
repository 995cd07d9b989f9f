//! How many lanes a row gets, and how many rows a tile: the order of sums, hence the bits, follows from both.
//!
//! Few classes, or classes that are not innermost, get one lane per row, and so do longer rows (`Tuning::lane_cols`)
//! where there are enough of them to fill the adapter; rows of middling length (`Tuning::subgroup_cols`) get one
//! subgroup each, several to a workgroup, where they are many; others get one workgroup per row. Rows of very many
//! columns are `rows/wide`.
//!
//! The shape of the rows and the tuning decide. Limits decide nothing, but for one case: a row too long for the lanes
//! of the tuning gets a wider workgroup, which the limits have to allow. Strides decide nothing either, but for one
//! case: rows with more than [`NEAR`] elements between them do not share tiles. Whether a gradient is wanted changes
//! how many packs of a lane are read side by side ([`software`](super::software)), and that changes no bits.

use crate::error::{Error, Result};
use crate::layout::Slot;
use crate::limits::{Limits, MAX_ITERATIONS};
use crate::plan::window::gcd;
use crate::problem::{Pairs, Problem, Rows, Targets};
use crate::tuning::{MAX_ROW_WIDTH, Tuning, row_iterations};

/// Rows of strided classes, but for strips, get one lane each up to this many classes: beyond it, a lane's loop would
/// be long and two slabs might not fit into one binding.
const MAX_STRIDED_LANE_COLS: usize = 4096;

/// Inner dimensions from this size on (of strips, all) are blocks of their own: tiles then never cross a slab, and the
/// part of the last tile that stays idle is small.
const MIN_BLOCK_ROWS: usize = 1024;

/// Rows of one lane each and of up to so many columns go quad by quad, longer ones in blocks of four quads.
pub const SHORT_COLS: usize = 32;

/// Elements between one row and the next, at most, where lanes take several.
const NEAR: usize = 16_384;

/// Lanes take several rows where that leaves so many workgroups.
pub(super) const MIN_TILES: u64 = 8;

/// Rows share a workgroup of several lanes each where that leaves so many: GPUs have dozens of processors.
const MIN_SHARED_TILES: u64 = 64;

/// Invocations of a workgroup that gives each row one lane, at most.
const MAX_LANE_WIDTH: u32 = 64;

/// Invocations of a workgroup that folds a row, where they are enough.
const ROW_WIDTH: u32 = 256;

/// How a row is spread over lanes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spread {
    pub width: u32,
    pub lanes: u32,
    /// Rows that a lane takes one after the other; more than one on adapters that are the processor alone (`software`).
    pub turns: u32,
    /// So many of them at once, in registers (`shaders/software`).
    pub pack: Option<u32>,
    /// Packs whose columns are read and written together, where they are whole quads of memory. It changes no bits: a
    /// lane's rows are the same, in the same order.
    pub packs: u32,
}

impl Spread {
    /// Rows of so many lanes in a workgroup, one after the other only where [`Spread::choose`] says so.
    pub fn new(width: u32, lanes: u32) -> Self {
        Self {
            width,
            lanes,
            turns: 1,
            pack: None,
            packs: 1,
        }
    }

    pub(super) fn of_lanes(tuning: &Tuning) -> Self {
        Self::new(tuning.width.min(MAX_LANE_WIDTH), 1)
    }

    pub fn rows_per_tile(self) -> u64 {
        u64::from(self.width / self.lanes * self.turns)
    }

    /// So many rows are enough for so many workgroups.
    pub(super) fn fills(self, rows: u64, workgroups: u64) -> bool {
        rows >= workgroups * self.rows_per_tile()
    }

    /// Rows of up to so many columns are folded quad by quad.
    pub fn short_cols(self) -> usize {
        match self.lanes {
            1 => SHORT_COLS,
            lanes => 16 * lanes as usize - 1,
        }
    }

    /// Loop iterations of one invocation.
    pub fn iterations(self, cols: usize, inner_loops: u64) -> u64 {
        let one_by_one = || u64::from(self.turns) * row_iterations(cols as u64, self.lanes, inner_loops);
        self.pack_iterations(cols).unwrap_or_else(one_by_one)
    }

    /// That of the rows of a problem.
    pub fn choose(problem: &Problem, rows: &Rows, limits: &Limits, tuning: &Tuning) -> Result<Self> {
        if let Some(strip) = Self::strip(rows, tuning) {
            return Ok(strip);
        }
        let is_near = rows.inner == 1 && is_near(problem);
        let lane_cols = match rows.inner {
            1 => Self::lane_cols(rows.rows(), tuning),
            _ => MAX_STRIDED_LANE_COLS,
        };
        let shared = if is_near { rows.rows() } else { 0 };
        let bytes = rows.rows() * rows.cols as u64 * column_bytes(problem, rows);
        let work = Work {
            shared,
            cols: rows.cols,
            inner_loops: rows.inner_loops,
            bytes,
        };
        let spread = Self::within(work, lane_cols, limits, tuning)?;
        // A tile stays within a slab.
        let takes_several = spread.lanes == 1 && (is_near || rows.inner >= MIN_BLOCK_ROWS);
        let several = takes_several.then(|| spread.several(problem, rows, is_near, tuning));
        Ok(several.flatten().unwrap_or(spread))
    }

    /// For contiguous rows of several tensors.
    pub fn of_pairs(problem: &Problem, pairs: &Pairs, limits: &Limits, tuning: &Tuning) -> Result<Self> {
        let rows = pairs.rows as u64;
        let shared = if is_near(problem) { rows } else { 0 };
        let whole = problem.operands.iter().filter(|own| own.slot != Slot::Target);
        let work = Work {
            shared,
            cols: pairs.cols,
            inner_loops: 0,
            // Operands, and a gradient of each.
            bytes: 2 * whole.map(|own| own.view.len() * own.view.dtype.bytes()).sum::<u64>(),
        };
        Self::within(work, Self::lane_cols(rows, tuning), limits, tuning)
    }

    /// Contiguous rows of up to so many columns get one lane each: short ones, and longer ones where they fill the
    /// adapter.
    fn lane_cols(rows: u64, tuning: &Tuning) -> usize {
        let most = tuning.lane_cols as usize;
        if Self::of_lanes(tuning).fills(rows, MIN_TILES) {
            most
        } else {
            most.min(SHORT_COLS)
        }
    }

    fn within(work: Work, lane_cols: usize, limits: &Limits, tuning: &Tuning) -> Result<Self> {
        let Work { cols, inner_loops, .. } = work;
        let fits = |spread: Self| spread.iterations(cols, inner_loops) < MAX_ITERATIONS;
        let lane = Self::of_lanes(tuning);
        if cols <= lane_cols && fits(lane) {
            return Ok(lane);
        }
        let mut width = Self::row_width(cols, tuning);
        let several = Self::new(width, tuning.subgroup.min(width));
        let is_short = several.lanes > 1 && cols as u64 <= tuning.subgroup_cols;
        let tiles = MIN_SHARED_TILES.max(tuning.workgroups_of(work.bytes));
        if is_short && several.fills(work.shared, tiles) && fits(several) {
            return Ok(several);
        }
        loop {
            let spread = Self::new(width, width);
            if fits(spread) {
                return Ok(spread);
            }
            width *= 2;
            if width > limits.max_width.min(MAX_ROW_WIDTH) {
                return Err(Error::Limit(format!("{cols} columns in one row")));
            }
        }
    }

    /// Invocations of a workgroup that has a row of so many columns to itself: those that hold it in their registers,
    /// or all where none do.
    fn row_width(cols: usize, tuning: &Tuning) -> u32 {
        let mut width = tuning.row_width.min(ROW_WIDTH);
        while width < tuning.row_width && cols > (4 * tuning.held * width) as usize {
            width *= 2;
        }
        width
    }

    /// That of the workgroups that fold tiles of columns.
    pub fn of_columns(tuning: &Tuning) -> Self {
        let width = tuning.row_width.min(ROW_WIDTH);
        Self::new(width, width)
    }
}

/// What a spread is chosen for.
#[derive(Clone, Copy)]
struct Work {
    /// Rows that may share a workgroup of several lanes each.
    shared: u64,
    cols: usize,
    /// What the loss loops itself for each quad.
    inner_loops: u64,
    /// What has to be moved.
    bytes: u64,
}

/// Bytes of one column of all operands of the input's shape, and of the gradients or results that go with them: as if
/// all were wanted, so that a loss is the same with its gradient and without.
pub(super) fn column_bytes(problem: &Problem, rows: &Rows) -> u64 {
    let input = problem.input().dtype.bytes();
    let target = match rows.targets {
        Targets::Full => problem.view(Slot::Target).map_or(0, |view| view.dtype.bytes()),
        _ => 0,
    };
    // A map has results, and an upstream gradient of any dtype, too.
    2 * (input + target) + if rows.is_map() { input + 4 } else { 0 }
}

/// Rows far apart stay in small tiles: those of a workgroup have to fit into a binding.
fn is_near(problem: &Problem) -> bool {
    problem.widest_gap() <= NEAR
}

/// How the rows of the problem lie in tiles.
#[derive(Clone, Copy, Debug)]
pub struct Tiles {
    pub rows: u64,
    pub per_tile: u64,
    pub block_rows: u64,
    pub block_tiles: u64,
    pub count: u64,
}

impl Tiles {
    pub fn new(rows: &Rows, spread: Spread) -> Self {
        let per_tile = spread.rows_per_tile();
        let is_block = rows.inner >= MIN_BLOCK_ROWS || spread.is_strip(rows.cols);
        let block_rows = if is_block && per_tile > 1 {
            rows.inner as u64
        } else {
            rows.rows()
        };
        let block_tiles = block_rows.div_ceil(per_tile);
        Self {
            rows: rows.rows(),
            per_tile,
            block_rows,
            block_tiles,
            count: rows.rows() / block_rows * block_tiles,
        }
    }

    /// Tiles from where one ends with a slab of so many rows to where the next does.
    pub fn per_slab_end(&self, inner: u64) -> u64 {
        if self.block_rows == inner {
            self.block_tiles
        } else {
            inner / gcd(inner, self.per_tile)
        }
    }

    /// The first row of a tile.
    pub fn row(&self, tile: u64) -> u64 {
        let within = (tile % self.block_tiles * self.per_tile).min(self.block_rows);
        (tile / self.block_tiles * self.block_rows + within).min(self.rows)
    }
}
