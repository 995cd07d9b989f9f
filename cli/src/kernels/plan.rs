//! `wgloss plan`: the dispatches of a call in order, with what each reads and writes.

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use serde_json::{Value, json};
use wgloss::plan::{BufferCopy, Dispatch, Moved, Step, Takes, Work};
use wgloss::shader::Variant;
use wgloss_shell::{Failure, fit, print};

use super::arguments;
use super::call::{Planned, planned};
use super::compile::Compiled;
use super::courses::Courses;
use super::sectors::{self, Of, Sectors, Seen};
use super::shader::{times, variants};
use super::traffic::{self, Bytes};

pub fn command() -> Command {
    let about =
        "Show the dispatches of a call: workgroups, lanes, the bytes that each reads and writes, and submissions";
    arguments::of_calls("plan", about, own)
}

fn own() -> Vec<Arg> {
    let sectors = Arg::new("sectors").long("sectors").action(ArgAction::SetTrue);
    let pace = Arg::new("pace")
        .long("pace")
        .value_name("GB/S")
        .value_parser(value_parser!(f64))
        .help(
            "what the device reads and writes in a second, by which submissions grow \
             [default: 500 of a discrete adapter, 50 of others]",
        );
    let sectors = sectors.help(
        "trace a workgroup of each dispatch on an adapter, and tell how much of what the memory moves is wanted: bytes \
         wanted of those in the sectors of 32 bytes that 32 lanes touch in one turn",
    );
    vec![pace, sectors]
}

/// A step of the plan, with what is told of it.
struct Told<'a> {
    kind: Kind<'a>,
    bytes: Bytes,
    /// The submission that it goes in, counted from 1.
    submission: usize,
    seen: Option<&'a Seen>,
}

enum Kind<'a> {
    Dispatch {
        own: &'a Dispatch,
        work: Work,
        /// Counted from 1.
        pipeline: usize,
        width: u32,
    },
    Copy(&'a BufferCopy),
}

pub fn run(matches: &ArgMatches) -> Result<(), Failure> {
    let call = planned(matches)?;
    let flag = |name| matches.subcommand().is_some_and(|(_, own)| own.get_flag(name));
    let as_json = flag("json");
    let sectors = match flag("sectors") {
        true => Some(sectors::seen(&call)?),
        false => None,
    };
    let seen = |nth: usize| sectors.as_ref().and_then(|own| own.steps[nth].as_ref());
    let variants = variants(&call.plan);
    let mut compiled = Vec::new();
    for (variant, _) in &variants {
        compiled.push(Compiled::new(variant, &call.device)?);
    }
    let pace = matches.subcommand().and_then(|(_, own)| own.get_one("pace").copied());
    let courses = Courses::of(&call, pace)?;
    let steps = call.plan.steps.iter().enumerate();
    let list = steps.map(|(nth, step)| Told::of(step, courses.submission(nth), &variants, &compiled, seen(nth)));
    let list: Vec<Told<'_>> = list.collect();
    let labels: Vec<&str> = variants.iter().map(|(own, _)| own.label.as_str()).collect();
    match as_json {
        true => print::line(&json_of(&call, &list, &labels, &courses, sectors.as_ref()).to_string()),
        false => print::line(&text(&call, &list, &labels, &courses, sectors.as_ref())),
    }
}

/// The sum over all steps, and the least.
fn sums(call: &Planned, list: &[Told<'_>]) -> [Bytes; 2] {
    let (mut sum, mut least) = (Bytes::default(), Bytes::default());
    list.iter().for_each(|own| sum += own.bytes);
    for Moved { read, written, .. } in &call.least {
        least += Bytes {
            read: *read,
            written: *written,
        };
    }
    [sum, least]
}

fn text(call: &Planned, list: &[Told<'_>], labels: &[&str], courses: &Courses, sectors: Option<&Sectors>) -> String {
    let mut header = vec![
        "step",
        "pipeline",
        "submission",
        "workgroups",
        "lanes",
        "lanes to a row",
        "most to a lane",
        "rows read",
        "bytes read",
        "bytes written",
    ];
    let mut rows: Vec<Vec<String>> = list.iter().zip(1..).map(|(own, nth)| own.row(nth)).collect();
    let [sum, least] = sums(call, list);
    let mut total = vec![String::new(); header.len() - 2];
    total[0] = "all".into();
    total.extend([sum.read, sum.written].map(grouped));
    rows.push(total);
    let mut seen = String::new();
    if let Some(own) = sectors {
        header.extend(["read efficiency", "write efficiency"]);
        for (row, step) in rows.iter_mut().zip(own.steps.iter().map(Some).chain([None])) {
            row.extend([false, true].map(|written| {
                match step {
                    Some(step) => step
                        .as_ref()
                        .map_or("-".into(), |own| sectors::share(own.tally(written, Of::All))),
                    None => sectors::share(own.whole(written, Of::All)),
                }
            }));
        }
        let steps = own.steps.iter().zip(1..);
        let lines = steps.filter_map(|(step, nth)| Some(format!("  {nth}  {}", step.as_ref()?.line())));
        let lines: Vec<String> = lines.collect();
        seen = format!("\nefficiency of steps\n{}\n{}\n", lines.join("\n"), own.line());
    }

    let numbered = labels.iter().zip(1..).map(|(label, nth)| format!("  {nth}  {label}"));
    let numbered: Vec<String> = numbered.collect();
    let bytes = |own: &[u64]| grouped(own.iter().sum());
    let scratch = &call.plan.scratch;
    let groups: u64 = call.plan.dispatches().map(groups).sum();
    let [moved, needed] = [sum, least].map(|own| own.read + own.written);
    let ratio = match needed {
        0 => String::new(),
        _ => format!(": {:.3} times as many", moved as f64 / needed as f64),
    };
    let least_of = |own: &Moved| {
        let (name, all) = (&own.name, grouped(own.read + own.written));
        match (own.read, own.written) {
            (0, _) => format!("{name} {all} written"),
            (_, 0) => format!("{name} {all} read"),
            _ => format!("{name} {all} read and written"),
        }
    };
    let least: Vec<String> = call.least.iter().map(least_of).collect();
    [
        call.line(),
        call.device.line(),
        String::new(),
        fit::table(&header, &rows, 0),
        String::new(),
        "pipelines".into(),
        numbered.join("\n"),
        seen,
        format!(
            "{}, {} in all",
            times(call.plan.dispatches().count(), "dispatch", "dispatches"),
            times(groups as usize, "workgroup", "workgroups"),
        ),
        courses.line(),
        format!(
            "{} of scratch in {}",
            bytes(scratch) + " bytes",
            times(scratch.len(), "buffer", "buffers"),
        ),
        format!(
            "{} bytes moved, where the least is {}{ratio}",
            grouped(moved),
            grouped(needed)
        ),
        format!(
            "the least, every operand read once and every result written once: {}",
            least.join(", ")
        ),
    ]
    .join("\n")
}

impl<'a> Told<'a> {
    fn of(
        step: &'a Step,
        submission: usize,
        variants: &[(&Variant, usize)],
        compiled: &[Compiled],
        seen: Option<&'a Seen>,
    ) -> Self {
        let (kind, bytes) = match step {
            Step::Copy(copy) => {
                let bytes = Bytes {
                    read: copy.size,
                    written: copy.size,
                };
                (Kind::Copy(copy), bytes)
            }
            Step::Dispatch(own) => {
                let place = variants.iter().position(|(variant, _)| **variant == own.variant);
                let (work, pipeline) = (own.work(), place.unwrap_or_default());
                let bytes = traffic::of(own, &work, &compiled[pipeline]);
                let kind = Kind::Dispatch {
                    own,
                    work,
                    pipeline: pipeline + 1,
                    width: compiled[pipeline].width(),
                };
                (kind, bytes)
            }
        };
        Self {
            kind,
            bytes,
            submission,
            seen,
        }
    }
}

impl Told<'_> {
    fn row(&self, nth: usize) -> Vec<String> {
        let absent = || "-".to_owned();
        let mut row = vec![nth.to_string()];
        match &self.kind {
            Kind::Dispatch {
                own,
                work,
                pipeline,
                width,
            } => row.extend([
                pipeline.to_string(),
                self.submission.to_string(),
                grouped(groups(own)),
                width.to_string(),
                work.lanes.map_or_else(absent, |lanes| lanes.to_string()),
                takes(work.takes),
                work.readings.map_or_else(absent, readings),
            ]),
            Kind::Copy(_) => {
                row.extend(["copy".into(), self.submission.to_string()]);
                row.extend((0..5).map(|_| absent()));
            }
        }
        row.extend([self.bytes.read, self.bytes.written].map(grouped));
        row
    }

    fn json(&self, labels: &[&str]) -> Value {
        let mut json = match &self.kind {
            Kind::Dispatch {
                own,
                work,
                pipeline,
                width,
            } => {
                let (of, count) = match work.takes {
                    Takes::Rows(count) => ("rows", count),
                    Takes::Columns(count) => ("columns", count),
                    Takes::States(count) => ("states", count),
                    Takes::Elements(count) => ("elements", count),
                };
                json!({
                    "dispatch": labels.get(pipeline - 1),
                    "pipeline": pipeline,
                    "workgroups": own.groups,
                    "invocations": width,
                    "lanes_to_a_row": work.lanes,
                    "to_a_lane": { "of": of, "count": count },
                    "rows_read": work.readings,
                    "columns": work.cols,
                    "tiles": [own.tiles.0, own.tiles.1],
                })
            }
            Kind::Copy(copy) => {
                json!({ "copy": { "from": format!("{:?}", copy.from), "to": format!("{:?}", copy.to) } })
            }
        };
        json["submission"] = self.submission.into();
        json["read_bytes"] = self.bytes.read.into();
        json["written_bytes"] = self.bytes.written.into();
        if let Some(seen) = self.seen {
            json["sectors"] = seen.json();
        }
        json
    }
}

fn json_of(call: &Planned, list: &[Told<'_>], labels: &[&str], courses: &Courses, sectors: Option<&Sectors>) -> Value {
    let [sum, least] = sums(call, list);
    let part = |own: &Moved| json!({ "name": own.name, "read_bytes": own.read, "written_bytes": own.written });
    let parts: Vec<Value> = call.least.iter().map(part).collect();
    let steps: Vec<Value> = list.iter().map(|own| own.json(labels)).collect();
    let mut json = call.json();
    json["steps"] = steps.into();
    json["pipelines"] = labels.into();
    json["scratch_bytes"] = call.plan.scratch.clone().into();
    json["dispatches"] = call.plan.dispatches().count().into();
    json["workgroups"] = call.plan.dispatches().map(groups).sum::<u64>().into();
    json["submissions"] = courses.own.parts.len().into();
    json["waits"] = courses.own.waits.into();
    json["courses"] = courses.json();
    json["read_bytes"] = sum.read.into();
    json["written_bytes"] = sum.written.into();
    json["least"] = json!({ "read_bytes": least.read, "written_bytes": least.written, "parts": parts });
    if let Some(sectors) = sectors {
        json["sectors"] = sectors.json();
    }
    json
}

fn groups(own: &Dispatch) -> u64 {
    own.groups.iter().map(|&count| u64::from(count)).product()
}

fn takes(own: Takes) -> String {
    let (count, one) = match own {
        Takes::Rows(count) => (count, "row"),
        Takes::Columns(count) => (count, "column"),
        Takes::States(count) => (count, "state"),
        Takes::Elements(count) => (count, "element"),
    };
    times(count as usize, one, &format!("{one}s"))
}

fn readings(count: u32) -> String {
    match count {
        0 => "no".into(),
        1 => "once".into(),
        _ => "twice".into(),
    }
}

/// A number in groups of three digits.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (nth, digit) in digits.chars().enumerate() {
        if nth > 0 && (digits.len() - nth).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
