//! Wide rows: contiguous rows of more columns than one workgroup should fold, or one binding might cover.
//!
//! Each is cut into tiles, whose width follows from shape, dtype and tuning. A chunk is a run of tiles, row by row, so
//! a row may span dispatches, and no window covers more than the columns of its tiles. The states of a row's tiles are
//! merged in an order that hangs on no limit.

use super::tiled::{FOLDED_BYTES, MERGED_BYTES, OPENED_BYTES, Pass, merge_iterations, tile_of};
use super::variant::mark;
use super::{Chunk, Full, RowsPlanner};
use crate::error::{Error, Result};
use crate::layout::{RowParams, Slot};
use crate::limits::MAX_ITERATIONS;
use crate::plan::spread::column_bytes;
use crate::plan::window::{Window, Windows, bindings, fit};
use crate::plan::{Dispatch, Origin, Plan, Step, furthest, grid, labels};
use crate::problem::{Problem, Rows, Targets};
use crate::shader::{Variant, piece, pieces};
use crate::tuning::Tuning;
use crate::view::View;

/// How wide rows are cut.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wide {
    /// Columns of a tile.
    pub tile: u64,
    /// Tiles of a row.
    pub per_row: u64,
}

/// The plan of all passes, beside what it has in common with that of other rows.
struct Passes<'a> {
    own: &'a RowsPlanner<'a>,
    wide: Wide,
    /// Each row, where it has a label.
    opened: Option<Origin>,
    folded: Origin,
    /// What the last pass needs of each row.
    merged: Option<Origin>,
}

/// The rows and the columns that a run of tiles lies in, and its first column in its first row and last in its last.
struct Run {
    rows: (u64, u64),
    cols: (u64, u64),
    lead: u64,
    end: u64,
}

/// Columns of the smallest tile that few rows are cut into.
const MIN_TILE: u64 = 1024;

impl Wide {
    /// Rows that are too long for a workgroup, or too few for enough of them; none where the loss loops over the
    /// columns for each of them, since it needs them all at once.
    pub fn of(problem: &Problem, rows: &Rows, tuning: &Tuning) -> Option<Self> {
        let (count, cols) = (rows.rows(), rows.cols as u64);
        if rows.inner > 1 || rows.inner_loops > 0 || count == 0 {
            return None;
        }
        let workgroups = tuning.workgroups_of(count * cols * column_bytes(problem, rows));
        let are_few = count < workgroups && cols > MIN_TILE;
        if cols <= tuning.wide_cols && !are_few {
            return None;
        }
        let tile = tile_of((tuning.wide_tile, MIN_TILE), count, cols, workgroups, tuning);
        let per_row = cols.div_ceil(tile);
        (cols > tuning.wide_cols || per_row > 1).then_some(Self { tile, per_row })
    }

    pub(super) fn add(self, plan: &mut Plan, own: &RowsPlanner<'_>, tuning: &Tuning) -> Result<()> {
        let rows = own.tiles.rows;
        let mut scratch = |wanted: bool, bytes: u64| wanted.then(|| plan.add_scratch(bytes));
        let passes = Passes {
            own,
            wide: self,
            opened: scratch(matches!(own.rows.targets, Targets::Index { .. }), rows * OPENED_BYTES),
            merged: scratch(own.problem.mode.wants_grad() || own.rows.is_map(), rows * MERGED_BYTES),
            folded: plan.add_scratch(rows * self.per_row * FOLDED_BYTES),
        };
        if passes.opened.is_some() {
            passes.add(plan, Pass::Open)?;
        }
        if own.problem.has_control() {
            labels::add_count(plan, own.problem, own.rows, passes.opened, own.limits, tuning)?;
        }
        passes.add(plan, Pass::Fold)?;
        passes.add(plan, Pass::Merge)?;
        if passes.merged.is_some() {
            passes.add(plan, Pass::Put)?;
        }
        Ok(())
    }
}

impl Passes<'_> {
    fn add(&self, plan: &mut Plan, pass: Pass) -> Result<()> {
        let (limits, cols) = (self.own.limits, self.own.rows.cols);
        let tiles = self.own.tiles.rows * if pass == Pass::Merge { 1 } else { self.wide.per_row };
        let iterations = self.iterations(pass);
        if tiles >= 1 << 32 || iterations >= MAX_ITERATIONS {
            return Err(Error::Limit(format!(
                "{tiles} tiles of rows of {cols} columns, {} of them in a row",
                self.wide.per_row
            )));
        }
        let mut first = 0;
        while first < tiles {
            let fits = |end| fit(&self.windows(pass, (first, end)), end - first, limits);
            let end = furthest(first, tiles, fits).ok_or_else(|| {
                Error::Limit(format!(
                    "{} of the {cols} columns of a row, or what they come to, do not fit into a binding of {} bytes",
                    self.wide.tile, limits.max_binding_bytes
                ))
            })?;
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
            Pass::Fold | Pass::Put => self.own.spread.iterations(self.wide.tile as usize, 0),
            Pass::Merge => merge_iterations(self.wide.per_row, self.own.spread.width),
        }
    }

    fn run(&self, pass: Pass, (first, end): (u64, u64)) -> Run {
        let (per_row, cols) = (self.wide.per_row, self.own.rows.cols as u64);
        if pass == Pass::Merge {
            return Run {
                rows: (first, end),
                cols: (0, cols),
                lead: 0,
                end: cols,
            };
        }
        let rows = (first / per_row, (end - 1) / per_row + 1);
        let lead = first % per_row * self.wide.tile;
        let end = cols.min(((end - 1) % per_row + 1) * self.wide.tile);
        let one_row = rows.1 - rows.0 == 1;
        Run {
            rows,
            cols: if one_row { (lead, end) } else { (0, cols) },
            lead,
            end,
        }
    }

    /// A pass reads what it needs of an operand.
    fn reads(&self, pass: Pass, slot: Slot) -> bool {
        let rows = self.own.rows;
        let by_column = matches!(pass, Pass::Fold | Pass::Put);
        match slot {
            Slot::Input => match pass {
                Pass::Open => true,
                Pass::Fold => rows.reads,
                Pass::Merge => false,
                // What is written over it goes by its binding.
                Pass::Put => rows.grad_reads || self.own.problem.in_place,
            },
            Slot::Target if self.opened.is_some() => pass == Pass::Open,
            Slot::Target => by_column,
            Slot::Weight => pass == Pass::Open || by_column && rows.weighs_columns,
            Slot::GradOutput if rows.is_map() => by_column,
            Slot::GradOutput if self.own.upstreams.is_some() => matches!(pass, Pass::Merge | Pass::Put),
            _ => pass == Pass::Merge,
        }
    }

    /// The operands of the input's shape that a pass reads, and the outputs that the last one writes.
    fn full(&self, pass: Pass) -> Vec<Full> {
        let mut list = self.own.full();
        list.retain(|full| match full.slot {
            Slot::Input | Slot::Target | Slot::Weight | Slot::GradOutput => self.reads(pass, full.slot),
            _ => pass == Pass::Put,
        });
        list.iter_mut().for_each(|full| full.written &= pass == Pass::Put);
        list
    }

    fn windows(&self, pass: Pass, tiles: (u64, u64)) -> Vec<(Slot, bool, Window)> {
        let (own, problem, run) = (self.own, self.own.problem, self.run(pass, tiles));
        let mut list = Vec::new();
        for full in self.full(pass) {
            let stride = own.stride(&full.view) as u64;
            let (first, end) = (run.rows.0 * stride + run.lead, (run.rows.1 - 1) * stride + run.end);
            let window = Window::of(&full.view, full.source, first, end);
            let window = match pass {
                // One element of each row.
                Pass::Open => window.touching(run.rows.1 - run.rows.0),
                _ => window,
            };
            list.push((full.slot, full.written, window));
        }
        let by_row = |role, view: &View| Window::of(view, Origin::Tensor(role), run.rows.0, run.rows.1);
        for operand in problem.operands.iter().filter(|own| self.reads(pass, own.slot)) {
            let (role, view) = (operand.role, &operand.view);
            let window = match operand.slot {
                Slot::Target if self.opened.is_some() => by_row(role, view),
                Slot::Weight if own.rows.element_weights(problem).is_none() => {
                    Window::of(view, Origin::Tensor(role), run.cols.0, run.cols.1)
                }
                Slot::SampleWeight => by_row(role, view),
                _ => continue,
            };
            list.push((operand.slot, false, window));
        }
        let cells = |source, bytes, (first, end)| Window::scratch(source, bytes, first, end);
        if let Some(opened) = self.opened {
            list.push((Slot::Rows, pass == Pass::Open, cells(opened, OPENED_BYTES, run.rows)));
        }
        if let Some(merged) = self.merged.filter(|_| matches!(pass, Pass::Merge | Pass::Put)) {
            list.push((Slot::Merged, pass == Pass::Merge, cells(merged, MERGED_BYTES, run.rows)));
        }
        match pass {
            Pass::Fold => list.push((Slot::Loss, true, cells(self.folded, FOLDED_BYTES, tiles))),
            Pass::Merge => {
                let per_row = self.wide.per_row;
                let states = (run.rows.0 * per_row, run.rows.1 * per_row);
                list.push((Slot::StatesIn, false, cells(self.folded, FOLDED_BYTES, states)));
                list.extend(own.row_windows(tiles, run.rows));
            }
            Pass::Put => list.extend(own.upstreams_window(run.rows)),
            Pass::Open => {}
        }
        list
    }

    fn params(&self, pass: Pass, tiles: (u64, u64), windows: &Windows, groups_x: u32) -> RowParams {
        let (own, run) = (self.own, self.run(pass, tiles));
        let chunk = Chunk { tiles, gathered: false };
        let mut params = own.params(chunk, run.rows, &self.full(pass), windows, groups_x);
        params.block_rows = 1;
        params.block_tiles = self.wide.per_row as u32;
        // Where column 0 of the first row would lie, modulo 2^32.
        let back = |base: &mut u32, columns: u64| *base = base.wrapping_sub(columns as u32);
        for base in [
            &mut params.input_base,
            &mut params.grad_input_base,
            &mut params.grad_targets_base,
        ] {
            back(base, run.lead);
        }
        if self.opened.is_none() {
            back(&mut params.targets_base, run.lead);
        }
        if own.rows.is_map() {
            back(&mut params.grad_output_base, run.lead);
        }
        let each_weighs = own.rows.element_weights(own.problem).is_some();
        back(&mut params.weight_base, if each_weighs { run.lead } else { run.cols.0 });
        match pass {
            // A map's results.
            Pass::Put => back(&mut params.loss_base, run.lead),
            // The slot holds states, whatever the losses will be.
            Pass::Fold => params.states_base += std::mem::take(&mut params.loss_base),
            Pass::Open | Pass::Merge => {}
        }
        params
    }

    fn variant(&self, pass: Pass) -> Variant {
        let (own, full) = (self.own, self.full(pass));
        let quads = own.quads();
        let mut list = vec![match pass {
            Pass::Open => piece!("driver/wide_open.wgsl"),
            Pass::Fold => piece!("driver/wide_fold.wgsl"),
            Pass::Merge => piece!("driver/wide_merge.wgsl"),
            Pass::Put => piece!("driver/wide_put.wgsl"),
        }];
        list.extend(own.shared_pieces(&full));
        list.push(piece!("row/wide.wgsl"));
        list.extend(self.opened.map(|_| pass.opened()));
        let read = |slot| {
            if self.reads(pass, slot) {
                own.read(slot, &full, quads)
            } else {
                pieces::absent(slot)
            }
        };
        list.extend([Slot::Input, Slot::Weight, Slot::GradOutput].map(read));
        if self.opened.is_none() {
            list.push(read(Slot::Target));
        } else if pass == Pass::Open {
            list.extend(own.labels());
        }
        // What other passes do is none of a pass's business: reductions and places for gradients share most of them.
        let mut marks: Vec<&str> = own.read_marks(quads).to_vec();
        marks.push(mark(own.problem.stats.any(), "/stats"));
        let (losses, losses_name) = own.losses();
        match pass {
            Pass::Merge => {
                list.extend(own.merge_pieces(self.merged.is_some(), &full, losses));
                marks.extend([losses_name.as_str(), own.scale_mark()]);
            }
            Pass::Put => {
                list.push(pieces::SCALE_STATIC);
                list.extend([piece!("row/outputs.wgsl"), piece!("row/put.wgsl")]);
                list.extend(own.writes(&full, quads, quads, false));
                marks.extend(own.write_marks(&full));
            }
            Pass::Open | Pass::Fold => list.push(pieces::SCALE_STATIC),
        }
        let mut consts = own.consts(&full, quads);
        let group = if matches!(pass, Pass::Fold | Pass::Merge) {
            let tree = own.tree(false); // nothing is written over in this pass
            list.extend(tree.pieces);
            consts.extend(tree.consts);
            tree.name
        } else {
            format!("group{}", own.spread.width)
        };
        let way = format!("wide_{}{}/{group}", pass.name(), self.wide.tile);
        consts.push(crate::shader::Const::U32("TILE", self.wide.tile as u32));
        Variant {
            shared: Vec::new(),
            label: own.label(&marks, &way),
            consts,
            pieces: list,
        }
    }
}
