//! What the gradient of a block's logits comes to: the gradients of the layer's operands.

use super::{Block, Layer, Logits, Planner, Sums};
use crate::dtype::Dtype;
use crate::error::Result;
use crate::layout::Slot;
use crate::limits::Limits;
use crate::plan::column_sums::ColumnSums;
use crate::plan::product::{Into, Lies, Matrix, Operands, Product, Side};
use crate::plan::rounded::Rounded;
use crate::plan::{Origin, Plan};
use crate::shader::pieces::Put;
use crate::tuning::Tuning;
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
    fn sums_stride(&self) -> u64 {
        self.linear.features.next_multiple_of(4) as u64
    }

    /// Scratch for gradients of so many rows of the input, and of the layer, where they are not f32 themselves.
    pub(super) fn sums(&self, plan: &mut Plan, inputs: u64) -> Sums {
        let is_once = |view: &View| view.dtype != Dtype::F32 || self.linear.is_streamed;
        let has_sums = |slot| self.grad(slot).is_some_and(|(_, view)| is_once(view));
        let lines = self.problem.rows().map_or(0, |rows| rows.cols * self.linear.heads) as u64;
        let mut scratch = |slot, elements: u64| has_sums(slot).then(|| plan.add_scratch(4 * elements));
        Sums {
            input: scratch(Slot::Left, inputs * self.sums_stride()),
            matrix: scratch(Slot::Right, lines * self.sums_stride()),
            bias: scratch(Slot::Bias, lines),
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
        limits: &Limits,
    ) -> Result<()> {
        let (heads, features) = (self.linear.heads as u64, self.linear.features as u64);
        let cols = logits.cols.1 - logits.cols.0;
        for head in 0..heads {
            let line = logits.cols.0 * heads + head;
            if let Some((role, view)) = self.grad(Slot::Right) {
                let (source, offset, stride) = match sums.matrix {
                    Some(sums) => (sums, 0, self.sums_stride()),
                    None => (Origin::Tensor(role), view.offset, features),
                };
                let product = Product {
                    of: Operands {
                        left: logits.matrix(head, heads, Lies::Across),
                        right: self.input(block.first(), Lies::Across)?,
                        ordered: block.ordered(Side::Depth),
                        bias: None,
                        lines: [cols, features],
                        depth: block.len(),
                    },
                    into: Into {
                        source,
                        offset: offset + 4 * line * stride,
                        stride: heads * stride,
                        adds: !is_first,
                    },
                };
                product.add(plan, limits)?;
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
                bias.add(plan, limits)?;
            }
        }
        Ok(())
    }

    /// Rounds the gradients of the layer, once they are whole.
    pub(super) fn add_rounded(&self, plan: &mut Plan, sums: Sums, limits: &Limits, tuning: &Tuning) -> Result<()> {
        let lines = self.problem.rows().map_or(0, |rows| rows.cols * self.linear.heads) as u64;
        let features = self.linear.features as u64;
        for (slot, from, rows, cols, from_stride) in [
            (Slot::Right, sums.matrix, lines, features, self.sums_stride()),
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
                rounded.add(plan, limits, tuning)?;
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
        let (layer, limits, heads) = (self.layer, self.own.limits, self.heads());
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
                    ordered: block.ordered(Side::Rows {
                        scatters: self.sums.input.is_none(),
                    }),
                    lines: [block.len(), features],
                    depth: cols.1 - cols.0,
                },
                into,
            };
            product.add(plan, limits)?;
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
        rounded.add(plan, limits, self.own.tuning)
    }
}
