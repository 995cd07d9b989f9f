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
use crate::plan::order::Order;
use crate::plan::spread::column_bytes;
use crate::plan::window::{Window, Windows, base_of, bindings, fit, fit_together};
use crate::plan::{Dispatch, Origin, Plan, Step, furthest, grid, labels};
use crate::problem::{Problem, Rows, Targets};
use crate::shader::{Const, Variant, piece, pieces};
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
pub(super) struct Passes<'a> {
    pub own: &'a RowsPlanner<'a>,
    pub wide: Wide,
    /// The rows and columns that the passes go over, whose tiles begin with those of the first; and so do their
    /// states.
    pub rows: (u64, u64),
    /// The row that `opened` and `merged` begin with.
    pub first_cell: u64,
    pub cols: (u64, u64),
    /// Where the logits of these rows and columns lie, and elements from one row to the next, where they are products:
    /// no pass opens or folds those.
    pub products: Option<(Origin, u64)>,
    /// The order that the rows go in, where `rows` are places of it, counted from the first row that it is of; and
    /// whether all of them are folded.
    pub order: Option<(Order, bool)>,
    /// Each row, where it has a label.
    pub opened: Option<Origin>,
    pub folded: Origin,
    /// What the last pass needs of each row.
    pub merged: Option<Origin>,
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
            rows: (0, rows),
            first_cell: 0,
            cols: (0, own.rows.cols as u64),
            products: None,
            order: None,
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
    pub fn add(&self, plan: &mut Plan, pass: Pass) -> Result<()> {
        let (limits, cols) = (self.own.limits, self.own.rows.cols);
        let (first, tiles) = match pass {
            // Its tiles are the rows of the call.
            Pass::Merge => self.rows,
            _ => (0, (self.rows.1 - self.rows.0) * self.wide.per_row),
        };
        let iterations = self.iterations(pass);
        if tiles >= 1 << 32 || iterations >= MAX_ITERATIONS {
            return Err(Error::Limit(format!(
                "{tiles} tiles of rows of {cols} columns, {} of them in a row",
                self.wide.per_row
            )));
        }
        let mut first = first;
        while first < tiles {
            let fits = |end| {
                let windows = self.windows(pass, (first, end));
                match self.order {
                    Some(_) => fit_together(&windows, end - first, limits),
                    None => fit(&windows, end - first, limits),
                }
            };
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
        let (per_row, cols) = (self.wide.per_row, self.cols);
        if pass == Pass::Merge {
            return Run {
                rows: (first, end),
                cols,
                lead: cols.0,
                end: cols.1,
            };
        }
        let row = |tile: u64| self.rows.0 + tile / per_row;
        let rows = (row(first), row(end - 1) + 1);
        let lead = cols.0 + first % per_row * self.wide.tile;
        let end = cols.1.min(cols.0 + ((end - 1) % per_row + 1) * self.wide.tile);
        let one_row = rows.1 - rows.0 == 1;
        Run {
            rows,
            cols: if one_row { (lead, end) } else { cols },
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
                Pass::Open => self.products.is_none(),
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
            let window = self.full_window(&full, &run);
            let window = match pass {
                // One element of each row.
                Pass::Open => window.touching(run.rows.1 - run.rows.0),
                _ => window,
            };
            list.push((full.slot, full.written, window));
        }
        // Rows in an order lie anywhere.
        let anywhere = self.order.map_or(run.rows, |(order, _)| self.rows_of(order));
        let by_row = |role, view: &View| {
            let window = Window::of(view, Origin::Tensor(role), anywhere.0, anywhere.1);
            window.touching(run.rows.1 - run.rows.0)
        };
        list.extend(self.order.map(|(order, _)| (Slot::Order, false, order.window())));
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
        let after = |first: u64| (run.rows.0 - first, run.rows.1 - first);
        let (cell_rows, rows) = (after(self.first_cell), after(self.rows.0));
        if let Some(opened) = self.opened {
            list.push((Slot::Rows, pass == Pass::Open, cells(opened, OPENED_BYTES, cell_rows)));
        }
        if let Some(merged) = self.merged.filter(|_| matches!(pass, Pass::Merge | Pass::Put)) {
            list.push((
                Slot::Merged,
                pass == Pass::Merge,
                cells(merged, MERGED_BYTES, cell_rows),
            ));
        }
        match pass {
            Pass::Fold => list.push((Slot::Loss, true, cells(self.folded, FOLDED_BYTES, tiles))),
            Pass::Merge => {
                let per_row = self.wide.per_row;
                let states = (rows.0 * per_row, rows.1 * per_row);
                list.push((Slot::StatesIn, false, cells(self.folded, FOLDED_BYTES, states)));
                let (tiles, rows) = match self.order {
                    Some(_) => (anywhere, anywhere),
                    None => (tiles, run.rows),
                };
                list.extend(own.row_windows(tiles, rows));
            }
            Pass::Put => list.extend(own.upstreams_window(run.rows)),
            Pass::Open => {}
        }
        list
    }

    /// The rows of logits of an order.
    fn rows_of(&self, order: Order) -> (u64, u64) {
        let heads = self.own.rows.heads as u64;
        (order.inputs.0 * heads, order.inputs.1 * heads)
    }

    /// The window of an operand or output of the input's shape.
    fn full_window(&self, full: &Full, run: &Run) -> Window {
        let (stride, heads) = (self.stride(full), self.heads(full));
        if let (Slot::Input, Some((source, _))) = (full.slot, self.products) {
            let row = |row: u64| (row - self.rows.0) * stride;
            let (lead, end) = (run.lead - self.cols.0, run.end - self.cols.0);
            return Window::scratch(source, 4, row(run.rows.0) + lead, row(run.rows.1 - 1) + end);
        }
        if heads > 1 {
            // Rows lie side by side in slabs.
            let (first, end) = (run.rows.0 / heads * stride, run.rows.1.div_ceil(heads) * stride);
            let touched = (run.rows.1 - run.rows.0) * (run.cols.1 - run.cols.0);
            return Window::of(&full.view, full.source, first, end).touching(touched);
        }
        let (first, end) = (run.rows.0 * stride + run.lead, (run.rows.1 - 1) * stride + run.end);
        Window::of(&full.view, full.source, first, end)
    }

    /// Rows of the call in a slab of an operand or output.
    fn heads(&self, full: &Full) -> u64 {
        match full.slot {
            Slot::Target | Slot::GradTarget => self.own.rows.heads as u64,
            _ => 1,
        }
    }

    /// Elements from one slab of it to the next.
    fn stride(&self, full: &Full) -> u64 {
        match (full.slot, self.products) {
            (Slot::Input, Some((_, stride))) => stride,
            _ => self.own.stride(&full.view) as u64 * self.heads(full),
        }
    }

    fn params(&self, pass: Pass, tiles: (u64, u64), windows: &Windows, groups_x: u32) -> RowParams {
        let (own, run) = (self.own, self.run(pass, tiles));
        let chunk = Chunk { tiles, gathered: false };
        let mut params = own.params(chunk, run.rows, &self.full(pass), windows, groups_x);
        params.block_rows = 1;
        params.block_tiles = self.wide.per_row as u32;
        params.block_row = self.rows.0 as u32;
        params.first_col = self.cols.0 as u32;
        if let Some((_, stride)) = self.products {
            (params.input_stride, params.grad_input_stride) = (stride as u32, stride as u32);
        }
        let heads = own.rows.heads as u32;
        if heads > 1 {
            params.inner = heads;
            params.col_stride = heads;
            params.targets_stride *= heads;
            params.grad_targets_stride *= heads;
        }
        // Where column 0 of the first row would lie, modulo 2^32.
        let back = |base: &mut u32, columns: u64| *base = base.wrapping_sub(columns as u32);
        for base in [&mut params.input_base, &mut params.grad_input_base] {
            back(base, run.lead);
        }
        // Windows of whole slabs have all columns.
        let lead = if heads > 1 { 0 } else { run.lead };
        back(&mut params.grad_targets_base, lead);
        if self.opened.is_none() {
            back(&mut params.targets_base, lead);
        }
        if own.rows.is_map() {
            back(&mut params.grad_output_base, run.lead);
        }
        let each_weighs = own.rows.element_weights(own.problem).is_some();
        back(&mut params.weight_base, if each_weighs { run.lead } else { run.cols.0 });
        if let Some((order, _)) = self.order {
            // Scratch is by place, what belongs to rows by row, and both are counted from the first row of the order.
            let first = self.rows_of(order).0;
            let ahead = run.rows.0 - first;
            params.first_row = first as u32;
            back(&mut params.rows_base, ahead);
            back(&mut params.merged_base, ahead);
            back(&mut params.states_in_base, ahead * self.wide.per_row);
            params.order_base = base_of(windows, Slot::Order, own.limits);
            params.states_base = params.states_base.wrapping_add((tiles.0 - first) as u32);
        }
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
        list.extend((own.rows.heads > 1).then_some(piece!("row/headed.wgsl")));
        list.extend(self.order.map(|(_, all)| match all {
            true => piece!("row/ordered.wgsl"; Const::Bool("ALL", true)),
            false => piece!("row/ordered.wgsl"; Const::Bool("ALL", false)),
        }));
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
        marks.push(match self.order {
            Some((_, true)) => "/ordered_all",
            Some((_, false)) => "/ordered",
            None => "",
        });
        marks.push(mark(own.rows.heads > 1, "/headed"));
        marks.push(mark(!own.has_blocks(), "/short"));
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
        consts.push(Const::U32("TILE", self.wide.tile as u32));
        Variant {
            shared: Vec::new(),
            label: own.label(&marks, &way),
            consts,
            pieces: list,
        }
    }
}
