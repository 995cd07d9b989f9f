//! What was measured as a table for a terminal.

use wgloss::Tuning;
use wgloss_shell::fit;

use super::choice::RULE;
use super::{Candidate, Measured, Report};
use crate::bench::tables::ms;
use crate::tuned;

pub fn text(report: &Report, tuning: &Tuning) -> String {
    let clock = match report.timestamps {
        true => "the device's timestamps",
        false => "the clock on the wall, since the device has no timestamps",
    };
    let mut parts = vec![
        format!(
            "{}, {} {}, wgloss {} ({})\nclass: {}; {} rounds by {clock}",
            report.adapter, report.driver, report.driver_info, report.version, report.commit, report.class, report.runs
        ),
        table(&report.fields),
        reasons(&report.fields),
        format!(
            "ms: medians of the rows, added up. share: of the class's time in the same rounds, on the rows that the two run \
             differently\n(-: none). {RULE}\nA value that wins at an end of its ladder stands for the class's on the next."
        ),
        report.fields.iter().map(rows).collect::<Vec<_>>().join("\n"),
    ];
    let changed = match report.tuning == report.class_tuning {
        true => ", which is the class's own",
        false => "",
    };
    parts.push(format!("tuning: {}{changed}", tuned::text(tuning)));
    parts.extend(
        report
            .saved
            .as_ref()
            .map(|place| format!("saved to {place}; --tuned reads it")),
    );
    parts.join("\n\n")
}

fn table(fields: &[Measured]) -> String {
    let header = ["value", "candidate", "ms", "share", "faster in", ""];
    let line = |own: &Measured, nth: usize, candidate: &Candidate| {
        let marks = [
            ("class", candidate.value == own.class),
            ("before", candidate.value == own.before && own.before != own.class),
            ("chosen", candidate.value == own.chosen),
            ("not timed", candidate.untimed.is_some()),
        ];
        let marks: Vec<&str> = marks.iter().filter(|(_, is)| *is).map(|(mark, _)| *mark).collect();
        vec![
            if nth == 0 { own.field.into() } else { String::new() },
            candidate.value.to_string(),
            match candidate.untimed {
                None => ms(candidate.row_ms.iter().flatten().sum()),
                Some(_) => "-".into(),
            },
            candidate
                .share
                .map_or("-".into(), |share| format!("{:.0} %", 100.0 * share)),
            candidate.faster.map_or("-".into(), |rounds| rounds.to_string()),
            marks.join(", "),
        ]
    };
    let lines = fields.iter().flat_map(|own| {
        let lines = own.candidates.iter().enumerate();
        lines.map(move |(nth, candidate)| line(own, nth, candidate))
    });
    fit::table(&header, &lines.collect::<Vec<_>>(), 1)
}

/// What was chosen and why, and what was not timed.
fn reasons(fields: &[Measured]) -> String {
    let mut lines = Vec::new();
    for own in fields {
        lines.push(vec![own.field.into(), own.chosen.to_string(), own.why.clone()]);
        for candidate in &own.candidates {
            let why = candidate.untimed.as_ref();
            lines.extend(why.map(|why| vec![String::new(), candidate.value.to_string(), why.clone()]));
        }
    }
    fit::table(&["value", "chosen", "why"], &lines, 3)
}

/// `tile: reduce op=sum 4194304 f32 forward; mse …`
fn rows(own: &Measured) -> String {
    format!("{}: {}", own.field, own.rows.join("; "))
}
