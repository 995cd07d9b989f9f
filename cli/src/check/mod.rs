//! `wgloss check`: the GPU against the f64 reference, on data that hurts.

mod cases;
mod data;
pub mod errors;

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use clap::ArgMatches;
use indicatif::ProgressBar;
use serde_json::{Value, json};
use wgloss::{Engine, Info, reference};

use crate::{Failure, args, print};
use cases::{Case, Plan};
use errors::{Miss, Worst, compare};

/// Failures told of each loss; the rest are counted.
const TOLD: usize = 20;

/// What became of the cases of a loss.
struct Outcome {
    info: &'static Info,
    cases: usize,
    failed: usize,
    loss: Worst,
    grad: Worst,
}

pub fn run(matches: &ArgMatches) -> Result<(), Failure> {
    let adapter = matches.get_one::<String>("adapter").map_or("", String::as_str);
    let seed = matches.get_one::<u64>("seed").copied().unwrap_or_default();
    let engine = Engine::open(adapter)?;
    let plans: Vec<_> = args::chosen(matches)
        .into_iter()
        .map(|info| (info, cases::plans(info)))
        .collect();
    let bar = print::progress(plans.iter().map(|(_, plans)| plans.len()).sum());
    let mut outcomes = Vec::new();
    for (info, plans) in plans {
        bar.set_message(info.name);
        let mut outcome = Outcome {
            info,
            cases: plans.len(),
            failed: 0,
            loss: Worst::default(),
            grad: Worst::default(),
        };
        for seen in run_cases(&engine, info, &plans, seed, &bar) {
            outcome.loss.merge(&seen.loss);
            outcome.grad.merge(&seen.grad);
            if let Some(message) = seen.failure {
                outcome.failed += 1;
                if outcome.failed <= TOLD {
                    let text = format!("failed: {} {message}, seed {seed}, {}", info.name, engine.name());
                    print::note_above(&bar, &text);
                }
            }
        }
        if outcome.failed > TOLD {
            print::note_above(
                &bar,
                &format!("failed: {}: {} more cases", info.name, outcome.failed - TOLD),
            );
        }
        outcomes.push(outcome);
    }
    bar.finish_and_clear();

    let (cases, failed): (usize, usize) = outcomes
        .iter()
        .fold((0, 0), |(cases, failed), o| (cases + o.cases, failed + o.failed));
    if matches.get_flag("json") {
        let report = json!({
            "adapter": engine.name(),
            "seed": seed,
            "passed": failed == 0,
            "losses": outcomes.iter().map(Outcome::json).collect::<Vec<_>>(),
        });
        print::line(&report.to_string())?;
    } else {
        print::line(&report(&engine, &outcomes))?;
    }
    match failed {
        0 => Ok(()),
        _ => Err(Failure::Failed(format!("{failed} of {cases} cases failed"))),
    }
}

/// What was seen of a case.
#[derive(Default)]
struct Seen {
    loss: Worst,
    grad: Worst,
    failure: Option<String>,
}

/// Runs the cases on all cores, for the sake of the reference. The results stand in the order of the plans.
fn run_cases(engine: &Engine, info: &Info, plans: &[Plan], seed: u64, bar: &ProgressBar) -> Vec<Seen> {
    let next = AtomicUsize::new(0);
    let worker = || {
        let mut seen = Vec::new();
        while let Some((index, plan)) = Some(next.fetch_add(1, Relaxed)).and_then(|i| Some((i, plans.get(i)?))) {
            let mut case = Seen::default();
            case.failure = run_case(engine, info, plan, seed, &mut case).err();
            seen.push((index, case));
            bar.inc(1);
        }
        seen
    };
    let workers = std::thread::available_parallelism().map_or(1, |n| n.get().min(8));
    let finished: Vec<(usize, Seen)> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..workers).map(|_| scope.spawn(worker)).collect();
        threads
            .into_iter()
            .flat_map(|thread| thread.join().unwrap_or_default())
            .collect()
    });
    // A case whose worker died is a failure, not one case less.
    let lost = |plan: &Plan| Seen {
        failure: Some(format!("{plan}: did not finish")),
        ..Default::default()
    };
    let mut all: Vec<Seen> = plans.iter().map(lost).collect();
    for (index, seen) in finished {
        all[index] = seen;
    }
    all
}

/// Runs a case on both sides, and says what differs.
fn run_case(engine: &Engine, info: &Info, plan: &Plan, seed: u64, seen: &mut Seen) -> Result<(), String> {
    let case = Case::new(info, plan, seed).map_err(|e| format!("{plan}: {e}"))?;
    let call = case.call();
    let fail = |error: wgloss::Error| format!("{}: {error}", case.text);
    let want = reference::run(case.loss.as_ref(), &call).map_err(fail)?;
    let got = case
        .loss
        .run(engine, &call)
        .and_then(|output| output.read(engine))
        .map_err(fail)?;
    let parts = [
        ("loss", got.loss, want.loss),
        ("gradient", got.grad_input, want.grad_input),
        ("gradient of the target", got.grad_target, want.grad_target),
    ];
    let mut misses = Vec::new();
    for (name, got, want) in parts {
        let worst = if name == "loss" { &mut seen.loss } else { &mut seen.grad };
        let got = got.map(|array| array.data).unwrap_or_default();
        if let Some(miss) = compare(&got, &want, worst) {
            misses.push(describe(name, &miss));
        }
    }
    if misses.is_empty() {
        return Ok(());
    }
    Err(format!("{}: {}", case.text, misses.join("; ")))
}

fn describe(name: &str, miss: &Miss) -> String {
    match miss {
        Miss::Length { got, want } => format!("{name} has {got} elements, expected {want}"),
        Miss::Values {
            count,
            index,
            got,
            want,
            ulps,
        } => {
            format!("{name}[{index}] = {got:e}, expected {want:e} ({ulps:.1} ulps; {count} elements differ)")
        }
    }
}

impl Outcome {
    fn json(&self) -> Value {
        json!({
            "name": self.info.name,
            "cases": self.cases,
            "failed": self.failed,
            "loss": self.loss.json(),
            "gradient": self.grad.json(),
        })
    }
}

fn report(engine: &Engine, outcomes: &[Outcome]) -> String {
    let header = ["loss", "of", "absolute", "relative", "ulps", "cases", "result"];
    let mut rows = Vec::new();
    for outcome in outcomes {
        for (name, worst) in [("loss", &outcome.loss), ("gradient", &outcome.grad)] {
            let result = match outcome.failed {
                0 => "passed".into(),
                failed => format!("{failed} failed"),
            };
            let first = name == "loss";
            rows.push(vec![
                if first { outcome.info.name.into() } else { String::new() },
                name.into(),
                format!("{:.2e}", worst.absolute),
                format!("{:.2e}", worst.relative),
                format!("{:.1}", worst.ulps),
                if first {
                    outcome.cases.to_string()
                } else {
                    String::new()
                },
                if first { result } else { String::new() },
            ]);
        }
    }
    format!(
        "{}\n\n{}\n\n{}",
        engine.name(),
        print::table(&header, &rows, 2),
        "Largest error against the f64 reference. Allowed: 1e-5 (|want| + min(1, largest |want| of the tensor)).\n\
         relative and ulps (of f32): over the elements of at least a thousandth of that second term."
    )
}
