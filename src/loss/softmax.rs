//! Softmax.

use super::math::RowSoftmax;
use super::prelude::*;

define! {
    /// Softmax along a dimension, as a function
    /// ([PyTorch](https://pytorch.org/docs/stable/generated/torch.nn.functional.softmax.html)).
    ///
    /// For a row x with upstream gradient g:
    ///
    /// ```text
    /// y_c    = exp(x_c) / Σ_j exp(x_j)
    /// grad_c = y_c (g_c - Σ_j g_j y_j)
    /// ```
    ///
    /// **Shapes.** Input of any shape, a float type; the output has its shape and dtype. A 0-d input is a row of one.
    ///
    /// **Options.** `dim` from -rank to rank - 1 (for 0-d input -1 or 0); negative numbers count from the last
    /// dimension.
    ///
    /// **Edges.** Stable for every finite input. The gradient takes g relative to its value at the largest x, so that
    /// it keeps its relative accuracy where one y is nearly 1. An x of -inf has y = 0; NaN, +inf, or nothing but -inf
    /// makes the whole row NaN, as in PyTorch.
    ///
    /// **Differences from PyTorch.** `dim` has a default, the last dimension.
    ///
    /// **Errors.** [`Error::Option`] for a `dim` that the input does not have; [`Error::Operand`] for shapes and
    /// dtypes.
    Softmax, softmax;
    summary: "exponentials that add up to 1 along a dimension";
    url: "https://pytorch.org/docs/stable/generated/torch.nn.functional.softmax.html";
    aliases: ["Softmax"];
    operands {
        input: Logit, true, "any numbers";
    }
    options {
        dim: i64 = -1, "the dimension along which the results add up to 1";
    }
    tensors { }
    reduction: None;
    reductions: UNREDUCED;
}

impl Softmax {
    fn check(&self) -> Result<()> {
        Ok(())
    }

    fn problem(&self, call: &Call<'_>) -> Result<Problem> {
        Rows {
            state: MAP,
            pieces: vec![piece!("loss/softmax.wgsl")],
            definition: RowDefinition::Map(definition),
            alone: Some(1.0),
            ..Rows::default()
        }
        .problem(self, call, row_dim(self.dim, &call.input()?.shape)?, Scalars::NONE)
    }
}

/// The statistics of the softmax functions, and how they are collected.
pub(super) const MAP: &[crate::shader::Piece] = &[
    piece!("state/softmax_dot.wgsl"),
    piece!("row/mapped.wgsl"),
    piece!("state/push_quads.wgsl"),
];

fn definition(row: &Row<'_>, out: &mut RowMap<'_>) {
    let softmax = RowSoftmax::new(row.x, &mut out.scratch.exps);
    if let Some(value) = &mut out.value {
        value.iter_mut().zip(softmax.scaled(1.0)).for_each(|(y, p)| *y = p);
    }
    if let Some(grad) = &mut out.grad_input {
        // All g relative to that of the largest element, whose y may be 1 to the last bit.
        let own = softmax.first().map_or(f64::NAN, |first| row.g[first]);
        let mean: f64 = softmax.scaled(1.0).zip(row.g).map(|(y, g)| y * (g - own)).sum();
        for (out, (y, g)) in grad.iter_mut().zip(softmax.scaled(1.0).zip(row.g)) {
            *out = y * ((g - own) - mean);
        }
    }
}
