//! Smooth L1 loss.

use super::math::sign;
use super::prelude::*;

define! {
    /// Smooth L1 loss of predictions x and targets t
    /// ([PyTorch](https://pytorch.org/docs/stable/generated/torch.nn.SmoothL1Loss.html)).
    ///
    /// ```text
    /// d    = x - t
    /// loss = d² / (2 beta)   where |d| < beta, else |d| - beta / 2
    /// grad = d / beta        where |d| < beta, else sign(d);   by t, its negative
    /// ```
    ///
    /// **Shapes.** Operands of any shapes, which broadcast against each other as PyTorch's do (it warns where they
    /// differ, and that is often a mistake); each gradient has its operand's own shape.
    ///
    /// **Options.** `beta` ≥ 0. With 0 it is [`L1`](crate::L1). [`Huber`](crate::Huber) with delta = beta is beta times
    /// this loss.
    ///
    /// **Reductions.** `mean` divides by the number of elements after broadcasting; of no elements it is NaN.
    ///
    /// **Edges.** NaN in gives NaN out; with `beta` 0 its gradient is 0, as in PyTorch.
    ///
    /// **Errors.** [`Error::Option`] for a `beta` that is negative or not finite; [`Error::Operand`] for shapes and
    /// dtypes.
    SmoothL1, smooth_l1;
    summary: "squared error near 0, absolute error beyond beta";
    url: "https://pytorch.org/docs/stable/generated/torch.nn.SmoothL1Loss.html";
    aliases: ["smooth_l1_loss", "SmoothL1Loss"];
    operands {
        input: Real, true, "the predictions";
        target: Real, true, "what they should be";
    }
    options {
        beta: f64 = 1.0, "where the square turns into the absolute value, at least 0; 0 is l1";
    }
    tensors {}
    scalars { beta }
    reduction: Mean;
    reductions: REDUCED;
}

impl SmoothL1 {
    fn check(&self) -> Result<()> {
        at_least("beta", self.beta, 0.0)
    }

    fn problem(&self, call: &Call<'_>) -> Result<Problem> {
        Elements {
            piece: piece!("loss/smooth_l1.wgsl"),
            definition: &Elementwise([true, true, false], definition),
            nan_grads: self.beta != 0.0,
            ..Elements::default()
        }
        .problem(self, call, Numbers { beta: self.beta })
    }
}

fn definition(x: f64, t: f64, _: f64, scalars: &Scalars) -> At {
    let Numbers { beta } = scalars.into();
    let d = x - t;
    let is_near = d.abs() < beta;
    // inf - inf is NaN, whose sign is 0.
    let grad = match is_near || d.is_nan() && beta > 0.0 {
        true => d / beta,
        false => sign(d),
    };
    At {
        loss: if is_near {
            d * d / (2.0 * beta)
        } else {
            d.abs() - beta / 2.0
        },
        grads: [grad, -grad, 0.0],
    }
}
