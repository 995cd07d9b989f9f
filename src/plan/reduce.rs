//! Plans of the reduce driver: elements, labels or states, level by level down to one.

use crate::error::{Error, Result};
use crate::inspect::Check;
use crate::layout::{FAULT_WORDS, ReduceParams, Slot, words};
use crate::limits::Limits;
use crate::plan::columns::RECORD_BYTES;
use crate::plan::monoid::{CONTROL_WORDS, COUNT_STATE_BYTES, Monoid, ReduceOp, Scale};
use crate::plan::rows::OPENED_BYTES;
use crate::plan::window::{Window, bindings, fit};
use crate::plan::{Dispatch, Plan, Source, Step, furthest, grid, runs_of_four};
use crate::problem::{Problem, Role, Rows, Targets};
use crate::shader::{Const, Piece, Variant, piece, pieces};
use crate::tensor::{Dtype, View};
use crate::tuning::Tuning;

const FOUR: Piece = piece!("piece/source_four.wgsl");

/// What a chain of levels folds and where its result goes.
struct Chain<'a> {
    label: String,
    monoid: Monoid,
    scale: Scale,
    /// One over the denominator, where nothing is kept.
    empty: f32,
    result: Window,
    limits: &'a Limits,
    tuning: &'a Tuning,
}

/// Where a level's items come from.
enum Items<'a> {
    Input(Role, &'a View),
    /// Class targets, or only the weights of the rows.
    Labels(Labels<'a>),
    States(Source),
    /// A column of the rows' records.
    Column(Source, u32),
}

struct Labels<'a> {
    labels: Option<&'a View>,
    weight: Option<(Role, &'a View)>,
    /// Wide rows, with the weights of their labels' classes.
    opened: Option<Source>,
    sample_weight: Option<&'a View>,
    ignore_index: Option<i64>,
    classes: u32,
}

/// Plans a reduction of all elements of `input` into the tensor [`Role::Loss`].
///
/// # Errors
/// [`Error::Limit`] for 2^32 elements or more with gaps between rows, or a row of a padded input that no binding covers.
pub fn plan_reduce(op: ReduceOp, input: &View, limits: &Limits, tuning: &Tuning) -> Result<Plan> {
    let len = input.len();
    let mut plan = Plan::default();
    let mean = op == ReduceOp::Mean;
    let chain = Chain {
        label: format!("reduce_{}", op.name()),
        monoid: op.monoid(),
        scale: Scale::Static(if mean { (1.0 / len as f64) as f32 } else { 1.0 }),
        empty: f32::NAN,
        result: output(Role::Loss, op.result_dtype()),
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

/// A 0-d output.
fn output(role: Role, dtype: Dtype) -> Window {
    Window::of(&View::contiguous(dtype, &[]), Source::Tensor(role), 0, 1)
}

/// Adds the sum of the tile states of another driver, scaled, into [`Role::Loss`].
pub(super) fn add_loss_sum(
    plan: &mut Plan,
    states: Source,
    tiles: u64,
    scale: Scale,
    limits: &Limits,
    tuning: &Tuning,
) -> Result<()> {
    Chain {
        label: "loss_sum".into(),
        monoid: Monoid::SUM,
        scale,
        empty: f32::NAN,
        result: output(Role::Loss, Dtype::F32),
        limits,
        tuning,
    }
    .levels(plan, Items::States(states), tiles)
}

/// Adds the sum of a column of the rows' records, scaled, into an output; without a scale, the count of its ones.
pub(super) fn add_column_sum(
    plan: &mut Plan,
    (records, column, rows): (Source, u32, u64),
    into: Role,
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
        result: output(into, if scale.is_some() { Dtype::F32 } else { Dtype::U32 }),
        limits,
        tuning,
    };
    if rows == 0 {
        return chain.levels(plan, Items::States(records), 0);
    }
    chain.levels(plan, Items::Column(records, column), rows)
}

/// Adds the count of class targets, and of the weights of rows, into [`Role::Control`]. Wide rows have been opened.
pub(super) fn add_count(
    plan: &mut Plan,
    problem: &Problem,
    rows: &Rows,
    opened: Option<Source>,
    limits: &Limits,
    tuning: &Tuning,
) -> Result<()> {
    let labels = match rows.targets {
        Targets::Index { .. } | Targets::ClassList => problem.view(Slot::Target),
        Targets::None | Targets::Full => None,
    };
    let weight = problem
        .operand(Slot::Weight)
        .filter(|_| rows.counts_weights && labels.is_some());
    let sample_weight = problem.view(Slot::SampleWeight);
    let chain = Chain {
        label: "count_labels".into(),
        monoid: Monoid {
            state_bytes: COUNT_STATE_BYTES,
            consts: vec![],
            pieces: &[piece!("monoid/count.wgsl")],
        },
        scale: Scale::Static(1.0),
        empty: if problem.zero_on_empty { 0.0 } else { f32::NAN },
        result: control(),
        limits,
        tuning,
    };
    let items = labels.or(sample_weight).map_or(0, View::len);
    if items == 0 {
        let nothing = plan.add_scratch(0);
        return chain.levels(plan, Items::States(nothing), 0);
    }
    let source = Labels {
        labels,
        weight: weight.map(|own| (own.role, &own.view)),
        opened: opened.filter(|_| weight.is_some()),
        sample_weight,
        ignore_index: rows.ignore_index(),
        classes: rows.cols as u32,
    };
    chain.levels(plan, Items::Labels(source), items)
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
    faults: Source,
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
        result: Window::scratch(Source::Tensor(Role::Fault(nth as u8)), 4, 0, FAULT_WORDS as u64),
        limits,
        tuning,
    }
}

pub(super) fn control() -> Window {
    Window::scratch(Source::Tensor(Role::Control), 4, 0, CONTROL_WORDS)
}

/// Loop iterations of one invocation: quads of a lane, the elements of a quad where a monoid takes them singly, the runs of
/// four, and the tree.
pub(crate) fn tile_iterations(tuning: &Tuning) -> u64 {
    let quads = u64::from(tuning.tile / (4 * tuning.width));
    quads * 5 + runs_of_four(quads) + 16
}

impl Chain<'_> {
    fn levels(&self, plan: &mut Plan, items: Items<'_>, len: u64) -> Result<()> {
        // Items are counted modulo 2^32 from the first of a dispatch on; labels by their rows, gaps from the number.
        let wide = matches!(&items, Items::Input(_, view) if view.is_contiguous());
        let tiles = len.div_ceil(u64::from(self.tuning.tile));
        if tiles >= 1 << 32 || len >= 1 << 32 && !wide {
            return Err(Error::Limit(format!("{len} items in one reduction, at most 2^32 - 1")));
        }
        let mut items = items;
        let mut len = len;
        loop {
            let tiles = len.div_ceil(u64::from(self.tuning.tile)).max(1);
            if tiles == 1 {
                return self.level(plan, &items, len, 1, None);
            }
            let states = plan.add_scratch(tiles * self.monoid.state_bytes);
            self.level(plan, &items, len, tiles, Some(states))?;
            items = Items::States(states);
            len = tiles;
        }
    }

    /// One level: all tiles, in as many dispatches as the limits ask for.
    fn level(&self, plan: &mut Plan, items: &Items<'_>, len: u64, tiles: u64, into: Option<Source>) -> Result<()> {
        let tile = u64::from(self.tuning.tile);
        let mut first = 0;
        while first < tiles {
            let windows = |end: u64| self.windows(items, into, (first, end), (first * tile, len.min(end * tile)));
            let end = furthest(first, tiles, |end| fit(&windows(end), end - first, self.limits))
                .ok_or_else(|| Error::Limit(format!("{}: a tile does not fit into one binding", self.label)))?;
            let groups = grid(end - first, self.limits);
            plan.steps.push(Step::Dispatch(Box::new(Dispatch {
                variant: self.variant(items, into.is_none()),
                params: self.params(items, into, len, (first, end), groups[0]),
                bindings: bindings(&windows(end), self.limits),
                groups,
                iterations: tile_iterations(self.tuning),
                tiles: (first, end),
            })));
            first = end;
        }
        Ok(())
    }

    fn windows(
        &self,
        items: &Items<'_>,
        into: Option<Source>,
        tiles: (u64, u64),
        run: (u64, u64),
    ) -> Vec<(Slot, bool, Window)> {
        let tensor =
            |slot, role, view: &View, (first, end)| (slot, false, Window::of(view, Source::Tensor(role), first, end));
        let mut list = Vec::new();
        match items {
            Items::Input(role, view) => list.push(tensor(Slot::Input, *role, view, element_run(view, run))),
            Items::Labels(own) => {
                list.extend(own.labels.map(|view| tensor(Slot::Target, Role::Target, view, run)));
                list.extend(match (own.opened, own.weight) {
                    (Some(opened), _) => Some((Slot::Rows, false, Window::scratch(opened, OPENED_BYTES, run.0, run.1))),
                    (None, weight) => weight.map(|(role, view)| tensor(Slot::Weight, role, view, (0, view.len()))),
                });
                let sample_weight = |view| tensor(Slot::SampleWeight, Role::SampleWeight, view, run);
                list.extend(own.sample_weight.map(sample_weight));
            }
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

    fn params(&self, items: &Items<'_>, into: Option<Source>, len: u64, tiles: (u64, u64), groups_x: u32) -> Vec<u8> {
        let first_item = tiles.0 * u64::from(self.tuning.tile);
        let run = (first_item, len.min(tiles.1 * u64::from(self.tuning.tile)));
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
            neg_inf: f32::NEG_INFINITY,
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
                Slot::Weight => params.weight_base = base,
                Slot::Rows => params.weight_base = base * (OPENED_BYTES / 4) as u32,
                Slot::Loss => params.states_base = base,
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
            }
            _ => {}
        }
        bytemuck::bytes_of(&params).to_vec()
    }

    fn variant(&self, items: &Items<'_>, last: bool) -> Variant {
        let mut list = vec![
            piece!("driver/reduce.wgsl"),
            piece!("piece/reduce_params.wgsl"),
            pieces::MATH,
            pieces::TREE_WORKGROUP,
        ];
        list.extend(self.monoid.pieces);
        let mut consts = vec![
            Const::U32("WIDTH", self.tuning.width),
            Const::U32("TILE", self.tuning.tile),
        ];
        consts.extend(&self.monoid.consts);
        let source = match items {
            Items::Input(_, view) => {
                let word = 4 * view.dtype.bytes();
                let quads = view.is_contiguous() && view.len().is_multiple_of(4) && view.offset.is_multiple_of(word);
                list.extend(pieces::half([view.dtype]));
                list.push(pieces::read(Slot::Input, view.dtype, quads));
                if view.is_contiguous() {
                    list.push(piece!("piece/source_input.wgsl"));
                } else {
                    list.extend([piece!("piece/source_input_rows.wgsl"), FOUR]);
                }
                let rows = if view.is_contiguous() { "" } else { "_rows" };
                format!("{}{}{rows}", view.dtype, if quads { "x4" } else { "" })
            }
            Items::Labels(own) => {
                let weight = own.weight.filter(|_| own.opened.is_none()).map(|(_, view)| view.dtype);
                let sample_weight = own.sample_weight.map(|view| view.dtype);
                list.extend(pieces::half([weight, sample_weight].into_iter().flatten()));
                list.push(pieces::given(Slot::SampleWeight, sample_weight));
                consts.push(Const::Bool("IGNORES", own.ignore_index.is_some()));
                let labels = own.labels.map(|view| view.dtype);
                list.push(FOUR);
                match labels {
                    Some(dtype) => {
                        list.extend([pieces::FAULT, pieces::labels(dtype), piece!("piece/source_labels.wgsl")]);
                        list.extend(match own.opened {
                            Some(_) => vec![piece!("piece/label_weight_opened.wgsl")],
                            None => vec![
                                piece!("piece/label_weight.wgsl"),
                                piece!("piece/class_weight.wgsl"),
                                pieces::given(Slot::Weight, weight),
                            ],
                        });
                    }
                    None => list.push(piece!("piece/source_sample_weight.wgsl")),
                }
                let name = |what, dtype: Option<Dtype>| dtype.map_or(String::new(), |dtype| format!("{what}{dtype}"));
                format!(
                    "{}{}{}{}",
                    name("", labels),
                    if own.opened.is_some() {
                        "_weight_opened".into()
                    } else {
                        name("_weight_", weight)
                    },
                    name("_sample_weight_", sample_weight),
                    if own.ignore_index.is_some() { "_ignores" } else { "" }
                )
            }
            Items::States(_) => {
                list.extend([piece!("piece/source_states.wgsl"), FOUR]);
                "states".into()
            }
            Items::Column(_, column) => {
                list.extend([piece!("piece/source_column.wgsl"), FOUR]);
                consts.push(Const::U32("COLUMN", *column));
                format!("column{column}")
            }
        };
        let scale = if last { self.scale } else { Scale::Static(1.0) };
        list.push(match scale {
            Scale::Static(_) => pieces::SCALE_STATIC,
            Scale::Counted => pieces::SCALE_COUNTED,
            Scale::CountedZ => piece!("piece/scale_counted_z.wgsl"),
        });
        list.push(if last {
            piece!("piece/sink_result.wgsl")
        } else {
            piece!("piece/sink_states.wgsl")
        });
        Variant {
            label: format!(
                "{}/{source}/{}{}/group{}/tile{}",
                self.label,
                if last { "last" } else { "level" },
                scale.name(),
                self.tuning.width,
                self.tuning.tile,
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
