//! Rows that are products of an input with the matrix of a linear layer.
//!
//! Rows go in blocks. Of each, a product folds its tiles of logits into states as it makes them (`folded`), and what
//! the states of a row come to is merged as of any wide row. Where gradients are wanted, the logits of a block lie in
//! scratch, all of its columns or some at a time; then they are computed once more. There their gradient goes over
//! them, and is multiplied with the matrix and the input.
//!
//! All sums are one after the other: a logit's along the features, those of the input's gradient along the columns,
//! those of the matrix's along the rows, each going on from what is there. So neither the blocks nor the runs of
//! columns change a bit.

mod blocks;
mod folded;
mod grads;

use blocks::{Blocks, Share};

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

/// A layer, the problem that its operands and their gradients belong to, and what it is planned for.
pub(super) struct Layer<'a> {
    problem: &'a Problem,
    linear: Linear,
    limits: &'a Limits,
    tuning: &'a Tuning,
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
    /// What a filter leaves of their gradient.
    left: Option<Origin>,
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
    /// Where logits lie that gradients are made of.
    logits: Option<Origin>,
    /// What a filter leaves of their gradient.
    left: Option<Origin>,
    sums: Sums,
    /// `opened` and `merged` are of all rows, not those of a block.
    holds_all: bool,
}

/// Gradients in f32 that cannot be added up where they go, which has 16 bits, or does not lie here: of the input rows
/// of a block, of the matrix and of the bias.
#[derive(Clone, Copy, Default)]
struct Sums {
    input: Option<Origin>,
    matrix: Option<Origin>,
    bias: Option<Origin>,
    /// Those of the matrix are of some of its rows at a time.
    is_apart: bool,
}

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
    pub fn new(problem: &'a Problem, linear: Linear, limits: &'a Limits, tuning: &'a Tuning) -> Self {
        Self {
            problem,
            linear,
            limits,
            tuning,
        }
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
    pub fn add_nothing(&self, plan: &mut Plan) -> Result<()> {
        let classes = self.view(Slot::Right)?.shape.first().copied().unwrap_or(0) as u64;
        let logits = Logits {
            source: plan.add_scratch(0),
            cols: (0, classes),
            stride: classes.next_multiple_of(4),
            left: None,
        };
        let share = Share {
            logits: 0,
            matrix: 4 * self.lines() * self.sums_stride(),
            is_apart: false,
        };
        let sums = self.sums(plan, 0, share);
        let nothing = Block {
            inputs: (0, 0),
            order: None,
        };
        self.add_layer_grads(plan, nothing, logits, true, sums)?;
        self.add_rounded(plan, sums)
    }

    pub fn add(&self, plan: &mut Plan, own: &RowsPlanner<'_>) -> Result<()> {
        let classes = own.rows.cols as u64;
        let (inputs, heads) = (self.linear.inputs as u64, self.linear.heads as u64);
        let tile = Tile::of_logits([inputs, classes]);
        let share = self.share();
        let blocks = self.blocks(&tile, classes, share)?;
        let (rows, has_grad) = (blocks.inputs * heads, own.problem.mode.wants_grad());
        let is_index = matches!(own.rows.targets, Targets::Index { .. });
        // What rows came to is asked for once more where the gradient of the matrix comes last.
        let held = if share.is_apart { inputs * heads } else { rows };
        let stride = blocks.cols.next_multiple_of(4);
        let planner = Planner {
            opened: is_index.then(|| plan.add_scratch(held * OPENED_BYTES)),
            merged: has_grad.then(|| plan.add_scratch(held * MERGED_BYTES)),
            folded: plan.add_scratch(rows * classes.div_ceil(tile.lines[1]) * FOLDED_BYTES),
            logits: has_grad
                .then(|| plan.add_scratch((4 * rows * stride).max(share.logits * u64::from(share.is_apart)))),
            left: (has_grad && self.linear.filter_eps > 0.0).then(|| plan.add_scratch(self.left_bytes(blocks, share))),
            sums: self.sums(plan, blocks.inputs, share),
            holds_all: share.is_apart,
            layer: self,
            own,
            tile,
            blocks,
        };
        let order = planner.order(plan);
        let keeps = has_grad && blocks.cols == classes;
        planner.each_block(plan, blocks.inputs, order, true, |plan, block| {
            let kept = planner.logits.filter(|_| keeps).map(|source| Logits {
                source,
                cols: (0, classes),
                stride,
                left: planner.left,
            });
            planner.add_losses(plan, block, kept)?;
            match planner.logits {
                Some(source) => planner.add_grads(plan, block, kept, (source, stride)),
                None => Ok(()),
            }
        })?;
        if share.is_apart {
            planner.add_matrix_grad(plan, order, share)?;
        }
        self.add_rounded(plan, planner.sums)
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
        // The order of a segment is gone when that of the next is made.
        let is_there = !self.holds_all || inputs == layer.linear.inputs as u64;
        (inputs >= self.blocks.inputs && is_there && order.fits(self.own.problem, heads, limits)).then_some(inputs)
    }

    /// The order of the first segment, and where the counts for it go.
    fn order(&self, plan: &mut Plan) -> Option<(Order, Origin)> {
        let inputs = self.segment()?;
        let order = Order {
            source: plan.add_scratch(Order::bytes(inputs)),
            inputs: (0, inputs),
        };
        Some((order, plan.add_scratch(order.count_bytes())))
    }

    /// Goes through the rows block by block, those of a segment in its order, which is made first (`orders`), or is
    /// there.
    fn each_block(
        &self,
        plan: &mut Plan,
        size: u64,
        order: Option<(Order, Origin)>,
        orders: bool,
        mut add: impl FnMut(&mut Plan, Block) -> Result<()>,
    ) -> Result<()> {
        let (own, inputs) = (self.own, self.layer.linear.inputs as u64);
        let segment = order.map_or(inputs, |(order, _)| order.inputs.1);
        let mut first = 0;
        while first < inputs {
            let end = inputs.min((first / segment + 1) * segment);
            let order = order.map(|(order, counts)| {
                let inputs = (first / segment * segment, end);
                (Order { inputs, ..order }, counts)
            });
            if let Some((order, counts)) = order.filter(|_| orders && first % segment == 0) {
                order.add(plan, own.problem, (own.rows, self.heads()), counts, own.limits);
            }
            let block = Block {
                inputs: (first, end.min(first + size)),
                order: order.map(|(order, _)| order),
            };
            add(plan, block)?;
            first = block.inputs.1;
        }
        Ok(())
    }

    /// The row that cells of rows begin with, of a block.
    fn first_cell(&self, block: Block) -> u64 {
        if self.holds_all { 0 } else { block.rows(self.heads()).0 }
    }

    /// The passes over the rows of a block, as those of wide rows.
    fn passes(&self, block: Block, wide: Wide, logits: Logits) -> Passes<'_> {
        Passes {
            own: self.own,
            wide,
            rows: block.rows(self.heads()),
            first_cell: self.first_cell(block),
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
            left: None,
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
        let mut first = 0;
        while first < self.classes() {
            let cols = (first, self.classes().min(first + self.blocks.cols));
            let logits = Logits {
                source,
                cols,
                stride,
                left: self.left,
            };
            if kept.is_none() {
                for head in 0..self.heads() {
                    self.add_again(plan, block, head, logits)?;
                }
            }
            let tile = self.put_tile(cols.1 - cols.0, self.blocks.cols);
            let wide = Wide {
                tile,
                per_row: (cols.1 - cols.0).div_ceil(tile),
            };
            self.passes(block, wide, logits).add(plan, Pass::Put)?;
            self.layer.add_filter(plan, block, logits)?;
            self.add_input_grad(plan, block, logits)?;
            self.layer
                .add_layer_grads(plan, block, logits, block.inputs.0 == 0, self.sums)?;
            first = cols.1;
        }
        Ok(())
    }

    /// Columns of a tile whose gradient is written, of so many, which are `most` at a time: it changes no bits.
    fn put_tile(&self, cols: u64, most: u64) -> u64 {
        let (least, mut tile) = (self.tile.lines[1], self.own.tuning.wide_tile);
        // Tiles end where the columns do.
        while tile > least && (tile / 2 >= cols || most < self.classes() && !cols.is_multiple_of(tile)) {
            tile /= 2;
        }
        tile.max(least)
    }
}
