//! What sets the families of losses apart for whoever cuts a problem or reports on it: one table. How a family is planned
//! stands in `plan`, how the reference computes it in `cpu`, how deep its sums are in `precision`: one match each.

use crate::problem::{Family, Problem, Rows, Targets};

/// The line of a problem's family.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Traits {
    /// Classes of a row, 0 where there are none.
    pub classes: u64,
    /// Class targets of a row: several where the target lists them, in which -1 ignores nothing but ends the list.
    pub labels_per_row: u64,
    pub ignore_index: Option<i64>,
    /// Class targets are read, and counted before the losses or with them.
    pub has_classes: bool,
    /// A row comes to a number without a target: a reduction.
    pub is_reduction: bool,
    /// The input has one number for each row that the loss reads.
    pub reads_one_of_each_row: bool,
    /// `weight` belongs to the classes: it has no slices.
    pub weighs_classes: bool,
    /// Slices of the first dimension are problems by themselves.
    pub has_slices: bool,
    /// An operand of a lower rank than the terms broadcasts along their first dimension.
    pub broadcasts: bool,
    /// Bytes that the reference holds for each term.
    pub term_bytes: u64,
}

impl Traits {
    fn of_rows(rows: &Rows, problem: &Problem) -> Self {
        let shape = &problem.input().shape;
        let first = problem.terms.first().copied().unwrap_or(1);
        Self {
            classes: rows.cols as u64,
            labels_per_row: match rows.targets {
                Targets::ClassList => (rows.cols as u64).max(1),
                Targets::None | Targets::Index { .. } | Targets::Full => 1,
            },
            ignore_index: rows.ignore_index(),
            has_classes: matches!(rows.targets, Targets::Index { .. } | Targets::ClassList),
            is_reduction: rows.targets == Targets::None && !rows.is_map(),
            reads_one_of_each_row: !rows.reads,
            weighs_classes: rows.element_weights(problem).is_none(),
            has_slices: shape.len() > 1
                && shape.first() == Some(&first)
                && first > 0
                && rows.slabs.is_multiple_of(first),
            broadcasts: false, // rows have a rank less than their input
            // What a row comes to, and its statistics; the logits of a row that is a product, and their gradient.
            term_bytes: 64 + rows.linear.map_or(0, |_| 16 * rows.cols as u64),
        }
    }

    /// Of families without rows of classes.
    fn plain(problem: &Problem, broadcasts: bool, term_bytes: u64) -> Self {
        Self {
            classes: 0,
            labels_per_row: 1,
            ignore_index: None,
            has_classes: false,
            is_reduction: false,
            reads_one_of_each_row: false,
            weighs_classes: false,
            has_slices: problem.terms.first().is_none_or(|&first| first > 0),
            broadcasts,
            term_bytes,
        }
    }
}

impl Problem {
    pub(crate) fn traits(&self) -> Traits {
        match &self.family {
            Family::Rows(rows) => Traits::of_rows(rows, self),
            Family::Elements(_) => Traits::plain(self, true, 8),
            Family::Pairs(_) => Traits::plain(self, false, 16),
        }
    }

    /// The rows, of a loss that goes by rows.
    pub(crate) fn rows(&self) -> Option<&Rows> {
        match &self.family {
            Family::Rows(rows) => Some(rows),
            Family::Elements(_) | Family::Pairs(_) => None,
        }
    }

    /// Keeps `count` of `len` slices of the first dimension; the operands are the caller's.
    pub(crate) fn keep_slices(&mut self, count: usize, len: usize) {
        self.terms[0] = count;
        match &mut self.family {
            Family::Rows(rows) => {
                rows.slabs = rows.slabs / len * count;
                if let Some(linear) = &mut rows.linear {
                    linear.inputs = count;
                }
            }
            Family::Pairs(pairs) => pairs.rows = count,
            Family::Elements(_) => {}
        }
    }
}
