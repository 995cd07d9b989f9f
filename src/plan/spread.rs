//! How rows are spread over lanes and tiles: a matter of shape and tuning, never of limits (but for the width of a
//! workgroup, which longer rows need), nor of how tensors lie (but for rows with more than [`NEAR`] elements between them).
//! Whether gradients are wanted decides on packs side by side alone, which change no bits.

use crate::error::{Error, Result};
use crate::limits::{Limits, MAX_ITERATIONS};
use crate::plan::window::gcd;
use crate::problem::{Pairs, Problem, Rows, Targets};
use crate::tuning::{MAX_PACK, MAX_WIDTH, Tuning, row_iterations};

/// Rows of strided classes, but for strips, get one lane each up to this many classes: beyond it, a lane's loop would be long
/// and two slabs might not fit into one binding.
const MAX_STRIDED_LANE_COLS: usize = 4096;

/// Inner dimensions from this size on (of strips, all) are blocks of their own: tiles then never cross a slab, and the part of
/// the last tile that stays idle is small.
const MIN_BLOCK_ROWS: usize = 1024;

/// Rows of one lane each and of up to so many columns go quad by quad, longer ones in blocks of four quads.
pub const SHORT_COLS: usize = 32;

/// From so many classes on, packs of rows whose classes are not innermost stand side by side.
const MIN_STREAMS: usize = 8;

/// Quads of packs side by side, at most: 84 of them take llvmpipe three seconds to compile.
const MAX_QUADS: usize = 96;

/// Rows of a strip that are one quad of each column.
const STRIP_PACK: u32 = 4;

/// Elements of a tile of strips, at most: its rows have to fit into a binding.
const MAX_STRIP_TILE: u64 = 1 << 24;

/// Elements between one row and the next, at most, where lanes take several.
const NEAR: usize = 16_384;

/// Lanes take several rows where that leaves so many workgroups.
const MIN_TILES: u64 = 8;

/// Rows share a workgroup of several lanes each where that leaves so many: GPUs have dozens of processors.
const MIN_SHARED_TILES: u64 = 64;

/// Lanes take more than [`FEW_TURNS`] rows where that leaves so many workgroups, in each block of rows: the last of a block is
/// seldom full.
const MIN_LONG_TILES: u64 = 32;

/// A multiple of the rows of every pack.
const FEW_TURNS: u32 = MAX_PACK;

/// Invocations of a workgroup that gives each row one lane, at most.
const MAX_LANE_WIDTH: u32 = 64;

/// How a row is spread over lanes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spread {
    pub width: u32,
    pub lanes: u32,
    /// Rows that a lane takes one after the other.
    pub turns: u32,
    /// So many of them at once, in registers (`shaders/driver/pack.wgsl`, or some columns of them, `strip.wgsl`).
    pub pack: Option<u32>,
    /// Packs whose columns are read and written together, where they are whole quads of memory. It changes no bits: a lane's
    /// rows are the same, in the same order.
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

    fn of_lanes(tuning: &Tuning) -> Self {
        Self::new(tuning.width.min(MAX_LANE_WIDTH), 1)
    }

    pub fn rows_per_tile(self) -> u64 {
        u64::from(self.width / self.lanes * self.turns)
    }

    /// So many rows are enough for so many workgroups.
    fn fills(self, rows: u64, workgroups: u64) -> bool {
        rows >= workgroups * self.rows_per_tile()
    }

    /// Rows of up to so many columns are folded quad by quad.
    pub fn short_cols(self) -> usize {
        match self.lanes {
            1 => SHORT_COLS,
            lanes => 16 * lanes as usize - 1,
        }
    }

    /// Packs of rows that are longer than a lane's registers (`shaders/driver/strip.wgsl`).
    pub fn is_strip(self, cols: usize) -> bool {
        self.pack.is_some() && cols > SHORT_COLS
    }

    /// Loop iterations of one invocation. Of a pack, whose loops are written out, far more than there are; of a strip, two
    /// passes of quads, the first in runs of 16 and of 256.
    pub fn iterations(self, cols: usize, inner_loops: u64) -> u64 {
        if self.is_strip(cols) {
            let quads = cols.div_ceil(4) as u64;
            return u64::from(self.turns / (STRIP_PACK * self.packs)) * (2 * quads + quads / 16 + quads / 256 + 16);
        }
        if self.pack.is_some() {
            return u64::from(self.turns) * (4 * cols as u64 + 16);
        }
        u64::from(self.turns) * row_iterations(cols as u64, self.lanes, inner_loops)
    }

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
        let mut spread = Self::within(shared, rows.cols, lane_cols, rows.inner_loops, limits, tuning)?;
        // A tile stays within a slab.
        if spread.lanes == 1 && (is_near || rows.inner >= MIN_BLOCK_ROWS) {
            let pack = Self::pack_of(rows, tuning);
            let one = Self { pack, ..spread }.iterations(rows.cols, rows.inner_loops);
            let mut turns = tuning.lane_rows.min((MAX_ITERATIONS / (one + 1)) as u32);
            if is_near {
                turns = turns.min(tuning.tile / (spread.width * rows.cols.max(1) as u32));
            }
            let of_block = if is_near { rows.rows() } else { rows.inner as u64 };
            while turns > FEW_TURNS && !(Self { turns, ..spread }).fills(of_block, MIN_LONG_TILES) {
                turns = (turns / 2).max(FEW_TURNS);
            }
            let pack = pack.filter(|pack| turns >= *pack);
            turns -= turns % pack.unwrap_or(1);
            let packs = pack.map_or(1, |pack| Self::packs_of(problem, rows, pack, turns, tuning));
            let several = Self {
                turns,
                pack,
                packs,
                ..spread
            };
            if turns > 1 && several.fills(rows.rows(), MIN_TILES) {
                spread = several;
            }
        }
        Ok(spread)
    }

    /// Rows of class targets that are too long for packs and not innermost, where they fill workgroups and most of the last one of each
    /// slab.
    fn strip(rows: &Rows, tuning: &Tuning) -> Option<Self> {
        let has_classes = matches!(rows.targets, Targets::Index { .. }) && !rows.is_map();
        let is_read_twice = rows.cols > SHORT_COLS && rows.reads && rows.inner_loops == 0;
        if !has_classes || !is_read_twice || rows.inner == 1 || tuning.pack < STRIP_PACK {
            return None;
        }
        // Whole strips of any number of packs: where each allows as many turns, this number changes no bits.
        let mut turns = tuning.lane_rows / FEW_TURNS * FEW_TURNS;
        let of = |turns| Self {
            turns,
            pack: Some(STRIP_PACK),
            packs: tuning.pack / STRIP_PACK,
            ..Self::of_lanes(tuning)
        };
        let is_long = |turns| of(turns).iterations(rows.cols, 0) >= MAX_ITERATIONS;
        while turns > FEW_TURNS && (is_long(turns) || !of(turns).fills(rows.inner as u64, MIN_LONG_TILES)) {
            turns = (turns / 2 / FEW_TURNS * FEW_TURNS).max(FEW_TURNS);
        }
        let (inner, per_tile) = (rows.inner as u64, of(turns).rows_per_tile());
        if turns == 0 || is_long(turns) || per_tile * rows.cols as u64 > MAX_STRIP_TILE {
            return None;
        }
        // Little of the last tile of a slab is idle.
        let is_snug = inner.next_multiple_of(per_tile) <= inner + inner / 4;
        (is_snug && of(turns).fills(rows.rows(), MIN_TILES)).then(|| of(turns))
    }

    /// Short rows that are whole quads of memory together: those of ten classes two by two, or, where the classes are not
    /// innermost, four beside each other. Where these are more than the tuning says, and beside other operands and outputs of the
    /// input's shape, each is alone: compilers take seconds for four rows of them.
    fn pack_of(rows: &Rows, tuning: &Tuning) -> Option<u32> {
        if rows.cols == 0 || rows.cols > SHORT_COLS || rows.inner_loops > 0 {
            return None;
        }
        if rows.is_map() || matches!(rows.targets, Targets::Full | Targets::ClassList) {
            return Some(1);
        }
        let pack = match (rows.inner, rows.cols % 4) {
            (1, 0) => 1,
            (1, 2) => 2,
            _ => 4,
        };
        Some(if pack <= tuning.pack { pack } else { 1 })
    }

    /// Rows of many classes that are not innermost, and their gradients, lie in so many streams that memory is slow unless
    /// each is read and written in runs of some length.
    fn packs_of(problem: &Problem, rows: &Rows, pack: u32, turns: u32, tuning: &Tuning) -> u32 {
        let is_crosswise = rows.inner > 1 && pack > 1;
        let are_many = rows.cols >= MIN_STREAMS && problem.mode.wants_grad();
        // A weight read for every column, beside so many registers, takes llvmpipe's compiler minutes.
        if !is_crosswise || !are_many || rows.weighs_columns {
            return 1;
        }
        let mut packs = tuning.pack / pack;
        while packs > 1 && (packs as usize * rows.cols > MAX_QUADS || !turns.is_multiple_of(packs * pack)) {
            packs /= 2;
        }
        packs
    }

    /// For contiguous rows of several tensors.
    pub fn of_pairs(problem: &Problem, pairs: &Pairs, limits: &Limits, tuning: &Tuning) -> Result<Self> {
        let rows = pairs.rows as u64;
        let shared = if is_near(problem) { rows } else { 0 };
        Self::within(shared, pairs.cols, Self::lane_cols(rows, tuning), 0, limits, tuning)
    }

    /// Contiguous rows of up to so many columns get one lane each: short ones, and longer ones where they fill the adapter.
    fn lane_cols(rows: u64, tuning: &Tuning) -> usize {
        let most = tuning.lane_cols as usize;
        if Self::of_lanes(tuning).fills(rows, MIN_TILES) {
            most
        } else {
            most.min(SHORT_COLS)
        }
    }

    /// Of `shared` rows that may share a workgroup of several lanes each.
    fn within(
        shared: u64,
        cols: usize,
        lane_cols: usize,
        inner_loops: u64,
        limits: &Limits,
        tuning: &Tuning,
    ) -> Result<Self> {
        let fits = |spread: Self| spread.iterations(cols, inner_loops) < MAX_ITERATIONS;
        let lane = Self::of_lanes(tuning);
        if cols <= lane_cols && fits(lane) {
            return Ok(lane);
        }
        let mut width = tuning.row_width;
        let several = Self::new(width, tuning.subgroup.min(width));
        let is_short = several.lanes > 1 && cols as u64 <= tuning.subgroup_cols;
        if is_short && several.fills(shared, MIN_SHARED_TILES) && fits(several) {
            return Ok(several);
        }
        loop {
            let spread = Self::new(width, width);
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
