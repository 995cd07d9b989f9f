//! The logarithm of the logistic function.

use super::math::Logistic;
use super::prelude::*;

define! {
    /// The logarithm of the logistic function of x
    /// ([PyTorch](https://pytorch.org/docs/stable/generated/torch.nn.LogSigmoid.html)).
    ///
    /// ```text
    /// value = -log(1 + exp(-x))
    /// grad  = sigmoid(-x)
    /// ```
    ///
    /// **Shapes.** Any; the value has the input's shape and dtype. There is no reduction.
    ///
    /// **Edges.** Never overflows; -inf at -inf, with full relative accuracy towards 0. NaN in gives NaN out.
    ///
    /// **Errors.** [`Error::Operand`] for shapes and dtypes.
    LogSigmoid, log_sigmoid;
    summary: "the logarithm of the logistic function of each element";
    url: "https://pytorch.org/docs/stable/generated/torch.nn.LogSigmoid.html";
    aliases: ["logsigmoid", "LogSigmoid"];
    operands {
        input: Logit, true, "any numbers";
    }
    options {}
    tensors {}
    reduction: None;
    reductions: UNREDUCED;
}

impl LogSigmoid {
    fn check(&self) -> Result<()> {
        Ok(())
    }

    fn problem(&self, call: &Call<'_>) -> Result<Problem> {
        Elements {
            piece: piece!("loss/log_sigmoid.wgsl"),
            definition: &Elementwise([true, false, false], definition),
            ..Elements::default()
        }
        .problem(self, call, Scalars::NONE)
    }
}

fn definition(x: f64, _: f64, _: f64, _: &Scalars) -> At {
    let logistic = Logistic::new(x);
    At {
        loss: -logistic.softplus[1],
        grads: [logistic.sigmoid[1], 0.0, 0.0],
    }
}
