//! What a run found, as JSON, as a table, and beside an earlier run.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use wgloss_bench::bench::record::json_file;
use wgloss_shell::fit;

/// The form of the records below. Those of another are refused.
pub const SCHEMA: u64 = 1;

/// What the file is, for messages.
const WHAT: &str = "record of wgloss qualify";

pub const TRUSTED: &str = "trusted";
pub const NOT_TRUSTED: &str = "not trusted";
/// Nothing failed, and not all tests ran.
pub const UNDECIDED: &str = "undecided";

#[derive(Serialize, Deserialize)]
pub struct Record {
    pub schema: u64,
    /// Of wgloss.
    pub version: String,
    pub commit: String,
    /// UTC, as RFC 3339 writes it.
    pub date: String,
    pub adapter: String,
    pub driver: String,
    pub driver_info: String,
    /// `trusted`, `not trusted` where a test failed, or `undecided` where none did and not all ran.
    pub verdict: String,
    pub tests: Vec<Row>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compare: Option<Comparison>,
}

#[derive(Serialize, Deserialize)]
pub struct Row {
    pub name: String,
    pub what: String,
    /// `passed`, `failed`, `note` or `skipped`.
    pub verdict: String,
    pub seen: String,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub figures: BTreeMap<String, f64>,
    /// Whether the test saw a fault that was seeded for it: `caught`, `missed`, or `none` where it was skipped.
    pub fault: String,
    pub ms: f64,
}

/// A run beside an earlier one.
#[derive(Serialize, Deserialize)]
pub struct Comparison {
    /// The earlier record, as it was named.
    pub with: String,
    pub date: String,
    /// Of adapter, driver and version: what was another one.
    pub other: Vec<String>,
    pub verdicts: Vec<Change<String>>,
    pub figures: Vec<Change<f64>>,
    pub only_old: Vec<String>,
    pub only_new: Vec<String>,
}

#[derive(Serialize, Deserialize)]
pub struct Change<T> {
    pub test: String,
    /// Of figures.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub figure: String,
    pub old: T,
    pub new: T,
}

impl Record {
    /// # Errors
    /// What is wrong with the file.
    pub fn read(path: &Path) -> Result<Self, String> {
        let value = json_file(path, WHAT)?;
        let schema = value.get("schema").and_then(Value::as_u64);
        if schema != Some(SCHEMA) || value.get("tests").is_none() {
            return Err(format!("is no {WHAT} of schema {SCHEMA}, which this version reads"));
        }
        serde_json::from_value(value).map_err(|error| format!("is a broken {WHAT}: {error}"))
    }

    /// One test more, of so many in all.
    pub fn add(&mut self, row: Row, of: usize) {
        self.tests.push(row);
        let verdict = match self.failed().count() {
            0 if self.tests.len() < of => UNDECIDED,
            0 => TRUSTED,
            _ => NOT_TRUSTED,
        };
        self.verdict = verdict.into();
    }

    pub fn failed(&self) -> impl Iterator<Item = &Row> {
        self.tests.iter().filter(|row| row.verdict == "failed")
    }
}

/// What has changed. Of figures, those that are another by more than a hundredth.
pub fn compare(old: &Record, new: &Record, with: &str) -> Comparison {
    let of = |record: &'_ Record| -> [(&'static str, String); 4] {
        [
            ("adapter", record.adapter.clone()),
            ("driver", record.driver.clone()),
            ("driver info", record.driver_info.clone()),
            ("version", format!("{} ({})", record.version, record.commit)),
        ]
    };
    let other = of(old).into_iter().zip(of(new));
    let missing = |rows: &[Row], there: &[Row]| {
        let missing = rows.iter().filter(|row| !there.iter().any(|own| own.name == row.name));
        missing.map(|row| row.name.clone()).collect()
    };
    let pairs = || {
        let before = |row: &'_ Row| old.tests.iter().find(|own| own.name == row.name);
        new.tests.iter().filter_map(move |row| Some((before(row)?, row)))
    };
    let verdict = |(old, new): (&Row, &Row)| {
        (old.verdict != new.verdict).then(|| Change {
            test: new.name.clone(),
            figure: String::new(),
            old: old.verdict.clone(),
            new: new.verdict.clone(),
        })
    };
    let figures = pairs().flat_map(|(old, new)| {
        new.figures.iter().filter_map(|(name, &value)| {
            let before = *old.figures.get(name)?;
            let is_other = (value - before).abs() > 0.01 * value.abs().max(before.abs());
            is_other.then(|| Change {
                test: new.name.clone(),
                figure: name.clone(),
                old: before,
                new: value,
            })
        })
    });
    Comparison {
        with: with.into(),
        date: old.date.clone(),
        other: other
            .filter(|(old, new)| old != new)
            .map(|((name, old), (_, new))| format!("{name}: {new}, was {old}"))
            .collect(),
        verdicts: pairs().filter_map(verdict).collect(),
        figures: figures.collect(),
        only_old: missing(&old.tests, &new.tests),
        only_new: missing(&new.tests, &old.tests),
    }
}

/// Everything, as it is printed.
pub fn text(record: &Record) -> String {
    let line = |row: &Row| {
        let fault = if row.fault == "none" { "-" } else { &row.fault };
        vec![
            row.name.clone(),
            row.verdict.clone(),
            fault.into(),
            format!("{:.0}", row.ms),
            row.what.clone(),
            row.seen.clone(),
        ]
    };
    let rows: Vec<Vec<String>> = record.tests.iter().map(line).collect();
    let table = fit::table(&["test", "result", "fault", "ms", "asked for", "seen"], &rows, 6);
    let head = format!(
        "{}, {} {}, wgloss {} ({})",
        record.adapter, record.driver, record.driver_info, record.version, record.commit
    );
    let legend = fit::paragraph(
        "fault: each test runs with a fault that is seeded for it first; one that misses it fails. note: told, and \
         neither right nor wrong.",
    );
    let mut parts = vec![head, table, legend];
    parts.extend(record.compare.as_ref().map(changes));
    let count = record.failed().count();
    parts.push(match count {
        // Trusted, or undecided.
        0 => format!("{}: none of {} tests failed", record.verdict, record.tests.len()),
        count => format!("{NOT_TRUSTED}: {count} of {} tests failed", record.tests.len()),
    });
    parts.join("\n\n")
}

fn changes(own: &Comparison) -> String {
    let mut lines = vec![format!("beside {} of {}:", own.with, own.date)];
    lines.extend(own.other.iter().map(|text| format!("  {text}")));
    lines.extend(
        own.verdicts
            .iter()
            .map(|own| format!("  {}: {}, was {}", own.test, own.new, own.old)),
    );
    let figure = |own: &Change<f64>| {
        let name = own.figure.replace('_', " ");
        format!("  {}: {name} {:.3}, was {:.3}", own.test, own.new, own.old)
    };
    lines.extend(own.figures.iter().map(figure));
    for (whose, names) in [("old", &own.only_old), ("new", &own.only_new)] {
        if !names.is_empty() {
            lines.push(format!("  only in the {whose} run: {}", names.join(", ")));
        }
    }
    if lines.len() == 1 {
        lines.push("  nothing has changed".into());
    }
    lines.join("\n")
}
