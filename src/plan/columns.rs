//! What lies between the row driver and its outputs: the records of rows, taken apart by column, and class lists, which
//! become multiplicities.

use crate::error::{Error, Result};
use crate::layout::{MultiplicityParams, ReduceParams, Slot};
use crate::limits::Limits;
use crate::plan::monoid::Scale;
use crate::plan::reduce::add_column_sum;
use crate::plan::window::{Window, base_of, bindings, fit};
use crate::plan::{Dispatch, Plan, Source, Step, furthest, grid};
use crate::problem::{Problem, Role, Rows};
use crate::shader::pieces::Put;
use crate::shader::{Const, Piece, Variant, piece, pieces};
use crate::tensor::{Dtype, View};
use crate::tuning::Tuning;

/// Bytes of `Record` of `shaders/piece/row_loss_record.wgsl`, whose fields the columns are.
pub(crate) const RECORD_BYTES: u64 = 32;
const LOSS: u32 = 0;
const Z_LOSS: u32 = 1;
const LSE: u32 = 2;
const ENTROPY: u32 = 3;
const CORRECT: u32 = 4;
const TOP: u32 = 5;

/// Adds the outputs that records hold: sums where the problem is reduced, columns elsewhere.
pub(super) fn add_outputs(
    plan: &mut Plan,
    problem: &Problem,
    records: Source,
    rows: u64,
    limits: &Limits,
    tuning: &Tuning,
) -> Result<()> {
    let (stats, wants_loss) = (problem.stats, problem.mode.wants_loss());
    let column = |column| (records, column, rows);
    for (wanted, own, into, z_loss) in [
        (wants_loss, LOSS, Role::Loss, false),
        (wants_loss && stats.z_loss, Z_LOSS, Role::ZLoss, true),
    ] {
        if wanted && problem.is_reduced() {
            let scale = Some(Scale::of(problem, z_loss));
            add_column_sum(plan, column(own), into, scale, limits, tuning)?;
        } else if wanted {
            add_column(plan, column(own), into, limits, tuning)?;
        }
    }
    for (wanted, own, into) in [
        (stats.lse, LSE, Role::Lse),
        (stats.entropy, ENTROPY, Role::Entropy),
        (stats.argmax, TOP, Role::Argmax),
    ] {
        if wanted {
            add_column(plan, column(own), into, limits, tuning)?;
        }
    }
    if stats.accuracy {
        add_column_sum(plan, column(CORRECT), Role::Correct, None, limits, tuning)?;
    }
    Ok(())
}

/// Where the window of a slot begins in its binding.
type Bases<'a> = &'a dyn Fn(Slot) -> u32;

/// One pass over tiles, with a window of each operand.
struct Pass<'a> {
    label: String,
    pieces: Vec<Piece>,
    consts: Vec<Const>,
    tiles: u64,
    /// Windows of tiles first..end.
    windows: &'a dyn Fn(u64, u64) -> Vec<(Slot, bool, Window)>,
    /// Params of tiles first..end with so many workgroups along x, where the windows begin at these bases.
    params: &'a dyn Fn(u64, u64, u32, Bases<'_>) -> Vec<u8>,
    iterations: u64,
}

impl Pass<'_> {
    fn add(&self, plan: &mut Plan, limits: &Limits) -> Result<()> {
        let mut first = 0;
        while first < self.tiles {
            let end = furthest(first, self.tiles, |end| {
                fit(&(self.windows)(first, end), end - first, limits)
            })
            .ok_or_else(|| Error::Limit(format!("{}: a tile does not fit into one binding", self.label)))?;
            let groups = grid(end - first, limits);
            let windows = (self.windows)(first, end);
            let base = |slot| base_of(&windows, slot, limits);
            plan.steps.push(Step::Dispatch(Box::new(Dispatch {
                variant: Variant {
                    label: self.label.clone(),
                    consts: self.consts.clone(),
                    pieces: self.pieces.clone(),
                },
                params: (self.params)(first, end, groups[0], &base),
                bindings: bindings(&windows, limits),
                groups,
                iterations: self.iterations,
                tiles: (first, end),
            })));
            first = end;
        }
        Ok(())
    }
}

/// Adds the copy of a column into an output of its own.
fn add_column(
    plan: &mut Plan,
    (records, column, rows): (Source, u32, u64),
    into: Role,
    limits: &Limits,
    tuning: &Tuning,
) -> Result<()> {
    let tile = u64::from(tuning.tile);
    let windows = |first: u64, end: u64| {
        let (first, end) = (first * tile, rows.min(end * tile));
        vec![
            (
                Slot::StatesIn,
                false,
                Window::scratch(records, RECORD_BYTES, first, end),
            ),
            (Slot::Result, true, Window::scratch(Source::Tensor(into), 4, first, end)),
        ]
    };
    let params = |first, end, groups_x, base: Bases<'_>| {
        let params = ReduceParams {
            first_tile: first as u32,
            end_tile: end as u32,
            groups_x,
            len: rows as u32,
            first_item: (first * tile) as u32,
            base: base(Slot::StatesIn) * (RECORD_BYTES / 4) as u32,
            states_base: base(Slot::Result),
            ..Default::default()
        };
        bytemuck::bytes_of(&params).to_vec()
    };
    Pass {
        label: format!("column{column}/group{}/tile{tile}", tuning.width),
        pieces: vec![piece!("driver/column.wgsl"), piece!("piece/reduce_params.wgsl")],
        consts: vec![
            Const::U32("WIDTH", tuning.width),
            Const::U32("TILE", tuning.tile),
            Const::U32("COLUMN", column),
        ],
        tiles: rows.div_ceil(tile),
        windows: &windows,
        params: &params,
        iterations: u64::from(tuning.tile / tuning.width),
    }
    .add(plan, limits)
}

/// Adds the multiplicities of the classes that the target lists, and says where they are: f32, of the input's shape.
pub(super) fn add_multiplicities(
    plan: &mut Plan,
    problem: &Problem,
    rows: &Rows,
    limits: &Limits,
    tuning: &Tuning,
) -> Result<Source> {
    let (count, cols) = (rows.rows(), rows.cols as u64);
    let whole = View::contiguous(Dtype::F32, &problem.input().shape);
    let into = plan.add_scratch(whole.end());
    let Some(labels) = problem.view(Slot::Target) else {
        return Ok(into);
    };
    // A tile is a block of the classes of a row.
    let blocks = cols.div_ceil(u64::from(tuning.width));
    let windows = |first: u64, end: u64| {
        let (first, end) = (first / blocks * cols, end.div_ceil(blocks) * cols);
        vec![
            (
                Slot::Target,
                false,
                Window::of(labels, Source::Tensor(Role::Target), first, end),
            ),
            (Slot::GradTarget, true, Window::of(&whole, into, first, end)),
        ]
    };
    let params = |first: u64, end, groups_x, base: Bases<'_>| {
        let params = MultiplicityParams {
            cols: cols as u32,
            first_tile: first as u32,
            end_tile: end as u32,
            groups_x,
            blocks: blocks as u32,
            first_row: (first / blocks) as u32,
            targets_base: base(Slot::Target),
            grad_targets_base: base(Slot::GradTarget),
        };
        bytemuck::bytes_of(&params).to_vec()
    };
    Pass {
        label: format!("multiplicity/{}/group{}", labels.dtype, tuning.width),
        pieces: vec![
            piece!("driver/multiplicity.wgsl"),
            pieces::labels(labels.dtype),
            pieces::write(Slot::GradTarget, Dtype::F32, false, Put::Write),
        ],
        consts: vec![Const::U32("WIDTH", tuning.width)],
        tiles: count * blocks,
        windows: &windows,
        params: &params,
        iterations: cols.div_ceil(4) + 1,
    }
    .add(plan, limits)?;
    Ok(into)
}
