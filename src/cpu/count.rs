//! What class targets and the weights of rows add up to.

use crate::layout::{Control, words};
use crate::problem::{Problem, Rows, Targets};
use crate::tensor::Dtype;

/// Labels as i64, whatever their dtype.
pub(super) struct Labels<'a> {
    pub bytes: &'a [u8],
    pub dtype: Dtype,
}

impl Labels<'_> {
    fn at(&self, row: usize) -> i64 {
        let size = self.dtype.bytes() as usize;
        let bytes = &self.bytes[row * size..(row + 1) * size];
        match self.dtype {
            Dtype::U8 => i64::from(bytes[0]),
            Dtype::I32 => i64::from(bytemuck::pod_read_unaligned::<i32>(bytes)),
            Dtype::U32 => i64::from(bytemuck::pod_read_unaligned::<u32>(bytes)),
            _ => bytemuck::pod_read_unaligned(bytes),
        }
    }
}

/// What a row is to be done with.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Kind {
    Kept,
    Ignored,
    Bad,
}

/// The rows of a problem, as its control says they add up.
#[derive(Default)]
pub(crate) struct Count {
    pub control: Control,
    pub labels: Vec<(Kind, usize)>,
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
    labels: Option<&Labels<'_>>,
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
    let (mut kinds, mut sum, mut row_sum) = (Vec::with_capacity(items), 0.0, 0.0);
    for item in 0..items {
        let label = labels.map_or(0, |labels| labels.at(item));
        if labels.is_some() && rows.ignore_index() == Some(label) {
            control.ignored += 1;
            kinds.push((Kind::Ignored, 0));
        } else if labels.is_some() && !(0..rows.cols as i64).contains(&label) {
            if control.bad == 0 {
                control.first_bad = item as u32;
                [control.bad_low, control.bad_high] = words(label);
            }
            control.bad += 1;
            kinds.push((Kind::Bad, 0));
        } else {
            control.kept += 1;
            let own = sample_weight.map_or(1.0, |w| w[item]);
            row_sum += own;
            sum += own
                * weight
                    .filter(|_| rows.counts_weights && labels.is_some())
                    .map_or(1.0, |w| w[label as usize]);
            kinds.push((Kind::Kept, label as usize));
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
        labels: kinds,
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

/// How often each class is named before the first negative entry.
pub(super) fn multiplicities(labels: &Labels<'_>, row: usize, cols: usize) -> Vec<f64> {
    let mut times = vec![0.0; cols];
    let list = (0..cols)
        .map(|c| labels.at(row * cols + c))
        .take_while(|&label| label >= 0);
    for label in list.filter(|&label| label < cols as i64) {
        times[label as usize] += 1.0;
    }
    times
}
