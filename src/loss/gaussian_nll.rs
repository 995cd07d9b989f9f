//! Negative log-likelihood of a normal distribution.

use std::f64::consts::TAU;

use super::prelude::*;

define! {
    /// Negative log-likelihood of targets t under normal distributions of mean x and variance u
    /// ([PyTorch](https://pytorch.org/docs/stable/generated/torch.nn.GaussianNLLLoss.html)).
    ///
    /// ```text
    /// v        = max(u, eps)
    /// loss     = (log v + (x - t)² / v) / 2, and log(2 π) / 2 more if `full`
    /// grad     = (x - t) / v;   by t, its negative
    /// grad_var = (1 - (x - t)² / v) / (2 v)
    /// ```
    ///
    /// **Shapes.** Input and target of any shapes, which broadcast against each other. `var` is a number (a 0-d tensor,
    /// whose gradient is 0-d), has the input's shape without its last dimension (one for each row), or broadcasts to
    /// the others; a shape that may be read as either is one for each row. Each gradient has its operand's own shape.
    ///
    /// **Options.** `eps` ≥ 0 bounds the variance from below. As in PyTorch, the gradient does not see the bound: below
    /// it, that of `var` is the formula's and not 0. `full` adds the constant.
    ///
    /// **Reductions.** `mean` divides by the number of elements after broadcasting; of no elements it is NaN.
    ///
    /// **Edges.** NaN in gives NaN out. A variance of 0 with `eps` 0 divides by 0, as IEEE has it.
    ///
    /// **Differences from PyTorch.** PyTorch refuses negative variances before it computes; here they are below `eps`
    /// like any other, and are reported when reading. Its `var` has at most one dimension that broadcasts.
    ///
    /// **Errors.** [`Error::Option`] for an `eps` that is negative or not finite; [`Error::Operand`] for shapes and
    /// dtypes; [`Error::BadValues`] for negative variances, when reading.
    GaussianNll, gaussian_nll;
    summary: "negative log-likelihood of a normal distribution, from means and variances";
    url: "https://pytorch.org/docs/stable/generated/torch.nn.GaussianNLLLoss.html";
    aliases: ["gaussian_nll_loss", "GaussianNLLLoss"];
    operands {
        input: Real, true, "the means";
        target: Real, true, "what was observed";
        var: Variance, true, "the variances: a number, one for each row (the input's shape without its last dimension), or as the others";
    }
    options {
        full: bool = false, "add the constant log(2 π) / 2";
        eps: f64 = 1e-6, "the least variance, at least 0";
    }
    tensors {}
    scalars { eps, full }
    reduction: Mean;
    reductions: REDUCED;
}

impl GaussianNll {
    fn check(&self) -> Result<()> {
        at_least("eps", self.eps, 0.0)
    }

    fn problem(&self, call: &Call<'_>) -> Result<Problem> {
        Elements {
            piece: piece!("loss/gaussian_nll.wgsl"),
            definition: &Elementwise([true, true, true], definition),
            consts: vec![Const::Bool("FULL", self.full)],
            kind: if self.full { "full" } else { "" }.into(),
            finite: true,
            ..Elements::default()
        }
        .problem_with_variance(
            self,
            call,
            Numbers {
                eps: self.eps,
                full: flag(self.full),
            },
        )
    }
}

fn definition(x: f64, t: f64, u: f64, scalars: &Scalars) -> At {
    let Numbers { eps, full } = scalars.into();
    let v = if u < eps { eps } else { u };
    let (d, square) = (x - t, (x - t).powi(2));
    At {
        loss: 0.5 * (v.ln() + square / v) + full * 0.5 * TAU.ln(),
        grads: [d / v, -d / v, 0.5 * (1.0 - square / v) / v],
    }
}
