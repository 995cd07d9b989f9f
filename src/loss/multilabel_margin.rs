//! Multi-label margin loss.

use super::multi_margin::{MARGIN, matrix_dim};
use super::prelude::*;

define! {
    /// Multi-label margin loss of scores and lists of classes
    /// ([PyTorch](https://pytorch.org/docs/stable/generated/torch.nn.MultiLabelMarginLoss.html)).
    ///
    /// For a row x of C scores whose list names class j m_j times:
    ///
    /// ```text
    /// loss   = 1 / C Σ_{i: m_i = 0} Σ_j m_j max(0, 1 - x_j + x_i)
    /// grad_i = 1 / C Σ_j m_j [1 - x_j + x_i > 0]                  for a class that is not named
    /// grad_j = -m_j / C #{i: m_i = 0, 1 - x_j + x_i > 0}          for a class that is
    /// ```
    ///
    /// **Shapes.** Input (C) or (N, C), a float type; target the input's shape, of signed integers: each row a list of
    /// classes that its first -1 ends, if any. What follows is not looked at, but has to be a class or -1.
    ///
    /// **Reductions.** `mean` divides by the number of rows.
    ///
    /// **Edges.** A class named twice counts twice, as in PyTorch. Nothing named, or everything, has loss 0. At 1 - x_j
    /// + x_i = 0 the gradient is 0. NaN in a row makes its loss and gradient NaN. A row takes time in proportion to C².
    ///
    /// **Differences from PyTorch.** PyTorch passes over NaN. A label out of range is an error of the read.
    ///
    /// **Errors.** [`Error::Operand`] for shapes and dtypes; [`Error::BadLabels`] when reading.
    MultilabelMargin, multilabel_margin;
    summary: "how far the scores of the classes not named come within 1 of those named";
    url: "https://pytorch.org/docs/stable/generated/torch.nn.MultiLabelMarginLoss.html";
    aliases: ["multilabel_margin_loss", "MultiLabelMarginLoss"];
    operands {
        input: Real, true, "scores, (C) or (N, C)";
        target: IndexList, false, "the classes of each row, ended by -1, of the input's shape";
    }
    options { }
    tensors { }
    reduction: Mean;
    reductions: REDUCED;
}

impl MultilabelMargin {
    fn check(&self) -> Result<()> {
        Ok(())
    }

    fn problem(&self, call: &Call<'_>) -> Result<Problem> {
        let input = call.input()?;
        let dim = matrix_dim(input)?;
        Rows {
            targets: Targets::ClassList,
            state: MARGIN,
            pieces: vec![piece!("loss/multilabel_margin.wgsl")],
            inner_loops: input.shape.get(dim).map_or(1, |n| n.div_ceil(4)) as u64,
            definition: RowDefinition::Loss(definition),
            alone: Some(0.0),
            ..Rows::default()
        }
        .problem(self, call, dim, Scalars::NONE)
    }
}

/// (i, j, m_j, 1 + (x_i - x_j)) of every class i that is not named with every class j that is.
fn definition(row: &Row<'_>, out: &mut RowLoss<'_>) {
    let is_nan = row.x.iter().any(|x| x.is_nan());
    let share = if is_nan { f64::NAN } else { 1.0 / row.x.len() as f64 };
    let named = |named: bool| (0..row.p.len()).filter(move |&c| (row.p[c] > 0.0) == named);
    // Each class not named with each that is: both, how often the latter is, and 1 + (x_i - x_j).
    let pairs = || named(false).flat_map(|i| named(true).map(move |j| (i, j, row.p[j], 1.0 + (row.x[i] - row.x[j]))));
    if let Some(loss) = &mut out.loss {
        **loss = share * pairs().map(|(.., m, z)| m * z.max(0.0)).sum::<f64>();
    }
    if let Some(grad) = &mut out.grad_input {
        grad.fill(0.0 * share);
        for (i, j, m, _) in pairs().filter(|&(.., z)| z > 0.0) {
            grad[i] += m * share;
            grad[j] -= m * share;
        }
    }
}
