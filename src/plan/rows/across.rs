//! Long rows that lie across memory (classes not innermost) on a GPU, where there are too few of them for a lane each:
//! several that lie side by side go to a workgroup, whose lanes so read whole sectors, and its columns are cut into
//! tiles, as those of wide rows are.

use super::tiled::{FOLDED_BYTES, MERGED_BYTES, OPENED_BYTES, Pass, merge_iterations, tile_of};
use super::variant::mark;
use super::{Chunk, Full, RowsPlanner};
use crate::error::{Error, Result};
use crate::layout::{RowParams, Slot};
use crate::limits::{COARSEST_ALIGNMENT, MAX_ITERATIONS};
use crate::plan::spread::{Spread, column_bytes};
use crate::plan::window::{Window, Windows, bindings, fit, fit_together};
use crate::plan::{Dispatch, Origin, Plan, Step, furthest, grid};
use crate::problem::{Problem, Rows, Targets};
use crate::shader::{Const, Variant, piece, pieces};
use crate::tuning::Tuning;

/// Bytes of a column that the rows of a workgroup have side by side: a sector of a GPU's memory.
const SECTOR: u32 = 32;

/// Columns of a tile, at most and at least, where workgroups are to be had: with a sector of each, 64 KiB and 16.
const TILE: (u64, u64) = (2048, 512);

/// Bytes of a slab, at most: what a binding covers on any device.
const MAX_SLAB: u64 = (128 << 20) - COARSEST_ALIGNMENT;

/// From so many rows on, a lane each is enough for a GPU.
const MANY_ROWS: u64 = 32_768;

/// How such rows are cut.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Across {
    /// Rows of a workgroup, all of one slab.
    beside: u32,
    /// Columns of a tile.
    pub tile: u64,
    /// Tiles of a row.
    pub per_row: u64,
    width: u32,
}

struct Passes<'a> {
    own: &'a RowsPlanner<'a>,
    across: Across,
    opened: Origin,
    folded: Origin,
    /// What the last pass needs of each row.
    merged: Option<Origin>,
}

impl Across {
    /// Those of class targets, as far as nothing else is as long as the input.
    pub fn of(problem: &Problem, rows: &Rows, tuning: &Tuning) -> Option<Self> {
        let bytes = problem.input().dtype.bytes();
        let beside = SECTOR / bytes as u32;
        let (count, cols, inner) = (rows.rows(), rows.cols as u64, rows.inner as u64);
        let is_index = matches!(rows.targets, Targets::Index { .. }) && !rows.is_map();
        let is_long = cols > TILE.0 && inner >= u64::from(beside);
        let is_plain = rows.reads && rows.inner_loops == 0 && rows.element_weights(problem).is_none();
        // As where lanes hold rows: of a GPU.
        let width = Spread::of_columns(tuning).width;
        let is_hardware = tuning.held > 0 && width >= 2 * beside;
        let fits = cols * inner * bytes <= MAX_SLAB;
        if !(is_index && is_long && is_plain && (1..MANY_ROWS).contains(&count) && is_hardware && fits) {
            return None;
        }
        let blocks = count / inner * inner.div_ceil(beside.into());
        let workgroups = tuning.workgroups_of(count * cols * column_bytes(problem, rows));
        let tile = tile_of(TILE, blocks, cols, workgroups, tuning);
        Some(Self {
            beside,
            tile,
            per_row: cols.div_ceil(tile),
            width,
        })
    }

    /// Lanes of a row's tile.
    pub fn lanes(self) -> u32 {
        self.width / self.beside
    }

    pub(super) fn add(self, plan: &mut Plan, own: &RowsPlanner<'_>) -> Result<()> {
        let rows = own.tiles.rows;
        let wants_grad = own.problem.mode.wants_grad();
        let passes = Passes {
            own,
            across: self,
            opened: plan.add_scratch(rows * OPENED_BYTES),
            merged: wants_grad.then(|| plan.add_scratch(rows * MERGED_BYTES)),
            folded: plan.add_scratch(rows * self.per_row * FOLDED_BYTES),
        };
        for pass in [Pass::Open, Pass::Fold, Pass::Merge, Pass::Put] {
            if pass != Pass::Put || wants_grad {
                passes.add(plan, pass)?;
            }
        }
        Ok(())
    }
}

impl Passes<'_> {
    fn add(&self, plan: &mut Plan, pass: Pass) -> Result<()> {
        let limits = self.own.limits;
        let rows = self.own.tiles.rows;
        let tiles = match pass {
            Pass::Merge => rows,
            _ => rows / self.own.rows.inner as u64 * self.per_slab(),
        };
        let iterations = self.iterations(pass);
        if tiles >= 1 << 32 || iterations >= MAX_ITERATIONS {
            return Err(Error::Limit(format!(
                "{tiles} tiles of rows of {} columns",
                self.own.rows.cols
            )));
        }
        let mut first = 0;
        while first < tiles {
            let fits = |end| {
                let (windows, count) = (self.windows(pass, (first, end)), end - first);
                let (start, stop) = self.run(pass, (first, end));
                let inner = self.own.rows.inner as u64;
                let one_slab = start / inner == (stop - 1) / inner;
                fit(&windows, count, limits) || one_slab && fit_together(&windows, count, limits)
            };
            let end = furthest(first, tiles, fits).ok_or_else(|| {
                Error::Limit(format!(
                    "{} rows of {} classes, with those between them, do not fit into a binding of {} bytes",
                    self.across.beside, self.own.rows.cols, limits.max_binding_bytes
                ))
            })?;
            // Results of whole slabs can go elsewhere by themselves.
            let at = end - end % self.per_slab();
            let end = if pass == Pass::Put && at > first { at } else { end };
            let windows = self.windows(pass, (first, end));
            let groups = grid(end - first, limits);
            plan.steps.push(Step::Dispatch(Box::new(Dispatch {
                variant: self.variant(pass),
                params: bytemuck::bytes_of(&self.params(pass, (first, end), &windows, groups[0])).to_vec(),
                bindings: bindings(&windows, limits),
                groups,
                iterations,
                tiles: (first, end),
                multiply_adds: 0,
            })));
            first = end;
        }
        Ok(())
    }

    fn iterations(&self, pass: Pass) -> u64 {
        match pass {
            Pass::Open => 0,
            Pass::Fold | Pass::Put => {
                Spread::new(self.across.width, self.across.lanes()).iterations(self.across.tile as usize, 0)
            }
            Pass::Merge => merge_iterations(self.across.per_row, self.across.width),
        }
    }

    /// Blocks of rows of a slab.
    fn blocks(&self) -> u64 {
        (self.own.rows.inner as u64).div_ceil(self.across.beside.into())
    }

    /// Tiles of a slab.
    fn per_slab(&self) -> u64 {
        self.blocks() * self.across.per_row
    }

    /// The rows of a run of tiles.
    fn run(&self, pass: Pass, (first, end): (u64, u64)) -> (u64, u64) {
        if pass == Pass::Merge {
            return (first, end);
        }
        let (inner, blocks) = (self.own.rows.inner as u64, self.blocks());
        // The first row of a block, and of the one behind a slab's last that of the next slab.
        let row = |block: u64| block / blocks * inner + (block % blocks * u64::from(self.across.beside)).min(inner);
        let last = (end - 1) / self.across.per_row;
        (row(first / self.across.per_row), row(last + 1))
    }

    /// A pass reads what it needs of an operand.
    fn reads(&self, pass: Pass, slot: Slot) -> bool {
        let by_column = matches!(pass, Pass::Fold | Pass::Put);
        match slot {
            Slot::Input => pass != Pass::Merge,
            Slot::Target => pass == Pass::Open,
            Slot::Weight => pass == Pass::Open || by_column && self.own.rows.weighs_columns,
            Slot::GradOutput if self.own.upstreams.is_some() => matches!(pass, Pass::Merge | Pass::Put),
            _ => pass == Pass::Merge,
        }
    }

    /// The input where a pass reads it, and the gradient where the last one writes it.
    fn full(&self, pass: Pass) -> Vec<Full> {
        let mut list = self.own.full();
        list.retain(|full| match full.slot {
            Slot::Input => self.reads(pass, full.slot),
            _ => pass == Pass::Put,
        });
        list.iter_mut().for_each(|full| full.written &= pass == Pass::Put);
        list
    }

    fn windows(&self, pass: Pass, tiles: (u64, u64)) -> Vec<(Slot, bool, Window)> {
        let (own, (first, end)) = (self.own, self.run(pass, tiles));
        let inner = own.rows.inner as u64;
        let slab = (own.rows.cols * own.rows.inner) as u64;
        let touched = match pass {
            Pass::Open => end - first,
            _ => ((tiles.1 - tiles.0) * u64::from(self.across.beside) * self.across.tile)
                .min((end - first) * own.rows.cols as u64),
        };
        let mut list = Vec::new();
        for full in self.full(pass) {
            // Whole slabs, so that all runs of tiles of one have the same windows.
            let stride = own.stride(&full.view) as u64;
            let (from, to) = (first / inner * stride, (end - 1) / inner * stride + slab);
            let window = Window::of(&full.view, full.source, from, to);
            list.push((full.slot, full.written, window.touching(touched)));
        }
        for operand in own.problem.operands.iter().filter(|own| self.reads(pass, own.slot)) {
            let (role, view) = (operand.role, &operand.view);
            let window = match operand.slot {
                Slot::Target | Slot::SampleWeight => Window::of(view, Origin::Tensor(role), first, end),
                Slot::Weight => Window::of(view, Origin::Tensor(role), 0, view.len()),
                _ => continue,
            };
            list.push((operand.slot, false, window));
        }
        let cells = |source, bytes, (first, end)| Window::scratch(source, bytes, first, end);
        let rows = (first, end);
        list.push((Slot::Rows, pass == Pass::Open, cells(self.opened, OPENED_BYTES, rows)));
        if let Some(merged) = self.merged.filter(|_| matches!(pass, Pass::Merge | Pass::Put)) {
            list.push((Slot::Merged, pass == Pass::Merge, cells(merged, MERGED_BYTES, rows)));
        }
        let states = (first * self.across.per_row, end * self.across.per_row);
        match pass {
            Pass::Fold => list.push((Slot::Loss, true, cells(self.folded, FOLDED_BYTES, states))),
            Pass::Merge => {
                list.push((Slot::StatesIn, false, cells(self.folded, FOLDED_BYTES, states)));
                list.extend(own.row_windows(tiles, rows));
            }
            Pass::Put => list.extend(own.upstreams_window(rows)),
            Pass::Open => {}
        }
        list
    }

    fn params(&self, pass: Pass, tiles: (u64, u64), windows: &Windows, groups_x: u32) -> RowParams {
        let chunk = Chunk { tiles, gathered: false };
        let rows = self.run(pass, tiles);
        let mut params = self.own.params(chunk, rows, &self.full(pass), windows, groups_x);
        params.block_rows = 1;
        params.block_tiles = self.across.per_row as u32;
        if pass == Pass::Fold {
            // The slot holds states, whatever the losses will be.
            params.states_base += std::mem::take(&mut params.loss_base);
        }
        params
    }

    /// Two rows share whole words, which the last pass writes.
    fn pairs(&self) -> bool {
        let full = self.own.full();
        self.own.rows.inner.is_multiple_of(2)
            && full.iter().all(|full| {
                let is_even = self.own.stride(&full.view).is_multiple_of(2);
                full.view.dtype.is_half() && full.view.offset.is_multiple_of(4) && is_even
            })
    }

    fn variant(&self, pass: Pass) -> Variant {
        let (own, full, across) = (self.own, self.full(pass), self.across);
        let mut list = vec![match pass {
            Pass::Open => piece!("driver/across_open.wgsl"),
            Pass::Fold => piece!("driver/across_fold.wgsl"),
            Pass::Merge => piece!("driver/wide_merge.wgsl"),
            Pass::Put => piece!("driver/across_put.wgsl"),
        }];
        list.extend(own.shared_pieces(&full));
        list.extend([piece!("row/wide.wgsl"), piece!("row/across.wgsl"), pass.opened()]);
        let read = |slot| match self.reads(pass, slot) {
            true => own.read(slot, &full, false),
            false => pieces::absent(slot),
        };
        list.extend([Slot::Input, Slot::Weight, Slot::GradOutput].map(read));
        if pass == Pass::Open {
            list.extend(own.labels());
        }
        let mut marks: Vec<&str> = own.read_marks(false).to_vec();
        marks.push(mark(own.problem.stats.any(), "/stats"));
        let (losses, losses_name) = own.losses();
        let mut consts = own.consts(&full, false);
        let mut lanes = format!("group{}", across.width);
        let mut set = |own: Const| {
            consts.retain(|other| other.name() != own.name());
            consts.push(own);
        };
        set(Const::U32("TILE", across.tile as u32));
        set(Const::U32("BESIDE", across.beside));
        if matches!(pass, Pass::Fold | Pass::Put) {
            let spread = Spread::new(across.width, across.lanes());
            set(Const::U32("LANES", across.lanes()));
            set(Const::Bool("BLOCKS", across.tile > spread.short_cols() as u64));
        }
        match pass {
            Pass::Merge => {
                list.extend(own.merge_pieces(self.merged.is_some(), &full, losses));
                marks.extend([losses_name.as_str(), own.scale_mark()]);
                let tree = own.tree(false); // nothing is written over in this pass
                list.extend(tree.pieces);
                tree.consts.into_iter().for_each(set);
                lanes = tree.name;
            }
            Pass::Put => {
                list.push(pieces::SCALE_STATIC);
                list.extend([piece!("row/outputs.wgsl"), piece!("row/put.wgsl")]);
                list.extend(own.writes(&full, false, false, false));
                marks.extend(own.write_marks(&full));
                set(Const::Bool("PAIRS", self.pairs()));
                marks.push(mark(self.pairs(), "/pairs"));
            }
            Pass::Fold => {
                list.extend([pieces::SCALE_STATIC, piece!("lanes/across.wgsl")]);
            }
            Pass::Open => list.push(pieces::SCALE_STATIC),
        }
        let way = format!("across{}_{}{}/{lanes}", across.beside, pass.name(), across.tile);
        Variant {
            shared: Vec::new(),
            label: own.label(&marks, &way),
            consts,
            pieces: list,
        }
    }
}
