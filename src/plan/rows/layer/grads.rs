//! What the gradient of a block's logits comes to: the gradients of the layer's operands.

use super::blocks::Share;
use super::{Block, Layer, Logits, Planner, Sums, Wide};
use crate::dtype::Dtype;
use crate::error::Result;
use crate::layout::Slot;
use crate::plan::column_sums::ColumnSums;
use crate::plan::filter::Filter;
use crate::plan::order::Order;
use crate::plan::product::{Filtered, Into, Lies, Matrix, Operands, Product, Side};
use crate::plan::rounded::Rounded;
use crate::plan::rows::tiled::Pass;
use crate::plan::{Origin, Plan};
use crate::shader::pieces::Put;
use crate::view::View;
use crate::words::Role;

impl Logits {
    /// Those of a place of the head, as lines along the columns, or across them.
    fn matrix(self, head: u64, heads: u64, lies: Lies) -> Matrix {
        Matrix {
            source: self.source,
            dtype: Dtype::F32,
            offset: 4 * head * self.stride,
            stride: heads * self.stride,
            lies,
            padded: true,
        }
    }
}

impl Layer<'_> {
    /// Elements of a row of sums: whole quads.
    pub(super) fn sums_stride(&self) -> u64 {
        self.linear.features.next_multiple_of(4) as u64
    }

    /// Rows of the matrix.
    pub(super) fn lines(&self) -> u64 {
        self.problem.rows().map_or(0, |rows| rows.cols * self.linear.heads) as u64
    }

    /// The gradient of an operand is added up in f32 elsewhere, and rounded, or sent away, when it is whole.
    pub(super) fn has_sums(&self, slot: Slot) -> bool {
        let is_once = |view: &View| view.dtype != Dtype::F32 || self.linear.is_streamed;
        self.grad(slot).is_some_and(|(_, view)| is_once(view))
    }

    /// Scratch for such gradients of so many rows of the input, and of the layer.
    pub(super) fn sums(&self, plan: &mut Plan, inputs: u64, share: Share) -> Sums {
        let mut scratch = |slot, bytes: u64| self.has_sums(slot).then(|| plan.add_scratch(bytes));
        Sums {
            input: scratch(Slot::Left, 4 * inputs * self.sums_stride()),
            matrix: scratch(Slot::Right, share.matrix),
            bias: scratch(Slot::Bias, 4 * self.lines()),
            is_apart: share.is_apart,
        }
    }

    /// Adds what a block contributes to the gradients of matrix and bias at the columns of some logits.
    pub(super) fn add_layer_grads(
        &self,
        plan: &mut Plan,
        block: Block,
        logits: Logits,
        is_first: bool,
        sums: Sums,
    ) -> Result<()> {
        let (heads, features) = (self.linear.heads as u64, self.linear.features as u64);
        let cols = logits.cols.1 - logits.cols.0;
        for head in 0..heads {
            let line = logits.cols.0 * heads + head;
            if let Some((role, view)) = self.grad(Slot::Right).filter(|_| !sums.is_apart) {
                let (source, offset, stride) = match sums.matrix {
                    Some(sums) => (sums, 0, self.sums_stride()),
                    None => (Origin::Tensor(role), view.offset, features),
                };
                let into = Into {
                    source,
                    offset: offset + 4 * line * stride,
                    stride: heads * stride,
                    adds: !is_first,
                };
                let product = self.matrix_product(block, logits, head, into)?;
                product.add(plan, self.limits, self.tuning)?;
            }
            if let Some((role, view)) = self.grad(Slot::Bias) {
                let (source, offset) = match sums.bias {
                    Some(sums) => (sums, 0),
                    None => (Origin::Tensor(role), view.offset),
                };
                let bias = ColumnSums {
                    from: logits.source,
                    ordered: block.ordered(Side::Rows { scatters: false }),
                    first: head * logits.stride,
                    stride: heads * logits.stride,
                    rows: block.len(),
                    cols,
                    into: Into {
                        source,
                        offset: offset + 4 * line,
                        stride: heads,
                        adds: !is_first,
                    },
                };
                bias.add(plan, self.limits)?;
            }
        }
        Ok(())
    }

    /// What a block contributes to the matrix's gradient at a place of the head, at the columns of some logits.
    fn matrix_product(&self, block: Block, logits: Logits, head: u64, into: Into) -> Result<Product> {
        Ok(Product {
            of: Operands {
                left: logits.matrix(head, self.linear.heads as u64, Lies::Across),
                right: self.input(block.first(), Lies::Across)?,
                ordered: block.ordered(Side::Depth),
                bias: None,
                filtered: self.filtered(block, logits),
                lines: [logits.cols.1 - logits.cols.0, self.linear.features as u64],
                depth: block.len(),
            },
            into,
        })
    }

    /// What the filter has left of the gradient of a block's logits. Rows of several places of a head lie between each
    /// other, and are only set to 0.
    fn filtered(&self, block: Block, logits: Logits) -> Option<Filtered> {
        let is_plain = self.linear.heads == 1;
        logits.left.filter(|_| is_plain).map(|source| Filtered {
            source,
            rows: block.len(),
            cols: logits.cols.1 - logits.cols.0,
        })
    }

    /// Sets runs of such a gradient to 0.
    pub(super) fn add_filter(&self, plan: &mut Plan, block: Block, logits: Logits) -> Result<()> {
        let Some(into) = logits.left else { return Ok(()) };
        let filter = Filter {
            of: logits.source,
            rows: block.len() * self.linear.heads as u64,
            cols: logits.cols.1 - logits.cols.0,
            stride: logits.stride,
            into,
            eps: self.linear.filter_eps,
        };
        filter.add(plan, self.limits)
    }

    /// Rounds the gradients of the layer, once they are whole.
    pub(super) fn add_rounded(&self, plan: &mut Plan, sums: Sums) -> Result<()> {
        let (lines, features) = (self.lines(), self.linear.features as u64);
        for (slot, from, rows, cols, from_stride) in [
            (
                Slot::Right,
                sums.matrix.filter(|_| !sums.is_apart),
                lines,
                features,
                self.sums_stride(),
            ),
            (Slot::Bias, sums.bias, 1, lines, lines.next_multiple_of(4)),
        ] {
            if let (Some(from), Some((role, view))) = (from, self.grad(slot)) {
                let rounded = Rounded {
                    from,
                    from_stride,
                    rows,
                    cols,
                    into: Origin::Tensor(role),
                    offset: view.offset,
                    stride: cols,
                    dtype: view.dtype,
                    put: Put::Write,
                    ordered: None,
                };
                rounded.add(plan, self.limits, self.tuning)?;
            }
        }
        Ok(())
    }

    /// Where the gradient of the input goes, and elements from row to row.
    fn input_grad(&self) -> Option<(Role, &View, u64)> {
        let (role, view) = self.grad(Slot::Left)?;
        let stride = if view.shape.len() > 1 {
            view.row_stride
        } else {
            self.linear.features
        };
        Some((role, view, stride as u64))
    }
}

impl Planner<'_> {
    /// Adds what some columns contribute to the gradient of a block's rows of the input.
    pub(super) fn add_input_grad(&self, plan: &mut Plan, block: Block, logits: Logits) -> Result<()> {
        let (layer, heads) = (self.layer, self.heads());
        let (limits, tuning) = (layer.limits, layer.tuning);
        let Some((role, view, stride)) = layer.input_grad() else {
            return Ok(());
        };
        let features = layer.linear.features as u64;
        let accumulates = layer.problem.accumulates;
        let (cols, is_first) = (logits.cols, logits.cols.0 == 0);
        let row = block.first() * stride * view.dtype.bytes();
        for head in 0..heads {
            let begun = !is_first || head > 0;
            let into = match self.sums.input {
                Some(source) => Into {
                    source,
                    offset: 0,
                    stride: layer.sums_stride(),
                    adds: begun,
                },
                None => Into {
                    source: Origin::Tensor(role),
                    offset: view.offset + row,
                    stride,
                    adds: begun || accumulates,
                },
            };
            let product = Product {
                of: Operands {
                    left: logits.matrix(head, heads, Lies::Along),
                    right: layer.matrix(head, cols.0, Lies::Across)?,
                    bias: None,
                    filtered: layer.filtered(block, logits),
                    ordered: block.ordered(Side::Rows {
                        scatters: self.sums.input.is_none(),
                    }),
                    lines: [block.len(), features],
                    depth: cols.1 - cols.0,
                },
                into,
            };
            product.add(plan, limits, tuning)?;
        }
        let Some(from) = self.sums.input.filter(|_| cols.1 == self.classes()) else {
            return Ok(());
        };
        let rounded = Rounded {
            from,
            from_stride: layer.sums_stride(),
            rows: block.len(),
            cols: features,
            into: Origin::Tensor(role),
            offset: view.offset + row,
            stride,
            dtype: view.dtype,
            put: if accumulates { Put::Add } else { Put::Write },
            ordered: block.ordered(Side::Rows { scatters: true }),
        };
        rounded.add(plan, limits, tuning)
    }
}

impl Planner<'_> {
    /// Adds the matrix's gradient, some of its rows at a time, whose sums are in the scratch till they are whole:
    /// logits are computed once more, of all rows of the input.
    pub(super) fn add_matrix_grad(&self, plan: &mut Plan, order: Option<(Order, Origin)>, share: Share) -> Result<()> {
        let (layer, heads) = (self.layer, self.heads());
        let (limits, tuning) = (layer.limits, layer.tuning);
        let (Some(sums), Some(source), Some((role, view))) = (self.sums.matrix, self.logits, layer.grad(Slot::Right))
        else {
            return Ok(());
        };
        let (tile, features, from_stride) = (self.tile, layer.linear.features as u64, layer.sums_stride());
        let of_tile = 4 * heads * tile.lines[1] * from_stride;
        let bytes = share.matrix.min(limits.max_binding_bytes - limits.offset_alignment);
        let cols = (bytes / of_tile).max(1) * tile.lines[1];
        let stride = cols.min(self.classes()).next_multiple_of(4);
        let inputs = (share.logits / (4 * heads * stride)).clamp(1, layer.linear.inputs as u64);
        let mut first = 0;
        while first < self.classes() {
            let own = (first, self.classes().min(first + cols));
            let logits = Logits {
                source,
                cols: own,
                stride,
                left: self.left,
            };
            let put = self.put_tile(own.1 - own.0, cols);
            self.each_block(plan, inputs, order, false, |plan, block| {
                for head in 0..heads {
                    self.add_again(plan, block, head, logits)?;
                }
                let wide = Wide {
                    tile: put,
                    per_row: (own.1 - own.0).div_ceil(put),
                };
                self.passes(block, wide, logits).add(plan, Pass::Put)?;
                layer.add_filter(plan, block, logits)?;
                for head in 0..heads {
                    let into = Into {
                        source: sums,
                        offset: 4 * head * from_stride,
                        stride: heads * from_stride,
                        adds: block.inputs.0 > 0,
                    };
                    layer
                        .matrix_product(block, logits, head, into)?
                        .add(plan, limits, tuning)?;
                }
                Ok(())
            })?;
            let rounded = Rounded {
                from: sums,
                from_stride,
                rows: (own.1 - own.0) * heads,
                cols: features,
                into: Origin::Tensor(role),
                offset: view.offset + own.0 * heads * features * view.dtype.bytes(),
                stride: features,
                dtype: view.dtype,
                put: Put::Write,
                ordered: None,
            };
            rounded.add(plan, limits, tuning)?;
            first = own.1;
        }
        Ok(())
    }
}
