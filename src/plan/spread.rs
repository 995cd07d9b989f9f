//! How rows are spread over lanes and tiles: a matter of shape and tuning, never of limits (but for the width of a
//! workgroup, which longer rows need), nor of how tensors lie (but for rows with more than [`NEAR`] elements between them).

use crate::error::{Error, Result};
use crate::limits::{Limits, MAX_ITERATIONS};
use crate::problem::{Problem, Rows};
use crate::tuning::Tuning;

/// Rows of strided classes get one lane each up to this many classes: beyond it, a lane's loop would be long and two
/// slabs might not fit into one binding.
pub const MAX_STRIDED_LANE_COLS: usize = 4096;

/// Inner dimensions from this size on are blocks of their own: tiles then never cross a slab, and the part of the last
/// tile that stays idle is small.
const MIN_BLOCK_ROWS: usize = 1024;

/// Rows of one lane each and of up to so many columns go quad by quad, longer ones in blocks of four quads.
pub const SHORT_COLS: usize = 32;

/// Elements between one row and the next, at most, where lanes take several.
const NEAR: usize = 16_384;

/// Lanes take several rows where that leaves so many workgroups.
const MIN_TILES: u64 = 8;

/// Wider workgroups would not hold their states in 16 KiB of workgroup memory, WebGPU's default.
pub const MAX_WIDTH: u32 = 256;

/// How a row is spread over lanes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spread {
    pub width: u32,
    pub lanes: u32,
    /// Rows that a lane takes one after the other.
    pub turns: u32,
}

impl Spread {
    pub fn rows_per_tile(self) -> u64 {
        u64::from(self.width / self.lanes * self.turns)
    }

    /// Rows of up to so many columns are folded quad by quad.
    pub fn short_cols(self) -> usize {
        match self.lanes {
            1 => SHORT_COLS,
            lanes => 16 * lanes as usize - 1,
        }
    }

    /// Loop iterations of one invocation: two passes of blocks of four quads, the first in runs of 16 blocks, up to five
    /// quads behind each, what the loss loops itself for each quad, the tree.
    pub fn iterations(self, cols: usize, inner_loops: u64) -> u64 {
        let blocks = cols as u64 / (16 * u64::from(self.lanes)) + 5;
        // A software adapter counts loops in branches it does not take: four quads of a block and one behind, each pass.
        u64::from(self.turns) * (2 * blocks + blocks / 16 + 2 * 6 * blocks * inner_loops + 16)
    }

    pub fn choose(problem: &Problem, rows: &Rows, limits: &Limits, tuning: &Tuning) -> Result<Self> {
        let lane_cols = if rows.inner == 1 {
            tuning.lane_cols as usize
        } else {
            MAX_STRIDED_LANE_COLS
        };
        let mut spread = Self::within(rows.cols, lane_cols, rows.inner_loops, limits, tuning)?;
        // A tile stays within a slab, and rows far apart stay in small tiles: those of a workgroup have to fit into a binding.
        let is_near = rows.inner == 1 && problem.widest_gap() <= NEAR || rows.inner >= MIN_BLOCK_ROWS;
        if spread.lanes == 1 && is_near {
            let one = spread.iterations(rows.cols, rows.inner_loops);
            let turns = tuning.lane_rows.min((MAX_ITERATIONS / (one + 1)) as u32);
            if turns > 1 && rows.rows() >= MIN_TILES * spread.rows_per_tile() * u64::from(turns) {
                spread.turns = turns;
            }
        }
        Ok(spread)
    }

    /// For contiguous rows.
    pub fn of_rows(cols: usize, limits: &Limits, tuning: &Tuning) -> Result<Self> {
        Self::within(cols, tuning.lane_cols as usize, 0, limits, tuning)
    }

    fn within(cols: usize, lane_cols: usize, inner_loops: u64, limits: &Limits, tuning: &Tuning) -> Result<Self> {
        let fits = |spread: Self| spread.iterations(cols, inner_loops) < MAX_ITERATIONS;
        let lane = Self {
            width: tuning.width.min(64),
            lanes: 1,
            turns: 1,
        };
        if cols <= lane_cols && fits(lane) {
            return Ok(lane);
        }
        let mut width = tuning.row_width;
        loop {
            let spread = Self {
                width,
                lanes: width,
                turns: 1,
            };
            if fits(spread) {
                return Ok(spread);
            }
            width *= 2;
            if width > limits.max_width.min(MAX_WIDTH) {
                return Err(Error::Limit(format!("{cols} columns in one row")));
            }
        }
    }
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
        let block_rows = if rows.inner >= MIN_BLOCK_ROWS && per_tile > 1 {
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

    /// The first row of a tile.
    pub fn row(&self, tile: u64) -> u64 {
        let within = (tile % self.block_tiles * self.per_tile).min(self.block_rows);
        (tile / self.block_tiles * self.block_rows + within).min(self.rows)
    }
}
