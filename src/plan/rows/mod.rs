//! Plans of the row driver.
//!
//! A row goes to one lane (few classes, or classes that are not innermost), to one subgroup or to one workgroup. Tiles
//! are the rows of one workgroup. Where even one slab of an input with inner dimensions is larger than a binding, its
//! rows are gathered into scratch by copies, piece by piece, and the gradient is scattered back. Contiguous rows of
//! very many columns are wide: several workgroups fold one; so are a GPU's long rows that lie across memory, where they
//! are few.

mod across;
mod bound;
mod gather;
mod layer;
mod software;
mod tiled;
mod upstream;
mod variant;
mod wide;

pub(crate) use across::Across;
pub(crate) use tiled::OPENED_BYTES;
pub(crate) use wide::Wide;

use crate::error::{Error, Result};
use crate::layout::Slot;
use crate::limits::Limits;
use crate::plan::spread::{Spread, Tiles};
use crate::plan::window::{bindings, fit, fit_together};
use crate::plan::{
    Dispatch, Origin, Plan, Step, broadcast, columns, furthest, grid, labels, monoid, reduce, scattered,
};
use crate::problem::{Family, Problem, Rows};
use crate::tuning::Tuning;
use crate::view::View;
use crate::words::{Mode, Role, Stats};
use layer::Layer;

/// A run of tiles, and where its rows lie: in the tensors themselves, or gathered into scratch.
#[derive(Clone, Copy, Debug)]
struct Chunk {
    tiles: (u64, u64),
    gathered: bool,
}

/// An operand or output of the input's shape.
struct Full {
    slot: Slot,
    source: Origin,
    written: bool,
    view: View,
}

struct RowsPlanner<'a> {
    problem: &'a Problem,
    rows: &'a Rows,
    limits: &'a Limits,
    spread: Spread,
    tiles: Tiles,
    /// One partial sum per tile.
    states: Option<Origin>,
    /// What the class targets of each tile come to, where they are counted on the way.
    counts: Option<Origin>,
    /// A record of each row, where statistics are wanted.
    records: Option<Origin>,
    /// The upstream gradients of each row side by side, where its statistics have some, too.
    upstreams: Option<Origin>,
    /// The classes of each row as multiplicities, where the target lists them.
    multiplicities: Option<Origin>,
    /// The weights of single elements, where they were broadcast.
    weights: Option<Origin>,
    /// Scratch for gathered operands of the input's shape, by slot.
    gathers: Vec<(Slot, Origin)>,
    /// Elements of each of them.
    gather_elements: u64,
    tuning: &'a Tuning,
}

/// Storage buffers that one dispatch can bind: WebGPU's default limit.
const MAX_STORAGE: usize = 8;

pub(super) fn plan(problem: &Problem, rows: &Rows, limits: &Limits, tuning: &Tuning) -> Result<Plan> {
    if let Some(own) = &rows.scattered {
        return scattered::plan(problem, own, limits, tuning);
    }
    if let Some(linear) = rows.linear {
        let logits = problem.of_logits();
        let layer = Layer::new(problem, linear, limits, tuning);
        return match &logits.family {
            Family::Rows(rows) => plan_of(&logits, rows, Some(&layer), limits, tuning),
            _ => Ok(Plan::default()), // logits are rows
        };
    }
    plan_of(problem, rows, None, limits, tuning)
}

/// Plans rows in memory, or those that are products of the operands of a layer.
fn plan_of(
    problem: &Problem,
    rows: &Rows,
    layer: Option<&Layer<'_>>,
    limits: &Limits,
    tuning: &Tuning,
) -> Result<Plan> {
    let wide = Wide::of(problem, rows, tuning).filter(|_| layer.is_none());
    let writes = problem.mode.wants_loss() || problem.stats.any();
    let across = Across::of(problem, rows, tuning).filter(|_| layer.is_none());
    if wide.is_none()
        && across.is_none()
        && layer.is_none()
        && problem.mode.wants_grad()
        && writes
        && storage_buffers(problem) > MAX_STORAGE
    {
        return plan_apart(problem, rows, limits, tuning);
    }
    let mut plan = Plan::default();
    let count = rows.rows();
    if count >= 1 << 32 {
        return Err(Error::Limit(format!("{count} rows, at most 2^32 - 1 in one call")));
    }
    let mut problem = problem.clone();
    if let Some(op) = rows.whole.filter(|_| problem.mode.wants_loss()) {
        // The result of everything comes from many tiles; this driver has the gradient.
        plan = reduce::plan_reduce_at(op, problem.input(), problem.offset_of(Role::Loss), limits, tuning)?;
        if !problem.mode.wants_grad() {
            return Ok(plan);
        }
        problem.mode = Mode::Backward;
    }
    let unread;
    let rows = match rows.is_sum_of_all() && problem.mode == Mode::Backward {
        true => {
            unread = rows.unread();
            &unread
        }
        false => rows,
    };
    if u32::try_from(rows.cols).is_err() {
        return Err(Error::Limit(format!(
            "a row of {} elements, at most 2^32 - 1 (the gradient of a reduction of everything takes it as one row)",
            rows.cols
        )));
    }
    let problem = &problem;
    let mut multiplicities = None;
    let spread = match (wide, across) {
        (None, None) if count == 0 => None,
        (None, None) if layer.is_none() => Some(Spread::choose(problem, rows, limits, tuning)?),
        _ => Some(Spread::of_columns(tuning)),
    };
    let counts_on_the_way = wide.is_none()
        && layer.is_none()
        && spread.is_some_and(|spread| labels::are_counted_on_the_way(problem, rows, spread));
    if problem.has_control() && wide.is_none() && !counts_on_the_way {
        multiplicities = labels::add_count(&mut plan, problem, rows, None, limits, tuning)?;
    }
    let weights = match rows.element_weights(problem).filter(|_| count > 0) {
        Some(own) if own.view.shape != problem.input().shape => Some(broadcast::add_copy(
            &mut plan,
            own,
            &problem.input().shape,
            limits,
            tuning,
        )?),
        _ => None,
    };
    let upstreams = match problem.grad_stats.is_empty() || count == 0 {
        true => None,
        false => Some(upstream::add(&mut plan, problem, count, limits, tuning)?),
    };
    let wants_loss = problem.mode.wants_loss();
    let reduced = wants_loss && problem.is_reduced();
    let (mut states, mut counts, mut records, mut tile_count) = (None, None, None, 0);
    if problem.stats.any() {
        records = Some(plan.add_scratch(count * columns::RECORD_BYTES));
    }
    if let Some(spread) = spread {
        let tiles = Tiles::new(rows, spread);
        if tiles.count >= 1 << 32 {
            return Err(Error::Limit(format!("{} tiles of rows, at most 2^32 - 1", tiles.count)));
        }
        tile_count = tiles.count;
        if reduced && records.is_none() {
            states = Some(plan.add_scratch(tiles.count * monoid::SUM_STATE_BYTES));
        }
        if counts_on_the_way {
            counts = Some(plan.add_scratch(tiles.count * monoid::COUNT_STATE_BYTES));
        }
        let mut planner = RowsPlanner {
            problem,
            rows,
            limits,
            spread,
            tiles,
            states,
            counts,
            records,
            upstreams,
            multiplicities,
            weights,
            gathers: Vec::new(),
            gather_elements: 0,
            tuning,
        };
        match (wide, across) {
            (Some(wide), _) => wide.add(&mut plan, &planner, tuning)?,
            (None, Some(across)) => across.add(&mut plan, &planner)?,
            (None, None) => match layer {
                Some(layer) => layer.add(&mut plan, &planner)?,
                None => planner.add_chunks(&mut plan)?,
            },
        }
    } else if let Some(layer) = layer {
        layer.add_nothing(&mut plan)?;
    }
    if let Some(counts) = counts {
        labels::add_counted(&mut plan, problem, counts, tile_count, limits, tuning)?;
    }
    if let Some(records) = records {
        columns::add_outputs(&mut plan, problem, records, count, limits, tuning)?;
    } else if reduced {
        let states = match states {
            Some(states) => states,
            None => plan.add_scratch(0),
        };
        let scale = monoid::Scale::of(problem, false);
        reduce::add_loss_sum(&mut plan, problem, (states, tile_count), scale, limits, tuning)?;
    }
    Ok(plan)
}

/// The storage buffers of a dispatch for losses, or statistics, and gradients in one.
fn storage_buffers(problem: &Problem) -> usize {
    let upstream = usize::from(problem.grad_output.is_some() || !problem.grad_stats.is_empty());
    let grads = problem.grads().count() - usize::from(problem.in_place);
    problem.operands.len() + upstream + grads + 1 + usize::from(problem.is_counted())
}

/// Losses and statistics in one dispatch, gradients in another, where one would bind too many buffers.
fn plan_apart(problem: &Problem, rows: &Rows, limits: &Limits, tuning: &Tuning) -> Result<Plan> {
    let mut forward = problem.clone();
    forward.mode = Mode::Forward;
    forward.in_place = false;
    forward.grad_stats.clear();
    forward.operands.iter_mut().for_each(|own| own.grad = None);
    let mut backward = problem.clone();
    backward.mode = Mode::Backward;
    backward.stats = Stats::default();
    let mut joint = Plan::default();
    // Statistics without a loss: it goes to scratch.
    let unwanted = if problem.mode.wants_loss() {
        None
    } else {
        let bytes = View::contiguous(problem.loss_dtype(), problem.loss_shape()).end();
        Some(joint.add_scratch(bytes))
    };
    joint.append(plan(&forward, rows, limits, tuning)?, |role| match (role, unwanted) {
        (Role::Loss, Some(scratch)) => scratch,
        _ => Origin::Tensor(role),
    });
    joint.append(plan(&backward, rows, limits, tuning)?, Origin::Tensor);
    Ok(joint)
}

impl RowsPlanner<'_> {
    fn add_chunks(&mut self, plan: &mut Plan) -> Result<()> {
        let ragged = self.spread.pack.is_some_and(|pack| self.has_ragged_end(pack));
        let mut first = 0;
        while first < self.tiles.count {
            let most = self.tiles.count - u64::from(ragged && first + 1 < self.tiles.count);
            let fits = |gathered: bool| {
                furthest(first, most, |end| {
                    self.fits(Chunk {
                        tiles: (first, end),
                        gathered,
                    })
                })
            };
            let chunk = if let Some(end) = fits(false) {
                Chunk {
                    tiles: (first, self.at_slab_end(first, end)),
                    gathered: false,
                }
            } else if let Some(end) = fits(true).filter(|_| self.rows.inner > 1) {
                Chunk {
                    tiles: (first, end),
                    gathered: true,
                }
            } else {
                return Err(Error::Limit(format!(
                    "a row of {} classes (or the rows of one workgroup, with the gaps between them) does not fit into a \
                     binding of {} bytes; rows of more than {} classes are cut into tiles, where the classes are innermost and \
                     the loss does not meet each with every other",
                    self.rows.cols, self.limits.max_binding_bytes, self.tuning.wide_cols
                )));
            };
            if chunk.gathered {
                self.add_gathered(plan, chunk)?;
            } else {
                self.add_dispatch(plan, chunk);
            }
            first = chunk.tiles.1;
        }
        Ok(())
    }

    fn run(&self, chunk: Chunk) -> (u64, u64) {
        (self.tiles.row(chunk.tiles.0), self.tiles.row(chunk.tiles.1))
    }

    /// The last tile up to `end` with which a slab ends, or `end`: results of whole slabs can go elsewhere by
    /// themselves.
    fn at_slab_end(&self, first: u64, end: u64) -> u64 {
        let at = end - end % self.tiles.per_slab_end(self.rows.inner as u64);
        if at > first && end < self.tiles.count { at } else { end }
    }

    fn fits(&self, chunk: Chunk) -> bool {
        let (first, end) = self.run(chunk);
        let inner = self.rows.inner as u64;
        let one_slab = first / inner == (end - 1) / inner;
        if chunk.gathered && !one_slab {
            return false;
        }
        let (windows, tiles) = (self.windows(chunk), chunk.tiles.1 - chunk.tiles.0);
        fit(&windows, tiles, self.limits) || one_slab && inner > 1 && fit_together(&windows, tiles, self.limits)
    }

    /// An upstream gradient of one number for each row, or for all.
    fn upstream(&self) -> Option<&View> {
        let view = self.problem.grad_output.as_ref()?;
        (self.problem.mode.wants_grad() && !self.rows.is_map()).then_some(view)
    }

    fn gathered(&self, slot: Slot) -> Option<Origin> {
        self.gathers
            .iter()
            .find(|(own, _)| *own == slot)
            .map(|(_, scratch)| *scratch)
    }

    /// The gradient, or a z-loss, is scaled by what the labels add up to.
    fn counted(&self) -> bool {
        self.problem.is_counted() && (self.problem.mode.wants_grad() || self.problem.stats.z_loss)
    }

    /// Elements from one slab to the next.
    fn stride(&self, view: &View) -> usize {
        if view.is_contiguous() {
            self.rows.cols * self.rows.inner
        } else {
            view.row_stride
        }
    }

    fn add_dispatch(&self, plan: &mut Plan, chunk: Chunk) {
        let windows = self.windows(chunk);
        let groups = grid(chunk.tiles.1 - chunk.tiles.0, self.limits);
        plan.steps.push(Step::Dispatch(Box::new(Dispatch {
            variant: self.variant(chunk),
            params: bytemuck::bytes_of(&self.params(chunk, self.run(chunk), &self.full(), &windows, groups[0]))
                .to_vec(),
            bindings: bindings(&windows, self.limits),
            groups,
            iterations: self.spread.iterations(self.rows.cols, self.rows.inner_loops)
                + self.staged(chunk).map_or(0, |_| 2 * self.rows.cols as u64 + 2),
            tiles: chunk.tiles,
            multiply_adds: 0,
        })));
    }
}
