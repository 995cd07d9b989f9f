//! Negative log-likelihood of a Poisson distribution.

use std::f64::consts::TAU;

use super::prelude::*;

define! {
    /// Negative log-likelihood of counts t under Poisson distributions of rate exp(x), or x where `log_input` is false
    /// ([PyTorch](https://pytorch.org/docs/stable/generated/torch.nn.PoissonNLLLoss.html)).
    ///
    /// ```text
    /// log_input: loss = exp(x) - t x           grad = exp(x) - t             grad_target = -x
    /// else:      loss = x - t log(x + eps)     grad = 1 - t / (x + eps)      grad_target = -log(x + eps)
    /// full, where t > 1, adds to loss: t log t - t + log(2 π t) / 2     to grad_target: log t + 1 / (2 t)
    /// ```
    ///
    /// **Shapes.** Operands of any shapes, which broadcast against each other; each gradient has its operand's own
    /// shape.
    ///
    /// **Options.** `log_input`: the input is the logarithm of the rate. `full` adds Stirling's approximation of log
    /// t!. `eps` ≥ 0 keeps the logarithm of a rate finite; unused with `log_input`.
    ///
    /// **Reductions.** `mean` divides by the number of elements after broadcasting; of no elements it is NaN.
    ///
    /// **Edges.** NaN in gives NaN out, and so does a negative rate. Large counts near their rate keep their digits,
    /// also in the gradients: exp(x) - t and the terms of `full` are computed together.
    ///
    /// **Differences from PyTorch.** With `full`, its gradient of a target of 0 is NaN (0 · log 0 of the term that it
    /// masks); here it is that of the loss.
    ///
    /// **Errors.** [`Error::Option`] for an `eps` that is negative or not finite; [`Error::Operand`] for shapes and
    /// dtypes.
    PoissonNll, poisson_nll;
    summary: "negative log-likelihood of counts under a Poisson distribution, from its rate or its log";
    url: "https://pytorch.org/docs/stable/generated/torch.nn.PoissonNLLLoss.html";
    aliases: ["poisson_nll_loss", "PoissonNLLLoss"];
    operands {
        input: Rate, true, "the rates, or their logarithms";
        target: Count, true, "the counts observed";
    }
    options {
        log_input: bool = true, "the input is the logarithm of the rate";
        full: bool = false, "add Stirling's approximation of log t!";
        eps: f64 = 1e-8, "added to a rate before its logarithm, at least 0";
    }
    tensors {}
    scalars { eps, log_input, full }
    reduction: Mean;
    reductions: REDUCED;
}

impl PoissonNll {
    fn check(&self) -> Result<()> {
        at_least("eps", self.eps, 0.0)
    }

    fn problem(&self, call: &Call<'_>) -> Result<Problem> {
        Elements {
            piece: piece!("loss/poisson_nll.wgsl"),
            branches: self.full,
            definition: &Elementwise([true, true, false], definition),
            consts: vec![Const::Bool("LOG_INPUT", self.log_input), Const::Bool("FULL", self.full)],
            kind: format!(
                "{}{}",
                if self.log_input { "log" } else { "rate" },
                if self.full { "-full" } else { "" }
            ),
            ..Elements::default()
        }
        .problem(
            self,
            call,
            Numbers {
                eps: self.eps,
                log_input: flag(self.log_input),
                full: flag(self.full),
            },
        )
    }
}

fn definition(x: f64, t: f64, _: f64, scalars: &Scalars) -> At {
    let Numbers { eps, log_input, full } = scalars.into();
    let (rate, log_rate) = if log_input == 1.0 {
        (x.exp(), x)
    } else {
        (x, (x + eps).ln())
    };
    // Stirling's approximation of log t! and its derivative.
    let (stirling, slope) = if full == 1.0 && t > 1.0 {
        (t * t.ln() - t + 0.5 * (TAU * t).ln(), t.ln() + 0.5 / t)
    } else {
        (0.0, 0.0)
    };
    let by_input = if log_input == 1.0 {
        rate - t
    } else {
        1.0 - t / (x + eps)
    };
    At {
        loss: rate - t * log_rate + stirling,
        grads: [by_input, slope - log_rate, 0.0],
    }
}
