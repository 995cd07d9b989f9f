//! Multi-class margin loss.

use super::prelude::*;
use crate::view::View;

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
    /// **Edges.** At z_c = 0 the gradient is 0. NaN in a row of more than one class makes its loss and gradient NaN,
    /// and so does a difference of two infinities of one sign.
    ///
    /// **Differences from PyTorch.** PyTorch passes over a z_c that is NaN. A label out of range is an error of the
    /// read.
    ///
    /// **Errors.** [`Error::Option`] for `p` other than 1 and 2 or a `margin` that is not finite; [`Error::Operand`]
    /// for shapes and dtypes; [`Error::BadLabels`] when reading.
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
    scalars { margin, p }
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
            state: MARGIN,
            pieces: vec![piece!("loss/multi_margin.wgsl"), piece!("row/labelled.wgsl")],
            consts: vec![Const::Bool("SQUARED", self.p == 2)],
            kind: format!("p{}", self.p),
            definition: RowDefinition::Loss(definition),
            alone: Some(0.0),
            ..Rows::default()
        }
        .problem(
            self,
            call,
            matrix_dim(call.input()?)?,
            Numbers {
                margin: self.margin,
                p: self.p as f64,
            },
        )
    }
}

/// The statistics of the margin losses, and how they are collected.
pub(super) const MARGIN: &[crate::shader::Piece] = &[piece!("state/margin.wgsl"), piece!("state/push_quads.wgsl")];

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
fn definition(row: &Row<'_>, out: &mut RowLoss<'_>) {
    let Some(t) = row.class else { return };
    let Numbers { margin, p } = row.scalars.into();
    let share = row.weight(t) / row.x.len() as f64;
    // margin - x_t + x_c of all classes but the target.
    let shortfalls = || {
        row.x
            .iter()
            .enumerate()
            .filter(|(c, _)| *c != t)
            .map(|(c, x)| (c, margin + (x - row.x[t])))
    };
    if let Some(loss) = &mut out.loss {
        let costs = shortfalls().map(|(_, z)| match z <= 0.0 {
            true => 0.0,
            false if p == 1.0 => z,
            false => z * z,
        });
        **loss = share * costs.sum::<f64>();
    }
    if let Some(grad) = &mut out.grad_input {
        grad.fill(0.0);
        let (mut own, mut nan) = (0.0, false);
        for (c, z) in shortfalls() {
            nan |= z.is_nan();
            if z > 0.0 {
                grad[c] = share * p * if p == 1.0 { 1.0 } else { z };
                own -= grad[c];
            }
        }
        grad[t] = own;
        if nan {
            grad.fill(f64::NAN);
        }
    }
}
