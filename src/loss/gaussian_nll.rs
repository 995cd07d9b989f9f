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
    /// **Shapes.** Input and target of any shapes, which broadcast against each other. `var` has the input's shape, or
    /// that with one dimension of size 1, or that without the last dimension. Each gradient has its operand's own
    /// shape.
    ///
    /// **Options.** `eps` ≥ 0 bounds the variance from below. As in PyTorch, the gradient does not see the bound: below
    /// it, that of `var` is the formula's and not 0. `full` adds the constant.
    ///
    /// **Reductions.** `mean` divides by the number of elements after broadcasting; of no elements it is NaN.
    ///
    /// **Edges.** NaN in gives NaN out. A variance of 0 with `eps` 0 divides by 0, as IEEE has it.
    ///
    /// **Differences from PyTorch.** PyTorch refuses negative variances before it computes; here they are below `eps` like
    /// any other, and are reported when reading. A number instead of the tensor `var` is not taken.
    ///
    /// **Errors.** [`Error::Option`] for an `eps` that is negative or not finite; [`Error::Operand`] for shapes and
    /// dtypes; [`Error::BadValues`] for negative variances, when reading.
    GaussianNll, gaussian_nll;
    summary: "negative log-likelihood of a normal distribution, from means and variances";
    url: "https://pytorch.org/docs/stable/generated/torch.nn.GaussianNLLLoss.html";
    operands {
        input: Real, true, "the means";
        target: Real or integers, true, "what was observed";
        var: Variance, true, "the variances: as the input, with one dimension of 1, or without the last";
    }
    options {
        full: bool = false, "add the constant log(2 π) / 2";
        eps: f64 = 1e-6, "the least variance, at least 0";
    }
    tensors {}
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
            reference: ElementReference {
                loss,
                grads: [Some(grad), Some(grad_target), Some(grad_var)],
            },
            consts: vec![Const::Bool("FULL", self.full)],
            kind: if self.full { "full" } else { "" }.into(),
            finite: true,
            ..Elements::default()
        }
        .problem_with_variance(self, call, [self.eps, f64::from(u8::from(self.full)), 0.0, 0.0])
    }
}

fn variance(u: f64, eps: f64) -> f64 {
    if u < eps { eps } else { u }
}

fn loss(x: f64, t: f64, u: f64, &[eps, full, ..]: &[f64; 4]) -> f64 {
    let v = variance(u, eps);
    0.5 * (v.ln() + (x - t).powi(2) / v) + full * 0.5 * TAU.ln()
}

fn grad(x: f64, t: f64, u: f64, &[eps, ..]: &[f64; 4]) -> f64 {
    (x - t) / variance(u, eps)
}

fn grad_target(x: f64, t: f64, u: f64, hyper: &[f64; 4]) -> f64 {
    -grad(x, t, u, hyper)
}

fn grad_var(x: f64, t: f64, u: f64, &[eps, ..]: &[f64; 4]) -> f64 {
    let v = variance(u, eps);
    0.5 * (1.0 - (x - t).powi(2) / v) / v
}
