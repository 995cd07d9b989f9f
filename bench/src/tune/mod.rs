//! `wgloss tune`: the values of the tuning measured on this machine's adapter, one after the other, each beside
//! candidates around that of the adapter's class.

mod choice;
mod measure;
mod rows;
mod show;

use std::time::SystemTime;

use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use indicatif::ProgressBar;
use serde::Serialize;
use serde_json::{Map, Value};
use wgloss::tuning::{Class, Field};
use wgloss::{Engine, Tuning};
use wgloss_shell::{Failure, args, interrupt, print, progress};

use crate::tuned;
use choice::Standing;
use measure::Trial;

pub fn command() -> Command {
    Command::new("tune")
        .about("Measure how the work is best cut on this adapter")
        .after_help(
            "Goes through the values of the tuning, each with the winners before it. Candidates around the value of the \
             adapter's class run in rounds, each once in turn, after their results were compared with the f64 reference; \
             one that is wrong is named, not timed, and the exit code is 1. The tuning decides the order of sums: with \
             other values the last bits of results differ.",
        )
        .args([args::adapter(), args::json()])
        .arg(
            Arg::new("runs")
                .long("runs")
                .value_name("N")
                .value_parser(value_parser!(u32).range(1..=100_000))
                .default_value("8")
                .help("rounds of each row, after one that is dropped"),
        )
        .arg(
            Arg::new("field")
                .long("field")
                .value_name("NAME")
                .action(ArgAction::Append)
                .value_parser(PossibleValuesParser::new(Tuning::FIELDS.map(|field| field.name)))
                .help("a value to measure; may be repeated [default: all]"),
        )
        .arg(
            Arg::new("elements")
                .long("elements")
                .value_name("N")
                .value_parser(value_parser!(u32).range(1..))
                .help("elements of a row, about [default: 4194304 on software adapters, 2^24 on integrated, 2^25 on discrete]"),
        )
        .arg(
            Arg::new("save")
                .long("save")
                .action(ArgAction::SetTrue)
                .help("keep the result in your cache folder, for --tuned of the other commands; beside --field, the other values are saved as the class has them"),
        )
}

/// Ladders of one value, each around the winner of the one before.
const CLIMBS: usize = 3;

/// What was measured.
#[derive(Serialize)]
struct Report {
    /// Of wgloss.
    version: &'static str,
    commit: &'static str,
    /// UTC, as RFC 3339 writes it.
    date: String,
    adapter: String,
    driver: String,
    driver_info: String,
    class: &'static str,
    /// Whether times are the device's own; else they are of the clock on the wall.
    timestamps: bool,
    runs: usize,
    elements: usize,
    fields: Vec<Measured>,
    class_tuning: Map<String, Value>,
    tuning: Map<String, Value>,
    /// Where the result was saved.
    saved: Option<String>,
    failed: Vec<String>,
}

/// A value of the tuning.
#[derive(Serialize)]
struct Measured {
    field: &'static str,
    rows: Vec<String>,
    candidates: Vec<Candidate>,
    class: u64,
    /// What the candidates are held against: the class's value, or what won at the end of an earlier ladder.
    before: u64,
    chosen: u64,
    why: String,
}

#[derive(Serialize)]
struct Candidate {
    value: u64,
    /// Medians of the rows; none of a row that it was not timed on.
    row_ms: Vec<Option<f64>>,
    /// Of the time of the value before, on the rows that the two run differently; none where there is no such row.
    share: Option<f64>,
    /// Rounds that it was faster in.
    faster: Option<usize>,
    /// Why it was not timed.
    untimed: Option<String>,
}

pub fn run(matches: &ArgMatches) -> Result<(), Failure> {
    let is_saved = matches.get_flag("save");
    if is_saved {
        // A user without a cache folder learns it before anything is measured.
        tuned::folder().map_err(|why| Failure::Failed(format!("--save: {why}")))?;
    }
    interrupt::arm();
    let engine = Engine::open(matches.get_one::<String>("adapter").map_or("", String::as_str))?;
    let (mut report, tuning) = measure(&engine, matches)?;
    // What took minutes to measure is printed even where it cannot be saved.
    let saved = match is_saved && report.failed.is_empty() {
        true => tuned::save(&engine, &tuning, &report.date).map(Some),
        false => Ok(None),
    };
    if let Ok(Some(place)) = &saved {
        report.saved = Some(place.display().to_string());
    }
    if matches.get_flag("json") {
        // Numbers, texts and lists of them: nothing that JSON does not have.
        print::line(&serde_json::to_string_pretty(&report).unwrap_or_default())?;
    } else {
        print::line(&show::text(&report, &tuning))?;
    }
    saved.map_err(Failure::Failed)?;
    match report.failed.is_empty() {
        true => Ok(()),
        false => {
            let unsaved = if is_saved { " (so nothing was saved)" } else { "" };
            Err(Failure::Failed(format!(
                "not measured{unsaved}: {}",
                report.failed.join("; ")
            )))
        }
    }
}

fn measure(engine: &Engine, matches: &ArgMatches) -> Result<(Report, Tuning), Failure> {
    let (Some(info), Some(limits)) = (engine.adapter_info(), engine.plan_limits()) else {
        return Err(Failure::Failed("the engine has no device to tune for".into()));
    };
    let class = Class::of(info);
    let base = class.tuning().within(&limits);
    let elements = matches.get_one::<u32>("elements");
    let elements = elements.map_or(rows::elements(class), |&given| given as usize);
    let runs = matches.get_one::<u32>("runs").map_or(8, |&runs| runs as usize);
    let asked: Vec<&String> = matches.get_many("field").into_iter().flatten().collect();
    let is_asked = |field: &Field| asked.is_empty() || asked.iter().any(|name| *name == field.name);
    let fields: Vec<Field> = Tuning::FIELDS.into_iter().filter(is_asked).collect();
    let bar = progress::bar(0);
    let mut tuner = Tuner {
        engine,
        runs,
        bar: &bar,
        failed: Vec::new(),
    };
    let mut tuning = base;
    let mut measured = Vec::new();
    for (nth, field) in fields.iter().enumerate() {
        bar.set_message(format!("{} ({} of {})", field.name, nth + 1, fields.len()));
        for _ in 0..CLIMBS {
            let values = rows::ladder(field, &tuning, &limits);
            let rows = rows::rows(field, &values, elements);
            let own = tuner.field(field, &tuning, &values, &rows);
            let (before, chosen) = ((field.get)(&tuning), own.chosen);
            (field.set)(&mut tuning, chosen);
            measured.push(Measured {
                class: (field.get)(&base),
                ..own
            });
            // What wins at an end of the ladder may not be the best yet.
            let is_end = values.first() == Some(&chosen) || values.last() == Some(&chosen);
            if chosen == before || !is_end {
                break;
            }
        }
    }
    bar.finish_and_clear();
    let features = engine.wgpu().map(|(device, _)| device.features());
    let report = Report {
        version: env!("CARGO_PKG_VERSION"),
        commit: env!("WGLOSS_COMMIT"),
        date: humantime::format_rfc3339_seconds(SystemTime::now()).to_string(),
        adapter: engine.name(),
        driver: info.driver.clone(),
        driver_info: info.driver_info.clone(),
        class: class.name(),
        timestamps: features.is_some_and(|own| own.contains(wgpu::Features::TIMESTAMP_QUERY)),
        runs,
        elements,
        fields: measured,
        class_tuning: tuned::json(&base),
        tuning: tuned::json(&tuning),
        saved: None,
        failed: tuner.failed,
    };
    Ok((report, tuning))
}

struct Tuner<'a> {
    engine: &'a Engine,
    runs: usize,
    bar: &'a ProgressBar,
    failed: Vec<String>,
}

impl Tuner<'_> {
    /// Rounds on so many rows, the dropped ones included.
    fn rounds(&self, rows: &[rows::ModeJob]) -> u64 {
        (rows.len() * (self.runs + 1)) as u64
    }

    /// Measures a value on one ladder, the others as they are in `base`.
    fn field(&mut self, field: &Field, base: &Tuning, values: &[u64], rows: &[rows::ModeJob]) -> Measured {
        let before = (field.get)(base);
        let mut measured = Measured {
            field: field.name,
            rows: rows.iter().map(rows::ModeJob::name).collect(),
            candidates: Vec::new(),
            class: before,
            before,
            chosen: before,
            why: String::new(),
        };
        self.bar.inc_length(self.rounds(rows));
        let own = values.iter().position(|&value| value == before).unwrap_or_default();
        let tunings: Vec<Tuning> = values.iter().map(|&value| rows::with(field, base, value)).collect();
        let trials = match measure::trials(self.engine, rows, &tunings, own, self.runs, self.bar) {
            Ok(trials) => trials,
            Err(why) => {
                // Whichever candidate it was.
                self.fail(&format!("{}: {why}", field.name));
                measured.why = "kept: could not be measured".into();
                return measured;
            }
        };
        let standings: Vec<Option<Standing>> = trials.iter().map(standing).collect();
        for ((&value, trial), standing) in values.iter().zip(trials).zip(&standings) {
            if let Some((why, true)) = &trial.untimed {
                self.fail(&format!("{} {value}: {why}", field.name));
            }
            measured.candidates.push(Candidate {
                value,
                row_ms: trial.ms,
                share: standing.map(|own| own.share),
                faster: standing.map(|own| own.faster),
                untimed: trial.untimed.map(|(why, _)| why),
            });
        }
        let Some(best) = choice::best(&standings) else {
            measured.why = choice::why_kept(values, &standings);
            return measured;
        };
        // Alone with the value before, in rounds of its own.
        self.bar.inc_length(self.rounds(rows));
        let pair = [tunings[own], tunings[best]];
        let again = measure::trials(self.engine, rows, &pair, 0, self.runs, self.bar);
        let again = match again {
            Ok(trials) => {
                for (why, _) in trials.iter().filter_map(|trial| trial.untimed.as_ref()) {
                    self.fail(&format!("{}, measured again: {why}", field.name));
                }
                trials.last().and_then(standing)
            }
            Err(why) => {
                self.fail(&format!("{}, measured again: {why}", field.name));
                None
            }
        };
        let first = standings[best].map_or(String::new(), |own| own.to_string());
        measured.why = match again {
            Some(again) if again.wins() => {
                measured.chosen = values[best];
                format!("{first}; again {again}")
            }
            Some(again) => format!("kept: {} was {first}; then {again}", values[best]),
            None => format!("kept: {} was {first}, and could not be measured again", values[best]),
        };
        measured
    }

    fn fail(&mut self, why: &str) {
        progress::note_above(self.bar, &format!("failed: {why}"));
        self.failed.push(why.into());
    }
}

/// How a candidate stands that was timed on all rows, some of which it runs in its own way.
fn standing(trial: &Trial) -> Option<Standing> {
    match trial.untimed {
        None => Standing::of(&trial.rows),
        Some(_) => None,
    }
}
