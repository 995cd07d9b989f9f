//! `wgloss check`: the GPU against the f64 reference, on data that hurts.

mod case;
pub mod data;
mod extremes;
mod flavour;
mod picture;
mod plans;
mod record;
mod rows;
mod run;
mod steps;
mod sums;

use std::ffi::OsString;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use wgloss::{Dtype, Engine, Info, optim};
use wgloss_bench::tuned;
use wgloss_shell::{Failure, draft, fit, place, print, progress};

use crate::args;
use record::{Outcomes, Record};
pub use run::describe;
use run::{Effort, Outcome};

/// Failures told of each loss and dtype; the rest are counted.
const TOLD: usize = 10;

/// What is checked.
#[derive(Clone, Copy)]
enum Subject {
    Loss(&'static Info),
    Optimizer(&'static optim::Info),
}

impl Subject {
    fn name(self) -> &'static str {
        match self {
            Self::Loss(info) => info.name,
            Self::Optimizer(info) => info.name,
        }
    }
}

/// The loss or the optimizer, and the dtype, of cases that one thread runs, one after the other.
type Job = (Subject, Dtype);

pub fn command() -> Command {
    Command::new("check")
        .about("Compare the GPU with the f64 reference on generated hard data")
        .args([args::losses(), args::adapter(), args::tuned(), args::json()])
        .arg(
            Arg::new("seed")
                .long("seed")
                .value_name("N")
                .value_parser(value_parser!(u64))
                .default_value("1")
                .help("seed of the generated data"),
        )
        .arg(
            Arg::new("svg")
                .long("svg")
                .value_name("FILE")
                .value_parser(value_parser!(OsString))
                .help("draw the largest errors of each loss and dtype beside those allowed"),
        )
        .arg(
            Arg::new("save")
                .long("save")
                .value_name("FILE")
                .value_parser(value_parser!(OsString))
                .help("keep what --json prints in a file, loss by loss, so that a run that is cut off has its share"),
        )
        .arg(
            Arg::new("exhaustive")
                .long("exhaustive")
                .action(ArgAction::SetTrue)
                .help("the long form: every shape in every flavour, and sums of 10^8 terms where `reduce` is chosen")
                .long_help(
                    "The long form, of minutes for a loss and an hour or more for all: every shape (around the widths \
                     of quads, lanes, workgroups and tiles, powers of two and their neighbours, a vocabulary) in \
                     every flavour (mode, reduction, dtypes, optional tensors, options), and of optimizers every set \
                     of options, in rounds that draw other flavours and other numbers; and, where `reduce` is among \
                     the losses, sums of 10^8 terms. Shows where the largest error is, beside the one allowed.",
                ),
        )
        .arg(
            Arg::new("rounds")
                .long("rounds")
                .value_name("N")
                .value_parser(value_parser!(u64).range(1..=1_000_000))
                .default_value("4")
                .requires("exhaustive")
                .help("rounds of --exhaustive; round K has the seed N + K of --seed"),
        )
}

pub fn run(matches: &ArgMatches) -> Result<(), Failure> {
    let adapter = matches.get_one::<String>("adapter").map_or("", String::as_str);
    let seed = matches.get_one::<u64>("seed").copied().unwrap_or_default();
    let losses = args::chosen(matches).into_iter().map(|(info, _)| Subject::Loss(info));
    let optimizers = args::chosen_optimizers(matches).into_iter().map(Subject::Optimizer);
    let jobs: Vec<Job> = losses
        .chain(optimizers)
        .flat_map(|subject| Dtype::FLOATS.map(|dtype| (subject, dtype)))
        .collect();
    let svg = matches.get_one::<OsString>("svg");
    let svg = svg.map(|file| place::picture("svg", file)).transpose()?;
    let save = matches.get_one::<OsString>("save");
    let save = save.map(|file| place::place("save", file)).transpose()?;
    let engine = tuned::apply(Engine::open(adapter)?, tuned::is_asked(matches))?;
    let (name, tuning) = (tuned::name(&engine), tuned::own(&engine));
    let rounds = matches.get_one::<u64>("rounds").copied();
    let effort = Effort {
        seed,
        rounds: rounds.filter(|_| matches.get_flag("exhaustive")),
    };
    let record = Record {
        adapter: engine.name(),
        tuning,
        effort,
        jobs: jobs.len(),
        replaces: save.as_ref().is_some_and(|place| place.exists()),
        file: save,
    };
    let found = run_jobs(adapter, &jobs, &record, &name)?;
    let has_sums = effort.rounds.is_some() && jobs.iter().any(|(own, _)| own.name() == "reduce");
    let sums = if has_sums {
        sums::run(adapter, tuning)?
    } else {
        Vec::new()
    };
    let outcomes: Vec<&Outcome> = found.values().collect();
    let (mut cases, mut failed) = total(&outcomes);
    cases += sums.len();
    failed += sums.iter().filter(|sum| !sum.passes()).count();
    // What took minutes is printed even where a file cannot be written.
    let saved = record.publish(&found, &sums);
    let drawn = svg.map_or(Ok(()), |place| {
        let told = [
            "wgloss check: errors against the f64 reference".to_owned(),
            format!("{name}; {cases} cases from seed {seed}, {failed} failed"),
        ];
        let text = picture::svg(told.each_ref().map(String::as_str), &outcomes, &sums);
        let text = text.map_err(|why| Failure::Failed(format!("--svg: {why}")))?;
        draft::publish(vec![draft::whole("--svg", &place, text.as_bytes())?])?;
        print::note(&format!("written to {}", place.display()));
        Ok(())
    });
    if matches.get_flag("json") {
        print::line(&record.json(&found, &sums).to_string())?;
    } else {
        print::line(&report(&name, &outcomes))?;
        if let Some(rounds) = effort.rounds {
            print::line(&long_report(&outcomes, &sums))?;
            print::line(&format!(
                "\n{cases} cases in {rounds} rounds from seed {seed}, {failed} failed"
            ))?;
        }
    }
    match failed {
        0 => saved.and(drawn),
        _ => Err(Failure::Failed(format!("{failed} of {cases} cases failed"))),
    }
}

/// Runs all jobs on all cores, and gives their outcomes in the order of the jobs. Each thread has an engine of its own:
/// a software adapter compiles on the one thread of its queue, and that takes most of the time.
fn run_jobs(adapter: &str, jobs: &[Job], record: &Record, name: &str) -> Result<Outcomes, Failure> {
    let (tuning, effort) = (record.tuning, record.effort);
    let rounds = effort.rounds.unwrap_or(1);
    let bar = progress::bar(jobs.len() * rounds as usize);
    let cases = AtomicUsize::new(0);
    let next = AtomicUsize::new(0);
    let found = Mutex::new(Outcomes::new());
    let worker = || -> Result<(), wgloss::Error> {
        let engine = tuned::reopen(adapter, tuning)?;
        while let Some((index, &(subject, dtype))) =
            Some(next.fetch_add(1, Relaxed)).and_then(|i| Some((i, jobs.get(i)?)))
        {
            let whose = subject.name();
            bar.set_message(format!("{whose} {dtype}"));
            let mut before = 0;
            let done = |own: &Outcome| {
                let all = cases.fetch_add(own.cases - before, Relaxed) + own.cases - before;
                before = own.cases;
                bar.set_message(format!("{all} cases, {whose} {dtype}"));
                bar.inc(1);
            };
            let outcome = match subject {
                Subject::Loss(info) => run::job(&engine, info, dtype, effort, done),
                Subject::Optimizer(info) => steps::job(&engine, info, dtype, effort, done),
            };
            for failure in outcome.failures.iter().take(TOLD) {
                progress::note_above(&bar, &format!("failed: {whose} {failure}, {name}"));
            }
            if let Some(more @ 1..) = outcome.failures.len().checked_sub(TOLD) {
                progress::note_above(&bar, &format!("failed: {whose} {dtype}: {more} more cases"));
            }
            let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
            found.insert(index, outcome);
            record.keep(&found);
        }
        Ok(())
    };
    let workers = std::thread::available_parallelism()
        .map_or(1, |n| n.get().min(8))
        .min(jobs.len());
    let finished: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..workers).map(|_| scope.spawn(worker)).collect();
        threads.into_iter().map(std::thread::ScopedJoinHandle::join).collect()
    });
    bar.finish_and_clear();
    for one in finished {
        one.map_err(|_| Failure::Failed("a thread of the check died".into()))??;
    }
    Ok(found.into_inner().unwrap_or_else(PoisonError::into_inner))
}

/// Cases, and those that failed.
fn total(outcomes: &[&Outcome]) -> (usize, usize) {
    let add = |(cases, failed), own: &&Outcome| (cases + own.cases, failed + own.failures.len());
    outcomes.iter().fold((0, 0), add)
}

/// Where the largest errors are, beside those allowed.
fn long_report(outcomes: &[&Outcome], sums: &[sums::Sum]) -> String {
    let header = ["loss", "of", "of the bound", "case"];
    let worst = |own: &Outcome| {
        let rows = own.worst.iter().map(|(of, worst)| {
            let name = format!("{} {}", own.name, own.dtype);
            (
                worst.share,
                vec![name, (*of).into(), format!("{:.3}", worst.share), worst.at.clone()],
            )
        });
        rows.collect::<Vec<_>>()
    };
    let mut all: Vec<(f64, Vec<String>)> = outcomes.iter().copied().flat_map(worst).collect();
    all.extend(sums.iter().map(|sum| (sum.share(), sum.row())));
    all.sort_by(|a, b| b.0.total_cmp(&a.0));
    let rows: Vec<Vec<String>> = all.into_iter().map(|(_, row)| row).collect();
    format!("\n{}", fit::table(&header, &rows, header.len()))
}

fn report(name: &str, outcomes: &[&Outcome]) -> String {
    let header = ["loss", "dtype", "of", "absolute", "relative", "ulps", "cases", "result"];
    let mut rows = Vec::new();
    for outcome in outcomes {
        for (nth, (of, worst)) in outcome.worst.iter().enumerate() {
            let result = match outcome.failures.len() {
                0 => "passed".into(),
                failed => format!("{failed} failed"),
            };
            let first = |text: String| if nth == 0 { text } else { String::new() };
            rows.push(vec![
                first(outcome.name.into()),
                first(outcome.dtype.name().into()),
                (*of).into(),
                format!("{:.2e}", worst.absolute),
                format!("{:.2e}", worst.relative),
                format!("{:.1}", worst.ulps),
                first(outcome.cases.to_string()),
                first(result),
            ]);
        }
    }
    let allowed = fit::paragraph(
        "Largest error against the f64 reference of the same inputs. Allowed: 1e-5 (|want| + min(1, largest |want| of \
         the tensor)) and, of 16-bit results, half an ulp of theirs; and what inputs that differ by two ulps of f32 \
         would change.",
    );
    let of = fit::paragraph(
        "relative and ulps (of the result's dtype): over the elements of at least a thousandth of min(1, largest).",
    );
    format!("{name}\n\n{}\n\n{allowed}\n{of}", fit::table(&header, &rows, 3))
}
