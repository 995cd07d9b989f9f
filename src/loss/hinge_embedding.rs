//! Hinge embedding loss.

use super::prelude::*;

define! {
    /// Hinge embedding loss of distances x, with targets t of 1 (similar) or -1 (dissimilar)
    /// ([PyTorch](https://pytorch.org/docs/stable/generated/torch.nn.HingeEmbeddingLoss.html)).
    ///
    /// ```text
    /// loss = x where t = 1, max(0, margin - x) where t = -1
    /// grad = 1 where t = 1, -1 where t = -1 and margin > x, else 0
    /// ```
    ///
    /// **Shapes.** Operands of any shapes, which broadcast against each other; each gradient has its operand's own
    /// shape.
    ///
    /// **Options.** `margin`: how far apart dissimilar pairs should be; any finite number.
    ///
    /// **Reductions.** `mean` divides by the number of elements after broadcasting; of no elements it is NaN.
    ///
    /// **Edges.** Any other target has the sum of both losses, max(x, margin), and of both gradients, as in PyTorch. At
    /// x = margin the hinge has the gradient 0. NaN in gives a loss of NaN.
    ///
    /// **Differences from PyTorch.** With a target of NaN its loss is a number.
    ///
    /// **Errors.** [`Error::Option`] for a `margin` that is not finite; [`Error::Operand`] for shapes and dtypes.
    HingeEmbedding, hinge_embedding;
    summary: "distances small for similar pairs, beyond a margin for others";
    url: "https://pytorch.org/docs/stable/generated/torch.nn.HingeEmbeddingLoss.html";
    aliases: ["hinge_embedding_loss", "HingeEmbeddingLoss"];
    operands {
        input: Real, true, "distances";
        target: Sign, false, "1 for similar, -1 for dissimilar";
    }
    options {
        margin: f64 = 1.0, "how far apart dissimilar pairs should be";
    }
    tensors {}
    scalars { margin }
    reduction: Mean;
    reductions: REDUCED;
}

impl HingeEmbedding {
    fn check(&self) -> Result<()> {
        finite("margin", self.margin)
    }

    fn problem(&self, call: &Call<'_>) -> Result<Problem> {
        Elements {
            piece: piece!("loss/hinge_embedding.wgsl"),
            definition: &Elementwise([true, false, false], definition),
            nan_grads: false,
            ..Elements::default()
        }
        .problem(self, call, Numbers { margin: self.margin })
    }
}

fn definition(x: f64, t: f64, _: f64, scalars: &Scalars) -> At {
    let Numbers { margin } = scalars.into();
    let similar = f64::from(u8::from(t != -1.0));
    let dissimilar = f64::from(u8::from(t != 1.0 && margin > x));
    At {
        loss: if t == 1.0 {
            x
        } else if t == -1.0 {
            (margin - x).max(0.0)
        } else {
            x.max(margin)
        },
        grads: [similar - dissimilar, 0.0, 0.0],
    }
}
