//! A record as CSV for a spreadsheet.

use wgloss_shell::Failure;

use super::compare::Comparison;
use super::record::{Median, Record, Row, Times};
use super::rows::shape_text;

/// The columns of the CSV, in which every line says of itself where it was measured.
const COLUMNS: [&str; 33] = [
    "section",
    "name",
    "options",
    "shape",
    "dtype",
    "reduction",
    "mode",
    "bytes",
    "traffic",
    "unit",
    "device_median",
    "device_min",
    "device_max",
    "wall_median",
    "wall_min",
    "wall_max",
    "gb_per_s",
    "gflop_per_s",
    "against",
    "against_gb_per_s",
    "against_gflop_per_s",
    "share",
    "share_min",
    "share_max",
    "over_f32",
    "time_ratio",
    "share_ratio",
    "verdict",
    "variant",
    "adapter",
    "driver",
    "commit",
    "date",
];

/// A line of the CSV: cells by the names of their columns; the others stay empty.
struct Line(Vec<(&'static str, String)>);

impl Line {
    fn times(&mut self, times: &Times) {
        self.0.push(("unit", "ms".into()));
        if let Some(own) = &times.device_ms {
            self.spread(["device_median", "device_min", "device_max"], own);
        }
        self.spread(["wall_median", "wall_min", "wall_max"], &times.wall_ms);
        self.0.push(("gb_per_s", times.gb_per_s.to_string()));
    }

    fn spread(&mut self, columns: [&'static str; 3], own: &Median) {
        let values = [own.median, own.min, own.max].map(|x| x.to_string());
        self.0.extend(columns.into_iter().zip(values));
    }
}

/// Everything as CSV.
///
/// # Errors
/// A text that the writer refuses.
pub fn csv(record: &Record) -> Result<String, Failure> {
    let mut lines: Vec<Line> = Vec::new();
    for (section, rows) in [("row", &record.rows), ("sweep", &record.sweep)] {
        lines.extend(rows.iter().map(|row| row_line(section, row, record.compare.as_ref())));
    }
    for own in &record.ceilings {
        let of = |name: String, variant: &[String], times: &Times| {
            let cells = [
                ("section", "ceiling".into()),
                ("name", name),
                ("bytes", own.bytes.to_string()),
            ];
            let mut line = Line(cells.into());
            line.0.push(("variant", variant.join(" ")));
            line.times(times);
            line
        };
        let kind = own.kind.name();
        lines.push(of(kind.into(), &own.variant, &own.times));
        lines.push(of(format!("{kind} buffer copy"), &[], &own.buffer_copy));
        let memcpy = format!("{kind} memcpy of {} threads", own.memcpy.threads);
        lines.push(of(memcpy, &[], &own.memcpy.times));
        if let Some(last) = &own.last {
            lines.push(Line(vec![
                ("section", "ceiling".into()),
                ("name", format!("{kind} of the record of {}", last.date)),
                ("bytes", own.bytes.to_string()),
                ("gb_per_s", last.gb_per_s.to_string()),
                ("driver", last.driver.clone()),
                ("commit", last.commit.clone()),
                ("date", last.date.clone()),
            ]));
        }
    }
    for own in &record.baselines {
        let mut line = Line(vec![
            ("section", "baseline".into()),
            ("name", own.name.clone()),
            ("shape", own.elements.to_string()),
            ("bytes", own.bytes.to_string()),
            ("variant", own.variant.join(" ")),
            ("against", "read".into()),
            ("time_ratio", own.slower.median.to_string()),
        ]);
        line.times(&own.times);
        lines.push(line);
    }
    for own in &record.steps {
        let mut line = Line(vec![
            ("section", "step".into()),
            ("name", own.name.clone()),
            ("shape", own.elements.to_string()),
            ("bytes", own.bytes.to_string()),
            ("variant", own.variant.join(" ")),
            ("against", "copy".into()),
        ]);
        line.times(&own.times);
        line.spread(["share", "share_min", "share_max"], &own.share);
        lines.push(line);
    }
    for own in &record.products {
        let mut line = Line(vec![
            ("section", "product".into()),
            ("name", own.name.clone()),
            ("shape", shape_text(&own.shape)),
            ("dtype", own.dtype.clone()),
            ("bytes", own.bytes.to_string()),
            ("variant", own.variant.join(" ")),
            ("against", "multiply-adds in registers".into()),
            ("gflop_per_s", own.gflop_per_s.to_string()),
            ("against_gflop_per_s", own.registers_gflop_per_s.to_string()),
        ]);
        line.times(&own.times);
        line.spread(["share", "share_min", "share_max"], &own.share);
        lines.push(line);
    }
    for own in &record.layers {
        let mut line = Line(vec![
            ("section", "layer".into()),
            ("name", own.name.clone()),
            ("shape", shape_text(&own.shape)),
            ("dtype", own.dtype.clone()),
            ("bytes", own.bytes.to_string()),
            ("variant", own.variant.join(" ")),
            ("against", "product".into()),
        ]);
        line.spread(["wall_median", "wall_min", "wall_max"], &own.ms);
        line.spread(["share", "share_min", "share_max"], &own.over_product);
        lines.push(line);
    }
    for own in &record.fixed {
        let cells = [("section", "fixed"), ("name", &own.name), ("unit", &own.unit)];
        let mut line = Line(cells.map(|(column, text)| (column, text.to_owned())).into());
        line.spread(["wall_median", "wall_min", "wall_max"], &own.spread);
        lines.push(line);
    }
    written(record, &lines).map_err(|error| Failure::Failed(format!("--csv: {error}")))
}

fn row_line(section: &str, row: &Row, comparison: Option<&Comparison>) -> Line {
    let options: Vec<String> = row
        .options
        .iter()
        .map(|(name, word)| format!("{name}={word}"))
        .collect();
    let mut line = Line(vec![
        ("section", section.into()),
        ("name", row.loss.clone()),
        ("options", options.join(" ")),
        ("shape", shape_text(&row.shape)),
        ("dtype", row.dtype.clone()),
        ("reduction", row.reduction.clone()),
        ("mode", row.mode.clone()),
        ("bytes", row.bytes.to_string()),
        ("traffic", row.formula()),
        ("against", row.ceiling.kind.name().into()),
        ("against_gb_per_s", row.ceiling.times.gb_per_s.to_string()),
        ("variant", row.variant.join(" ")),
    ]);
    line.times(&row.times);
    line.spread(["share", "share_min", "share_max"], &row.share);
    line.0
        .extend(row.over_f32.map(|factor| ("over_f32", factor.to_string())));
    let change = comparison.and_then(|own| own.rows.iter().find(|own| own.row == row.name()));
    if let Some(change) = change.filter(|_| section == "row") {
        line.0.push(("time_ratio", change.time.ratio.to_string()));
        line.0.push(("share_ratio", change.share.ratio.to_string()));
        line.0.push(("verdict", change.verdict().into()));
    }
    line
}

fn written(record: &Record, lines: &[Line]) -> Result<String, Box<dyn std::error::Error>> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(COLUMNS)?;
    let place = [
        ("adapter", &record.adapter),
        ("driver", &record.driver),
        ("commit", &record.commit),
        ("date", &record.date),
    ];
    for Line(cells) in lines {
        let cell = |column: &&str| {
            let own = cells.iter().find(|(name, _)| name == column).map(|(_, text)| text);
            let everywhere = || place.iter().find(|(name, _)| name == column).map(|(_, text)| *text);
            own.or_else(everywhere).map_or("", String::as_str)
        };
        writer.write_record(COLUMNS.iter().map(cell))?;
    }
    let text = String::from_utf8(writer.into_inner()?)?;
    Ok(text.trim_end().to_owned())
}
