//! The gradient of an operand that broadcasts: the sum of its contributions over the dimensions along which it does.
//! The driver writes the contributions in the shape of the losses into f32 scratch; the row driver adds them up, run by
//! run.

use crate::dtype::Dtype;
use crate::error::Result;
use crate::fold::sum_of_rows;
use crate::limits::Limits;
use crate::plan::{Origin, Plan, plan};
use crate::tuning::Tuning;
use crate::view::View;
use crate::words::Role;

/// Adds the sum of `from`, f32 of shape `whole`, over the dimensions that `view` lacks or has at size 1, into `to`.
pub(super) fn add_sum_to(
    out: &mut Plan,
    from: Origin,
    whole: &[usize],
    to: Origin,
    view: &View,
    limits: &Limits,
    tuning: &Tuning,
) -> Result<()> {
    let missing = whole.len() - view.shape.len();
    let runs = runs(whole, |d| d >= missing && view.shape[d - missing] == whole[d]);
    let mut from = from;
    let last = runs.len().saturating_sub(1);
    for (nth, &(slabs, cols, inner)) in runs.iter().enumerate() {
        let dtype = if nth == last { view.dtype } else { Dtype::F32 };
        let into = if nth == last {
            to
        } else {
            out.add_scratch((slabs * inner) as u64 * 4)
        };
        let mut sum = sum_of_rows((slabs, cols, inner), dtype);
        if nth == last && view.offset > 0 {
            sum.placed.push((Role::Loss, view.clone()));
        }
        let part = plan(&sum, limits, tuning)?;
        out.append(part, |role| if role == Role::Input { from } else { into });
        from = into;
    }
    Ok(())
}

/// (slabs, cols, inner) of each run of neighbouring dimensions that go, from the innermost outward; what lies inside of
/// a run has gone already.
pub(super) fn runs(whole: &[usize], kept: impl Fn(usize) -> bool) -> Vec<(usize, usize, usize)> {
    let mut shape = whole.to_vec();
    let mut runs = Vec::new();
    let mut d = whole.len();
    while d > 0 {
        let end = d;
        while d > 0 && !kept(d - 1) {
            d -= 1;
        }
        let cols = shape[d..end].iter().product::<usize>();
        if d < end && cols != 1 {
            runs.push((shape[..d].iter().product(), cols, shape[end..].iter().product()));
            shape[d..end].fill(1);
        }
        d = d.saturating_sub(usize::from(d == end));
    }
    runs
}
