//! Margin ranking loss.

use super::prelude::*;

define! {
    /// Margin ranking loss of scores x₁ and x₂; a target t of 1 wants x₁ the higher, -1 the lower
    /// ([PyTorch](https://pytorch.org/docs/stable/generated/torch.nn.MarginRankingLoss.html)).
    ///
    /// ```text
    /// s    = margin - t (x₁ - x₂)
    /// loss = max(0, s)
    /// grad = -t where s > 0, else 0;   by x₂: t;   by t: x₂ - x₁
    /// ```
    ///
    /// **Shapes.** Operands with the same number of dimensions, which broadcast against each other; each gradient has
    /// its operand's own shape.
    ///
    /// **Options.** `margin`: by how much the one should be higher; any finite number.
    ///
    /// **Reductions.** `mean` divides by the number of elements after broadcasting; of no elements it is NaN.
    ///
    /// **Edges.** At s = 0, which equal scores and a margin of 0 have, the gradients are 0. NaN in gives a loss of NaN. Other
    /// targets are computed by the formula.
    ///
    /// **Errors.** [`Error::Option`] for a `margin` that is not finite; [`Error::Operand`] for shapes and dtypes.
    MarginRanking, margin_ranking;
    summary: "the one of two scores that should be higher, by a margin";
    url: "https://pytorch.org/docs/stable/generated/torch.nn.MarginRankingLoss.html";
    operands {
        input1: Real, true, "scores";
        input2: Real, true, "scores to compare with";
        target: Sign or integers, true, "1 where input1 should be higher, -1 where lower";
    }
    options {
        margin: f64 = 0.0, "by how much the one should be higher";
    }
    tensors {}
    reduction: Mean;
    reductions: REDUCED;
}

impl MarginRanking {
    fn check(&self) -> Result<()> {
        finite("margin", self.margin)
    }

    fn problem(&self, call: &Call<'_>) -> Result<Problem> {
        let shapes: Vec<_> = call.tensors.iter().map(|tensor| tensor.shape()).collect();
        if shapes.windows(2).any(|pair| pair[0].len() != pair[1].len()) {
            return Err(Error::operand(
                "input1",
                format!("expected as many dimensions as the others, got {shapes:?}"),
            ));
        }
        Elements {
            piece: piece!("loss/margin_ranking.wgsl"),
            reference: ElementReference {
                loss,
                grads: [Some(grad), Some(grad_target), Some(grad_input2)],
            },
            nan_grads: false,
            finite: true,
            ..Elements::default()
        }
        .problem(self, call, [self.margin, 0.0, 0.0, 0.0])
    }
}

fn short_by(x: f64, t: f64, u: f64, &[margin, ..]: &[f64; 4]) -> f64 {
    margin - t * (x - u)
}

fn loss(x: f64, t: f64, u: f64, hyper: &[f64; 4]) -> f64 {
    match short_by(x, t, u, hyper) {
        short if short <= 0.0 => 0.0,
        short => short, // inf - inf is NaN
    }
}

/// 1 where the margin is missed, a factor: 0 times NaN or infinity is NaN.
fn missed(x: f64, t: f64, u: f64, hyper: &[f64; 4]) -> f64 {
    f64::from(u8::from(short_by(x, t, u, hyper) > 0.0))
}

fn grad(x: f64, t: f64, u: f64, hyper: &[f64; 4]) -> f64 {
    missed(x, t, u, hyper) * -t
}

fn grad_target(x: f64, t: f64, u: f64, hyper: &[f64; 4]) -> f64 {
    missed(x, t, u, hyper) * (u - x)
}

fn grad_input2(x: f64, t: f64, u: f64, hyper: &[f64; 4]) -> f64 {
    missed(x, t, u, hyper) * t
}
