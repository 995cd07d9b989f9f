//! `wgloss check`: the GPU against the f64 reference, on data that hurts.

mod case;
pub mod data;
pub mod errors;
mod flavour;
mod plans;
mod rows;
mod run;

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use clap::ArgMatches;
use serde_json::{Value, json};
use wgloss::{Dtype, Engine, Info};

use crate::{Failure, args, print};
use run::Outcome;

/// Failures told of each loss and dtype; the rest are counted.
const TOLD: usize = 10;

/// The loss and the dtype of cases that one thread runs, one after the other.
type Job = (&'static Info, Dtype);

pub fn run(matches: &ArgMatches) -> Result<(), Failure> {
    let adapter = matches.get_one::<String>("adapter").map_or("", String::as_str);
    let seed = matches.get_one::<u64>("seed").copied().unwrap_or_default();
    let chosen = args::chosen(matches).into_iter();
    let jobs: Vec<Job> = chosen
        .flat_map(|info| Dtype::FLOATS.map(|dtype| (info, dtype)))
        .collect();
    let name = Engine::open(adapter)?.name();
    let outcomes = run_jobs(adapter, &jobs, seed, &name)?;
    let (cases, failed) = total(&outcomes.iter().collect::<Vec<_>>());
    if matches.get_flag("json") {
        let report = json!({
            "adapter": name,
            "seed": seed,
            "passed": failed == 0,
            "losses": outcomes.chunks(Dtype::FLOATS.len()).map(loss_json).collect::<Vec<_>>(),
        });
        print::line(&report.to_string())?;
    } else {
        print::line(&report(&name, &outcomes))?;
    }
    match failed {
        0 => Ok(()),
        _ => Err(Failure::Failed(format!("{failed} of {cases} cases failed"))),
    }
}

/// Runs all jobs on all cores, and gives their outcomes in the order of the jobs. Each thread has an engine of its own: a
/// software adapter compiles on the one thread of its queue, and that takes most of the time.
fn run_jobs(adapter: &str, jobs: &[Job], seed: u64, name: &str) -> Result<Vec<Outcome>, Failure> {
    let bar = print::progress(jobs.len());
    let next = AtomicUsize::new(0);
    let worker = || -> Result<Vec<(usize, Outcome)>, wgloss::Error> {
        let engine = Engine::open(adapter)?;
        let mut finished = Vec::new();
        while let Some((index, &(info, dtype))) = Some(next.fetch_add(1, Relaxed)).and_then(|i| Some((i, jobs.get(i)?)))
        {
            bar.set_message(format!("{} {dtype}", info.name));
            let outcome = run::job(&engine, info, dtype, seed);
            for failure in outcome.failures.iter().take(TOLD) {
                print::note_above(&bar, &format!("failed: {} {failure}, seed {seed}, {name}", info.name));
            }
            if let Some(more @ 1..) = outcome.failures.len().checked_sub(TOLD) {
                print::note_above(&bar, &format!("failed: {} {dtype}: {more} more cases", info.name));
            }
            finished.push((index, outcome));
            bar.inc(1);
        }
        Ok(finished)
    };
    let workers = std::thread::available_parallelism()
        .map_or(1, |n| n.get().min(8))
        .min(jobs.len());
    let finished: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..workers).map(|_| scope.spawn(worker)).collect();
        threads.into_iter().map(std::thread::ScopedJoinHandle::join).collect()
    });
    bar.finish_and_clear();
    let mut outcomes = Vec::new();
    for one in finished {
        outcomes.extend(one.map_err(|_| Failure::Failed("a thread of the check died".into()))??);
    }
    outcomes.sort_by_key(|(index, _)| *index);
    Ok(outcomes.into_iter().map(|(_, outcome)| outcome).collect())
}

/// Cases, and those that failed.
fn total(outcomes: &[&Outcome]) -> (usize, usize) {
    let add = |(cases, failed), own: &&Outcome| (cases + own.cases, failed + own.failures.len());
    outcomes.iter().fold((0, 0), add)
}

/// A loss with its dtypes.
fn loss_json(outcomes: &[Outcome]) -> Value {
    let (cases, failed) = total(&outcomes.iter().collect::<Vec<_>>());
    let dtypes = outcomes.iter().map(|own| (own.dtype.name().to_owned(), own.json()));
    json!({
        "name": outcomes.first().map(|own| own.info.name),
        "cases": cases,
        "failed": failed,
        "dtypes": dtypes.collect::<serde_json::Map<_, _>>(),
    })
}

fn report(name: &str, outcomes: &[Outcome]) -> String {
    let header = ["loss", "dtype", "of", "absolute", "relative", "ulps", "cases", "result"];
    let mut rows = Vec::new();
    for outcome in outcomes {
        for (of, worst) in outcome.worst() {
            let result = match outcome.failures.len() {
                0 => "passed".into(),
                failed => format!("{failed} failed"),
            };
            let first = |text: String| if of == "loss" { text } else { String::new() };
            rows.push(vec![
                first(outcome.info.name.into()),
                first(outcome.dtype.name().into()),
                of.into(),
                format!("{:.2e}", worst.absolute),
                format!("{:.2e}", worst.relative),
                format!("{:.1}", worst.ulps),
                first(outcome.cases.to_string()),
                first(result),
            ]);
        }
    }
    format!(
        "{name}\n\n{}\n\n{}",
        print::table(&header, &rows, 3),
        "Largest error against the f64 reference of the same inputs. Allowed: 1e-5 (|want| + min(1, largest |want| of the\n\
         tensor)) and, of 16-bit results, half an ulp of theirs; and what inputs that differ by two ulps of f32 would change.\n\
         relative and ulps (of the result's dtype): over the elements of at least a thousandth of min(1, largest)."
    )
}
