//! What serves adapters that are the processor alone: a lane takes several rows in turn, short ones in packs, columns
//! of long ones in strips (`shaders/software`). The tunings of GPUs give a lane one row, so none of it is in their
//! plans. Kept and tested, no longer grown; benches/NOTES.md says what chose the numbers.

use super::spread::{MIN_TILES, SHORT_COLS, Spread};
use crate::limits::MAX_ITERATIONS;
use crate::problem::{Problem, Rows, Targets};
use crate::tuning::{MAX_PACK, Tuning};

/// From so many classes on, packs of rows whose classes are not innermost stand side by side.
const MIN_STREAMS: usize = 8;

/// Quads of packs side by side, at most: 84 of them take llvmpipe three seconds to compile.
const MAX_QUADS: usize = 96;

/// Rows of a strip that are one quad of each column.
const STRIP_PACK: u32 = 4;

/// Elements of a tile of strips, at most: its rows have to fit into a binding.
const MAX_STRIP_TILE: u64 = 1 << 24;

/// Lanes take more than [`FEW_TURNS`] rows where that leaves so many workgroups, in each block of rows: the last of a
/// block is seldom full.
const MIN_LONG_TILES: u64 = 32;

/// A multiple of the rows of every pack.
const FEW_TURNS: u32 = MAX_PACK;

impl Spread {
    /// Packs of rows that are longer than a lane's registers (`shaders/software/strip.wgsl`).
    pub fn is_strip(self, cols: usize) -> bool {
        self.pack.is_some() && cols > SHORT_COLS
    }

    /// Loop iterations of one invocation that takes packs, whose loops are written out: far more than there are. Of a
    /// strip, two passes of quads, the first in runs of 16 and of 256.
    pub(super) fn pack_iterations(self, cols: usize) -> Option<u64> {
        let turns = u64::from(self.turns);
        let quads = cols.div_ceil(4) as u64;
        let of_strip = 2 * quads + quads / 16 + quads / 256 + 16;
        match self.pack? {
            _ if self.is_strip(cols) => Some(turns / u64::from(STRIP_PACK * self.packs) * of_strip),
            _ => Some(turns * (4 * cols as u64 + 16)),
        }
    }

    /// Several rows to a lane, of a spread that gives each row one lane, where enough workgroups are left.
    pub(super) fn several(self, problem: &Problem, rows: &Rows, is_near: bool, tuning: &Tuning) -> Option<Self> {
        let pack = Self::pack_of(rows, tuning);
        let one = Self { pack, ..self }.iterations(rows.cols, rows.inner_loops);
        let mut turns = tuning.lane_rows.min((MAX_ITERATIONS / (one + 1)) as u32);
        if is_near {
            turns = turns.min(tuning.tile / (self.width * rows.cols.max(1) as u32));
        }
        let of_block = if is_near { rows.rows() } else { rows.inner as u64 };
        while turns > FEW_TURNS && !(Self { turns, ..self }).fills(of_block, MIN_LONG_TILES) {
            turns = (turns / 2).max(FEW_TURNS);
        }
        let pack = pack.filter(|pack| turns >= *pack);
        turns -= turns % pack.unwrap_or(1);
        let packs = pack.map_or(1, |pack| Self::packs_of(problem, rows, pack, turns, tuning));
        let several = Self {
            turns,
            pack,
            packs,
            ..self
        };
        (turns > 1 && several.fills(rows.rows(), MIN_TILES)).then_some(several)
    }

    /// Rows of class targets that are too long for packs and not innermost, where they fill workgroups and most of the
    /// last one of each slab.
    pub(super) fn strip(rows: &Rows, tuning: &Tuning) -> Option<Self> {
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

    /// Short rows that are whole quads of memory together: those of ten classes two by two, or, where the classes are
    /// not innermost, four beside each other. Where these are more than the tuning says, and beside other operands and
    /// outputs of the input's shape, each is alone: compilers take seconds for four rows of them.
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

    /// Rows of many classes that are not innermost, and their gradients, lie in so many streams that memory is slow
    /// unless each is read and written in runs of some length.
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
}
