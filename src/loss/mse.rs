//! Squared error.

use super::prelude::*;

define! {
    /// Squared error of predictions x and targets t
    /// ([PyTorch](https://pytorch.org/docs/stable/generated/torch.nn.MSELoss.html)).
    ///
    /// ```text
    /// loss = (x - t)²
    /// grad = 2 (x - t);   by t, its negative
    /// ```
    ///
    /// **Shapes.** Operands of any shapes, which broadcast against each other as PyTorch's do (it warns where they
    /// differ, and that is often a mistake); each gradient has its operand's own shape.
    ///
    /// **Reductions.** `mean` divides by the number of elements after broadcasting; of no elements it is NaN.
    ///
    /// **Edges.** NaN in gives NaN out; a difference above 1.8e19 overflows to inf, its gradient does not.
    ///
    /// **Errors.** [`Error::Operand`] for shapes and dtypes.
    Mse, mse;
    summary: "squared error";
    url: "https://pytorch.org/docs/stable/generated/torch.nn.MSELoss.html";
    aliases: ["mse_loss", "MSELoss"];
    operands {
        input: Real, true, "the predictions";
        target: Real, true, "what they should be";
    }
    options {}
    tensors {}
    reduction: Mean;
    reductions: REDUCED;
}

impl Mse {
    fn check(&self) -> Result<()> {
        Ok(())
    }

    fn problem(&self, call: &Call<'_>) -> Result<Problem> {
        Elements {
            piece: piece!("loss/mse.wgsl"),
            definition: &Elementwise([true, true, false], definition),
            finite: true,
            ..Elements::default()
        }
        .problem(self, call, Scalars::NONE)
    }
}

fn definition(x: f64, t: f64, _: f64, _: &Scalars) -> At {
    let d = x - t;
    At {
        loss: d.powi(2),
        grads: [2.0 * d, -2.0 * d, 0.0],
    }
}
