//! Margin ranking loss.

use super::prelude::*;
use crate::shapes::{Named, odd_one};

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
    /// **Edges.** At s = 0, which equal scores and a margin of 0 have, the gradients are 0. NaN in gives a loss of NaN.
    /// Other targets are computed by the formula.
    ///
    /// **Errors.** [`Error::Option`] for a `margin` that is not finite; [`Error::Operand`] for shapes and dtypes.
    MarginRanking, margin_ranking;
    summary: "the one of two scores that should be higher, by a margin";
    url: "https://pytorch.org/docs/stable/generated/torch.nn.MarginRankingLoss.html";
    aliases: ["margin_ranking_loss", "MarginRankingLoss"];
    operands {
        input1: Real, true, "scores";
        input2: Real, true, "scores to compare with";
        target: Sign, true, "1 where input1 should be higher, -1 where lower";
    }
    options {
        margin: f64 = 0.0, "by how much the one should be higher";
    }
    tensors {}
    scalars { margin }
    reduction: Mean;
    reductions: REDUCED;
}

impl MarginRanking {
    fn check(&self) -> Result<()> {
        finite("margin", self.margin)
    }

    fn problem(&self, call: &Call<'_>) -> Result<Problem> {
        same_rank(call)?;
        Elements {
            piece: piece!("loss/margin_ranking.wgsl"),
            definition: &Elementwise([true, true, true], definition),
            nan_grads: false,
            finite: true,
            ..Elements::default()
        }
        .problem(self, call, Numbers { margin: self.margin })
    }
}

/// Refuses tensors of several numbers of dimensions, as PyTorch does.
fn same_rank(call: &Call<'_>) -> Result<()> {
    let names = INFO.operands.iter().map(|own| own.role.name());
    let shapes: Vec<_> = names.zip(call.tensors.iter().map(|tensor| tensor.shape())).collect();
    let same = |all: &[Named<'_>]| all.windows(2).all(|pair| pair[0].1.len() == pair[1].1.len());
    if same(&shapes) {
        return Ok(());
    }
    let (name, shape, others) = odd_one(&shapes, same);
    let message = format!("expected as many dimensions as {others}, got {shape:?}");
    Err(Error::operand(name, message))
}

fn definition(x: f64, t: f64, u: f64, scalars: &Scalars) -> At {
    let Numbers { margin } = scalars.into();
    let short = margin - t * (x - u);
    let missed = f64::from(u8::from(short > 0.0));
    At {
        loss: if short <= 0.0 { 0.0 } else { short }, // inf - inf is NaN
        grads: [missed * -t, missed * (u - x), missed * t],
    }
}
