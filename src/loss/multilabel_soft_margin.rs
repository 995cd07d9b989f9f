//! Multi-label soft margin loss.

use super::math::Logistic;
use super::prelude::*;

define! {
    /// Multi-label soft margin loss of logits and a target for each class
    /// ([PyTorch](https://pytorch.org/docs/stable/generated/torch.nn.MultiLabelSoftMarginLoss.html)): the mean of a
    /// binary cross-entropy over the classes.
    ///
    /// For a row x of C logits with targets y and class weights w:
    ///
    /// ```text
    /// loss     = 1 / C Σ_c w_c (y_c softplus(-x_c) + (1 - y_c) softplus(x_c))
    /// grad_c   = w_c / C ((1 - y_c) sigmoid(x_c) - y_c sigmoid(-x_c))
    /// grad_y_c = -w_c x_c / C
    /// ```
    ///
    /// **Shapes.** Input (…, C), at least one dimension; target the input's shape; `weight` (C), or a shape that
    /// broadcasts to the input's: then elements have weights of their own. A row is everything along the last
    /// dimension: the loss has the input's shape without it.
    ///
    /// **Reductions.** `mean` divides by the number of rows.
    ///
    /// **Edges.** Stable for every finite logit. Targets outside [0, 1] are taken as they are. NaN in a row makes its
    /// loss NaN; gradients are NaN where logit or target is. The loss of a row of no classes is NaN, as the mean of
    /// nothing is.
    ///
    /// **Differences from PyTorch.** The target does not broadcast.
    ///
    /// **Errors.** [`Error::Operand`] for shapes and dtypes.
    MultilabelSoftMargin, multilabel_soft_margin;
    summary: "mean over the classes of a binary cross-entropy, from logits";
    url: "https://pytorch.org/docs/stable/generated/torch.nn.MultiLabelSoftMarginLoss.html";
    aliases: ["multilabel_soft_margin_loss", "MultiLabelSoftMarginLoss"];
    operands {
        input: Logit, true, "logits, (…, C)";
        target: UnitInterval, true, "whether each class is there, of the input's shape";
    }
    options { }
    tensors {
        weight: "a factor for each class, shape (C), or for each element, broadcast to the input";
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
            state: &[piece!("state/sum.wgsl"), piece!("state/push_quads.wgsl")],
            pieces: vec![piece!("loss/multilabel_soft_margin.wgsl")],
            weighs_columns: true,
            element_weights: Some(false),
            definition: RowDefinition::Loss(definition),
            ..Rows::default()
        }
        .problem(self, call, dim, Scalars::NONE)
    }
}

/// w_c / C
fn definition(row: &Row<'_>, out: &mut RowLoss<'_>) {
    let classes = row.x.len() as f64;
    if let Some(grad) = &mut out.grad_target {
        for (c, g) in grad.iter_mut().enumerate() {
            *g = -row.weight(c) / classes * row.x[c];
        }
    }
    let mut sum = 0.0;
    for (c, (&x, &y)) in row.x.iter().zip(row.p).enumerate() {
        let share = row.weight(c) / classes;
        let Logistic {
            softplus: [no, yes],
            sigmoid: [p, q],
        } = Logistic::new(x);
        sum += share * (y * yes + (1.0 - y) * no);
        if let Some(grad) = &mut out.grad_input {
            grad[c] = share * ((1.0 - y) * p - y * q);
        }
    }
    if let Some(loss) = &mut out.loss {
        // The mean of nothing.
        **loss = if row.x.is_empty() { f64::NAN } else { sum };
    }
}
