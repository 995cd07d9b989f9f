//! Kullback-Leibler divergence.

use super::prelude::*;
use crate::words::Rule;

define! {
    /// Pointwise Kullback-Leibler divergence of log-probabilities x from targets t
    /// ([PyTorch](https://pytorch.org/docs/stable/generated/torch.nn.KLDivLoss.html)).
    ///
    /// With p = t, or exp(t) where `log_target`:
    ///
    /// ```text
    /// loss = p (log p - x), 0 where p = 0
    /// grad = -p;   by t: log p - x + 1, or p (log p - x + 1) where `log_target`
    /// ```
    ///
    /// **Shapes.** Operands of any shapes, which broadcast against each other; each gradient has its operand's own
    /// shape.
    ///
    /// **Options.** `log_target`: the target holds logarithms, too.
    ///
    /// **Reductions.** `batchmean` divides the sum by the size of the input's first dimension, which makes it the
    /// divergence of distributions, averaged over a batch. `mean`, the default as in PyTorch, divides by the number of
    /// all elements. `mean` of no elements and `batchmean` of no batch are NaN.
    ///
    /// **Edges.** NaN in gives a loss of NaN, and so does a negative p; the gradient of the input needs neither. Where
    /// p is near exp(x), log p - x keeps its digits. An x of -inf gives inf where p > 0.
    ///
    /// **Differences from PyTorch.** Where p = 0, an x of -inf contributes 0 (PyTorch: NaN), a `log_target` of -inf
    /// contributes 0 to loss and gradients (NaN), and the gradient of t = 0 is its limit -inf (NaN).
    ///
    /// **Errors.** [`Error::Operand`] for shapes and dtypes.
    KlDiv, kl_div;
    summary: "Kullback-Leibler divergence, from log-probabilities and probabilities or their logarithms";
    url: "https://pytorch.org/docs/stable/generated/torch.nn.KLDivLoss.html";
    aliases: ["KLDivLoss"];
    operands {
        input: LogProbability, true, "log-probabilities";
        target: MaybeLogProbability, true, "probabilities, or their logarithms";
    }
    options {
        log_target: bool = false, "the target holds logarithms";
    }
    tensors {}
    scalars { log_target }
    reduction: Mean;
    reductions: WITH_BATCHMEAN;
}

impl KlDiv {
    fn check(&self) -> Result<()> {
        Ok(())
    }

    fn problem(&self, call: &Call<'_>) -> Result<Problem> {
        let mut problem = Elements {
            piece: piece!("loss/kl_div.wgsl"),
            definition: &Elementwise([true, true, false], definition),
            consts: vec![Const::Bool("LOG_TARGET", self.log_target)],
            kind: if self.log_target { "log_target" } else { "" }.into(),
            nan_grads: false,
            ..Elements::default()
        }
        .problem(
            self,
            call,
            Numbers {
                log_target: flag(self.log_target),
            },
        )?;
        if self.log_target {
            // Logarithms are in no unit interval.
            problem.checks.retain(|check| check.rule != Rule::UnitInterval);
        }
        Ok(problem)
    }
}

/// (p, log p)
fn definition(x: f64, t: f64, _: f64, scalars: &Scalars) -> At {
    let Numbers { log_target } = scalars.into();
    let is_log = log_target == 1.0;
    let (p, log_p) = if is_log { (t.exp(), t) } else { (t, t.ln()) };
    At {
        loss: if p == 0.0 { 0.0 } else { p * (log_p - x) },
        grads: [
            -p,
            match is_log {
                false => log_p - x + 1.0,
                true if p == 0.0 => 0.0,
                true => p * (log_p - x + 1.0),
            },
            0.0,
        ],
    }
}
