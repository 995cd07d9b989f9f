//! Binary cross-entropy.

use super::prelude::*;
use crate::words::Rule;

define! {
    /// Binary cross-entropy of probabilities x and targets t
    /// ([PyTorch](https://pytorch.org/docs/stable/generated/torch.nn.BCELoss.html)).
    ///
    /// With w = `weight` (1 where absent):
    ///
    /// ```text
    /// loss = -w (t log x + (1 - t) log(1 - x)),   each logarithm at least -100
    /// grad = w (x - t) / max(x (1 - x), 1e-12);   by t: w (log(1 - x) - log x)
    /// ```
    ///
    /// **Shapes.** Input of any shape; target of the same shape. `weight` broadcasts to it.
    ///
    /// **Reductions.** `mean` divides by the number of elements, whatever the weights are; of no elements it is NaN.
    ///
    /// **Edges.** Finite for all probabilities: the loss has the bound of the logarithms, the gradient its own, so at x
    /// = 0 it is (x - t) · 1e12 while the loss is flat; the gradient of the target has none, and is infinite at 0 and
    /// 1, all as in PyTorch. log(1 - x) keeps its relative accuracy for small x. NaN in gives NaN out. A probability
    /// outside [0, 1] has a loss of NaN and gradients of 0, and is reported when reading.
    ///
    /// **Differences from PyTorch.** PyTorch refuses a probability outside [0, 1] before it computes, and one of NaN;
    /// from 2.1 on likewise a target, which is computed by the formula here: [`Checks`](crate::Checks) can ask to be
    /// told. From logits, [`BceWithLogits`](crate::BceWithLogits) is more accurate.
    ///
    /// **Errors.** [`Error::Operand`] for shapes and dtypes; [`Error::BadValues`] for probabilities outside [0, 1],
    /// when reading.
    Bce, bce;
    summary: "binary cross-entropy, from probabilities and targets in [0, 1]";
    url: "https://pytorch.org/docs/stable/generated/torch.nn.BCELoss.html";
    aliases: ["binary_cross_entropy", "BCELoss"];
    operands {
        input: UnitInterval, true, "probabilities";
        target: UnitInterval, true, "in [0, 1]";
    }
    options {}
    tensors {
        weight: "a factor for each element, broadcast to the input";
    }
    reduction: Mean;
    reductions: REDUCED;
}

impl Bce {
    fn check(&self) -> Result<()> {
        Ok(())
    }

    fn problem(&self, call: &Call<'_>) -> Result<Problem> {
        Elements {
            piece: piece!("loss/bce.wgsl"),
            definition: &Elementwise([true, true, false], definition),
            broadcasts: false,
            input_rule: Some(Rule::UnitInterval),
            ..Elements::default()
        }
        .problem(self, call, Scalars::NONE)
    }
}

fn is_probability(x: f64) -> bool {
    (0.0..=1.0).contains(&x)
}

fn definition(x: f64, t: f64, _: f64, _: &Scalars) -> At {
    if !is_probability(x) {
        return At {
            loss: f64::NAN,
            grads: [0.0; 3],
        };
    }
    let (yes, no) = (x.ln(), (-x).ln_1p());
    At {
        loss: -(t * yes.max(-100.0) + (1.0 - t) * no.max(-100.0)),
        grads: [(x - t) / (x * (1.0 - x)).max(1e-12), no - yes, 0.0],
    }
}
