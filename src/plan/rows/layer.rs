//! Rows that are products of an input with the matrix of a linear layer.
//!
//! Rows go in blocks. Of each, a product folds its tiles of logits into states as it makes them (`folded`), and what the
//! states of a row come to is merged as of any wide row. Where gradients are wanted, the logits of a block lie in
//! scratch, all of its columns or some at a time; then they are computed once more. There their gradient goes over them,
//! and is multiplied with the matrix and the input.
//!
//! All sums are one after the other: a logit's along the features, those of the input's gradient along the columns,
//! those of the matrix's along the rows, each going on from what is there. So neither the blocks nor the runs of columns
//! change a bit.

mod folded;
mod grads;

use super::RowsPlanner;
use super::tiled::{FOLDED_BYTES, MERGED_BYTES, OPENED_BYTES, Pass};
use super::wide::{Passes, Wide};
use crate::error::{Error, Result};
use crate::layout::Slot;
use crate::limits::Limits;
use crate::plan::order::Order;
use crate::plan::product::{Bias, Lies, Matrix, Ordered, Side, Tile};
use crate::plan::{Origin, Plan};
use crate::problem::{Linear, Problem, Targets};
use crate::tuning::Tuning;
use crate::view::View;
use crate::words::Role;

/// A layer, and the problem that its operands and their gradients belong to.
pub(super) struct Layer<'a> {
    problem: &'a Problem,
    linear: Linear,
}

/// How the rows are cut: input rows of a block, and columns of it at a time.
#[derive(Clone, Copy, Debug)]
struct Blocks {
    inputs: u64,
    cols: u64,
}

/// A block: rows of the input, from and to, of the call, or places of an order that begins with some row.
#[derive(Clone, Copy)]
struct Block {
    inputs: (u64, u64),
    order: Option<Order>,
}

/// Logits of a block in scratch, and which columns these are.
#[derive(Clone, Copy)]
struct Logits {
    source: Origin,
    cols: (u64, u64),
    stride: u64,
}

/// A planner with the layer whose products its rows are.
struct Planner<'a> {
    layer: &'a Layer<'a>,
    own: &'a RowsPlanner<'a>,
    tile: Tile,
    blocks: Blocks,
    opened: Option<Origin>,
    folded: Origin,
    merged: Option<Origin>,
    sums: Sums,
}

/// Gradients in f32 that are not added up where they go, since that has 16 bits, or lies elsewhere, till they are whole: of the input rows of a block, of the matrix and of the
/// bias.
#[derive(Clone, Copy, Default)]
struct Sums {
    input: Option<Origin>,
    matrix: Option<Origin>,
    bias: Option<Origin>,
}

/// Rows of a block where logits are computed twice: their states are all in memory.
const RECOMPUTED_ROWS: u64 = 256;

impl Block {
    fn len(self) -> u64 {
        self.inputs.1 - self.inputs.0
    }

    /// Its rows of logits.
    fn rows(self, heads: u64) -> (u64, u64) {
        (self.inputs.0 * heads, self.inputs.1 * heads)
    }

    /// The first of its rows in memory, from which an order counts.
    fn first(self) -> u64 {
        match self.order {
            Some(_) => 0,
            None => self.inputs.0,
        }
    }

    /// What a product takes in order.
    fn ordered(self, what: Side) -> Option<Ordered> {
        let order = self.order?;
        Some(Ordered {
            order,
            first: self.inputs.0 - order.inputs.0,
            what,
        })
    }
}

impl<'a> Layer<'a> {
    pub fn new(problem: &'a Problem, linear: Linear) -> Self {
        Self { problem, linear }
    }

    /// Where the gradient of an operand goes, if that is wanted.
    fn grad(&self, slot: Slot) -> Option<(Role, &View)> {
        let mut grads = self.problem.grads();
        grads
            .find(|(own, ..)| own.slot == slot)
            .map(|(_, role, view)| (role, view))
    }

    fn wants_grads(&self) -> bool {
        [Slot::Left, Slot::Right, Slot::Bias]
            .iter()
            .any(|&slot| self.grad(slot).is_some())
    }

    /// Rows of the input from one on, as lines along the features, or across them.
    fn input(&self, first: u64, lies: Lies) -> Result<Matrix> {
        let view = self.view(Slot::Left)?;
        // A row alone has no stride.
        let stride = if view.shape.len() > 1 {
            view.row_stride
        } else {
            self.linear.features
        };
        Ok(Matrix {
            source: Origin::Tensor(Role::Input),
            dtype: view.dtype,
            offset: view.offset + first * stride as u64 * view.dtype.bytes(),
            stride: stride as u64,
            lies,
            padded: false,
        })
    }

    /// The rows of the matrix at a place of the head, from a class on.
    fn matrix(&self, head: u64, first: u64, lies: Lies) -> Result<Matrix> {
        let view = self.view(Slot::Right)?;
        let (heads, features) = (self.linear.heads as u64, self.linear.features as u64);
        let stride = match view.is_contiguous() {
            true => heads * features,
            false => view.row_stride as u64,
        };
        Ok(Matrix {
            source: Origin::Tensor(Role::LinearWeight),
            dtype: view.dtype,
            offset: view.offset + (first * stride + head * features) * view.dtype.bytes(),
            stride,
            lies,
            padded: false,
        })
    }

    /// The bias at a place of the head, from a class on.
    fn bias(&self, head: u64, first: u64) -> Option<Bias> {
        let heads = self.linear.heads as u64;
        let own = self.problem.operand(Slot::Bias)?;
        Some(Bias {
            source: Origin::Tensor(own.role),
            dtype: own.view.dtype,
            offset: own.view.offset + (first * heads + head) * own.view.dtype.bytes(),
            step: heads,
        })
    }

    fn view(&self, slot: Slot) -> Result<&View> {
        let view = self.problem.view(slot);
        view.ok_or_else(|| Error::operand(slot.name(), "missing")) // a layer has both
    }

    /// Of no rows, the gradients of the layer are 0.
    pub fn add_nothing(&self, plan: &mut Plan, limits: &Limits, tuning: &Tuning) -> Result<()> {
        let classes = self.view(Slot::Right)?.shape.first().copied().unwrap_or(0) as u64;
        let logits = Logits {
            source: plan.add_scratch(0),
            cols: (0, classes),
            stride: classes.next_multiple_of(4),
        };
        let sums = self.sums(plan, 0);
        let nothing = Block {
            inputs: (0, 0),
            order: None,
        };
        self.add_layer_grads(plan, nothing, logits, true, sums, limits)?;
        self.add_rounded(plan, sums, limits, tuning)
    }

    /// How the rows are cut: so that logits fit into the scratch, and each row's states, and logits, into a binding.
    fn blocks(&self, tile: &Tile, classes: u64, limits: &Limits) -> Result<Blocks> {
        let (inputs, heads) = (self.linear.inputs as u64, self.linear.heads as u64);
        let (scratch, binding) = (limits.scratch_bytes, limits.max_binding_bytes - limits.offset_alignment);
        let of_logits = heads * classes.next_multiple_of(4) * 4;
        let of_states = heads * classes.div_ceil(tile.lines[1]) * FOLDED_BYTES;
        // Whole tiles of rows, where there are several.
        let whole = |rows: u64| match rows {
            rows if rows > tile.lines[0] => rows / tile.lines[0] * tile.lines[0],
            rows => rows.max(1),
        };
        // Of a full target a binding covers the rows of a block from the first to the last, or some columns of one.
        let full = match self.problem.view(Slot::Target) {
            Some(view) if view.dtype.is_float() => heads * classes * view.dtype.bytes(),
            _ => 1,
        };
        let most = inputs.min(binding / of_states).min((binding / full).max(1));
        let least = inputs.min(tile.lines[0]);
        if !self.wants_grads() {
            return Ok(Blocks {
                inputs: whole(most.min((scratch / of_states).max(least))),
                cols: classes,
            });
        }
        // The gradient of the input goes along all columns of one place of a head before those of the next, so several
        // need all columns at once.
        if heads > 1 && scratch.min(binding) < of_logits {
            return Err(Error::Limit(format!(
                "a scratch of {scratch} bytes, in bindings of {}: the logits of one row of the input, {heads} rows of \
                 {classes} columns, take {of_logits}",
                limits.max_binding_bytes
            )));
        }
        if heads > 1 || scratch.min(binding) / of_logits >= least {
            let rows = (scratch / (of_logits + of_states)).max(least).min(scratch / of_logits);
            return Ok(Blocks {
                inputs: whole(most.min(rows).min(binding / of_logits)),
                cols: classes,
            });
        }
        let of_tiles = |rows: u64| 4 * heads * rows * tile.lines[1];
        if scratch < of_tiles(least) {
            return Err(Error::Limit(format!(
                "a scratch of {scratch} bytes: one tile of the logits, {} rows of {} columns, takes {}",
                least * heads,
                tile.lines[1],
                of_tiles(least)
            )));
        }
        let mut rows = most.clamp(1, RECOMPUTED_ROWS);
        while rows > 1 && of_tiles(rows) > scratch.min(binding) {
            rows /= 2;
        }
        Ok(Blocks {
            inputs: rows,
            cols: (scratch.min(binding) / of_tiles(rows)).max(1) * tile.lines[1],
        })
    }

    pub fn add(&self, plan: &mut Plan, own: &RowsPlanner<'_>) -> Result<()> {
        let (limits, classes) = (own.limits, own.rows.cols as u64);
        let (inputs, heads) = (self.linear.inputs as u64, self.linear.heads as u64);
        let tile = Tile::of([inputs, classes], 0, limits);
        let blocks = self.blocks(&tile, classes, limits)?;
        let rows = blocks.inputs * heads;
        let has_grad = own.problem.mode.wants_grad();
        let is_index = matches!(own.rows.targets, Targets::Index { .. });
        let planner = Planner {
            opened: is_index.then(|| plan.add_scratch(rows * OPENED_BYTES)),
            merged: has_grad.then(|| plan.add_scratch(rows * MERGED_BYTES)),
            folded: plan.add_scratch(rows * classes.div_ceil(tile.lines[1]) * FOLDED_BYTES),
            sums: self.sums(plan, blocks.inputs),
            layer: self,
            own,
            tile,
            blocks,
        };
        let keeps = has_grad && blocks.cols == classes;
        let stride = blocks.cols.next_multiple_of(4);
        let logits = has_grad.then(|| plan.add_scratch(4 * rows * stride));
        let segment = planner.segment();
        let order = segment.map(|inputs| {
            let order = Order {
                source: plan.add_scratch(Order::bytes(inputs)),
                inputs: (0, inputs),
            };
            (order, plan.add_scratch(order.count_bytes()))
        });
        let segment = segment.unwrap_or(inputs);
        let mut first = 0;
        while first < inputs {
            let end = inputs.min((first / segment + 1) * segment);
            let order = order.map(|(order, counts)| {
                let inputs = (first / segment * segment, end);
                (Order { inputs, ..order }, counts)
            });
            if let Some((order, counts)) = order.filter(|_| first % segment == 0) {
                order.add(plan, own.problem, (own.rows, heads), counts, limits);
            }
            let block = Block {
                inputs: (first, end.min(first + blocks.inputs)),
                order: order.map(|(order, _)| order),
            };
            let kept = logits.filter(|_| keeps).map(|source| Logits {
                source,
                cols: (0, classes),
                stride,
            });
            planner.add_losses(plan, block, kept)?;
            if let Some(source) = logits {
                planner.add_grads(plan, block, kept, (source, stride))?;
            }
            first = block.inputs.1;
        }
        self.add_rounded(plan, planner.sums, limits, own.tuning)
    }
}

impl Planner<'_> {
    fn heads(&self) -> u64 {
        self.layer.linear.heads as u64
    }

    fn classes(&self) -> u64 {
        self.own.rows.cols as u64
    }

    /// Statistics are of all rows, ignored ones too.
    fn folds_all(&self) -> bool {
        let stats = self.own.problem.stats;
        stats.lse || stats.entropy || stats.argmax
    }

    /// Rows of the input that go in an order of those that take part: as many as one dispatch can reach. None where all
    /// take part, whatever their labels.
    fn segment(&self) -> Option<u64> {
        let (layer, limits, heads) = (self.layer, self.own.limits, self.heads());
        let is_index = matches!(self.own.rows.targets, Targets::Index { .. });
        if !is_index || self.own.upstreams.is_some() || layer.linear.is_streamed {
            return None;
        }
        let is_one = |view: &View| view.offset + view.end() <= limits.span();
        let views = [
            layer.problem.view(Slot::Left),
            layer.grad(Slot::Left).map(|(_, view)| view),
        ];
        let row = |view: &&View| view.row_stride.max(layer.linear.features) as u64 * view.dtype.bytes();
        if !views.iter().flatten().all(|view| is_one(view)) {
            return None;
        }
        let bytes = views.iter().flatten().map(row).max().unwrap_or(4).max(4);
        let inputs =
            (limits.max_binding_bytes.saturating_sub(limits.offset_alignment) / bytes).min(layer.linear.inputs as u64);
        let order = Order {
            source: self.folded, // any: only sizes are looked at
            inputs: (0, inputs),
        };
        (inputs >= self.blocks.inputs && order.fits(self.own.problem, heads, limits)).then_some(inputs)
    }

    /// The passes over the rows of a block, as those of wide rows.
    fn passes(&self, block: Block, wide: Wide, logits: Logits) -> Passes<'_> {
        Passes {
            own: self.own,
            wide,
            rows: block.rows(self.heads()),
            cols: logits.cols,
            products: Some((logits.source, logits.stride)),
            order: block.order.map(|order| (order, self.folds_all())),
            opened: self.opened,
            folded: self.folded,
            merged: self.merged,
        }
    }

    /// What the rows of a block come to, and their logits, where these are kept.
    fn add_losses(&self, plan: &mut Plan, block: Block, kept: Option<Logits>) -> Result<()> {
        let all = kept.unwrap_or(Logits {
            source: self.folded, // no pass of these looks at logits
            cols: (0, self.classes()),
            stride: 0,
        });
        let tile = self.tile.lines[1];
        let wide = Wide {
            tile,
            per_row: self.classes().div_ceil(tile),
        };
        // A label is looked up once for its row.
        let open = Wide {
            tile: self.classes(),
            per_row: 1,
        };
        if self.opened.is_some() {
            self.passes(block, open, all).add(plan, Pass::Open)?;
        }
        for head in 0..self.heads() {
            self.add_folded(plan, block, head, kept)?;
        }
        self.passes(block, wide, all).add(plan, Pass::Merge)
    }

    /// The gradients of a block, whose logits are kept or computed again, some columns at a time.
    fn add_grads(
        &self,
        plan: &mut Plan,
        block: Block,
        kept: Option<Logits>,
        (source, stride): (Origin, u64),
    ) -> Result<()> {
        let limits = self.own.limits;
        let mut first = 0;
        while first < self.classes() {
            let cols = (first, self.classes().min(first + self.blocks.cols));
            let logits = Logits { source, cols, stride };
            if kept.is_none() {
                for head in 0..self.heads() {
                    self.add_again(plan, block, head, logits)?;
                }
            }
            let tile = self.put_tile(cols.1 - cols.0);
            let wide = Wide {
                tile,
                per_row: (cols.1 - cols.0).div_ceil(tile),
            };
            self.passes(block, wide, logits).add(plan, Pass::Put)?;
            self.add_input_grad(plan, block, logits)?;
            self.layer
                .add_layer_grads(plan, block, logits, block.inputs.0 == 0, self.sums, limits)?;
            first = cols.1;
        }
        Ok(())
    }

    /// Columns of a tile whose gradient is written: it changes no bits.
    fn put_tile(&self, cols: u64) -> u64 {
        let (least, mut tile) = (self.tile.lines[1], self.own.tuning.wide_tile);
        // Tiles end where the columns do.
        while tile > least && (tile / 2 >= cols || self.blocks.cols < self.classes() && !cols.is_multiple_of(tile)) {
            tile /= 2;
        }
        tile.max(least)
    }
}
