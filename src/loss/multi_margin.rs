//! Multi-class margin loss.

use super::prelude::*;
use crate::tensor::View;

define! {
    /// Multi-class margin loss of scores and classes
    /// ([PyTorch](https://pytorch.org/docs/stable/generated/torch.nn.MultiMarginLoss.html)).
    ///
    /// For a row x of C scores with target t and class weights w, z_c = margin + x_c - x_t:
    ///
    /// ```text
    /// loss   = w_t / C Σ_{c ≠ t} max(0, z_c)^p
    /// grad_c = w_t / C p max(0, z_c)^(p - 1)     c ≠ t and z_c > 0; else 0
    /// grad_t = -(the sum of the others)
    /// ```
    ///
    /// **Shapes.** Input (), (C) or (N, C), a float type; target (), (1) or (N), of integers; `weight` (C).
    ///
    /// **Options.** `p` 1 or 2; `margin` any finite number.
    ///
    /// **Reductions.** `mean` divides by the number of rows, whatever `weight` is.
    ///
    /// **Edges.** At z_c = 0 the gradient is 0. NaN in a row of more than one class makes its loss and gradient NaN, and so
    /// does a difference of two infinities of one sign.
    ///
    /// **Differences from PyTorch.** PyTorch passes over a z_c that is NaN. A label out of range is an error of the read.
    ///
    /// **Errors.** [`Error::Option`] for `p` other than 1 and 2 or a `margin` that is not finite; [`Error::Operand`] for
    /// shapes and dtypes; [`Error::BadLabels`] when reading.
    MultiMargin, multi_margin;
    summary: "how far the other classes' scores come within a margin of the target's";
    url: "https://pytorch.org/docs/stable/generated/torch.nn.MultiMarginLoss.html";
    aliases: ["multi_margin_loss", "MultiMarginLoss"];
    operands {
        input: Real, true, "scores, (C) or (N, C)";
        target: Index, false, "the class of each row";
    }
    options {
        p: i64 = 1, "exponent of the shortfall, 1 or 2";
        margin: f64 = 1.0, "how far above the others the target's score should be";
    }
    tensors {
        weight: "a factor for each class, shape (C)";
    }
    reduction: Mean;
    reductions: REDUCED;
}

impl MultiMargin {
    fn check(&self) -> Result<()> {
        if !matches!(self.p, 1 | 2) {
            return Err(Error::option("p", format!("{} given, expected 1 or 2", self.p)));
        }
        finite("margin", self.margin)
    }

    fn problem(&self, call: &Call<'_>) -> Result<Problem> {
        Rows {
            targets: Targets::Index { ignore_index: None },
            monoid: MARGIN,
            pieces: vec![piece!("loss/multi_margin.wgsl"), piece!("piece/row_label.wgsl")],
            consts: vec![Const::Bool("SQUARED", self.p == 2)],
            kind: format!("p{}", self.p),
            reference: RowReference::of(loss, grad),
            alone: Some(0.0),
            ..Rows::default()
        }
        .problem(
            self,
            call,
            matrix_dim(call.input()?)?,
            [self.margin, self.p as f64, 0.0, 0.0],
        )
    }
}

/// The statistics of the margin losses, and how they are collected.
pub(super) const MARGIN: &[crate::shader::Piece] = &[piece!("monoid/margin.wgsl"), piece!("piece/row_push_quads.wgsl")];

/// The dimension of the classes: (C) or (N, C), C not 0.
pub(super) fn matrix_dim(input: &View) -> Result<usize> {
    match *input.shape {
        [] | [(1..)] => Ok(0),
        [_, (1..)] => Ok(1),
        _ => Err(Error::operand(
            "input",
            format!(
                "expected shape (C) or (N, C) with at least one class, got {:?}",
                input.shape
            ),
        )),
    }
}

/// The shortfall z of a class behind the target; `None` for the target.
fn shortfall(row: &Row<'_>, t: usize, c: usize) -> Option<f64> {
    (c != t).then(|| row.hyper[0] + (row.x[c] - row.x[t]))
}

/// w_t / C
fn share(row: &Row<'_>, t: usize) -> f64 {
    row.weight.map_or(1.0, |w| w[t]) / row.x.len() as f64
}

fn loss(row: &Row<'_>) -> f64 {
    row.class.map_or(0.0, |t| {
        let all = (0..row.x.len()).filter_map(|c| shortfall(row, t, c));
        let costs = all.map(|z| if z <= 0.0 { 0.0 } else { z.powf(row.hyper[1]) });
        share(row, t) * costs.sum::<f64>()
    })
}

fn grad(row: &Row<'_>, grad: &mut [f64]) {
    grad.fill(0.0);
    let Some(t) = row.class else { return };
    let p = row.hyper[1];
    let all = |c| shortfall(row, t, c);
    if (0..row.x.len()).filter_map(all).any(f64::is_nan) {
        grad.fill(f64::NAN);
        return;
    }
    let mut own = 0.0;
    for (c, g) in grad.iter_mut().enumerate() {
        if let Some(z) = shortfall(row, t, c).filter(|&z| z > 0.0) {
            *g = share(row, t) * p * z.powf(p - 1.0);
            own -= *g;
        }
    }
    grad[t] = own;
}
