//! Cosine embedding loss.

use super::prelude::*;

define! {
    /// Cosine embedding loss of pairs of rows
    /// ([PyTorch](https://pytorch.org/docs/stable/generated/torch.nn.CosineEmbeddingLoss.html)).
    ///
    /// For rows a of `input1` and b of `input2` with target t, ε = 1e-12, A = Σ a_i² + ε, B = Σ b_i² + ε:
    ///
    /// ```text
    /// cos    = Σ a_i b_i / sqrt(A B)
    /// loss   = 1 - cos                  t = 1
    ///          max(0, cos - margin)     t = -1
    ///          0                        any other t
    /// d cos / d a_i = b_i / sqrt(A B) - cos a_i / A      (b likewise)
    /// ```
    ///
    /// **Shapes.** Both inputs (D) or (N, D), a float type; target () or (N), float; (1) stands for all rows.
    ///
    /// **Options.** `margin` any finite number; -1 to 1 is what makes sense.
    ///
    /// **Reductions.** `mean` divides by the number of rows.
    ///
    /// **Edges.** Where cos - margin is 0 the gradient is 0, as in PyTorch. Rows of nearly one direction and length
    /// keep the relative accuracy of 1 - cos and of its gradient. Two rows of zeros have cos 0 and gradient 0. Norms
    /// beyond 1e19 overflow. NaN or an infinity makes loss and gradients of the row NaN where t is 1 or -1.
    ///
    /// **Differences from PyTorch.** The inputs do not broadcast. With any other t, loss and gradients are 0 whatever
    /// is in the rows.
    ///
    /// **Errors.** [`Error::Option`] for a `margin` that is not finite; [`Error::Operand`] for shapes and dtypes.
    CosineEmbedding, cosine_embedding;
    summary: "1 - cosine of alike rows, cosine beyond a margin of unlike ones";
    url: "https://pytorch.org/docs/stable/generated/torch.nn.CosineEmbeddingLoss.html";
    aliases: ["cosine_embedding_loss", "CosineEmbeddingLoss"];
    operands {
        input1: Real, true, "one row of each pair, (D) or (N, D)";
        input2: Real, true, "the other";
        target: Sign, false, "1 for alike, -1 for unlike";
    }
    options {
        margin: f64 = 0.0, "cosine up to which unlike rows cost nothing";
    }
    tensors { }
    scalars { margin }
    reduction: Mean;
    reductions: REDUCED;
}

impl CosineEmbedding {
    fn check(&self) -> Result<()> {
        finite("margin", self.margin)
    }

    fn problem(&self, call: &Call<'_>) -> Result<Problem> {
        let shape = &call.input()?.shape;
        if !matches!(shape.len(), 1 | 2) {
            return Err(Error::operand(
                "input1",
                format!("expected shape (D) or (N, D), got {shape:?}"),
            ));
        }
        Pairs {
            piece: piece!("loss/cosine_embedding.wgsl"),
            definition,
            ..Pairs::default()
        }
        .problem(self, call, Numbers { margin: self.margin })
    }
}

fn definition(row: &PairRow<'_>, out: &mut PairOut<'_>) {
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    // The squared norms, and PyTorch's ε.
    let squares = [row.a, row.b].map(|own| dot(own, own) + 1e-12);
    let both = squares[0].sqrt() * squares[1].sqrt();
    let cos = dot(row.a, row.b) / both;
    let Numbers { margin } = row.scalars.into();
    let over = cos - margin;
    // The loss, and its derivative by the cosine.
    let (loss, slope) = match row.t {
        1.0 => (1.0 - cos, -1.0),
        -1.0 if over > 0.0 || over.is_nan() => (over, 1.0),
        _ => (0.0, 0.0),
    };
    out.loss = loss;
    for (n, grad) in out.grads.iter_mut().take(2).enumerate() {
        let Some(grad) = grad else { continue };
        let (own, other) = if n == 0 { (row.a, row.b) } else { (row.b, row.a) };
        if slope == 0.0 {
            grad.fill(0.0);
            continue;
        }
        for (g, (a, b)) in grad.iter_mut().zip(own.iter().zip(other)) {
            *g = slope * (b / both - cos * a / squares[n]);
        }
    }
}
