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
    /// **Edges.** Where cos - margin is 0 the gradient is 0, as in PyTorch. Rows of nearly one direction and length keep the
    /// relative accuracy of 1 - cos and of its gradient. Two rows of zeros have cos 0 and gradient 0. Norms beyond 1e19
    /// overflow. NaN or an infinity makes loss and gradients of the row NaN where t is 1 or -1.
    ///
    /// **Differences from PyTorch.** The inputs do not broadcast. With any other t, loss and gradients are 0 whatever is in
    /// the rows.
    ///
    /// **Errors.** [`Error::Option`] for a `margin` that is not finite; [`Error::Operand`] for shapes and dtypes.
    CosineEmbedding, cosine_embedding;
    summary: "1 - cosine of alike rows, cosine beyond a margin of unlike ones";
    url: "https://pytorch.org/docs/stable/generated/torch.nn.CosineEmbeddingLoss.html";
    operands {
        input1: Real, true, "one row of each pair, (D) or (N, D)";
        input2: Real, true, "the other";
        target: Sign or integers, false, "1 for alike, -1 for unlike";
    }
    options {
        margin: f64 = 0.0, "cosine up to which unlike rows cost nothing";
    }
    tensors { }
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
            reference: PairReference {
                loss,
                grads: [Some(grad_a), Some(grad_b), None],
            },
            ..Pairs::default()
        }
        .problem(self, call, [self.margin, 0.0, 0.0, 0.0])
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// A row's squared norm, and PyTorch's ε.
fn square(a: &[f64]) -> f64 {
    dot(a, a) + 1e-12
}

fn cosine(row: &PairRow<'_>) -> f64 {
    dot(row.a, row.b) / (square(row.a).sqrt() * square(row.b).sqrt())
}

fn loss(row: &PairRow<'_>) -> f64 {
    let over = cosine(row) - row.hyper[0];
    if row.t == 1.0 {
        1.0 - cosine(row)
    } else if row.t == -1.0 && (over > 0.0 || over.is_nan()) {
        over
    } else {
        0.0
    }
}

/// The gradient of a row a beside b.
fn grad(row: &PairRow<'_>, a: &[f64], b: &[f64], grad: &mut [f64]) {
    let cos = cosine(row);
    let sign = match row.t {
        1.0 => -1.0,
        -1.0 if cos > row.hyper[0] || cos.is_nan() => 1.0,
        _ => {
            grad.fill(0.0);
            return;
        }
    };
    let (own, both) = (square(a), square(a).sqrt() * square(b).sqrt());
    for (g, (a, b)) in grad.iter_mut().zip(a.iter().zip(b)) {
        *g = sign * (b / both - cos * a / own);
    }
}

fn grad_a(row: &PairRow<'_>, out: &mut [f64]) {
    grad(row, row.a, row.b, out);
}

fn grad_b(row: &PairRow<'_>, out: &mut [f64]) {
    grad(row, row.b, row.a, out);
}
