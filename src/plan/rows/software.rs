//! The shaders of rows in packs and strips (`shaders/software`), which plans for adapters that are the processor have.

use super::variant::mark;
use super::{Chunk, Full, RowsPlanner};
use crate::layout::Slot;
use crate::shader::{Const, Piece, piece};

impl RowsPlanner<'_> {
    /// Rows of many classes, some columns of several at a time.
    pub(super) fn is_strip(&self) -> bool {
        self.spread.is_strip(self.rows.cols)
    }

    /// Whether the packs of a chunk are whole quads of memory.
    pub(super) fn flat(&self, chunk: Chunk) -> bool {
        let Some(pack) = self.spread.pack.filter(|_| !chunk.gathered) else {
            return false;
        };
        let inner = self.rows.inner;
        let whole = match inner {
            1 => {
                let is_end = self.has_ragged_end(pack) && chunk.tiles.1 == self.tiles.count;
                (pack as usize * self.rows.cols).is_multiple_of(4) && !is_end
            }
            _ => pack > 1 && inner.is_multiple_of(4),
        };
        let packed = |full: &Full| {
            let stride = self.stride(&full.view);
            // Rows side by side, or quads of each row.
            let near = stride == self.rows.cols || stride.is_multiple_of(4) && (inner > 1 || pack == 1);
            near && full.view.offset.is_multiple_of(4 * full.view.dtype.bytes())
        };
        let own = |full: &&Full| matches!(full.slot, Slot::Input | Slot::GradInput);
        whole && self.full().iter().filter(own).all(packed)
    }

    /// The last rows, side by side, are not a whole pack: the tile that has them is a chunk of its own.
    pub(super) fn has_ragged_end(&self, pack: u32) -> bool {
        self.rows.inner == 1 && !self.rows.rows().is_multiple_of(u64::from(pack))
    }

    /// A pack keeps exponentials in the place of its logits, for the gradient.
    pub(super) fn keeps_exps(&self) -> bool {
        let is_whole = self.spread.pack.is_some() && !self.is_strip();
        self.rows.keeps_exps
            && self.upstreams.is_none()
            && self.rows.reads
            && self.problem.mode.wants_grad()
            && is_whole
    }

    /// Packs side by side: element by element each would be code for every one of their columns, of which strips have
    /// four.
    fn packs(&self, flat: bool) -> u32 {
        if flat || self.is_strip() { self.spread.packs } else { 1 }
    }

    /// What makes a pipeline for rows in packs. The loops over the columns of short ones are written out, for their
    /// length.
    pub(super) fn pack_consts(&self, pack: u32, flat: bool) -> Vec<Const> {
        let (cols, is_innermost) = (self.rows.cols as u32, self.rows.inner == 1);
        let packs = self.packs(flat);
        let mut consts = vec![
            Const::U32("PACK", pack),
            Const::U32("PACKS", packs),
            Const::Bool("FLAT", flat),
        ];
        if self.is_strip() {
            consts.extend([Const::U32("STRIP", pack * packs), Const::U32("COLUMNS", 4)]);
            return consts;
        }
        let is_crosswise = pack > 1 && !is_innermost;
        let quads = if is_crosswise { cols } else { (pack * cols).div_ceil(4) };
        consts.extend([
            Const::U32("COLS", cols),
            Const::U32("PACK_QUADS", quads),
            Const::Bool("CROSSWISE", is_crosswise),
        ]);
        consts
    }

    /// How the rows of packs are taken, in the pipeline's label.
    pub(super) fn pack_way(&self, pack: u32, flat: bool) -> String {
        let rows = if self.is_strip() {
            format!("/strip{pack}")
        } else {
            format!("/cols{}/pack{pack}", self.rows.cols)
        };
        let beside = match self.packs(flat) {
            1 => String::new(),
            packs => format!("x{packs}"),
        };
        format!("{rows}{beside}{}", mark(flat, "/flat"))
    }

    /// The driver that takes packs.
    pub(super) fn pack_driver(&self) -> Piece {
        if self.is_strip() {
            piece!("software/strip.wgsl")
        } else {
            piece!("software/pack.wgsl")
        }
    }
}
