//! Absolute error.

use super::math::sign;
use super::prelude::*;

define! {
    /// Absolute error of predictions x and targets t
    /// ([PyTorch](https://pytorch.org/docs/stable/generated/torch.nn.L1Loss.html)).
    ///
    /// ```text
    /// loss = |x - t|
    /// grad = sign(x - t), 0 where x = t;   by t, its negative
    /// ```
    ///
    /// **Shapes.** Operands of any shapes, which broadcast against each other as PyTorch's do (it warns where they
    /// differ, and that is often a mistake); each gradient has its operand's own shape.
    ///
    /// **Reductions.** `mean` divides by the number of elements after broadcasting; of no elements it is NaN.
    ///
    /// **Edges.** NaN in gives a loss of NaN; its gradient is 0, as in PyTorch.
    ///
    /// **Errors.** [`Error::Operand`] for shapes and dtypes.
    L1, l1;
    summary: "absolute error";
    url: "https://pytorch.org/docs/stable/generated/torch.nn.L1Loss.html";
    aliases: ["l1_loss", "L1Loss"];
    operands {
        input: Real, true, "the predictions";
        target: Real, true, "what they should be";
    }
    options {}
    tensors {}
    reduction: Mean;
    reductions: REDUCED;
}

impl L1 {
    fn check(&self) -> Result<()> {
        Ok(())
    }

    fn problem(&self, call: &Call<'_>) -> Result<Problem> {
        Elements {
            piece: piece!("loss/l1.wgsl"),
            definition: &Elementwise([true, true, false], definition),
            nan_grads: false,
            ..Elements::default()
        }
        .problem(self, call, Scalars::NONE)
    }
}

fn definition(x: f64, t: f64, _: f64, _: &Scalars) -> At {
    let grad = sign(x - t);
    At {
        loss: (x - t).abs(),
        grads: [grad, -grad, 0.0],
    }
}
