//! How the rows of a layer share what scratch there is.

use super::Layer;
use crate::error::{Error, Result};
use crate::layout::Slot;
use crate::plan::filter::left_bytes;
use crate::plan::product::Tile;
use crate::plan::rows::tiled::FOLDED_BYTES;

/// How the rows are cut: input rows of a block, and columns of it at a time.
#[derive(Clone, Copy, Debug)]
pub struct Blocks {
    pub inputs: u64,
    pub cols: u64,
}

/// How logits and the sums of the matrix's gradient share the scratch: bytes of each. Where not all of the sums have
/// room, that gradient comes apart from all else, some rows of the matrix at a time.
#[derive(Clone, Copy)]
pub struct Share {
    pub logits: u64,
    pub matrix: u64,
    pub is_apart: bool,
}

/// Rows of a block where logits are computed twice: their states are all in memory.
const RECOMPUTED_ROWS: u64 = 256;

impl Layer<'_> {
    /// How the rows are cut: so that logits fit into the scratch, and each row's states, and logits, into a binding.
    pub fn blocks(&self, tile: &Tile, classes: u64, share: Share) -> Result<Blocks> {
        let limits = self.limits;
        let (inputs, heads) = (self.linear.inputs as u64, self.linear.heads as u64);
        let (scratch, binding) = (share.logits, limits.max_binding_bytes - limits.offset_alignment);
        // Of a row, with the sums of its gradient.
        let of_sums = 4 * self.sums_stride() * u64::from(self.has_sums(Slot::Left));
        let of_logits = heads * classes.next_multiple_of(4) * 4 + of_sums;
        let of_states = heads * classes.div_ceil(tile.lines[1]) * FOLDED_BYTES;
        // Whole tiles of rows, where there are several.
        let whole = |rows: u64| match rows {
            rows if rows > tile.lines[0] => rows / tile.lines[0] * tile.lines[0],
            rows => rows.max(1),
        };
        // Of a full target a binding covers the rows of a block from the first to the last, or some columns of one.
        let full = match self.problem.view(Slot::Target) {
            Some(view) if view.dtype.is_float() => heads * classes * view.dtype.bytes(),
            _ => 1,
        };
        let most = inputs.min(binding / of_states).min((binding / full).max(1));
        let least = inputs.min(tile.lines[0]);
        if !self.wants_grads() {
            return Ok(Blocks {
                inputs: whole(most.min((scratch / of_states).max(least))),
                cols: classes,
            });
        }
        // The gradient of the input goes along all columns of one place of a head before those of the next, so several
        // need all columns at once.
        if heads > 1 && scratch.min(binding) < of_logits {
            return Err(Error::Limit(format!(
                "a scratch of {} bytes, in bindings of {}: the logits of one row of the input, {heads} rows of \
                 {classes} columns, take {}",
                limits.scratch_bytes,
                limits.max_binding_bytes,
                of_logits + limits.scratch_bytes - scratch
            )));
        }
        if heads > 1 || scratch.min(binding) / of_logits >= least {
            let rows = (scratch / (of_logits + of_states)).max(least).min(scratch / of_logits);
            return Ok(Blocks {
                inputs: whole(most.min(rows).min(binding / of_logits)),
                cols: classes,
            });
        }
        let of_tiles = |rows: u64| rows * (4 * heads * tile.lines[1] + of_sums);
        // The matrix's gradient has the other half of the scratch, where it comes apart, or all that it takes.
        let of_matrix = 4 * heads * tile.lines[1] * self.sums_stride() * u64::from(share.is_apart);
        let least_bytes = of_tiles(least).max(of_matrix);
        if scratch < least_bytes {
            let least_bytes = match share.is_apart {
                true => 2 * least_bytes,
                false => share.matrix + least_bytes,
            };
            return Err(Error::Limit(format!(
                "a scratch of {} bytes: one tile of the logits, {} rows of {} columns, and what it comes to, take \
                 {least_bytes}",
                limits.scratch_bytes,
                least * heads,
                tile.lines[1],
            )));
        }
        let mut rows = most.clamp(1, RECOMPUTED_ROWS);
        while rows > 1 && of_tiles(rows) > scratch.min(binding) {
            rows /= 2;
        }
        Ok(Blocks {
            inputs: rows,
            cols: classes.min(self.cols_within(rows, scratch.min(binding), tile)),
        })
    }

    /// Bytes of what a filter leaves: of a block's logits, or of as many others.
    pub fn left_bytes(&self, blocks: Blocks, share: Share) -> u64 {
        let heads = self.linear.heads as u64;
        let own = left_bytes(blocks.inputs * heads, blocks.cols);
        // Of runs of 64 rows and columns, with one more to each side.
        let others = match share.is_apart {
            true => 8 * share.logits / 4096 + 8 * (self.linear.inputs as u64 * heads + self.lines()) / 16,
            false => 0,
        };
        own.max(others)
    }

    /// Columns of whole tiles, of which those of so many rows of the input fit, beside the sums of these rows.
    pub fn cols_within(&self, rows: u64, bytes: u64, tile: &Tile) -> u64 {
        let of_sums = 4 * self.sums_stride() * u64::from(self.has_sums(Slot::Left));
        let of_tiles = 4 * rows * self.linear.heads as u64 * tile.lines[1];
        (bytes.saturating_sub(rows * of_sums) / of_tiles).max(1) * tile.lines[1]
    }

    /// How the scratch is shared.
    pub fn share(&self) -> Share {
        let scratch = self.limits.scratch_bytes;
        let matrix = 4 * self.lines() * self.sums_stride();
        let whole = Share {
            logits: scratch,
            matrix: 0,
            is_apart: false,
        };
        match self.has_sums(Slot::Right) {
            // A stream counts all memory itself.
            true if self.linear.is_streamed => Share { matrix, ..whole },
            true if matrix <= scratch / 2 => Share {
                logits: scratch - matrix,
                matrix,
                ..whole
            },
            true => Share {
                logits: scratch / 2,
                matrix: scratch - scratch / 2,
                is_apart: true,
            },
            false => whole,
        }
    }
}
