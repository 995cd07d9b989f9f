//! Results of somebody's own, judged by the error model.

use super::mine::{Given, Mine, Numbers};
use super::report::{Compared, Comparison, Deviation, Trouble};
use super::subject::{Subject, Truth};
use super::{sizes, slack};
use crate::call::Call;
use crate::dtype::Dtype;
use crate::engine::Engine;
use crate::error::Result;
use crate::limits::Limits;
use crate::loss::Loss;
use crate::precision::{admits_between, bound, loss_depth, rounded, ulp};
use crate::tuning::Tuning;
use crate::words::Role;

/// The worst elements that a comparison keeps of a result.
const KEPT: usize = 8;

/// How somebody adds.
struct Cut {
    limits: Limits,
    tunings: Vec<Tuning>,
}

impl Cut {
    /// Anybody, within WebGPU's default limits.
    fn usual() -> Self {
        let limits = Limits::new(&wgpu::Limits::default());
        Self {
            limits,
            tunings: [Tuning::SOFTWARE, Tuning::HARDWARE]
                .map(|own| own.within(&limits))
                .to_vec(),
        }
    }

    fn of(engine: &Engine) -> Self {
        match (engine.plan_limits(), engine.tuning()) {
            (Some(limits), Some(tuning)) => Self {
                limits,
                tunings: vec![tuning],
            },
            _ => Self::usual(),
        }
    }

    /// The depth of a result's sums, by the longest of the ways that there are.
    fn depth(&self, subject: &Subject<'_>, role: Role) -> Result<u32> {
        let of = |tuning: &Tuning| {
            let own = loss_depth(&subject.problem, &self.limits, tuning);
            own.map(|own| own + sizes::spread_depth(subject, role, tuning))
        };
        let all: Vec<Result<u32>> = self.tunings.iter().map(of).collect();
        let most = all.iter().filter_map(|own| own.as_ref().ok()).max().copied();
        match most {
            Some(most) => Ok(most),
            None => all.into_iter().find(Result::is_err).unwrap_or(Ok(0)),
        }
    }
}

/// Compares results of your own with the f64 reference, by the error model
/// ([what is allowed](crate::reference#what-is-allowed)). The call is on host tensors; `mine` is a slice of losses, two
/// of losses and gradients, [`Mine`] or [`Values`](crate::Values), of everything that the call asks for.
///
/// Results that are missing, that nobody asked for or that are of another length or shape are not close; the
/// comparison names them.
///
/// # Errors
/// Those of [`Loss::problem`]; [`Error::Operand`](crate::Error::Operand) for a tensor that is not on the host, or a
/// gradient that is added to another; [`Error::Limit`](crate::Error::Limit) for rows whose sums no order of this
/// library takes.
pub fn compare<'a>(loss: &dyn Loss, call: &Call<'_>, mine: impl Into<Mine<'a>>) -> Result<Comparison> {
    judge(&Cut::usual(), loss, call, &mine.into())
}

/// The same, with no more allowed than the depth of the sums of an engine, whose results they are.
///
/// # Errors
/// As [`compare`].
pub fn compare_on<'a>(
    engine: &Engine,
    loss: &dyn Loss,
    call: &Call<'_>,
    mine: impl Into<Mine<'a>>,
) -> Result<Comparison> {
    judge(&Cut::of(engine), loss, call, &mine.into())
}

/// Panics with the [`Comparison`] where results of your own are not as near to the f64 reference as [`compare`] asks.
///
/// # Panics
/// So, and with the error where there is nothing to compare with.
#[track_caller]
#[allow(clippy::panic, reason = "as assert_eq! does")]
pub fn assert_close<'a>(loss: &dyn Loss, call: &Call<'_>, mine: impl Into<Mine<'a>>) {
    match compare(loss, call, mine) {
        Ok(comparison) if comparison.is_close() => {}
        Ok(comparison) => panic!("{comparison}"),
        Err(error) => panic!("{}: nothing to compare with: {error}", loss.info().name),
    }
}

fn judge(cut: &Cut, loss: &dyn Loss, call: &Call<'_>, mine: &Mine<'_>) -> Result<Comparison> {
    let subject = Subject::new(loss, call)?;
    let truth = subject.truth()?;
    let mut results = Vec::new();
    let mut left: Vec<&Given<'_>> = mine.given.iter().collect();
    for (role, shape, dtype) in asked(&subject) {
        let names = names(&subject, role, dtype);
        let given = left
            .iter()
            .position(|own| names.contains(&own.role))
            .map(|at| left.swap_remove(at));
        let mut compared = Compared::new(name(&subject, role), dtype, &shape);
        match given.map(|given| (given, trouble(given, truth.of(role).len(), &shape))) {
            None => compared.trouble = Some(Trouble::Missing),
            Some((_, Some(trouble))) => compared.trouble = Some(trouble),
            Some((given, None)) => match &given.numbers {
                Numbers::Floats(numbers) => {
                    compared.dtype = given.dtype;
                    floats(cut, &subject, &truth, role, numbers, &mut compared)?;
                }
                Numbers::Whole(numbers) => whole(numbers, truth.of(role), &mut compared),
            },
        }
        results.push(compared);
    }
    left.sort_by_key(|own| own.role);
    results.extend(left.into_iter().map(|given| Compared {
        trouble: Some(Trouble::NotAsked),
        ..Compared::new(name(&subject, given.role), given.dtype, &[])
    }));
    let problem = &subject.problem;
    let what = format!(
        "{} ({}, reduction {})",
        problem.name,
        problem.mode.name(),
        problem.reduction.name()
    );
    Ok(Comparison { what, results })
}

/// What the call gives, with shapes and dtypes: the loss, gradients, and the rest.
fn asked(subject: &Subject<'_>) -> Vec<(Role, Vec<usize>, Dtype)> {
    let results = subject.problem.results();
    let mut list: Vec<_> = results.map(|(role, view)| (role, view.shape, view.dtype)).collect();
    list.sort_by_key(|(role, ..)| match role {
        Role::Loss => 0,
        Role::Grad(place) => 1 + usize::from(*place),
        _ => usize::MAX,
    });
    if subject.problem.stats.accuracy {
        list.push((Role::Correct, Vec::new(), Dtype::I64));
    }
    list
}

/// What somebody calls a result.
fn names(subject: &Subject<'_>, role: Role, dtype: Dtype) -> Vec<Role> {
    match role {
        // Where the largest lies is no loss.
        Role::Loss if !dtype.is_float() => vec![Role::Argmax],
        Role::Grad(0) => vec![role, subject.problem.operands[0].role],
        Role::Grad(place) => vec![subject.problem.operands[usize::from(place)].role],
        _ => vec![role],
    }
}

fn name(subject: &Subject<'_>, role: Role) -> String {
    let operand = match role {
        Role::Grad(place) => subject.problem.operands.get(usize::from(place)).map(|own| own.role),
        _ => subject
            .problem
            .operands
            .iter()
            .map(|own| own.role)
            .find(|own| *own == role),
    };
    match operand {
        Some(operand) => format!("gradient of {}", operand.name()),
        None => role.name().into(),
    }
}

fn trouble(given: &Given<'_>, want: usize, shape: &[usize]) -> Option<Trouble> {
    let got = match &given.numbers {
        Numbers::Floats(own) => own.len(),
        Numbers::Whole(own) => own.len(),
    };
    match given.shape {
        Some(own) if own != shape => Some(Trouble::Shape { got: own.to_vec() }),
        _ if got != want => Some(Trouble::Length { got }),
        _ => None,
    }
}

/// Numbers that are rounded on the way.
fn floats(
    cut: &Cut,
    subject: &Subject<'_>,
    truth: &Truth,
    role: Role,
    mine: &[f32],
    compared: &mut Compared,
) -> Result<()> {
    let (want, dtype) = (truth.of(role), compared.dtype);
    let depth = cut.depth(subject, role)?;
    let errors: Vec<f64> = sizes::of(subject, role, truth)?
        .iter()
        .map(|&size| bound(size, depth))
        .collect();
    let fits = |i: usize, below: f64, above: f64| admits_between(dtype, mine[i], want[i], below, above);
    let beyond: Vec<usize> = (0..mine.len()).filter(|&i| !fits(i, errors[i], errors[i])).collect();
    let slack = match beyond.is_empty() {
        true => None,
        false => Some(slack::of(subject, role, want)?),
    };
    let mut elements = Vec::with_capacity(mine.len());
    for (index, &own) in mine.iter().enumerate() {
        let (mut below, mut above) = (errors[index], errors[index]);
        if let Some(slack) = &slack {
            below += slack.below[index];
            above += slack.above[index];
        }
        let (own, want) = (f64::from(own), want[index]);
        let allowed = match own < want {
            true => want - rounded(dtype, want - below),
            false => rounded(dtype, want + above) - want,
        }
        .max(0.0); // the nearest number of a 16-bit dtype may lie on the other side
        elements.push(Measured {
            index,
            mine: own,
            want,
            allowed,
            fits: fits(index, below, above),
        });
    }
    let is_close = |index: &&usize| elements.get(**index).is_some_and(|own| own.fits);
    compared.ill_conditioned = beyond.iter().filter(is_close).count();
    rank(elements, compared, |want| ulp(dtype, want));
    Ok(())
}

/// Places and counts, which are exact.
fn whole(mine: &[i64], want: &[f64], compared: &mut Compared) {
    let both = mine.iter().zip(want).enumerate();
    let elements = both.map(|(index, (&own, &want))| Measured {
        index,
        mine: own as f64,
        want,
        allowed: 0.0,
        fits: own as f64 == want,
    });
    rank(elements.collect(), compared, |_| 1.0);
}

struct Measured {
    index: usize,
    mine: f64,
    want: f64,
    allowed: f64,
    fits: bool,
}

impl Measured {
    /// The error beside the one allowed.
    fn share(&self) -> f64 {
        let share = (self.mine - self.want).abs() / self.allowed;
        match (share.is_nan(), self.fits) {
            // Two NaN, or infinities alike, or no error where none is allowed.
            (true, true) => 0.0,
            (true, false) => f64::INFINITY,
            (false, _) => share,
        }
    }
}

/// Keeps the worst.
fn rank(mut elements: Vec<Measured>, compared: &mut Compared, ulp: impl Fn(f64) -> f64) {
    compared.off = elements.iter().filter(|own| !own.fits).count();
    let order = |a: &Measured, b: &Measured| {
        let by_share = b.share().total_cmp(&a.share());
        a.fits.cmp(&b.fits).then(by_share).then(a.index.cmp(&b.index))
    };
    if elements.len() > KEPT {
        elements.select_nth_unstable_by(KEPT, order);
        elements.truncate(KEPT);
    }
    elements.sort_by(order);
    compared.share = elements.first().map_or(0.0, Measured::share);
    compared.worst = elements
        .iter()
        .map(|own| Deviation {
            index: coordinates(own.index, &compared.shape),
            mine: own.mine,
            reference: own.want,
            difference: own.mine - own.want,
            ulps: (own.mine - own.want).abs() / ulp(own.want),
            allowed: own.allowed,
        })
        .collect();
}

fn coordinates(mut index: usize, shape: &[usize]) -> Vec<usize> {
    let mut own: Vec<usize> = shape
        .iter()
        .rev()
        .map(|&size| {
            let at = index % size.max(1);
            index /= size.max(1);
            at
        })
        .collect();
    own.reverse();
    own
}
