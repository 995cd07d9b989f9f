//! Numbers that belong together row by row: scores, the class of each row, probabilities.

use wgloss::{Info, OperandInfo, OperandKind};
use wgloss_bench::fit;

use super::data::Data;

/// Lists of classes, row after row.
pub fn lists(shape: &[usize], data: &mut Data) -> Vec<i64> {
    let cols = shape.last().copied().unwrap_or(1);
    let rows = shape.iter().product::<usize>() / cols.max(1);
    (0..rows).flat_map(|_| data.list(cols)).collect()
}

/// Scores along the dimension of the classes, with the class of each row, and probabilities that go with them.
pub struct Rows {
    scores: Vec<f32>,
    probabilities: Vec<f32>,
    pub classes: Vec<i64>,
}

impl Rows {
    /// Of rows that lie in this shape. The scores of a layer are none of its tensors.
    pub fn new(info: &Info, shape: &[usize], classes: bool, impossible: bool, data: &mut Data) -> Self {
        use OperandKind::{Index, IndexOrDistribution, Logit, Real};
        let operands = info.operands;
        let first = operands[0].kind;
        let has_classes = operands
            .iter()
            .any(|own| matches!(own.kind, Index | IndexOrDistribution));
        let alone = operands.len() == 1;
        let mut rows = Self {
            scores: Vec::new(),
            probabilities: Vec::new(),
            classes: Vec::new(),
        };
        let has_rows = has_classes || alone && first == Logit;
        if !has_rows {
            return rows;
        }
        let dim = fit::class_dim(shape);
        let cols = shape.get(dim).copied().unwrap_or(1);
        let slabs: usize = shape.iter().take(dim).product();
        let inner: usize = shape.iter().skip(dim + 1).product();
        let impossible = impossible && first == Logit;
        let with_scores = matches!(first, Logit | Real) && !fit::is_layer(info);
        let count = slabs * cols * inner;
        rows.scores = vec![0.0; if with_scores { count } else { 0 }];
        rows.probabilities = vec![0.0; if classes || alone { 0 } else { count }];
        for row in 0..slabs * inner {
            let class = data.below(cols);
            rows.classes.push(class as i64);
            let at = |c: usize| (row / inner * cols + c) * inner + row % inner;
            let x = if with_scores {
                data.row(cols, impossible.then_some(class))
            } else {
                Vec::new()
            };
            if !rows.probabilities.is_empty() {
                let p = data.probabilities(&x, class);
                p.iter().enumerate().for_each(|(c, &p)| rows.probabilities[at(c)] = p);
            }
            x.iter().enumerate().for_each(|(c, &x)| rows.scores[at(c)] = x);
        }
        rows
    }

    /// The numbers of an operand that belong to the rows.
    pub fn numbers(&mut self, place: usize, own: &OperandInfo) -> Option<Vec<f32>> {
        let numbers = match (place, own.kind) {
            (0, _) => std::mem::take(&mut self.scores),
            (_, OperandKind::IndexOrDistribution) => std::mem::take(&mut self.probabilities),
            _ => Vec::new(),
        };
        (!numbers.is_empty()).then_some(numbers)
    }
}
