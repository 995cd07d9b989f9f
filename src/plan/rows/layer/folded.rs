//! The product whose tiles of logits are folded into states of rows, and the one that computes logits again.

use super::{Block, Logits, Planner};
use crate::dtype::Dtype;
use crate::error::Result;
use crate::layout::{ProductParams, Slot};
use crate::limits::Limits;
use crate::plan::product::{Cut, Into, Lies, Operands, Part, Product, Side, writes_quads};
use crate::plan::rows::tiled::{FOLDED_BYTES, OPENED_BYTES};
use crate::plan::rows::variant::mark;
use crate::plan::spread::Spread;
use crate::plan::tree::Tree;
use crate::plan::window::{Bound, Window, base_of};
use crate::plan::{Origin, Plan, Step};
use crate::problem::Targets;
use crate::shader::pieces::Put;
use crate::shader::{Const, Variant, piece, pieces};
use crate::words::Role;

/// The product of a block at a place of the head.
struct Folded<'a> {
    own: &'a Planner<'a>,
    of: Operands,
    block: Block,
    head: u64,
    kept: Option<Logits>,
}

impl Planner<'_> {
    /// The logits of a block at a place of the head, from a column on.
    fn operands(&self, block: Block, head: u64, (first, end): (u64, u64)) -> Result<Operands> {
        Ok(Operands {
            left: self.layer.input(block.first(), Lies::Along)?,
            ordered: block.ordered(Side::Left { all: self.folds_all() }),
            right: self.layer.matrix(head, first, Lies::Along)?,
            bias: self.layer.bias(head, first),
            filtered: None,
            lines: [block.len(), end - first],
            depth: self.layer.linear.features as u64,
        })
    }

    /// Adds the states of a block's tiles of logits, and keeps the logits.
    pub(super) fn add_folded(&self, plan: &mut Plan, block: Block, head: u64, kept: Option<Logits>) -> Result<()> {
        let folded = Folded {
            own: self,
            of: self.operands(block, head, (0, self.classes()))?,
            block,
            head,
            kept,
        };
        folded.add(plan)
    }

    /// Adds the logits of some columns once more: sums in the same order, then the bias, so that they are the same.
    pub(super) fn add_again(&self, plan: &mut Plan, block: Block, head: u64, logits: Logits) -> Result<()> {
        let folded = Folded {
            own: self,
            of: self.operands(block, head, logits.cols)?,
            block,
            head,
            kept: Some(logits),
        };
        folded.add_again(plan)
    }
}

impl Folded<'_> {
    fn kept_window(&self, part: &Part, kept: Logits) -> (Slot, bool, Window) {
        let ([rows, cols], heads) = (part.lines, self.own.heads());
        let at = |row: u64, col: u64| (row * heads + self.head) * kept.stride + col;
        let window = Window::scratch(kept.source, 4, at(rows.0, cols.0), at(rows.1 - 1, cols.1));
        let touched = (rows.1 - rows.0) * (cols.1 - cols.0);
        (Slot::Product, true, window.touching(touched))
    }

    fn add(&self, plan: &mut Plan) -> Result<()> {
        let windows = |part: &Part| self.windows(part);
        let limits = self.own.own.limits;
        let cut = Cut {
            of: &self.of,
            tile: self.own.tile,
            is_whole: true,
            windows: &windows,
            limits,
        };
        for part in cut.parts()? {
            let dispatch = cut.dispatch(&part, self.variant(), bytemuck::bytes_of(&self.params(&part)));
            plan.steps.push(Step::Dispatch(Box::new(dispatch)));
        }
        Ok(())
    }

    fn add_again(&self, plan: &mut Plan) -> Result<()> {
        let (planner, limits) = (self.own, self.own.own.limits);
        let Some(kept) = self.kept else { return Ok(()) };
        let heads = planner.heads();
        let product = Product {
            of: self.of,
            into: Into {
                source: kept.source,
                offset: 4 * self.head * kept.stride,
                stride: heads * kept.stride,
                adds: false,
            },
        };
        product.add(plan, limits, planner.own.tuning)
    }

    fn windows(&self, part: &Part) -> Vec<Bound> {
        let (planner, [rows, cols]) = (self.own, part.lines);
        let (own, heads) = (planner.own, planner.heads());
        let row = |line: u64| line * heads + self.head;
        let all = (row(rows.0), row(rows.1 - 1) + 1);
        let mut list = self.of.windows(part);
        if let Some(opened) = planner.opened {
            let ahead = self.block.rows(heads).0 - planner.first_cell(self.block);
            let window = Window::scratch(opened, OPENED_BYTES, ahead + all.0, ahead + all.1);
            list.push((Slot::Rows, true, window.touching(rows.1 - rows.0)));
        }
        let (tile, tiles) = (planner.tile.lines[1], self.row_states());
        let (first, end) = (cols.0 / tile, cols.1.div_ceil(tile));
        let states = Window::scratch(
            planner.folded,
            FOLDED_BYTES,
            all.0 * tiles + first,
            (all.1 - 1) * tiles + end,
        );
        list.push((Slot::Loss, true, states.touching((rows.1 - rows.0) * (end - first))));
        list.extend(self.kept.map(|kept| self.kept_window(part, kept)));
        if own.rows.weighs_columns
            && let Some(weight) = own.problem.operand(Slot::Weight)
        {
            let window = Window::of(&weight.view, Origin::Tensor(weight.role), cols.0, cols.1);
            list.push((Slot::Weight, false, window));
        }
        if own.rows.targets == Targets::Full
            && let Some(view) = own.problem.view(Slot::Target)
        {
            let slab = own.rows.cols as u64 * heads;
            let inputs = (self.block.inputs.0 + rows.0, self.block.inputs.0 + rows.1);
            let window = match heads {
                1 => (inputs.0 * slab + cols.0, (inputs.1 - 1) * slab + cols.1),
                _ => (inputs.0 * slab, inputs.1 * slab),
            };
            let window = Window::of(view, Origin::Tensor(Role::Target), window.0, window.1);
            list.push((
                Slot::Target,
                false,
                window.touching((rows.1 - rows.0) * (cols.1 - cols.0)),
            ));
        }
        list
    }

    /// States of a row, one for each tile of columns.
    fn row_states(&self) -> u64 {
        self.own.classes().div_ceil(self.own.tile.lines[1])
    }

    fn params(&self, part: &Part) -> ProductParams {
        let (planner, windows) = (self.own, self.windows(part));
        let (own, limits, heads) = (planner.own, planner.own.limits, planner.heads());
        let [rows, cols] = part.lines;
        let base = |slot| base_of(&windows, slot, limits);
        let [scalars_0_3, scalars_4_7] = own.problem.scalars.clamped();
        let row = (self.block.inputs.0 + rows.0) * heads + self.head;
        let (lead, between) = if heads > 1 { (0, heads) } else { (cols.0 as u32, 1) };
        ProductParams {
            product_stride: self.kept.map_or(0, |kept| kept.stride * heads) as u32,
            row_step: heads as u32,
            cols: own.rows.cols as u32,
            first_col: cols.0 as u32,
            first_slab: row as u32,
            first_row: row as u32,
            inner: heads as u32,
            col_stride: heads as u32,
            rows_base: base(Slot::Rows),
            states_base: base(Slot::Loss),
            row_states: self.row_states() as u32,
            weight_base: base(Slot::Weight).wrapping_sub(cols.0 as u32),
            targets_base: base(Slot::Target).wrapping_sub(lead),
            targets_stride: (own.rows.cols as u64 * between) as u32,
            neg_inf: f32::NEG_INFINITY,
            nan: f32::NAN,
            lowest: f32::MIN,
            scalars_0_3,
            scalars_4_7,
            ..self.of.params(part, &planner.tile, &windows, limits)
        }
    }

    fn variant(&self) -> Variant {
        let (planner, own) = (self.own, self.own.own);
        let (tile, limits) = (planner.tile, own.limits);
        let (mut list, mut consts, name) = self.of.pieces(&tile, true, limits);
        // Weights and targets are of the input's dtype, or f32.
        let reads = self.of.reads();
        let weight = own.problem.view(Slot::Weight).filter(|_| own.rows.weighs_columns);
        let weight = weight.map(|view| view.dtype);
        let target = own
            .problem
            .view(Slot::Target)
            .filter(|_| own.rows.targets == Targets::Full);
        let target = target.map(|view| view.dtype);
        list.extend([
            piece!("product/folded.wgsl"),
            piece!("row/columns.wgsl"),
            piece!("row/wide.wgsl"),
            pieces::MATH,
            pieces::GUARD,
            pieces::CLASSIFY,
            pieces::CLASS_WEIGHT,
            reads.given(Slot::Weight, weight),
            reads.given(Slot::Target, target),
        ]);
        list.extend((own.rows.heads > 1).then_some(piece!("row/headed.wgsl")));
        let into = Into {
            source: planner.folded,
            offset: 0,
            stride: self.kept.map_or(0, |kept| kept.stride * planner.heads()),
            adds: false,
        };
        let quads = writes_quads(self.of.lines[1], &into, limits);
        list.push(match self.kept {
            Some(_) => pieces::write(Slot::Product, Dtype::F32, quads, Put::Write),
            None => pieces::absent(Slot::Product),
        });
        list.extend(own.rows.state);
        list.extend(own.upstreams.map(|_| piece!("state/softmax_grads.wgsl")));
        list.extend(&own.rows.pieces);
        let dtypes = self.of.dtypes().chain(weight).chain(target);
        list.extend(pieces::half(dtypes, limits));
        let lanes = tile.lanes_across();
        // There is no memory for what several subgroups come to.
        let is_one = lanes <= own.tuning.subgroup.max(2);
        let shuffling = Limits {
            subgroup: if is_one { limits.subgroup } else { 1 },
            ..*limits
        };
        let tree = Tree::of(Spread::new(tile.width, lanes), own.tuning, &shuffling, false);
        list.extend(tree.pieces);
        if !tree.shuffles {
            list.push(piece!("product/states.wgsl"));
        }
        consts.extend(tree.consts);
        consts.push(Const::U32("LANES", lanes));
        let is_opened = planner.opened.is_some();
        consts.extend([
            Const::Bool("OPENED", is_opened),
            Const::Bool("LEAVES", true),
            Const::Bool("KEEPS", self.kept.is_some()),
            Const::Bool("INNERMOST", true),
            Const::Bool("WANTS_STATS", own.problem.stats.any() || own.upstreams.is_some()),
            Const::Bool("IGNORES", own.rows.ignore_index().is_some()),
            Const::Bool("KEEPS_EXPS", false),
            Const::Bool("IS_MAP", false),
        ]);
        consts.extend(own.upstreams.map(|_| Const::Bool("STATS_GRADS", true)));
        consts.extend(own.problem.scalars.accessors());
        consts.extend(&own.rows.consts);
        let told = |what: &str, dtype: Option<Dtype>| dtype.map_or(String::new(), |own| format!("-{what}_{own}"));
        Variant {
            shared: Vec::new(),
            label: format!(
                "{}/folded/{}/{name}{}{}{}{}{}{}{}/{}x{}",
                own.problem.name,
                own.rows.kind,
                told("weight", weight),
                told("target", target),
                mark(self.kept.is_some(), if quads { "/keeps_x4" } else { "/keeps" }),
                mark(own.problem.stats.any() || own.upstreams.is_some(), "/stats"),
                mark(own.rows.ignore_index().is_some(), "/ignores"),
                mark(own.upstreams.is_some(), "/stats_grads"),
                mark(own.rows.heads > 1, "/headed"),
                tree.name,
                own.tuning.subgroup
            ),
            consts,
            pieces: list,
        }
    }
}
