//! What class targets and the weights of rows add up to.

use super::{ByRole, Floats};
use crate::error::Result;
use crate::layout::{Control, Slot, words};
use crate::problem::{Problem, Rows, Targets};

/// The classes that rows have as targets.
pub(super) struct Classes<'a> {
    floats: Floats<'a>,
    ignore_index: Option<i64>,
    cols: usize,
}

impl<'a> Classes<'a> {
    /// Those of a problem, where its targets are classes.
    pub fn of(problem: &'a Problem, rows: &Rows, operands: &ByRole<'a>) -> Result<Option<Self>> {
        if !matches!(rows.targets, Targets::Index { .. } | Targets::ClassList) {
            return Ok(None);
        }
        let labels = Floats::of(problem, operands, Slot::Target)?;
        Ok(labels.map(|floats| Self {
            floats,
            ignore_index: rows.ignore_index(),
            cols: rows.cols,
        }))
    }

    pub fn kind(&self, item: usize) -> (Kind, i64) {
        let label = self.floats.label(item);
        if self.ignore_index == Some(label) {
            (Kind::Ignored, label)
        } else if (0..self.cols as i64).contains(&label) {
            (Kind::Kept, label)
        } else {
            (Kind::Bad, label)
        }
    }

    /// How often each class is named before the first negative entry of a row's list.
    pub fn multiplicities(&self, row: usize, times: &mut [f64]) {
        times.fill(0.0);
        let list = (0..self.cols).map(|c| self.floats.label(row * self.cols + c));
        for label in list.take_while(|&label| label >= 0) {
            if let Some(times) = times.get_mut(label as usize) {
                *times += 1.0;
            }
        }
    }
}

/// What a row is to be done with.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Kind {
    Kept,
    Ignored,
    Bad,
}

/// The rows of a problem, as its control says they add up.
#[derive(Default)]
pub(crate) struct Count {
    pub control: Control,
    pub weights: Weights,
    pub scales: Scales,
}

/// What the rows kept weigh.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Weights {
    kept: u64,
    /// With the weights of their classes.
    sum: f64,
    rows: f64,
}

/// One over the denominators of the losses and of the z-loss.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Scales {
    pub loss: f64,
    pub z_loss: f64,
}

impl Weights {
    pub fn add(&mut self, next: &Self) {
        self.kept += next.kept;
        self.sum += next.sum;
        self.rows += next.rows;
    }

    pub fn scales(&self, zero_on_empty: bool) -> Scales {
        let one_over = |sum: f64| match (self.kept, zero_on_empty) {
            (0, true) => 0.0,
            // Nothing kept, or nothing but weights of 0, is 0 / 0.
            _ if sum == 0.0 => f64::NAN,
            _ => 1.0 / sum,
        };
        Scales {
            loss: one_over(self.sum),
            z_loss: one_over(self.rows),
        }
    }
}

/// Looks at every label, and adds up the denominators.
pub(super) fn count(
    problem: &Problem,
    rows: &Rows,
    labels: Option<&Classes<'_>>,
    weights: [Option<&[f64]>; 2],
) -> Count {
    let mut control = Control {
        first_bad: u32::MAX,
        ..Default::default()
    };
    let [weight, sample_weight] = weights;
    let per_row = if rows.targets == Targets::ClassList {
        rows.cols
    } else {
        1
    };
    let items = rows.rows() as usize * per_row;
    let (mut sum, mut row_sum) = (0.0, 0.0);
    for item in 0..items {
        match labels.map_or((Kind::Kept, 0), |labels| labels.kind(item)) {
            (Kind::Ignored, _) => control.ignored += 1,
            (Kind::Bad, label) => {
                if control.bad == 0 {
                    control.first_bad = item as u32;
                    [control.bad_low, control.bad_high] = words(label);
                }
                control.bad += 1;
            }
            (Kind::Kept, label) => {
                control.kept += 1;
                let own = sample_weight.map_or(1.0, |w| w[item]);
                row_sum += own;
                sum += own
                    * weight
                        .filter(|_| rows.counts_weights && labels.is_some())
                        .map_or(1.0, |w| w[label as usize]);
            }
        }
    }
    (control.weight, control.rows) = (sum as f32, row_sum as f32);
    let weights = Weights {
        kept: u64::from(control.kept),
        sum,
        rows: row_sum,
    };
    let known = problem.static_scale();
    Count {
        control,
        weights,
        scales: if problem.is_counted() {
            weights.scales(problem.zero_on_empty)
        } else {
            Scales {
                loss: known,
                z_loss: known,
            }
        },
    }
}
