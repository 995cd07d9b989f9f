//! `wgloss qualify`: whether an adapter, with its driver, can be trusted.
//!
//! Each test runs twice: with a fault that is seeded for it, which it has to see, and as it is. Raw kernels judge what
//! the library rests on, the engine is judged by its public functions.

mod ceilings;
mod engine;
mod finding;
mod functions;
mod halves;
mod lab;
mod lanes;
mod record;
mod recovery;
mod windows;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime};

use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use wgloss_bench::COMMIT;
use wgloss_shell::{Failure, draft, interrupt, place, print, progress};

use crate::args;
use finding::{Fault, Finding, Test, Verdict};
use lab::Lab;
use record::{NOT_TRUSTED, Record, Row, SCHEMA, UNDECIDED};

/// All tests, in the order in which they run.
fn tests() -> impl Iterator<Item = &'static Test> {
    let first = functions::TESTS.iter().chain(&halves::TESTS).chain(&lanes::TESTS);
    let then = first.chain(&windows::TESTS).chain(&engine::TESTS);
    then.chain(&recovery::TESTS).chain(&ceilings::TESTS)
}

fn names() -> PossibleValuesParser {
    PossibleValuesParser::new(tests().map(|test| test.name))
}

pub fn command() -> Command {
    Command::new("qualify")
        .about("Tell whether an adapter, with its driver, can be trusted")
        .after_help(
            "Each test runs first with a fault that it has to see. Exit codes: 0 no test failed, 1 one did, or there is \
             no adapter, 2 the command line is wrong.",
        )
        .arg(
            Arg::new("test")
                .value_name("TEST")
                .num_args(0..)
                .value_parser(names())
                .help("the tests to run [default: all]"),
        )
        .args([args::adapter(), args::json()])
        .arg(
            Arg::new("compare")
                .long("compare")
                .value_name("OLD.json")
                .value_parser(value_parser!(OsString))
                .help("say what has changed since an earlier run (its JSON): verdicts, figures, driver"),
        )
        .arg(
            Arg::new("save")
                .long("save")
                .value_name("FILE")
                .value_parser(value_parser!(OsString))
                .help("write the JSON to this file, too"),
        )
        .arg(
            Arg::new("window")
                .long("window")
                .value_name("BYTES")
                .value_parser(args::bytes)
                .help(
                    "the largest window to try, as 256MiB [default: all that is allowed, up to 2GiB; of software \
                     adapters 256MiB]",
                ),
        )
        .arg(
            Arg::new("seed_fault")
                .long("seed-fault")
                .value_name("TEST")
                .value_parser(names())
                .action(ArgAction::Append)
                .hide(true)
                .help("run this test with its fault as if that were the adapter's; may be repeated"),
        )
        .arg(
            Arg::new(recovery::WITHIN)
                .long(recovery::WITHIN)
                .action(ArgAction::SetTrue)
                .hide(true)
                .help("one test, in a process whose memory is limited"),
        )
}

pub fn run(matches: &ArgMatches) -> Result<(), Failure> {
    let adapter = matches.get_one::<String>("adapter").map_or("", String::as_str);
    let old = matches.get_one::<OsString>("compare").map(|file| {
        let name = file.to_string_lossy().into_owned();
        match Record::read(Path::new(file)) {
            Ok(record) => Ok((name, record)),
            Err(why) => Err(Failure::Failed(format!("--compare {name}: {why}"))),
        }
    });
    let old = old.transpose()?;
    let save = matches.get_one::<OsString>("save");
    let save = save.map(|file| place::place("save", file)).transpose()?;
    let window = matches.get_one::<u64>("window").copied();
    if let Some(bytes) = window.filter(|bytes| *bytes < windows::LEAST) {
        let least = windows::LEAST;
        return Err(Failure::Usage(format!(
            "--window {bytes}: expected at least {least} bytes"
        )));
    }
    let lab = Lab::open(adapter, window)?;
    let seeded: Vec<&String> = matches.get_many("seed_fault").into_iter().flatten().collect();
    if matches.get_flag(recovery::WITHIN) {
        return within(&lab, !seeded.is_empty());
    }
    interrupt::arm();
    let chosen: Vec<&String> = matches.get_many("test").into_iter().flatten().collect();
    let chosen = tests().filter(|test| chosen.is_empty() || chosen.iter().any(|name| *name == test.name));
    let chosen: Vec<&Test> = chosen.collect();
    let is_left_out = |name: &&&String| chosen.iter().all(|test| test.name != **name);
    if let Some(name) = seeded.iter().find(is_left_out) {
        return Err(Failure::Usage(format!(
            "--seed-fault {name}: the test is not among those that run"
        )));
    }
    let info = lab.info();
    let bar = progress::bar(chosen.len());
    let mut record = Record {
        schema: SCHEMA,
        version: env!("CARGO_PKG_VERSION").into(),
        commit: COMMIT.into(),
        date: humantime::format_rfc3339_seconds(SystemTime::now()).to_string(),
        adapter: lab.engine.name(),
        driver: info.driver,
        driver_info: info.driver_info,
        verdict: UNDECIDED.into(),
        tests: Vec::new(),
        compare: None,
    };
    // An older record stays until the new one is whole.
    let replaces = save.as_ref().is_some_and(|place| place.exists());
    let mut saved = Ok(());
    for test in chosen {
        bar.set_message(test.name);
        let has_fault = seeded.iter().any(|name| *name == test.name);
        record.add(row(&lab, test, has_fault), tests().count());
        // What was found stays where the rest is cut off.
        if !replaces {
            saved = publish(&save, &record);
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    if let Some((name, old)) = &old {
        record.compare = Some(record::compare(old, &record, name));
    }
    // What was found is printed even where the file cannot be written.
    if replaces || record.compare.is_some() {
        saved = publish(&save, &record);
    }
    if matches.get_flag("json") {
        print::line(&json(&record))?;
    } else {
        print::line(&record::text(&record))?;
    }
    saved?;
    let failed: Vec<&str> = record.failed().map(|row| row.name.as_str()).collect();
    match failed.is_empty() {
        true => Ok(()),
        false => Err(Failure::Failed(format!("{NOT_TRUSTED}: {}", failed.join(", ")))),
    }
}

fn json(record: &Record) -> String {
    // Numbers, texts and lists of them: nothing that JSON does not have.
    serde_json::to_string_pretty(record).unwrap_or_default()
}

fn publish(save: &Option<PathBuf>, record: &Record) -> Result<(), Failure> {
    save.as_ref().map_or(Ok(()), |place| {
        draft::publish(vec![draft::whole("--save", place, json(record).as_bytes())?])
    })
}

/// A test with its fault, then as it is; or, where `as_is` has the fault too, as an adapter that has it would do.
fn row(lab: &Lab, test: &Test, has_fault: bool) -> Row {
    let start = Instant::now();
    let seeded = (test.run)(lab, Fault::Seeded);
    let plain = match has_fault {
        true => seeded.clone(),
        false => (test.run)(lab, Fault::None),
    };
    let mut finding = plain.unwrap_or_else(|why| Finding::new(Verdict::Failed, why));
    let fault = match (&finding.verdict, &seeded) {
        (Verdict::Skipped, _) => "none",
        (_, Ok(own)) if own.verdict == Verdict::Failed => "caught",
        // What has no verdict has to tell something else.
        (Verdict::Note, Ok(own)) if own.seen != finding.seen => "caught",
        // The verdict itself is that of the fault.
        (Verdict::Note, Ok(own)) if has_fault && own.verdict == Verdict::Note => "caught",
        _ => "missed",
    };
    if fault == "missed" {
        let seen = match &seeded {
            Ok(own) => format!("a seeded fault was not seen: {}", own.seen),
            Err(why) => format!("the seeded fault could not be tried: {why}"),
        };
        finding = Finding::new(Verdict::Failed, format!("{seen}; without it: {}", finding.seen));
    }
    Row {
        name: test.name.into(),
        what: test.what.into(),
        verdict: finding.verdict.name().into(),
        seen: finding.seen,
        // JSON has no infinities.
        figures: finding
            .figures
            .into_iter()
            .filter(|(_, value)| value.is_finite())
            .map(|(name, value)| (name.into(), value))
            .collect(),
        fault: fault.into(),
        ms: start.elapsed().as_secs_f64() * 1e3,
    }
}

/// The test of memory in this process, whose memory is limited.
fn within(lab: &Lab, has_fault: bool) -> Result<(), Failure> {
    let fault = if has_fault { Fault::Seeded } else { Fault::None };
    let found = recovery::here(lab, fault).map_err(Failure::Failed)?;
    match found.verdict {
        Verdict::Failed => Err(Failure::Failed(found.seen)),
        _ => print::line(&found.seen),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// naga, which wgpu compiles with, takes every kernel; so does tint, the compiler of Chromium, where it is
    /// installed.
    #[test]
    fn compilers_take_the_kernels() {
        use naga::valid::{Capabilities, ValidationFlags, Validator};
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/qualify/kernels");
        let files: Vec<_> = std::fs::read_dir(folder)
            .unwrap()
            .map(|file| file.unwrap().path())
            .collect();
        assert_eq!(files.len(), 9);
        let has_tint = std::process::Command::new("tint").arg("--version").output().is_ok();
        let own = tempfile::tempdir().unwrap();
        for file in files {
            let text = std::fs::read_to_string(&file).unwrap();
            let module = naga::front::wgsl::parse_str(&text).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
            let needed = Capabilities::SUBGROUP | Capabilities::SHADER_FLOAT16_IN_FLOAT32;
            let mut validator = Validator::new(ValidationFlags::all(), needed);
            validator
                .validate(&module)
                .unwrap_or_else(|e| panic!("{}: {e:?}", file.display()));
            if has_tint {
                // naga takes the built-in functions without the directive, and not yet the directive.
                let header = if text.contains("subgroupShuffle") {
                    "enable subgroups;\n"
                } else {
                    ""
                };
                let place = own.path().join("kernel.wgsl");
                std::fs::write(&place, header.to_owned() + &text).unwrap();
                let done = std::process::Command::new("tint")
                    .args(["--format", "wgsl"])
                    .arg(&place)
                    .output()
                    .unwrap();
                let said = String::from_utf8_lossy(&done.stderr);
                assert!(done.status.success(), "{}: {said}", file.display());
            }
        }
    }

    #[test]
    fn names_are_words_and_each_is_there_once() {
        let mut names: Vec<&str> = tests().map(|test| test.name).collect();
        assert!(names.iter().all(|name| !name.is_empty() && !name.contains(' ')));
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
