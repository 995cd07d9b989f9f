//! Plans of the pair driver: rows of two or three arrays, spread as those of the row driver.

use crate::dtype::Dtype;
use crate::error::{Error, Result};
use crate::layout::{PairParams, Slot};
use crate::limits::Limits;
use crate::plan::spread::Spread;
use crate::plan::tree::{Tree, tile_sum};
use crate::plan::window::{Window, Windows, base_of, bindings, fit};
use crate::plan::{Dispatch, Origin, Plan, Step, furthest, grid, monoid, named, reduce};
use crate::problem::{Pairs, Problem};
use crate::shader::pieces::Put;
use crate::shader::{Const, Piece, Variant, piece, pieces};
use crate::tuning::Tuning;
use crate::view::View;
use crate::words::Role;

/// The operands of whole rows.
const ROWS: [Slot; 3] = [Slot::Input, Slot::Second, Slot::Third];

struct PairsPlanner<'a> {
    problem: &'a Problem,
    pairs: &'a Pairs,
    limits: &'a Limits,
    tuning: &'a Tuning,
    spread: Spread,
    states: Option<Origin>,
}

pub(super) fn plan(problem: &Problem, pairs: &Pairs, limits: &Limits, tuning: &Tuning) -> Result<Plan> {
    let mut plan = Plan::default();
    let spread = Spread::of_pairs(problem, pairs, limits, tuning)?;
    let tiles = (pairs.rows as u64).div_ceil(spread.rows_per_tile());
    if tiles >= 1 << 32 {
        return Err(Error::Limit(format!("{tiles} tiles of rows, at most 2^32 - 1")));
    }
    let reduced = problem.mode.wants_loss() && problem.is_reduced();
    let mut planner = PairsPlanner {
        problem,
        pairs,
        limits,
        tuning,
        spread,
        states: None,
    };
    if reduced {
        planner.states = Some(plan.add_scratch(tiles * monoid::SUM_STATE_BYTES));
    }
    let mut first = 0;
    while first < tiles {
        let end = furthest(first, tiles, |end| {
            fit(&planner.windows((first, end)), end - first, limits)
        })
        .ok_or_else(|| {
            Error::Limit(format!(
                "a row of {} elements (or the rows of one workgroup) does not fit into a binding of {} bytes",
                pairs.cols, limits.max_binding_bytes
            ))
        })?;
        planner.add_dispatch(&mut plan, (first, end));
        first = end;
    }
    if let Some(states) = planner.states {
        let scale = monoid::Scale::of(problem, false);
        reduce::add_loss_sum(&mut plan, problem, (states, tiles), scale, limits, tuning)?;
    }
    Ok(plan)
}

impl PairsPlanner<'_> {
    fn run(&self, tiles: (u64, u64)) -> (u64, u64) {
        let per_tile = self.spread.rows_per_tile();
        (tiles.0 * per_tile, (tiles.1 * per_tile).min(self.pairs.rows as u64))
    }

    /// The operands and gradients of whole rows.
    fn whole(&self) -> Vec<(Slot, Origin, bool, View)> {
        let problem = self.problem;
        let mut list = Vec::new();
        for operand in problem.operands.iter().filter(|own| ROWS.contains(&own.slot)) {
            let written = problem.in_place && operand.slot == Slot::Input;
            list.push((
                operand.slot,
                Origin::Tensor(operand.role),
                written,
                operand.view.clone(),
            ));
        }
        for (operand, role, view) in problem.grads() {
            if !(problem.in_place && operand.slot == Slot::Input) {
                list.push((operand.slot.grad(), Origin::Tensor(role), true, view.clone()));
            }
        }
        list
    }

    /// Elements from one row to the next.
    fn stride(&self, view: &View) -> u64 {
        if view.is_contiguous() {
            self.pairs.cols as u64
        } else {
            view.row_stride as u64
        }
    }

    fn windows(&self, tiles: (u64, u64)) -> Vec<(Slot, bool, Window)> {
        let (problem, (first, end)) = (self.problem, self.run(tiles));
        let mut list = Vec::new();
        for (slot, source, written, view) in self.whole() {
            let stride = self.stride(&view);
            let last = (end - 1) * stride + self.pairs.cols as u64;
            let window =
                Window::of(&view, source, first * stride, last).touching(self.pairs.cols as u64 * (end - first));
            list.push((slot, written, window));
        }
        let by_row = |role, view: &View| {
            let (first, end) = if view.len() == 1 { (0, 1) } else { (first, end) };
            Window::of(view, Origin::Tensor(role), first, end)
        };
        let target = problem
            .view(Slot::Target)
            .map(|view| (Slot::Target, by_row(Role::Target, view)));
        let upstream = self
            .upstream()
            .map(|view| (Slot::GradOutput, by_row(Role::GradOutput, view)));
        list.extend(
            [target, upstream]
                .into_iter()
                .flatten()
                .map(|(slot, window)| (slot, false, window)),
        );
        if let Some(states) = self.states {
            let window = Window::scratch(states, monoid::SUM_STATE_BYTES, tiles.0, tiles.1);
            list.push((Slot::Loss, true, window));
        } else if problem.mode.wants_loss() {
            let view = View::placed(problem.dtype, &[], problem.offset_of(Role::Loss));
            let window = Window::of(&view, Origin::Tensor(Role::Loss), first, end);
            list.push((Slot::Loss, true, window));
        }
        list
    }

    fn upstream(&self) -> Option<&View> {
        self.problem
            .grad_output
            .as_ref()
            .filter(|_| self.problem.mode.wants_grad())
    }

    fn add_dispatch(&self, plan: &mut Plan, tiles: (u64, u64)) {
        let windows = self.windows(tiles);
        let groups = grid(tiles.1 - tiles.0, self.limits);
        plan.steps.push(Step::Dispatch(Box::new(Dispatch {
            variant: self.variant(),
            params: bytemuck::bytes_of(&self.params(tiles, &windows, groups[0])).to_vec(),
            bindings: bindings(&windows, self.limits),
            groups,
            iterations: self.spread.iterations(self.pairs.cols, 0),
            tiles,
            multiply_adds: 0,
        })));
    }

    fn params(&self, tiles: (u64, u64), windows: &Windows, groups_x: u32) -> PairParams {
        let problem = self.problem;
        let [scalars_0_3, scalars_4_7] = problem.scalars.clamped();
        let base = |slot| base_of(windows, slot, self.limits);
        let whole = self.whole();
        let stride = |slot| {
            whole
                .iter()
                .find(|(own, ..)| *own == slot)
                .map_or(0, |(.., view)| self.stride(view) as u32)
        };
        let step = |view: Option<&View>| u32::from(view.is_some_and(|view| view.len() > 1));
        let grad_input = if problem.in_place { Slot::Input } else { Slot::GradInput };
        let loss_at = base(Slot::Loss);
        PairParams {
            rows: self.pairs.rows as u32,
            cols: self.pairs.cols as u32,
            first_tile: tiles.0 as u32,
            end_tile: tiles.1 as u32,
            groups_x,
            first_row: self.run(tiles).0 as u32,
            input_base: base(Slot::Input),
            input_stride: stride(Slot::Input),
            second_base: base(Slot::Second),
            second_stride: stride(Slot::Second),
            third_base: base(Slot::Third),
            third_stride: stride(Slot::Third),
            targets_base: base(Slot::Target),
            targets_step: step(problem.view(Slot::Target)),
            grad_input_base: base(grad_input),
            grad_input_stride: stride(grad_input),
            grad_second_base: base(Slot::GradSecond),
            grad_second_stride: stride(Slot::GradSecond),
            grad_third_base: base(Slot::GradThird),
            grad_third_stride: stride(Slot::GradThird),
            loss_base: if self.states.is_some() { 0 } else { loss_at },
            states_base: if self.states.is_some() { loss_at } else { 0 },
            grad_output_base: base(Slot::GradOutput),
            grad_output_step: step(self.upstream()),
            scale: problem.static_scale() as f32,
            neg_inf: f32::NEG_INFINITY,
            nan: f32::NAN,
            zero: 0,
            scalars_0_3,
            scalars_4_7,
        }
    }

    /// Every quad of every row is aligned and whole.
    fn quads(&self) -> bool {
        let aligned =
            |view: &View| view.offset.is_multiple_of(4 * view.dtype.bytes()) && self.stride(view).is_multiple_of(4);
        self.pairs.cols > 0 && self.pairs.cols.is_multiple_of(4) && self.whole().iter().all(|(.., view)| aligned(view))
    }

    fn variant(&self) -> Variant {
        let (problem, quads, whole) = (self.problem, self.quads(), self.whole());
        let find = |slot| whole.iter().find(|(own, ..)| *own == slot);
        let dtype_of = |slot| problem.view(slot).map(|view| view.dtype);
        let read = |slot| -> Piece {
            match find(slot) {
                Some((_, _, true, view)) => pieces::over(slot, view.dtype, quads),
                Some((.., view)) => pieces::read(slot, view.dtype, quads),
                None => pieces::given(slot, dtype_of(slot)),
            }
        };
        let mut list = vec![
            piece!("driver/pair.wgsl"),
            pieces::PARAMS,
            pieces::MATH,
            pieces::GUARD,
            pieces::OUTCOME,
            pieces::SCALE_STATIC,
            self.pairs.piece,
            pieces::given(Slot::GradOutput, self.upstream().map(|view| view.dtype)),
        ];
        let tree = Tree::of(self.spread, self.tuning, self.limits, problem.in_place);
        list.extend(tree.pieces);
        list.extend(pieces::half(problem.dtypes(), self.limits));
        list.extend([Slot::Input, Slot::Second, Slot::Third, Slot::Target].map(read));
        for slot in ROWS.map(Slot::grad) {
            if slot == Slot::GradInput && problem.in_place {
                continue;
            }
            let adds = slot == Slot::GradInput && problem.accumulates;
            list.push(match find(slot) {
                Some((.., view)) => pieces::write(slot, view.dtype, quads, if adds { Put::Add } else { Put::Write }),
                None => pieces::absent(slot),
            });
        }
        let losses = match (problem.mode.wants_loss(), self.states) {
            (false, _) => String::new(),
            (true, Some(_)) => {
                let (sum, mark) = tile_sum(self.spread, self.limits);
                list.push(piece!("outcome/tile.wgsl"));
                list.extend(sum);
                format!("/tile{mark}")
            }
            (true, None) => {
                list.push(piece!("outcome/each.wgsl"));
                list.push(pieces::write(Slot::Loss, Dtype::F32, false, Put::Write));
                "/each".into()
            }
        };
        let wants = |slot: Slot| problem.operand(slot).is_some_and(|own| own.grad.is_some());
        let mut consts = vec![
            Const::U32("WIDTH", self.spread.width),
            Const::U32("LANES", self.spread.lanes),
            Const::U32("ROWS", self.spread.rows_per_tile() as u32),
            Const::Bool("WANTS_GRAD_A", wants(Slot::Input)),
            Const::Bool("WANTS_GRAD_B", wants(Slot::Second)),
            Const::Bool("WANTS_GRAD_C", wants(Slot::Third)),
        ];
        consts.extend(problem.scalars.accessors());
        consts.extend(&self.pairs.consts);
        consts.extend(tree.consts);
        let told = problem.operands.iter().map(|own| {
            let grad = if own.grad.is_some() { "+grad" } else { "" };
            format!("{}_{}{grad}", own.slot.name(), own.view.dtype)
        });
        let upstream = self.upstream().map(|view| format!("grad_output_{}", view.dtype));
        Variant {
            shared: Vec::new(),
            label: format!(
                "{}/{}/{}{}{}{losses}{}{}/{}",
                problem.name,
                problem.mode.name(),
                named(&self.pairs.kind),
                told.chain(upstream).collect::<Vec<_>>().join("-"),
                if quads { "/x4" } else { "" },
                if problem.in_place { "/in_place" } else { "" },
                if problem.accumulates { "/add" } else { "" },
                tree.name,
            ),
            consts,
            pieces: list,
        }
    }
}
