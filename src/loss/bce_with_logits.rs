//! Binary cross-entropy from logits.

use super::math::Logistic;
use super::prelude::*;

define! {
    /// Binary cross-entropy of logits x and targets t
    /// ([PyTorch](https://pytorch.org/docs/stable/generated/torch.nn.BCEWithLogitsLoss.html)).
    ///
    /// With w = `weight` and u = `pos_weight` (1 where absent), and `softplus(x) = log(1 + exp(x))`:
    ///
    /// ```text
    /// loss = w (t u softplus(-x) + (1 - t) softplus(x))
    /// grad = w ((1 - t) sigmoid(x) - t u sigmoid(-x));   by t: w (u softplus(-x) - softplus(x))
    /// ```
    ///
    /// **Shapes.** Input of any shape; target of the same shape, normally in [0, 1] (others are computed by the
    /// formula). `weight` and `pos_weight` broadcast to the input's shape.
    ///
    /// **Reductions.** `mean` divides by the number of elements, whatever the weights are; of no elements it is NaN.
    ///
    /// **Edges.** Finite for every finite logit, with full relative accuracy where the loss goes to 0. NaN in gives NaN
    /// out; at ±inf the formula holds as IEEE reads it, 0 · inf being NaN.
    ///
    /// **Differences from PyTorch.** Its form of the loss is NaN also for x = -inf with t > 0, where this one is inf.
    ///
    /// **Errors.** [`Error::Operand`] for shapes and dtypes.
    BceWithLogits, bce_with_logits;
    summary: "sigmoid and binary cross-entropy, from logits and targets in [0, 1]";
    url: "https://pytorch.org/docs/stable/generated/torch.nn.BCEWithLogitsLoss.html";
    aliases: ["binary_cross_entropy_with_logits", "BCEWithLogitsLoss"];
    operands {
        input: Logit, true, "logits";
        target: UnitInterval, true, "in [0, 1]";
    }
    options {}
    tensors {
        weight: "a factor for each element, broadcast to the input";
        pos_weight: "a factor for the positive part of each element, broadcast to the input";
    }
    reduction: Mean;
    reductions: REDUCED;
}

impl BceWithLogits {
    fn check(&self) -> Result<()> {
        Ok(())
    }

    fn problem(&self, call: &Call<'_>) -> Result<Problem> {
        Elements {
            piece: piece!("loss/bce_with_logits.wgsl"),
            definition: &Elementwise([true, true, false], definition),
            broadcasts: false,
            finite: true,
            ..Elements::default()
        }
        .problem(self, call, Scalars::NONE)
    }
}

fn definition(x: f64, t: f64, u: f64, _: &Scalars) -> At {
    let Logistic {
        softplus: [no, yes],
        sigmoid: [p, q],
    } = Logistic::new(x);
    At {
        loss: t * u * yes + (1.0 - t) * no,
        grads: [(1.0 - t) * p - t * u * q, u * yes - no, 0.0],
    }
}
