//! Log-softmax.

use super::math::{RowSoftmax, sum};
use super::prelude::*;
use super::softmax::MAP;

define! {
    /// Log-softmax along a dimension, as a function
    /// ([PyTorch](https://pytorch.org/docs/stable/generated/torch.nn.functional.log_softmax.html)).
    ///
    /// For a row x with upstream gradient g:
    ///
    /// ```text
    /// y_c    = x_c - log Σ_j exp(x_j)
    /// grad_c = g_c - exp(y_c) Σ_j g_j
    /// ```
    ///
    /// **Shapes.** Input of any shape, a float type; the output has its shape and dtype. A 0-d input is a row of one.
    ///
    /// **Options.** `dim` from -rank to rank - 1 (for 0-d input -1 or 0); negative numbers count from the last
    /// dimension.
    ///
    /// **Edges.** Stable for every finite input. The sum is kept without the 1 of its largest term, so that y and
    /// gradient keep their relative accuracy where one class is nearly certain. An x of -inf has y = -inf and its own g
    /// as gradient; NaN, +inf, or nothing but -inf makes the whole row NaN, as in PyTorch.
    ///
    /// **Differences from PyTorch.** `dim` has a default, the last dimension.
    ///
    /// **Errors.** [`Error::Option`] for a `dim` that the input does not have; [`Error::Operand`] for shapes and
    /// dtypes.
    LogSoftmax, log_softmax;
    summary: "logarithms of the softmax along a dimension";
    url: "https://pytorch.org/docs/stable/generated/torch.nn.functional.log_softmax.html";
    aliases: ["LogSoftmax"];
    operands {
        input: Logit, true, "any numbers";
    }
    options {
        dim: i64 = -1, "the dimension along which the exponentials of the results add up to 1";
    }
    tensors { }
    reduction: None;
    reductions: UNREDUCED;
}

impl LogSoftmax {
    fn check(&self) -> Result<()> {
        Ok(())
    }

    fn problem(&self, call: &Call<'_>) -> Result<Problem> {
        Rows {
            state: MAP,
            pieces: vec![piece!("loss/log_softmax.wgsl")],
            definition: RowDefinition::Map(definition),
            alone: Some(0.0),
            ..Rows::default()
        }
        .problem(self, call, row_dim(self.dim, &call.input()?.shape)?, Scalars::NONE)
    }
}

fn definition(row: &Row<'_>, out: &mut RowMap<'_>) {
    let softmax = RowSoftmax::new(row.x, &mut out.scratch.exps);
    if let Some(value) = &mut out.value {
        value.iter_mut().zip(softmax.logs()).for_each(|(y, log_p)| *y = log_p);
    }
    if let Some(grad) = &mut out.grad_input {
        for (out, (g, pull)) in grad.iter_mut().zip(row.g.iter().zip(softmax.scaled(sum(row.g)))) {
            *out = g - pull;
        }
    }
}
