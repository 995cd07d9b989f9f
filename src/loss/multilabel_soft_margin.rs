//! Multi-label soft margin loss.

use super::math::{sigmoid, softplus};
use super::prelude::*;

define! {
    /// Multi-label soft margin loss of logits and a target for each class
    /// ([PyTorch](https://pytorch.org/docs/stable/generated/torch.nn.MultiLabelSoftMarginLoss.html)): the mean of a binary
    /// cross-entropy over the classes.
    ///
    /// For a row x of C logits with targets y and class weights w:
    ///
    /// ```text
    /// loss     = 1 / C Σ_c w_c (y_c softplus(-x_c) + (1 - y_c) softplus(x_c))
    /// grad_c   = w_c / C ((1 - y_c) sigmoid(x_c) - y_c sigmoid(-x_c))
    /// grad_y_c = -w_c x_c / C
    /// ```
    ///
    /// **Shapes.** Input (…, C), at least one dimension, a float type; target the input's shape, float; `weight` (C). A row is
    /// everything along the last dimension: the loss has the input's shape without it.
    ///
    /// **Reductions.** `mean` divides by the number of rows.
    ///
    /// **Edges.** Stable for every finite logit. Targets outside [0, 1] are taken as they are. NaN in a row makes its loss NaN;
    /// gradients are NaN where logit or target is. The loss of a row of no classes is NaN, as the mean of nothing is.
    ///
    /// **Differences from PyTorch.** Target and `weight` do not broadcast.
    ///
    /// **Errors.** [`Error::Operand`] for shapes and dtypes.
    MultilabelSoftMargin, multilabel_soft_margin;
    summary: "mean over the classes of a binary cross-entropy, from logits";
    url: "https://pytorch.org/docs/stable/generated/torch.nn.MultiLabelSoftMarginLoss.html";
    operands {
        input: Logit, true, "logits, (…, C)";
        target: UnitInterval or integers, true, "whether each class is there, of the input's shape";
    }
    options { }
    tensors {
        weight: "a factor for each class, shape (C)";
    }
    reduction: Mean;
    reductions: REDUCED;
}

impl MultilabelSoftMargin {
    fn check(&self) -> Result<()> {
        Ok(())
    }

    fn problem(&self, call: &Call<'_>) -> Result<Problem> {
        let Some(dim) = call.input()?.shape.len().checked_sub(1) else {
            return Err(Error::operand("input", "expected shape (…, C), got a 0-d tensor"));
        };
        Rows {
            targets: Targets::Full,
            monoid: &[piece!("monoid/sum.wgsl"), piece!("piece/row_push_quads.wgsl")],
            pieces: vec![piece!("loss/multilabel_soft_margin.wgsl")],
            weighs_columns: true,
            reference: RowReference::Loss {
                loss,
                grad_input: grad,
                grad_target: Some(grad_target),
                stats: None,
            },
            ..Rows::default()
        }
        .problem(self, call, dim, [0.0; 4])
    }
}

/// w_c / C
fn share(row: &Row<'_>, c: usize) -> f64 {
    row.weight.map_or(1.0, |w| w[c]) / row.x.len() as f64
}

fn loss(row: &Row<'_>) -> f64 {
    if row.x.is_empty() {
        return f64::NAN; // the mean of nothing
    }
    let pairs = row.x.iter().zip(row.p).enumerate();
    pairs
        .map(|(c, (&x, &y))| share(row, c) * (y * softplus(-x) + (1.0 - y) * softplus(x)))
        .sum()
}

fn grad(row: &Row<'_>, grad: &mut [f64]) {
    for (c, g) in grad.iter_mut().enumerate() {
        let (x, y) = (row.x[c], row.p[c]);
        *g = share(row, c) * ((1.0 - y) * sigmoid(x) - y * sigmoid(-x));
    }
}

fn grad_target(row: &Row<'_>, grad: &mut [f64]) {
    for (c, g) in grad.iter_mut().enumerate() {
        *g = -share(row, c) * row.x[c];
    }
}
