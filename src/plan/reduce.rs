//! Plans of the reduce driver: elements, labels or states, level by level down to one.

use crate::dtype::Dtype;
use crate::error::{Error, Result};
use crate::inspect::Check;
use crate::layout::{FAULT_WORDS, ReduceParams, Slot, words};
use crate::limits::Limits;
use crate::plan::columns::RECORD_BYTES;
use crate::plan::labels::Labels;
use crate::plan::monoid::{CONTROL_WORDS, Monoid, Scale};
use crate::plan::rows::OPENED_BYTES;
use crate::plan::tree::Tree;
use crate::plan::window::{Window, bindings, fit};
use crate::plan::{Dispatch, Origin, Plan, Step, balanced, furthest, grid};
use crate::problem::Problem;
use crate::shader::{Const, Variant, piece, pieces};
use crate::tuning::{Tuning, tile_iterations};
use crate::view::View;
use crate::words::{ReduceOp, Role};

/// What a chain of levels folds and where its result goes.
pub(super) struct Chain<'a> {
    pub label: String,
    pub monoid: Monoid,
    pub scale: Scale,
    /// One over the denominator, where nothing is kept.
    pub empty: f32,
    /// p of a norm.
    pub power: f32,
    pub result: Window,
    pub limits: &'a Limits,
    pub tuning: &'a Tuning,
}

/// A lane that goes through a list for each of its quads does so in so many steps at most, or has a single quad.
const LIST_STEPS: u64 = 1024;

/// Where a level's items come from.
pub(super) enum Items<'a> {
    Input(Role, &'a View),
    /// Class targets, or only the weights of the rows.
    Labels(Labels<'a>),
    States(Origin),
    /// A column of the rows' records.
    Column(Origin, u32),
}

/// Plans a reduction of all elements of `input` into the tensor [`Role::Loss`].
///
/// # Errors
/// [`Error::Limit`] for 2^32 elements or more with gaps between rows, or a row of a padded input that no binding
/// covers.
pub fn plan_reduce(op: ReduceOp, input: &View, limits: &Limits, tuning: &Tuning) -> Result<Plan> {
    plan_reduce_at(op, input, 0, limits, tuning)
}

/// The same into a result that begins at a byte of its memory.
pub(super) fn plan_reduce_at(op: ReduceOp, input: &View, at: u64, limits: &Limits, tuning: &Tuning) -> Result<Plan> {
    let len = input.len();
    let mut plan = Plan::default();
    let mean = op == ReduceOp::Mean;
    let chain = Chain {
        label: format!("reduce_{}", op.name()),
        monoid: op.monoid(),
        scale: Scale::Static(if mean { (1.0 / len as f64) as f32 } else { 1.0 }),
        empty: f32::NAN,
        power: 1.0,
        result: output(Role::Loss, op.result_dtype(), at),
        limits,
        tuning,
    };
    if input.is_empty() {
        let nothing = plan.add_scratch(0);
        chain.levels(&mut plan, Items::States(nothing), 0)?;
    } else {
        chain.levels(&mut plan, Items::Input(Role::Input, input), len)?;
    }
    Ok(plan)
}

/// A 0-d output that begins at a byte of its memory.
fn output(role: Role, dtype: Dtype, offset: u64) -> Window {
    let view = View::placed(dtype, &[], offset);
    Window::of(&view, Origin::Tensor(role), 0, 1)
}

/// Adds the sum of the tile states of another driver, scaled, into [`Role::Loss`].
pub(super) fn add_loss_sum(
    plan: &mut Plan,
    problem: &Problem,
    (states, tiles): (Origin, u64),
    scale: Scale,
    limits: &Limits,
    tuning: &Tuning,
) -> Result<()> {
    Chain {
        label: "loss_sum".into(),
        monoid: Monoid::SUM,
        scale,
        empty: f32::NAN,
        power: 1.0,
        result: output(Role::Loss, Dtype::F32, problem.offset_of(Role::Loss)),
        limits,
        tuning,
    }
    .levels(plan, Items::States(states), tiles)
}

/// Adds the sum of a column of the rows' records, scaled, into an output; without a scale, the count of its ones.
pub(super) fn add_column_sum(
    plan: &mut Plan,
    (records, column, rows): (Origin, u32, u64),
    (into, at): (Role, u64),
    scale: Option<Scale>,
    limits: &Limits,
    tuning: &Tuning,
) -> Result<()> {
    let chain = Chain {
        label: if scale.is_some() {
            "column_sum".into()
        } else {
            "column_ones".into()
        },
        monoid: if scale.is_some() { Monoid::SUM } else { Monoid::ONES },
        scale: scale.unwrap_or(Scale::Static(1.0)),
        empty: f32::NAN,
        power: 1.0,
        result: output(into, if scale.is_some() { Dtype::F32 } else { Dtype::U32 }, at),
        limits,
        tuning,
    };
    if rows == 0 {
        return chain.levels(plan, Items::States(records), 0);
    }
    chain.levels(plan, Items::Column(records, column), rows)
}

/// Adds the inspection of all elements of an operand, which has its place among the problem's checks.
pub(super) fn add_inspection(
    plan: &mut Plan,
    (nth, check): (usize, &Check),
    view: &View,
    limits: &Limits,
    tuning: &Tuning,
) -> Result<()> {
    let chain = inspection((nth, check), limits, tuning);
    if view.is_empty() {
        let nothing = plan.add_scratch(0);
        return chain.levels(plan, Items::States(nothing), 0);
    }
    chain.levels(plan, Items::Input(check.role, view), view.len())
}

/// Adds what the tiles of the elementwise driver found together.
pub(super) fn add_faults(
    plan: &mut Plan,
    faults: Origin,
    tiles: u64,
    check: (usize, &Check),
    limits: &Limits,
    tuning: &Tuning,
) -> Result<()> {
    inspection(check, limits, tuning).levels(plan, Items::States(faults), tiles)
}

fn inspection<'a>((nth, check): (usize, &Check), limits: &'a Limits, tuning: &'a Tuning) -> Chain<'a> {
    let nan = if check.refuses_nan { "_no_nan" } else { "" };
    Chain {
        label: format!("inspect_{}{nan}", check.rule.name()),
        monoid: Monoid::fault(check),
        scale: Scale::Static(1.0),
        empty: f32::NAN,
        power: 1.0,
        result: Window::scratch(Origin::Tensor(Role::Fault(nth as u8)), 4, 0, FAULT_WORDS as u64),
        limits,
        tuning,
    }
}

pub(super) fn control() -> Window {
    Window::scratch(Origin::Tensor(Role::Control), 4, 0, CONTROL_WORDS)
}

impl Chain<'_> {
    pub fn levels(&self, plan: &mut Plan, items: Items<'_>, len: u64) -> Result<()> {
        // Items are counted modulo 2^32 from the first of a dispatch on; labels by their rows, gaps from the number.
        let wide = matches!(&items, Items::Input(_, view) if view.is_contiguous());
        let tiles = len.div_ceil(self.tile(&items, len));
        if tiles >= 1 << 32 || len >= 1 << 32 && !wide {
            return Err(Error::Limit(format!("{len} items in one reduction, at most 2^32 - 1")));
        }
        let mut items = items;
        let mut len = len;
        loop {
            let tile = self.tile(&items, len);
            let tiles = len.div_ceil(tile).max(1);
            if tiles == 1 {
                return self.level(plan, &items, (len, tile), None);
            }
            let states = plan.add_scratch(tiles * self.monoid.state_bytes);
            self.level(plan, &items, (len, tile), Some(states))?;
            items = Items::States(states);
            len = tiles;
        }
    }

    /// One level: all tiles, in as many dispatches as the limits ask for.
    fn level(&self, plan: &mut Plan, items: &Items<'_>, (len, tile): (u64, u64), into: Option<Origin>) -> Result<()> {
        let tiles = len.div_ceil(tile).max(1);
        let mut first = 0;
        while first < tiles {
            let windows = |end: u64| self.windows(items, into, (first, end), (first * tile, len.min(end * tile)));
            let end = furthest(first, tiles, |end| fit(&windows(end), end - first, self.limits))
                .ok_or_else(|| Error::Limit(format!("{}: a tile does not fit into one binding", self.label)))?;
            let end = balanced(first, end, tiles, self.tuning);
            let groups = grid(end - first, self.limits);
            plan.steps.push(Step::Dispatch(Box::new(Dispatch {
                variant: self.variant(items, tile, into.is_none()),
                params: self.params(items, into, (len, tile), (first, end), groups[0]),
                bindings: bindings(&windows(end), self.limits),
                groups,
                iterations: self.iterations(items, tile),
                tiles: (first, end),
                multiply_adds: 0,
            })));
            first = end;
        }
        Ok(())
    }

    /// Items of a tile, of so many. Lists cost a lane more for each of its quads, so that their tiles are smaller.
    fn tile(&self, items: &Items<'_>, len: u64) -> u64 {
        let mut tile = match items {
            Items::Input(_, view) => self.tuning.tile_of(len, view.dtype.bytes()),
            Items::Labels(own) => self.tuning.tile_of(len, own.bytes()),
            Items::Column(..) => self.tuning.tile_of(len, RECORD_BYTES),
            Items::States(_) => self.tuning.states_tile(),
        };
        while self.list_steps(items, tile) > LIST_STEPS && tile >= u64::from(8 * self.tuning.width) {
            tile /= 2;
        }
        tile
    }

    /// Steps of a lane through lists.
    fn list_steps(&self, items: &Items<'_>, tile: u64) -> u64 {
        match items {
            Items::Labels(own) => tile / u64::from(4 * self.tuning.width) * own.list_steps(),
            _ => 0,
        }
    }

    /// Of one invocation, with its steps through lists.
    fn iterations(&self, items: &Items<'_>, tile: u64) -> u64 {
        tile_iterations(tile, self.tuning.width) + self.list_steps(items, tile)
    }

    fn windows(
        &self,
        items: &Items<'_>,
        into: Option<Origin>,
        tiles: (u64, u64),
        run: (u64, u64),
    ) -> Vec<(Slot, bool, Window)> {
        let tensor =
            |slot, role, view: &View, (first, end)| (slot, false, Window::of(view, Origin::Tensor(role), first, end));
        let mut list = Vec::new();
        match items {
            Items::Input(role, view) => list.push(tensor(Slot::Input, *role, view, element_run(view, run))),
            Items::Labels(own) => list.extend(own.windows(run)),
            Items::States(states) => {
                let window = Window::scratch(*states, self.monoid.state_bytes, run.0, run.1);
                list.push((Slot::StatesIn, false, window));
            }
            Items::Column(records, _) => {
                let window = Window::scratch(*records, RECORD_BYTES, run.0, run.1);
                list.push((Slot::StatesIn, false, window));
            }
        }
        if into.is_none() && !matches!(self.scale, Scale::Static(_)) {
            list.push((Slot::Control, false, control()));
        }
        list.push(match into {
            Some(states) => {
                let window = Window::scratch(states, self.monoid.state_bytes, tiles.0, tiles.1);
                (Slot::Loss, true, window)
            }
            None => (Slot::Result, true, self.result),
        });
        list
    }

    fn params(
        &self,
        items: &Items<'_>,
        into: Option<Origin>,
        (len, tile): (u64, u64),
        tiles: (u64, u64),
        groups_x: u32,
    ) -> Vec<u8> {
        let first_item = tiles.0 * tile;
        let run = (first_item, len.min(tiles.1 * tile));
        let mut params = ReduceParams {
            first_tile: tiles.0 as u32,
            end_tile: tiles.1 as u32,
            groups_x,
            len: run.1 as u32,
            first_item: first_item as u32,
            first_place: words(first_item as i64),
            scale: match self.scale {
                Scale::Static(scale) => scale,
                Scale::Counted | Scale::CountedZ => 1.0,
            },
            empty: self.empty,
            power: self.power,
            neg_inf: f32::NEG_INFINITY,
            lowest: f32::MIN,
            nan: f32::NAN,
            ..Default::default()
        };
        for (slot, _, window) in self.windows(items, into, tiles, run) {
            let base = window.base(self.limits);
            match slot {
                // Words of a record; elements or states of the others.
                Slot::StatesIn if matches!(items, Items::Column(..)) => params.base = base * (RECORD_BYTES / 4) as u32,
                Slot::Input | Slot::Target | Slot::StatesIn => params.base = base,
                Slot::SampleWeight => params.sample_weight_base = base,
                Slot::Weight | Slot::GradTarget => params.weight_base = base,
                Slot::Rows => params.weight_base = base * (OPENED_BYTES / 4) as u32,
                Slot::Loss => params.states_base = base,
                Slot::Result => params.result_base = base * (window.element_bytes / 4) as u32,
                _ => {}
            }
        }
        match items {
            Items::Input(_, view) if !view.is_contiguous() => {
                params.slab = view.slab() as u32;
                params.stride = view.row_stride as u32;
            }
            Items::Labels(own) => {
                params.ignore = words(own.ignore_index.unwrap_or_default());
                params.classes = own.classes;
                params.base += (run.0 - own.list_run(run).0) as u32;
            }
            _ => {}
        }
        bytemuck::bytes_of(&params).to_vec()
    }

    fn variant(&self, items: &Items<'_>, tile: u64, last: bool) -> Variant {
        let mut list = vec![
            piece!("driver/reduce.wgsl"),
            piece!("params/reduce.wgsl"),
            pieces::PARAMS,
            pieces::MATH,
            pieces::GUARD,
        ];
        let tree = Tree::of_tile(self.tuning, self.limits);
        list.extend(tree.pieces);
        list.extend(self.monoid.pieces);
        let mut consts = vec![Const::U32("WIDTH", self.tuning.width), Const::U32("TILE", tile as u32)];
        consts.extend(tree.consts);
        consts.extend(&self.monoid.consts);
        let source = match items {
            Items::Input(_, view) => {
                let word = 4 * view.dtype.bytes();
                let quads = view.is_contiguous() && view.len().is_multiple_of(4) && view.offset.is_multiple_of(word);
                list.extend(pieces::half([view.dtype], self.limits));
                list.push(pieces::read(Slot::Input, view.dtype, quads));
                if view.is_contiguous() {
                    list.push(piece!("total/source_input.wgsl"));
                } else {
                    list.push(piece!("total/source_input_rows.wgsl"));
                }
                let rows = if view.is_contiguous() { "" } else { "_rows" };
                format!("{}{}{rows}", view.dtype, if quads { "x4" } else { "" })
            }
            Items::Labels(own) => own.source(&mut list, &mut consts, self.limits, self.tuning),
            Items::States(_) => {
                list.push(piece!("total/source_states.wgsl"));
                "states".into()
            }
            Items::Column(_, column) => {
                list.push(piece!("total/source_column.wgsl"));
                consts.push(Const::U32("COLUMN", *column));
                format!("column{column}")
            }
        };
        let scale = if last { self.scale } else { Scale::Static(1.0) };
        list.push(match scale {
            Scale::Static(_) => pieces::SCALE_STATIC,
            Scale::Counted => pieces::SCALE_COUNTED,
            Scale::CountedZ => pieces::SCALE_COUNTED_Z,
        });
        list.push(if last {
            piece!("total/sink_result.wgsl")
        } else {
            piece!("total/sink_states.wgsl")
        });
        Variant {
            shared: Vec::new(),
            label: format!(
                "{}/{source}/{}{}/{}/tile{}",
                self.label,
                if last { "last" } else { "level" },
                scale.name(),
                tree.name,
                tile,
            ),
            consts,
            pieces: list,
        }
    }
}

/// The memory that items `run` of an input lie in, in elements. Rows may have gaps.
fn element_run(view: &View, run: (u64, u64)) -> (u64, u64) {
    let place = |item: u64| {
        if view.is_contiguous() {
            return item;
        }
        let slab = view.slab() as u64;
        item / slab * view.row_stride as u64 + item % slab
    };
    (place(run.0), place(run.1.max(run.0 + 1) - 1) + 1)
}
