//! Negative log-likelihood.

use super::prelude::*;

define! {
    /// Negative log-likelihood of log-probabilities and classes
    /// ([PyTorch](https://pytorch.org/docs/stable/generated/torch.nn.NLLLoss.html)).
    ///
    /// For a row x of C log-probabilities with target t and class weights w:
    ///
    /// ```text
    /// loss   = -w_t x_t
    /// grad_c = -w_t [c = t]
    /// ```
    ///
    /// **Shapes.** Input (C), (N, C) or (N, C, d1, …, dk), a float type; target the input's shape without C, of
    /// integers; `weight` (C).
    ///
    /// **Reductions.** `mean` divides by the sum of `weight[target]` over the rows kept; where that is 0 the loss is
    /// NaN.
    ///
    /// **Edges.** Only the target's column of a row is read, so NaN elsewhere says nothing, and the gradient depends on
    /// no input. A target of log-probability -inf has loss +inf. `ignore_index` is compared as i64, so -100 never
    /// matches an unsigned target; an ignored row has loss and gradient 0.
    ///
    /// **Differences from PyTorch.** A label out of range is an error of the read, not an assertion on the device.
    ///
    /// **Errors.** [`Error::Operand`] for shapes and dtypes; [`Error::BadLabels`] when reading.
    Nll, nll;
    summary: "negative log-likelihood, from log-probabilities and classes";
    url: "https://pytorch.org/docs/stable/generated/torch.nn.NLLLoss.html";
    aliases: ["nll_loss", "NLLLoss"];
    operands {
        input: LogProbability, true, "log-probabilities, (C), (N, C) or (N, C, d1, …)";
        target: Index, false, "the class of each row";
    }
    options {
        ignore_index: i64 = -100, "class index whose rows are left out of loss, gradient and denominator";
    }
    tensors {
        weight: "a factor for each class, shape (C)";
    }
    reduction: Mean;
    reductions: REDUCED;
}

impl Nll {
    fn check(&self) -> Result<()> {
        Ok(())
    }

    fn problem(&self, call: &Call<'_>) -> Result<Problem> {
        Rows {
            targets: Targets::Index {
                ignore_index: Some(self.ignore_index),
            },
            reads: false,
            grad_reads: false,
            state: &[piece!("state/nothing.wgsl"), piece!("state/push_quads.wgsl")],
            pieces: vec![piece!("loss/nll.wgsl"), piece!("row/labelled.wgsl")],
            counts_weights: true,
            definition: RowDefinition::Loss(definition),
            ..Rows::default()
        }
        .problem(self, call, class_dim(call.input()?)?, Scalars::NONE)
    }
}

fn definition(row: &Row<'_>, out: &mut RowLoss<'_>) {
    let own = row.class.map(|t| (t, -row.weight(t)));
    if let Some(loss) = &mut out.loss {
        **loss = own.map_or(0.0, |(t, slope)| slope * row.x[t]);
    }
    if let Some(grad) = &mut out.grad_input {
        grad.fill(0.0);
        if let Some((t, slope)) = own {
            grad[t] = slope;
        }
    }
}
