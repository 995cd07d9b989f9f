//! Focal loss over many classes.

use super::math::RowSoftmax;
use super::prelude::*;

define! {
    /// Focal loss of logits over many classes (Lin et al. 2017, [arXiv:1708.02002](https://arxiv.org/abs/1708.02002),
    /// for a softmax in the place of the sigmoid).
    ///
    /// For a row x of C logits with target t, p = softmax(x):
    ///
    /// ```text
    /// loss   = -alpha_t (1 - p_t)^gamma log p_t
    /// grad_c = alpha_t (1 - p_t)^gamma (1 - gamma log(p_t) p_t / (1 - p_t)) (p_c - [c = t])
    /// ```
    ///
    /// **Shapes.** Input (C), (N, C) or (N, C, d1, …, dk), a float type; target the input's shape without C, of
    /// integers; `alpha` (C).
    ///
    /// **Options.** `gamma` ≥ 0; 0 is the cross-entropy with weights `alpha`, but for the mean.
    ///
    /// **Reductions.** `mean` divides by the number of rows kept, whatever `alpha` is; NaN where none is.
    ///
    /// **Edges.** 1 - p_t comes from the sum of the other classes' exponentials, so a confident row keeps its relative
    /// accuracy; no NaN for any finite logit, also for 0 < gamma < 1, where the gradient as usually written is infinity
    /// times zero for p_t → 1. A target of logit -inf has loss +inf and the cross-entropy's gradient; NaN, +inf, or
    /// nothing but -inf among the logits makes the row's loss and gradient NaN. An ignored row has loss and gradient 0
    /// whatever its logits.
    ///
    /// **Differences from PyTorch.** PyTorch has no such loss.
    ///
    /// **Errors.** [`Error::Option`] for `gamma` < 0 or not finite; [`Error::Operand`] for shapes and dtypes;
    /// [`Error::BadLabels`] when reading.
    SoftmaxFocal, softmax_focal;
    summary: "cross-entropy that passes over easy rows, from logits and classes";
    url: "https://arxiv.org/abs/1708.02002";
    operands {
        input: Logit, true, "logits, (C), (N, C) or (N, C, d1, …)";
        target: Index, false, "the class of each row";
    }
    options {
        gamma: f64 = 2.0, "exponent of 1 - p_t, at least 0";
        ignore_index: i64 = -100, "class index whose rows are left out of loss, gradient and denominator";
    }
    tensors {
        alpha: "a factor for each class, shape (C)";
    }
    scalars { gamma }
    reduction: Mean;
    reductions: REDUCED;
}

impl SoftmaxFocal {
    fn check(&self) -> Result<()> {
        at_least("gamma", self.gamma, 0.0)
    }

    fn problem(&self, call: &Call<'_>) -> Result<Problem> {
        Rows {
            targets: Targets::Index {
                ignore_index: Some(self.ignore_index),
            },
            pieces: vec![piece!("loss/softmax_focal.wgsl"), piece!("row/labelled.wgsl")],
            keeps_exps: true,
            definition: RowDefinition::Loss(definition),
            alone: Some(0.0),
            ..Rows::default()
        }
        .problem(self, call, class_dim(call.input()?)?, Numbers { gamma: self.gamma })
    }
}

fn definition(row: &Row<'_>, out: &mut RowLoss<'_>) {
    let Some(t) = row.class else { return };
    let softmax = RowSoftmax::new(row.x, &mut out.scratch.exps);
    let Numbers { gamma } = row.scalars.into();
    let (miss, log_p) = (softmax.miss(t), softmax.log_p(t));
    let factor = row.weight(t) * miss.powf(gamma);
    if let Some(loss) = &mut out.loss {
        **loss = -factor * log_p;
    }
    if let Some(grad) = &mut out.grad_input {
        // The limits of -log(p) p / (1 - p) where f64 cannot hold 1 - p, and where p is 0.
        let ratio = if miss == 0.0 {
            1.0
        } else if log_p == f64::NEG_INFINITY {
            0.0
        } else {
            -log_p * softmax.p(t) / miss
        };
        let slope = factor * (1.0 + gamma * ratio);
        grad.iter_mut()
            .zip(softmax.scaled(slope))
            .for_each(|(g, pull)| *g = pull);
        grad[t] = slope * -miss;
    }
}
