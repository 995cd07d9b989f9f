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
            reference: ElementReference {
                loss,
                grads: [Some(grad), Some(grad_target), None],
            },
            ..Elements::default()
        }
        .problem(self, call, [self.delta, 0.0, 0.0, 0.0])
    }
}

fn loss(x: f64, t: f64, _: f64, &[delta, ..]: &[f64; 4]) -> f64 {
    let d = x - t;
    if d.abs() <= delta {
        d * d / 2.0
    } else {
        delta * (d.abs() - delta / 2.0)
    }
}

fn grad(x: f64, t: f64, _: f64, &[delta, ..]: &[f64; 4]) -> f64 {
    (x - t).clamp(-delta, delta)
}

fn grad_target(x: f64, t: f64, u: f64, hyper: &[f64; 4]) -> f64 {
    -grad(x, t, u, hyper)
}
