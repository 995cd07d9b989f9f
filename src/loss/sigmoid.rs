//! The logistic function.

use super::math::Logistic;
use super::prelude::*;

define! {
    /// The logistic function of x
    /// ([PyTorch](https://pytorch.org/docs/stable/generated/torch.nn.Sigmoid.html)).
    ///
    /// ```text
    /// value = 1 / (1 + exp(-x))
    /// grad  = value (1 - value)
    /// ```
    ///
    /// **Shapes.** Any; the value has the input's shape and dtype. There is no reduction.
    ///
    /// **Edges.** 0 and 1 at -inf and inf, with full relative accuracy towards 0, also of the gradient on both sides:
    /// it is sigmoid(x) sigmoid(-x), where PyTorch's 1 - value cancels. NaN in gives NaN out.
    ///
    /// **Errors.** [`Error::Operand`] for shapes and dtypes.
    Sigmoid, sigmoid;
    summary: "the logistic function of each element";
    url: "https://pytorch.org/docs/stable/generated/torch.nn.Sigmoid.html";
    aliases: ["Sigmoid"];
    operands {
        input: Logit, true, "any numbers";
    }
    options {}
    tensors {}
    reduction: None;
    reductions: UNREDUCED;
}

impl Sigmoid {
    fn check(&self) -> Result<()> {
        Ok(())
    }

    fn problem(&self, call: &Call<'_>) -> Result<Problem> {
        Elements {
            piece: piece!("loss/sigmoid.wgsl"),
            definition: &Elementwise([true, false, false], definition),
            ..Elements::default()
        }
        .problem(self, call, Scalars::NONE)
    }
}

fn definition(x: f64, _: f64, _: f64, _: &Scalars) -> At {
    let [p, q] = Logistic::new(x).sigmoid;
    At {
        loss: p,
        grads: [p * q, 0.0, 0.0],
    }
}
