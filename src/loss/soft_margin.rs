//! Soft margin loss.

use super::math::Logistic;
use super::prelude::*;

define! {
    /// Soft margin (logistic) loss of scores x, with targets t of 1 or -1
    /// ([PyTorch](https://pytorch.org/docs/stable/generated/torch.nn.SoftMarginLoss.html)).
    ///
    /// ```text
    /// loss = log(1 + exp(-t x))
    /// grad = -t sigmoid(-t x)
    /// ```
    ///
    /// **Shapes.** Operands of any shapes, which broadcast against each other; each gradient has its operand's own
    /// shape.
    ///
    /// **Reductions.** `mean` divides by the number of elements after broadcasting; of no elements it is NaN.
    ///
    /// **Edges.** Finite for every finite score, with full relative accuracy where the loss goes to 0. NaN in gives NaN
    /// out. Other targets are computed by the formula.
    ///
    /// **Differences from PyTorch.** Its exp(-t x) overflows from 89 on, with a loss of inf and a gradient of NaN.
    ///
    /// **Errors.** [`Error::Operand`] for shapes and dtypes.
    SoftMargin, soft_margin;
    summary: "logistic loss of scores and signs";
    url: "https://pytorch.org/docs/stable/generated/torch.nn.SoftMarginLoss.html";
    aliases: ["soft_margin_loss", "SoftMarginLoss"];
    operands {
        input: Real, true, "scores";
        target: Sign, false, "1 or -1";
    }
    options {}
    tensors {}
    reduction: Mean;
    reductions: REDUCED;
}

impl SoftMargin {
    fn check(&self) -> Result<()> {
        Ok(())
    }

    fn problem(&self, call: &Call<'_>) -> Result<Problem> {
        let problem = Elements {
            piece: piece!("loss/soft_margin.wgsl"),
            definition: &Elementwise([true, false, false], definition),
            ..Elements::default()
        }
        .problem(self, call, Scalars::NONE)?;
        // PyTorch computes it in the input's place.
        let input = &call.input()?.shape;
        if &problem.terms != input {
            return Err(Error::operand(
                "target",
                format!(
                    "shape {:?} does not broadcast to the input's {input:?}, which the losses have here",
                    call.tensors[1].shape()
                ),
            ));
        }
        Ok(problem)
    }
}

fn definition(x: f64, t: f64, _: f64, _: &Scalars) -> At {
    let logistic = Logistic::new(t * x);
    At {
        loss: logistic.softplus[1],
        grads: [-t * logistic.sigmoid[1], 0.0, 0.0],
    }
}
