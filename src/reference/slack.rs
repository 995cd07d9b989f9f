//! What the last digits of a call's inputs are worth to its results: the error allowed to what is ill-conditioned.

use super::subject::Subject;
use crate::error::Result;
use crate::precision::{UNIT, coin, moved, nudge};
use crate::problem::{Family, Moved};
use crate::words::Role;

/// Random looks at inputs a little off.
const LOOKS: u64 = 24;

/// How far below and above the truth each number may lie.
pub(super) struct Slack {
    pub below: Vec<f64>,
    pub above: Vec<f64>,
}

impl Slack {
    fn new(len: usize) -> Self {
        Self {
            below: vec![0.0; len],
            above: vec![0.0; len],
        }
    }

    /// Takes in a difference to one side. What becomes infinite or NaN beside a number says nothing of how near that
    /// is.
    fn reach(&mut self, index: usize, difference: f64) {
        if difference.is_finite() {
            self.below[index] = self.below[index].max(-difference);
            self.above[index] = self.above[index].max(difference);
        }
    }
}

/// How results follow their inputs.
#[derive(Clone, Copy, PartialEq)]
enum Course {
    /// All inputs are moved, each for itself, and the results may be off by twice as much, to either side.
    Continuous,
    /// A gradient with kinks: equal numbers are moved alike and chosen ones are not, so that a tie stays one; where it
    /// jumps it may be what it is on either side, or between.
    Jumps,
}

impl Course {
    fn of(subject: &Subject<'_>, role: Role) -> Self {
        // Between norms and cosines there are kinks, too, but not where numbers were chosen.
        match (role, &subject.problem.family) {
            // Logits of a layer are sums, in which chosen numbers cancel as others do; their loss has no kinks.
            (Role::Grad(_), Family::Rows(rows)) if rows.linear.is_some() => Self::Continuous,
            (Role::Grad(_), Family::Rows(_) | Family::Elements(_)) => Self::Jumps,
            _ => Self::Continuous,
        }
    }
}

/// Losses of x - t, which f32 has exactly or rounded once: the last digits of x and t decide nothing that it loses.
const OF_DIFFERENCES: [&str; 4] = ["l1", "mse", "smooth_l1", "huber"];

/// A layer whose logits are off by what f32 may lose in their sums, to one side each and to the other, further from
/// look to look: where a part of that error would be worth the most, some look is near it, which inputs that are two
/// ulps off may step over.
fn with_logits_off<'a>(subject: &Subject<'a>, look: u64) -> impl Iterator<Item = Subject<'a>> {
    [1.0, -1.0].into_iter().filter_map(move |side| {
        let mut own = subject.clone();
        let Family::Rows(rows) = &mut own.problem.family else {
            return None;
        };
        let linear = rows.linear.as_mut()?;
        // A rounding for each term and for the bias: at worst all to one side, at random as their root.
        let terms = linear.features as f64 + 1.0;
        let most = terms.min(4.0 * terms.sqrt()) * UNIT;
        let by = side * most * (look + 1) as f64 / LOOKS as f64;
        linear.moved = Some(Moved { by, look });
        Some(own)
    })
}

/// The slack of a result whose numbers are these.
pub(super) fn of(subject: &Subject<'_>, role: Role, want: &[f64]) -> Result<Slack> {
    let course = Course::of(subject, role);
    let mut slack = Slack::new(want.len());
    if OF_DIFFERENCES.contains(&subject.problem.name) {
        return Ok(slack);
    }
    let differences = |own: Subject<'_>| -> Result<Vec<f64>> {
        let other = own.truth()?.take(role);
        Ok(other.iter().zip(want).map(|(other, want)| other - want).collect())
    };
    for look in 0..LOOKS {
        match course {
            Course::Continuous => {
                let inputs = subject.changed(|place, index, x| moved(x, coin([look, place as u64, index as u64])))?;
                for own in std::iter::once(inputs).chain(with_logits_off(subject, look)) {
                    for (index, off) in differences(own)?.into_iter().enumerate() {
                        slack.reach(index, 2.0 * off);
                        slack.reach(index, -2.0 * off);
                    }
                }
            }
            Course::Jumps => {
                let step = |x: f32| nudge(x, coin([look, x.abs().to_bits().into(), 0]));
                let once = differences(subject.changed(|_, _, x| step(x))?)?;
                // Twice as far it is twice as much where there is no jump, and no more than the jump where there is.
                let far = |x: f32| {
                    let outwards = coin([look, x.abs().to_bits().into(), 0]);
                    nudge(nudge(x, outwards), outwards)
                };
                let twice = differences(subject.changed(|_, _, x| far(x))?)?;
                for (index, (off, further)) in once.into_iter().zip(twice).enumerate() {
                    let most = 2.0 * off.abs();
                    slack.reach(index, off);
                    slack.reach(index, further.max(-most).min(most));
                }
            }
        }
    }
    // Beside a 1 the smallest are rounded away.
    let small = subject.changed(|_, _, x| if f64::from(x.abs()) < UNIT { 0.0 } else { x })?;
    for (index, off) in differences(small)?.into_iter().enumerate() {
        slack.reach(index, off);
        if course == Course::Continuous {
            slack.reach(index, 2.0 * off);
            slack.reach(index, -2.0 * off);
        }
    }
    Ok(slack)
}
