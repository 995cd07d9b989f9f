//! What a chunk of rows binds: the windows of its operands and outputs, and the params that say where they lie.

use super::{Chunk, Full, RowsPlanner};
use crate::dtype::Dtype;
use crate::layout::{RowParams, Slot, words};
use crate::plan::rows::upstream::{UPSTREAM_BYTES, UPSTREAM_WORDS};
use crate::plan::window::{Window, Windows, base_of};
use crate::plan::{Origin, columns, monoid, reduce};
use crate::problem::Targets;
use crate::view::View;
use crate::words::Role;

impl RowsPlanner<'_> {
    /// The operands and outputs of the input's shape.
    pub(super) fn full(&self) -> Vec<Full> {
        let (problem, mode) = (self.problem, self.problem.mode);
        let full = |slot, source, written, view: &View| Full {
            slot,
            source,
            written,
            view: view.clone(),
        };
        let tensor = Origin::Tensor;
        let mut list = vec![full(
            Slot::Input,
            tensor(Role::Input),
            problem.in_place,
            problem.input(),
        )];
        if let Some(source) = self.multiplicities {
            let view = View::contiguous(Dtype::F32, &problem.input().shape);
            list.push(full(Slot::Target, source, false, &view));
        } else if let Some(view) = problem
            .view(Slot::Target)
            .filter(|_| self.rows.targets == Targets::Full)
        {
            list.push(full(Slot::Target, tensor(Role::Target), false, view));
        }
        match (self.weights, self.rows.element_weights(problem)) {
            (Some(source), _) => {
                let view = View::contiguous(Dtype::F32, &problem.input().shape);
                list.push(full(Slot::Weight, source, false, &view));
            }
            (None, Some(own)) => list.push(full(Slot::Weight, tensor(own.role), false, &own.view)),
            (None, None) => {}
        }
        for (operand, role, view) in problem.grads() {
            if !(problem.in_place && operand.slot == Slot::Input) {
                list.push(full(operand.slot.grad(), tensor(role), true, view));
            }
        }
        if self.rows.is_map() {
            if let Some(view) = problem.grad_output.as_ref().filter(|_| mode.wants_grad()) {
                list.push(full(Slot::GradOutput, tensor(Role::GradOutput), false, view));
            }
            if mode.wants_loss() {
                let view = View::placed(problem.dtype, &problem.terms, problem.offset_of(Role::Loss));
                list.push(full(Slot::Loss, tensor(Role::Loss), true, &view));
            }
        }
        list
    }

    pub(super) fn windows(&self, chunk: Chunk) -> Vec<(Slot, bool, Window)> {
        let (problem, (first, end)) = (self.problem, self.run(chunk));
        let inner = self.rows.inner as u64;
        let mut list = Vec::new();
        for full in self.full() {
            let window = if chunk.gathered {
                let scratch = self.gathered(full.slot).unwrap_or(full.source);
                Window::scratch(
                    scratch,
                    full.view.dtype.bytes(),
                    0,
                    self.rows.cols as u64 * (end - first),
                )
            } else {
                let (slabs, stride) = (first / inner..=(end - 1) / inner, self.stride(&full.view) as u64);
                let slab = (self.rows.cols * self.rows.inner) as u64;
                Window::of(
                    &full.view,
                    full.source,
                    slabs.start() * stride,
                    slabs.end() * stride + slab,
                )
                .touching(self.rows.cols as u64 * (end - first))
            };
            list.push((full.slot, full.written, window));
        }
        let by_row = |role, view: &View| Window::of(view, Origin::Tensor(role), first, end);
        for operand in &problem.operands {
            let (role, view) = (operand.role, &operand.view);
            let window = match operand.slot {
                Slot::Target if matches!(self.rows.targets, Targets::Index { .. }) => by_row(role, view),
                Slot::Weight if self.rows.element_weights(problem).is_none() => {
                    Window::of(view, Origin::Tensor(role), 0, view.len())
                }
                Slot::SampleWeight => by_row(role, view),
                _ => continue,
            };
            list.push((operand.slot, false, window));
        }
        list.extend(self.row_windows(chunk.tiles, (first, end)));
        list
    }

    /// What else belongs to rows first..end, which are the rows of some tiles: their upstream gradient, their losses,
    /// and the denominator.
    pub(super) fn row_windows(&self, tiles: (u64, u64), (first, end): (u64, u64)) -> Vec<(Slot, bool, Window)> {
        let by_row = |role, view: &View| Window::of(view, Origin::Tensor(role), first, end);
        let mut list = Vec::new();
        if let Some(window) = self.upstreams_window((first, end)) {
            list.push(window);
        } else if let Some(view) = self.upstream() {
            let window = if view.shape.is_empty() {
                Window::of(view, Origin::Tensor(Role::GradOutput), 0, 1)
            } else {
                by_row(Role::GradOutput, view)
            };
            list.push((Slot::GradOutput, false, window));
        }
        if let Some(records) = self.records {
            let window = Window::scratch(records, columns::RECORD_BYTES, first, end);
            list.push((Slot::Loss, true, window));
        } else if let Some(states) = self.states {
            let window = Window::scratch(states, monoid::SUM_STATE_BYTES, tiles.0, tiles.1);
            list.push((Slot::Loss, true, window));
        } else if self.problem.mode.wants_loss() && !self.rows.is_map() {
            let view = View::placed(self.problem.dtype, &[], self.problem.offset_of(Role::Loss));
            list.push((Slot::Loss, true, by_row(Role::Loss, &view)));
        }
        if let Some(counts) = self.counts {
            let window = Window::scratch(counts, monoid::COUNT_STATE_BYTES, tiles.0, tiles.1);
            list.push((Slot::Counts, true, window));
        }
        if self.counted() {
            list.push((Slot::Control, false, reduce::control()));
        }
        list
    }

    /// The upstream gradients of rows first..end, where their statistics have some.
    pub(super) fn upstreams_window(&self, (first, end): (u64, u64)) -> Option<(Slot, bool, Window)> {
        let window = |source| Window::scratch(source, UPSTREAM_BYTES, first, end);
        self.upstreams.map(|source| (Slot::GradOutput, false, window(source)))
    }

    /// The params of a chunk with rows first..end.
    pub(super) fn params(
        &self,
        chunk: Chunk,
        (first, end): (u64, u64),
        full: &[Full],
        windows: &Windows,
        groups_x: u32,
    ) -> RowParams {
        let problem = self.problem;
        let [scalars_0_3, scalars_4_7] = problem.scalars.clamped();
        let inner = self.rows.inner as u64;
        let base = |slot| base_of(windows, slot, self.limits);
        // Of an absent operand, 0.
        let stride = |slot| match full.iter().find(|full| full.slot == slot) {
            Some(_) if chunk.gathered => (self.rows.cols as u64 * (end - first)) as u32,
            Some(full) => self.stride(&full.view) as u32,
            None => 0,
        };
        let grad_input = if problem.in_place { Slot::Input } else { Slot::GradInput };
        let loss_at = base(Slot::Loss);
        RowParams {
            rows: self.tiles.rows as u32,
            cols: self.rows.cols as u32,
            inner: self.rows.inner as u32,
            col_stride: if chunk.gathered {
                (end - first) as u32
            } else {
                inner as u32
            },
            first_tile: chunk.tiles.0 as u32,
            end_tile: chunk.tiles.1 as u32,
            groups_x,
            block_rows: self.tiles.block_rows as u32,
            block_tiles: self.tiles.block_tiles as u32,
            first_row: first as u32,
            first_slab: (first / inner) as u32,
            first_inner: if chunk.gathered { (first % inner) as u32 } else { 0 },
            input_base: base(Slot::Input),
            input_stride: stride(Slot::Input),
            targets_base: base(Slot::Target),
            targets_stride: stride(Slot::Target),
            grad_input_base: base(grad_input),
            grad_input_stride: stride(grad_input),
            grad_targets_base: base(Slot::GradTarget),
            grad_targets_stride: stride(Slot::GradTarget),
            loss_base: if self.states.is_some() { 0 } else { loss_at },
            states_base: if self.states.is_some() { loss_at } else { 0 },
            weight_base: base(Slot::Weight),
            grad_output_base: match self.upstreams {
                Some(_) => UPSTREAM_WORDS * base(Slot::GradOutput),
                None => base(Slot::GradOutput),
            },
            grad_output_step: match (self.upstreams, self.upstream()) {
                (Some(_), _) => UPSTREAM_WORDS,
                (None, Some(view)) => u32::from(!view.shape.is_empty()),
                (None, None) => stride(Slot::GradOutput),
            },
            loss_stride: stride(Slot::Loss),
            sample_weight_base: base(Slot::SampleWeight),
            rows_base: base(Slot::Rows),
            states_in_base: base(Slot::StatesIn),
            merged_base: base(Slot::Merged),
            counts_base: base(Slot::Counts),
            ignore: words(self.rows.ignore_index().unwrap_or_default()),
            scale: problem.static_scale() as f32,
            neg_inf: f32::NEG_INFINITY,
            lowest: f32::MIN,
            nan: f32::NAN,
            scalars_0_3,
            scalars_4_7,
            ..Default::default()
        }
    }
}
