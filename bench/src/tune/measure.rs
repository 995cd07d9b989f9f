//! Candidates timed: in rounds, each once in turn, after their results were found right.

use indicatif::ProgressBar;
use wgloss::plan::Plan;
use wgloss::{Engine, Tuning};

use super::choice::Ratios;
use super::rows::ModeJob;
use crate::bench::measure::Samples;
use crate::bench::ready::Ready;
use crate::bench::record::Median;

/// What came of one candidate on all rows.
pub struct Trial {
    /// Median milliseconds of each row that it was timed on.
    pub ms: Vec<Option<f64>>,
    /// Beside the class's value.
    pub rows: Vec<Ratios>,
    /// Why it was not timed on a row, and whether that is a fault: of what does not fit into an adapter's limits it is
    /// none.
    pub untimed: Option<(String, bool)>,
}

/// Times tunings on rows, of which the one at `own` is the class's.
///
/// # Errors
/// What keeps that one from being timed.
pub fn trials(
    engine: &Engine,
    rows: &[ModeJob],
    tunings: &[Tuning],
    own: usize,
    runs: usize,
    bar: &ProgressBar,
) -> Result<Vec<Trial>, String> {
    let blank = || Trial {
        ms: Vec::new(),
        rows: Vec::new(),
        untimed: None,
    };
    let mut trials: Vec<Trial> = tunings.iter().map(|_| blank()).collect();
    for row in rows {
        let timed = time(engine, row, tunings, runs, bar).map_err(|error| format!("{}: {error}", row.name()))?;
        let class = match &timed[own] {
            Ok((nth, samples)) => (*nth, samples.clone()),
            Err((why, _)) => return Err(format!("{}: {why}", row.name())),
        };
        for (trial, timed) in trials.iter_mut().zip(timed) {
            match timed {
                Ok((nth, samples)) => {
                    trial.ms.push(Some(Median::of(samples.best()).median));
                    trial.rows.push((nth != class.0).then(|| samples.ratios(&class.1)));
                }
                Err((why, is_fault)) => {
                    trial.ms.push(None);
                    // A fault is not forgotten for what merely does not fit.
                    if is_fault || trial.untimed.is_none() {
                        trial.untimed = Some((format!("{}: {why}", row.name()), is_fault));
                    }
                }
            }
        }
    }
    Ok(trials)
}

/// The number of a tuning's plan, and its times; or why there are none, and whether that is a fault.
type Timed = Result<(usize, Samples), (String, bool)>;

/// Times one row under tunings. Those with one plan are timed once.
fn time(
    engine: &Engine,
    row: &ModeJob,
    tunings: &[Tuning],
    runs: usize,
    bar: &ProgressBar,
) -> wgloss::Result<Vec<Timed>> {
    let ready = Ready::new(engine, &row.job, &[row.mode])?;
    let (mut plans, mut watches) = (Vec::<Plan>::new(), Vec::new());
    let mut of = Vec::new();
    for tuning in tunings {
        let plan = match ready.plan(row.mode, tuning) {
            Ok(plan) => plan,
            Err(error) => {
                of.push(Err((error.to_string(), !matches!(error, wgloss::Error::Limit(_)))));
                continue;
            }
        };
        if let Some(nth) = plans.iter().position(|own| *own == plan) {
            of.push(Ok(nth));
            continue;
        }
        match ready.stopwatch(row.mode, Some(*tuning)) {
            Ok(watch) => {
                of.push(Ok(plans.len()));
                plans.push(plan);
                watches.push((watch, Samples::default()));
            }
            Err(why) => of.push(Err((why, true))),
        }
    }
    // The first round touches fresh memory, and is dropped.
    for round in 0..=runs {
        for (watch, samples) in &mut watches {
            let timing = watch.once()?;
            if round > 0 {
                samples.push(&timing);
            }
        }
        bar.inc(1);
    }
    let timed = of.into_iter().map(|own| own.map(|nth| (nth, watches[nth].1.clone())));
    Ok(timed.collect())
}
