//! Huber loss.

use super::prelude::*;

define! {
    /// Huber loss of predictions x and targets t
    /// ([PyTorch](https://pytorch.org/docs/stable/generated/torch.nn.HuberLoss.html)).
    ///
    /// ```text
    /// d    = x - t
    /// loss = d² / 2   where |d| ≤ delta, else delta (|d| - delta / 2)
    /// grad = d        where |d| ≤ delta, else delta sign(d);   by t, its negative
    /// ```
    ///
    /// **Shapes.** Operands of any shapes, which broadcast against each other as PyTorch's do (it warns where they
    /// differ, and that is often a mistake); each gradient has its operand's own shape.
    ///
    /// **Options.** `delta` > 0.
    ///
    /// **Reductions.** `mean` divides by the number of elements after broadcasting; of no elements it is NaN.
    ///
    /// **Edges.** NaN in gives NaN out.
    ///
    /// **Errors.** [`Error::Option`] for a `delta` that is not positive or not finite; [`Error::Operand`] for shapes
    /// and dtypes.
    Huber, huber;
    summary: "squared error near 0, absolute error times delta beyond delta";
    url: "https://pytorch.org/docs/stable/generated/torch.nn.HuberLoss.html";
    aliases: ["huber_loss", "HuberLoss"];
    operands {
        input: Real, true, "the predictions";
        target: Real, true, "what they should be";
    }
    options {
        delta: f64 = 1.0, "where the square turns into the absolute value, above 0";
    }
    tensors {}
    scalars { delta }
    reduction: Mean;
    reductions: REDUCED;
}

impl Huber {
    fn check(&self) -> Result<()> {
        above("delta", self.delta, 0.0)
    }

    fn problem(&self, call: &Call<'_>) -> Result<Problem> {
        Elements {
            piece: piece!("loss/huber.wgsl"),
            definition: &Elementwise([true, true, false], definition),
            ..Elements::default()
        }
        .problem(self, call, Numbers { delta: self.delta })
    }
}

fn definition(x: f64, t: f64, _: f64, scalars: &Scalars) -> At {
    let Numbers { delta } = scalars.into();
    let d = x - t;
    let grad = d.clamp(-delta, delta);
    At {
        loss: if d.abs() <= delta {
            d * d / 2.0
        } else {
            delta * (d.abs() - delta / 2.0)
        },
        grads: [grad, -grad, 0.0],
    }
}
