//! Tiles of products, and the dispatches that have as many as they can.

use super::operands::{Lies, Operands};
use crate::error::{Error, Result};
use crate::limits::{Limits, MAX_ITERATIONS};
use crate::plan::window::{Bound, Windows, bindings, can_be_bound, fit_together};
use crate::plan::{Dispatch, MULTIPLY_ADDS_PER_BYTE, furthest, grid};
use crate::shader::Variant;
use crate::tuning::Tuning;

/// A workgroup's share of a product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tile {
    pub lines: [u64; 2],
    /// Quads of the depth in workgroup memory at a time.
    pub(super) slab: u64,
    /// Quads of columns of a lane, which has two of rows.
    pub(super) across: u32,
    pub width: u32,
}

/// Quads of rows of a lane.
pub(super) const DOWN: u32 = 2;

/// Tiles that lie one below the other before the next one to the right.
pub(super) const TURN: u64 = 8;

/// 16 KiB of workgroup memory, WebGPU's default, and 64 sums to a lane, or 32.
pub(in crate::plan) const LARGE: Tile = Tile {
    lines: [128, 128],
    slab: 4,
    across: 2,
    width: 256,
};

const SMALL: Tile = Tile {
    lines: [64, 64],
    slab: 8,
    across: 1,
    width: 128,
};

/// Large tiles are enough where there is one for so many of [`Tuning::workgroups`]: fewer leave a GPU idle.
const WORKGROUPS_OF_TILE: u64 = 4;

/// Places of the depth that a dispatch adds up, at most; and those of lines that lie across the depth, of which all
/// tiles read the same places, so that few of them stay in a cache.
const MOST_DEPTH: u64 = 32_768;
const MOST_ACROSS: u64 = 1024;

impl Tile {
    /// Of logits that are folded into states, whose bits hang on it, and the least scratch, too: so it hangs on their
    /// shape alone.
    pub fn of_logits(lines: [u64; 2]) -> Self {
        let is_large = LARGE.are_enough(lines, &Tuning::HARDWARE);
        if is_large { LARGE } else { SMALL }
    }

    /// Of a product with so many elements from row to row: large where such tiles are enough, fit, and add at most a
    /// third to what small ones multiply behind the ends of the lines.
    pub fn of(lines: [u64; 2], stride: u64, limits: &Limits, tuning: &Tuning) -> Self {
        let covered = |tile: &Self| tile.count(lines) * tile.lines[0] * tile.lines[1];
        let is_tight = 3 * covered(&LARGE) <= 4 * covered(&SMALL);
        let are_enough = LARGE.are_enough(lines, tuning);
        let fits = 4 * LARGE.lines[0] * stride + limits.offset_alignment <= limits.max_window_bytes();
        if is_tight && are_enough && fits { LARGE } else { SMALL }
    }

    fn count(&self, lines: [u64; 2]) -> u64 {
        lines[0].div_ceil(self.lines[0]) * lines[1].div_ceil(self.lines[1])
    }

    fn are_enough(&self, lines: [u64; 2], tuning: &Tuning) -> bool {
        WORKGROUPS_OF_TILE * self.count(lines) >= tuning.workgroups.into()
    }

    /// Lanes that have columns of the same rows, one beside the other.
    pub fn lanes_across(&self) -> u32 {
        self.lines[1] as u32 / 4 / self.across
    }

    pub fn iterations(&self, depth: u64) -> u64 {
        depth.div_ceil(4 * self.slab) * (1 + self.slab)
    }
}

/// A part of a product that one dispatch makes: rows, columns and places of the depth, from and to.
#[derive(Clone, Copy, Debug)]
pub struct Part {
    pub lines: [(u64, u64); 2],
    pub depth: (u64, u64),
}

impl Part {
    pub fn multiply_adds(&self) -> u64 {
        let [rows, cols] = self.lines.map(|(first, end)| end - first);
        rows * cols * (self.depth.1 - self.depth.0)
    }
}

/// How a product is cut into dispatches.
pub struct Cut<'a> {
    pub of: &'a Operands,
    pub tile: Tile,
    /// The whole depth in each dispatch.
    pub is_whole: bool,
    /// What a part binds.
    pub windows: &'a dyn Fn(&Part) -> Vec<Bound>,
    pub limits: &'a Limits,
}

impl Cut<'_> {
    /// The parts, in their order: along the depth last of all, so that sums go on where they ended.
    pub fn parts(&self) -> Result<Vec<Part>> {
        let (tile, limits, Operands { lines, depth: all, .. }) = (self.tile, self.limits, *self.of);
        let mut list = Vec::new();
        if lines.contains(&0) {
            return Ok(list);
        }
        if limits.max_width < tile.width {
            return Err(Error::Limit(format!(
                "a product: workgroups of {} invocations, at most {}",
                tile.width, limits.max_width
            )));
        }
        let mut depth = 0;
        loop {
            let end = self.depth_end(depth)?;
            let mut first = 0;
            while first < lines[1] {
                first = self.add_columns(&mut list, first, (depth, end))?;
            }
            depth = end;
            if depth >= all {
                return Ok(list);
            }
        }
    }

    /// How far along the depth a dispatch can go, for a tile at least.
    fn depth_end(&self, first: u64) -> Result<u64> {
        let (tile, lines, all) = (&self.tile, self.of.lines, self.of.depth);
        let most = match self.of.right.lies {
            Lies::Across if !self.is_whole => MOST_ACROSS,
            _ => MOST_DEPTH,
        };
        let mut depth = most.min(all - first);
        loop {
            let part = Part {
                lines: [0, 1].map(|side: usize| (0, tile.lines[side].min(lines[side]))),
                depth: (first, first + depth),
            };
            let is_enough = !self.is_whole || depth == all;
            if is_enough && self.holds(&part) {
                return Ok(first + depth);
            }
            if depth <= 4 * tile.slab || self.is_whole {
                return Err(Error::Limit(format!(
                    "a product: {} lines of an operand, of {depth} elements each, or the rows that they come to, do \
                     not fit into a binding of {} bytes, or a loop of {MAX_ITERATIONS} iterations",
                    tile.lines[0],
                    self.limits.max_window_bytes()
                )));
            }
            // Whole slabs, so that quads stay aligned.
            depth = (depth / 2).next_multiple_of(4 * tile.slab);
        }
    }

    /// Adds the parts of as many columns as fit, and tells where these end.
    fn add_columns(&self, list: &mut Vec<Part>, first: u64, depth: (u64, u64)) -> Result<u64> {
        let (tile, lines) = (&self.tile, self.of.lines);
        let tiles = [0, 1].map(|side: usize| lines[side].div_ceil(tile.lines[side]));
        let run = |side: usize, (first, end): (u64, u64)| {
            (first * tile.lines[side], (end * tile.lines[side]).min(lines[side]))
        };
        let part = |rows, cols| Part {
            lines: [run(0, rows), run(1, cols)],
            depth,
        };
        let holds = |rows, cols| self.holds(&part(rows, cols));
        let col = first / tile.lines[1];
        let mut high = TURN.min(tiles[0]);
        while high > 1 && !holds((0, high), (col, col + 1)) {
            high /= 2;
        }
        let too_large = || Error::Limit("a product: a tile does not fit into one binding".into());
        let col_end = furthest(col, tiles[1], |end| holds((0, high), (col, end))).ok_or_else(too_large)?;
        let mut row = 0;
        while row < tiles[0] {
            let end = furthest(row, tiles[0], |end| holds((row, end), (col, col_end)));
            // A row of tiles that lies over the end of a buffer is brought together by itself.
            let own = part((row, end.unwrap_or(row + 1)), (col, col_end));
            if end.is_none() && !can_be_bound(&(self.windows)(&own), col_end - col, self.limits) {
                return Err(too_large());
            }
            row = end.unwrap_or(row + 1);
            list.push(own);
        }
        Ok(run(1, (col, col_end)).1)
    }

    /// One dispatch can make it.
    fn holds(&self, part: &Part) -> bool {
        let (tiles, limits) = (tiles(&self.tile, part), self.limits);
        let is_short = part.multiply_adds() / MULTIPLY_ADDS_PER_BYTE <= limits.max_dispatch_bytes;
        // Lines may lie apart, or anywhere in a window.
        fit_together(&(self.windows)(part), tiles, limits) && (tiles == 1 || is_short)
    }

    /// The dispatch of a part, once its params are known.
    pub fn dispatch(&self, part: &Part, variant: Variant, params: &[u8]) -> Dispatch {
        let tiles = tiles(&self.tile, part);
        Dispatch {
            variant,
            params: params.to_vec(),
            bindings: bindings(&(self.windows)(part) as &Windows, self.limits),
            groups: grid(tiles, self.limits),
            iterations: self.tile.iterations(part.depth.1 - part.depth.0),
            tiles: (0, tiles),
            multiply_adds: part.multiply_adds(),
        }
    }
}

/// There is a lane for each block of both operands in a slab.
pub(super) fn is_apart(tile: &Tile) -> bool {
    u64::from(tile.width) == (tile.lines[0] + tile.lines[1]) / 4 * tile.slab
}

pub(super) fn tiles(tile: &Tile, part: &Part) -> u64 {
    tile.count(part.lines.map(|(first, end)| end - first))
}
