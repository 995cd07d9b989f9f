//! Plans of the reduce driver: elements, labels or states, level by level down to one.

use crate::error::{Error, Result};
use crate::layout::{ReduceParams, Slot};
use crate::limits::{Limits, Tuning};
use crate::plan::window::Window;
use crate::plan::{Dispatch, Plan, Source, Step, furthest, grid, in_one_grid};
use crate::problem::Role;
use crate::shader::{Const, Piece, Variant, piece, pieces};
use crate::tensor::{Dtype, View};

/// A reduction over all elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReduceOp {
    Sum,
    Mean,
    Max,
    Min,
    Argmax,
    LogSumExp,
}

impl ReduceOp {
    pub const ALL: [Self; 6] = [
        Self::Sum,
        Self::Mean,
        Self::Max,
        Self::Min,
        Self::Argmax,
        Self::LogSumExp,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Sum => "sum",
            Self::Mean => "mean",
            Self::Max => "max",
            Self::Min => "min",
            Self::Argmax => "argmax",
            Self::LogSumExp => "logsumexp",
        }
    }

    pub fn result_dtype(self) -> Dtype {
        match self {
            Self::Argmax => Dtype::I64,
            _ => Dtype::F32,
        }
    }

    fn monoid(self) -> Monoid {
        match self {
            Self::Sum | Self::Mean => Monoid::SUM,
            Self::Max => Monoid::extreme(true, piece!("monoid/extreme_value.wgsl")),
            Self::Min => Monoid::extreme(false, piece!("monoid/extreme_value.wgsl")),
            Self::Argmax => Monoid::extreme(true, piece!("monoid/extreme_index.wgsl")),
            Self::LogSumExp => Monoid {
                state_bytes: 20,
                consts: vec![],
                pieces: vec![piece!("monoid/softmax.wgsl"), piece!("monoid/logsumexp.wgsl")],
            },
        }
    }
}

/// A monoid of `shaders/monoid`: its pieces and the size of its `State`, which a test compares with the shader's.
#[derive(Clone, Debug)]
pub(crate) struct Monoid {
    state_bytes: u64,
    consts: Vec<Const>,
    pieces: Vec<Piece>,
}

impl Monoid {
    const SUM: Self = Self {
        state_bytes: SUM_STATE_BYTES,
        consts: vec![],
        pieces: vec![],
    };

    fn extreme(largest: bool, result: Piece) -> Self {
        Self {
            state_bytes: 12,
            consts: vec![Const::Bool("LARGEST", largest)],
            pieces: vec![piece!("monoid/extreme.wgsl"), result],
        }
    }

    fn is_sum(&self) -> bool {
        self.pieces.is_empty()
    }
}

/// Bytes of `State` of `monoid/sum.wgsl`, which is what the tiles of the other drivers leave.
pub(crate) const SUM_STATE_BYTES: u64 = 4;
const COUNT_STATE_BYTES: u64 = 32;

/// What a chain of levels folds and where its result goes.
struct Chain<'a> {
    label: String,
    monoid: Monoid,
    /// Pieces that the last level's result needs besides the monoid, with their binding.
    scale: f32,
    counted: Option<Window>,
    result: Window,
    limits: &'a Limits,
    tuning: &'a Tuning,
}

/// Where a level's items come from.
enum Items<'a> {
    Input(&'a View),
    Labels {
        view: &'a View,
        weight: Option<&'a View>,
        ignore_index: i64,
        classes: u32,
    },
    States(Source),
}

/// Plans a reduction of all elements of `input` into the tensor [`Role::Loss`].
///
/// # Errors
/// [`Error::Limit`] for 2^32 elements or more, or a row of a padded input that no binding covers.
pub fn plan_reduce(op: ReduceOp, input: &View, limits: &Limits, tuning: &Tuning) -> Result<Plan> {
    let len = input.len();
    let mut plan = Plan::default();
    let chain = Chain {
        label: format!("reduce_{}", op.name()),
        monoid: op.monoid(),
        scale: if op == ReduceOp::Mean {
            (1.0 / len as f64) as f32
        } else {
            1.0
        },
        counted: None,
        result: Window::of(
            &View::contiguous(op.result_dtype(), &[]),
            Source::Tensor(Role::Loss),
            0,
            1,
        ),
        limits,
        tuning,
    };
    if input.is_empty() {
        let nothing = plan.add_scratch(0, limits)?;
        chain.levels(&mut plan, Items::States(nothing), 0)?;
    } else {
        chain.levels(&mut plan, Items::Input(input), len)?;
    }
    Ok(plan)
}

/// Adds the sum of the tile states of another driver, scaled, into [`Role::Loss`]. `counted`: the scale is in
/// [`Role::Control`].
pub(super) fn add_loss_sum(
    plan: &mut Plan,
    states: Source,
    tiles: u64,
    scale: f32,
    counted: bool,
    limits: &Limits,
    tuning: &Tuning,
) -> Result<()> {
    Chain {
        label: "loss_sum".into(),
        monoid: Monoid::SUM,
        scale,
        counted: counted.then(control),
        result: Window::of(&View::contiguous(Dtype::F32, &[]), Source::Tensor(Role::Loss), 0, 1),
        limits,
        tuning,
    }
    .levels(plan, Items::States(states), tiles)
}

/// Adds the count of class targets into [`Role::Control`].
pub(super) fn add_count(
    plan: &mut Plan,
    view: &View,
    weight: Option<&View>,
    ignore_index: i64,
    classes: u32,
    limits: &Limits,
    tuning: &Tuning,
) -> Result<()> {
    let chain = Chain {
        label: "count".into(),
        monoid: Monoid {
            state_bytes: COUNT_STATE_BYTES,
            consts: vec![],
            pieces: vec![piece!("monoid/count.wgsl")],
        },
        scale: 1.0,
        counted: None,
        result: control(),
        limits,
        tuning,
    };
    if view.is_empty() {
        let nothing = plan.add_scratch(0, limits)?;
        return chain.levels(plan, Items::States(nothing), 0);
    }
    let items = Items::Labels {
        view,
        weight,
        ignore_index,
        classes,
    };
    chain.levels(plan, items, view.len())
}

pub(super) fn control() -> Window {
    Window::scratch(Source::Tensor(Role::Control), 4, 0, 8)
}

impl Chain<'_> {
    fn levels(&self, plan: &mut Plan, items: Items<'_>, len: u64) -> Result<()> {
        if len >= 1 << 32 {
            return Err(Error::Limit(format!("{len} items in one reduction, at most 2^32 - 1")));
        }
        let mut items = items;
        let mut len = len;
        loop {
            let tiles = len.div_ceil(u64::from(self.tuning.tile)).max(1);
            if tiles == 1 {
                return self.level(plan, &items, len, 1, None);
            }
            let states = plan.add_scratch(tiles * self.monoid.state_bytes, self.limits)?;
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
            let end = furthest(first, tiles, |end| {
                windows(end).all(|(_, _, w)| w.fits(self.limits)) && in_one_grid(end - first, self.limits)
            })
            .ok_or_else(|| Error::Limit(format!("{}: a tile does not fit into one binding", self.label)))?;
            let groups = grid(end - first, self.limits);
            plan.steps.push(Step::Dispatch(Box::new(Dispatch {
                variant: self.variant(items, into.is_none()),
                params: self.params(items, into, len, (first, end), groups[0]),
                bindings: windows(end)
                    .map(|(slot, written, window)| window.binding(slot, written, self.limits))
                    .collect(),
                groups,
                iterations: self.iterations(),
                tiles: (first, end),
            })));
            first = end;
        }
        Ok(())
    }

    /// Quads of a lane, the elements of a quad where a monoid takes them singly, the runs of 16, and the tree.
    fn iterations(&self) -> u64 {
        let quads = u64::from(self.tuning.tile / (4 * self.tuning.width));
        quads * 5 + quads / 16 + 16
    }

    fn windows(
        &self,
        items: &Items<'_>,
        into: Option<Source>,
        tiles: (u64, u64),
        run: (u64, u64),
    ) -> impl Iterator<Item = (Slot, bool, Window)> {
        let source = match *items {
            Items::Input(view) => {
                let (first, end) = element_run(view, run);
                Some((Slot::Input, Window::of(view, Source::Tensor(Role::Input), first, end)))
            }
            Items::Labels { view, .. } => Some((
                Slot::Target,
                Window::of(view, Source::Tensor(Role::Target), run.0, run.1),
            )),
            Items::States(states) => Some((
                Slot::StatesIn,
                Window::scratch(states, self.monoid.state_bytes, run.0, run.1),
            )),
        };
        let weight = match *items {
            Items::Labels { weight: Some(view), .. } => Some((
                Slot::Weight,
                Window::of(view, Source::Tensor(Role::Weight), 0, view.len()),
            )),
            _ => None,
        };
        let counted = self
            .counted
            .filter(|_| into.is_none())
            .map(|window| (Slot::Control, window));
        let out = match into {
            Some(states) => (
                Slot::Loss,
                Window::scratch(states, self.monoid.state_bytes, tiles.0, tiles.1),
            ),
            None => (Slot::Result, self.result),
        };
        [source, weight, counted]
            .into_iter()
            .flatten()
            .map(|(slot, window)| (slot, false, window))
            .chain([(out.0, true, out.1)])
    }

    fn params(&self, items: &Items<'_>, into: Option<Source>, len: u64, tiles: (u64, u64), groups_x: u32) -> Vec<u8> {
        let first_item = tiles.0 * u64::from(self.tuning.tile);
        let run = (first_item, len.min(tiles.1 * u64::from(self.tuning.tile)));
        let mut params = ReduceParams {
            first_tile: tiles.0 as u32,
            end_tile: tiles.1 as u32,
            groups_x,
            len: len as u32,
            first_item: first_item as u32,
            scale: self.scale,
            neg_inf: f32::NEG_INFINITY,
            nan: f32::NAN,
            ..Default::default()
        };
        for (slot, _, window) in self.windows(items, into, tiles, run) {
            let base = window.base(self.limits);
            match slot {
                Slot::Input | Slot::Target | Slot::StatesIn => params.base = base,
                Slot::Weight => params.weight_base = base,
                Slot::Loss => params.states_base = base,
                _ => {}
            }
        }
        match *items {
            Items::Input(view) if !view.is_contiguous() => {
                params.slab = view.slab() as u32;
                params.stride = view.row_stride as u32;
            }
            Items::Labels {
                ignore_index, classes, ..
            } => {
                params.ignore = crate::layout::words(ignore_index);
                params.classes = classes;
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
        list.extend(&self.monoid.pieces);
        let source = match *items {
            Items::Input(view) => {
                let quads = view.is_contiguous() && view.len().is_multiple_of(4) && view.offset.is_multiple_of(16);
                let access = pieces::Access { quads, in_place: false };
                list.extend(pieces::input(access));
                list.push(if view.is_contiguous() {
                    piece!("piece/source_input.wgsl")
                } else {
                    piece!("piece/source_input_rows.wgsl")
                });
                let rows = if view.is_contiguous() { "" } else { "_rows" };
                format!("f32{}{rows}", if quads { "x4" } else { "" })
            }
            Items::Labels { view, weight, .. } => {
                list.push(pieces::FAULT);
                list.push(pieces::labels(view.dtype));
                list.push(pieces::class_weight(weight.is_some()));
                list.push(piece!("piece/source_labels.wgsl"));
                format!("{}{}", view.dtype, if weight.is_some() { "_weight" } else { "" })
            }
            Items::States(_) => {
                list.push(piece!("piece/source_states.wgsl"));
                "states".into()
            }
        };
        if self.monoid.is_sum() {
            list.push(pieces::SUM);
            list.push(if self.counted.is_some() && last {
                pieces::SCALE_COUNTED
            } else {
                pieces::SCALE_STATIC
            });
        }
        list.push(if last {
            piece!("piece/sink_result.wgsl")
        } else {
            piece!("piece/sink_states.wgsl")
        });
        let mut consts = vec![
            Const::U32("WIDTH", self.tuning.width),
            Const::U32("TILE", self.tuning.tile),
        ];
        consts.extend(&self.monoid.consts);
        Variant {
            label: format!(
                "{}/{source}/{}{}/group{}/tile{}",
                self.label,
                if last { "last" } else { "level" },
                if last && self.counted.is_some() { "/counted" } else { "" },
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
