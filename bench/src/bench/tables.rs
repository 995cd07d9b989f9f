//! A record as tables for a terminal.

use std::collections::BTreeSet;

use wgloss_shell::fit;

use super::compare::{Comparison, Ratio};
use super::record::{Baseline, Ceiling, Fixed, Kind, Layer, Median, Product, Record, Row, Step, is_close};
use super::rows::shape_text;

/// Everything, as it is printed.
pub fn text(record: &Record) -> String {
    let mut parts = vec![format!(
        "{}, {}, wgloss {} ({}), {} runs: median (min–max)",
        record.adapter, record.driver, record.version, record.commit, record.runs
    )];
    if record.tuned {
        parts.push(format!(
            "not cut as the adapter's class is, but tuned: {}",
            record.tuning
        ));
    }
    if !record.rows.is_empty() {
        parts.push(rows(&record.rows));
        let legend = fit::paragraph(
            "MB: each operand and each result once. share: of the GB/s of a kernel that does nothing but read \
             (forward) or copy (fused, backward) as many bytes in the same rounds. ms and GB/s are of the device's \
             clock where it has one.",
        );
        let factors = match has_factors(&record.rows) {
            true => "\n".to_owned() + &fit::paragraph("over f32: how many times as fast as the same row in f32."),
            false => String::new(),
        };
        parts.push(legend + &factors);
        parts.push(ceilings(record));
        parts.push(last_line(record));
    }
    if record.baselines.len() > 1 {
        parts.push(baselines(record));
    }
    if !record.steps.is_empty() {
        parts.push(steps(record));
    }
    if !record.products.is_empty() {
        parts.push(products(&record.products));
    }
    if !record.layers.is_empty() {
        parts.push(layers(&record.layers));
    }
    parts.push(fixed(&record.fixed));
    if let Some(comparison) = &record.compare {
        parts.push(changes(comparison));
    }
    parts.join("\n\n")
}

/// Milliseconds in as many digits as tell something.
pub fn ms(x: f64) -> String {
    match x {
        x if x >= 100.0 => format!("{x:.0}"),
        x if x >= 10.0 => format!("{x:.1}"),
        x if x >= 1.0 => format!("{x:.2}"),
        x => format!("{x:.3}"),
    }
}

fn spread(own: &Median) -> String {
    format!("{} ({}–{})", ms(own.median), ms(own.min), ms(own.max))
}

fn megabytes(bytes: u64) -> String {
    match bytes {
        0..100_000 => format!("{:.3}", bytes as f64 / 1e6),
        _ => format!("{:.1}", bytes as f64 / 1e6),
    }
}

fn rate(x: f64) -> String {
    if x < 1.0 { format!("{x:.3}") } else { format!("{x:.2}") }
}

fn percent(own: &Median) -> String {
    let part = |x: f64| format!("{:.0}", 100.0 * x);
    format!("{} % ({}–{})", part(own.median), part(own.min), part(own.max))
}

/// Rows of 16 bits stand beside such in f32.
fn has_factors(rows: &[Row]) -> bool {
    rows.iter().any(|row| row.over_f32.is_some())
}

fn rows(rows: &[Row]) -> String {
    let mut header = vec![
        "loss", "shape", "dtype", "mode", "ms", "wall", "MB", "GB/s", "read", "copy", "share",
    ];
    let has_factors = has_factors(rows);
    header.extend(has_factors.then_some("over f32"));
    let cell = |row: &Row, kind: Kind| match row.ceiling.kind == kind {
        true => rate(row.ceiling.times.gb_per_s),
        false => String::new(),
    };
    let line = |row: &Row| {
        let mut cells = vec![
            row.title(),
            shape_text(&row.shape),
            row.dtype.clone(),
            row.mode.clone(),
            row.times.device_ms.as_ref().map_or("-".into(), spread),
            ms(row.times.wall_ms.median),
            megabytes(row.bytes),
            rate(row.times.gb_per_s),
            cell(row, Kind::Read),
            cell(row, Kind::Copy),
            percent(&row.share),
        ];
        cells.extend(has_factors.then(|| row.over_f32.map_or_else(String::new, |own| format!("{own:.2}"))));
        cells
    };
    fit::table(&header, &rows.iter().map(line).collect::<Vec<_>>(), 4)
}

/// Those of the rows; those of a sweep are in its picture.
fn ceilings(record: &Record) -> String {
    let stands_beside = |own: &&Ceiling| {
        let mut all = record.rows.iter().map(|row| &row.ceiling);
        all.any(|beside| beside.kind == own.kind && is_close(beside.bytes, own.bytes))
    };
    let list = record.ceilings.iter().filter(stands_beside);
    let header = [
        "ceiling",
        "MB",
        "ms",
        "GB/s",
        "buffer copy",
        "memcpy",
        "threads",
        "last record",
    ];
    let line = |own: &Ceiling| {
        let last = own.last.as_ref();
        vec![
            own.kind.name().into(),
            megabytes(own.bytes),
            spread(&own.times.best()),
            rate(own.times.gb_per_s),
            rate(own.buffer_copy.gb_per_s),
            rate(own.memcpy.times.gb_per_s),
            own.memcpy.threads.to_string(),
            last.map_or("-".into(), |last| rate(last.gb_per_s)),
        ]
    };
    fit::table(&header, &list.map(line).collect::<Vec<_>>(), 1)
}

/// Where the last column of the ceilings comes from.
fn last_line(record: &Record) -> String {
    let head = "GB/s, bytes read and written counted. buffer copy: copy_buffer_to_buffer, as the device makes it. memcpy: in the \
                host's memory, by the clock on the wall. ";
    // The newest that has a ceiling, so there may be several.
    let all = record.ceilings.iter().filter_map(|own| own.last.as_ref());
    let all: BTreeSet<_> = all
        .map(|last| format!("of {}, {}, {}", last.date, last.driver, last.commit))
        .collect();
    if all.is_empty() {
        return fit::paragraph(&format!("{head}last record: none of this adapter has these ceilings."));
    }
    fit::paragraph(&format!("{head}last record: {}.", Vec::from_iter(all).join("; ")))
}

fn baselines(record: &Record) -> String {
    let header = ["kernel", "elements", "ms", "GB/s", "slower than read"];
    let line = |own: &Baseline| {
        vec![
            own.name.clone(),
            own.elements.to_string(),
            spread(&own.times.best()),
            rate(own.times.gb_per_s),
            format!("{} times", spread(&own.slower)),
        ]
    };
    fit::table(&header, &record.baselines.iter().map(line).collect::<Vec<_>>(), 1)
}

fn steps(record: &Record) -> String {
    let header = ["step", "elements", "ms", "GB/s", "of copy"];
    let line = |own: &Step| {
        vec![
            own.name.clone(),
            own.elements.to_string(),
            spread(&own.times.best()),
            rate(own.times.gb_per_s),
            format!("{:.0} %", 100.0 * own.share.median),
        ]
    };
    fit::table(&header, &record.steps.iter().map(line).collect::<Vec<_>>(), 1)
}

fn products(list: &[Product]) -> String {
    let header = ["product", "N x H x C", "dtype", "ms", "GFLOP/s", "registers", "share"];
    let line = |own: &Product| {
        vec![
            own.name.clone(),
            shape_text(&own.shape),
            own.dtype.clone(),
            spread(&own.times.best()),
            rate(own.gflop_per_s),
            rate(own.registers_gflop_per_s),
            percent(&own.share),
        ]
    };
    let legend = fit::paragraph(
        "GFLOP/s: a multiply-add is two operations. registers: of multiply-adds between registers alone, as many of \
         them, or 67 million where that is more, in the same rounds. share: of these.",
    );
    fit::table(&header, &list.iter().map(line).collect::<Vec<_>>(), 3) + "\n\n" + &legend
}

fn layers(list: &[Layer]) -> String {
    let header = [
        "linear_cross_entropy",
        "N x H x C",
        "dtype",
        "ms",
        "of the product",
        "MiB",
    ];
    let line = |own: &Layer| {
        let Median { median, min, max } = own.over_product;
        vec![
            own.name.clone(),
            shape_text(&own.shape),
            own.dtype.clone(),
            spread(&own.ms),
            format!("{median:.2} ({min:.2}–{max:.2})"),
            format!("{:.1}", own.bytes as f64 / f64::from(1 << 20)),
        ]
    };
    let legend = fit::paragraph(
        "of the product: times that of the bare product in the same rounds. MiB: of logits and scratch, beside \
         operands and gradients. computed twice: with a scratch that 128 whole rows do not fit into. in memory: a \
         product, our cross_entropy over it, and the products of its gradient.",
    );
    fit::table(&header, &list.iter().map(line).collect::<Vec<_>>(), 3) + "\n\n" + &legend
}

fn fixed(list: &[Fixed]) -> String {
    let line = |own: &Fixed| {
        let unit = if own.unit == "us" { "µs" } else { "per second" };
        let digits = |x: f64| {
            if x >= 100.0 {
                format!("{x:.0}")
            } else {
                format!("{x:.1}")
            }
        };
        let Median { median, min, max } = own.spread;
        vec![
            own.name.clone(),
            format!("{} ({}–{}) {unit}", digits(median), digits(min), digits(max)),
            own.what.clone(),
        ]
    };
    fit::table(&["fixed cost", "", "of"], &list.iter().map(line).collect::<Vec<_>>(), 3)
}

fn changes(comparison: &Comparison) -> String {
    let ratio = |own: &Ratio| format!("{:.2}{}", own.ratio, if own.marked { " *" } else { "  " });
    let lines = comparison.rows.iter().map(|own| {
        vec![
            own.row.clone(),
            ms(own.time.old),
            ms(own.time.new),
            ratio(&own.time),
            ratio(&own.share),
            own.verdict().into(),
        ]
    });
    let header = ["row", "old ms", "new ms", "time", "share", ""];
    let mut text = format!(
        "beside {} of {} ({}, {} runs); new over old, * outside of both spreads\n\n{}",
        comparison.with,
        comparison.date,
        comparison.commit,
        comparison.runs,
        fit::table(&header, &lines.collect::<Vec<_>>(), 1)
    );
    if !comparison.same_adapter {
        text += &format!(
            "\n\nit was another adapter or driver: {}, {}",
            comparison.adapter, comparison.driver
        );
    }
    if !comparison.tuning.is_empty() {
        text += &format!("\n\nthe work was cut otherwise: {}", comparison.tuning.join("; "));
    }
    for (whose, names) in [("old", &comparison.only_old), ("new", &comparison.only_new)] {
        if !names.is_empty() {
            text += &format!("\n\nonly in the {whose} run: {}", names.join("; "));
        }
    }
    text
}
