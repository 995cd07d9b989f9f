//! A record as a picture: what share of its ceiling each row reaches, and GB/s against size.

use plotters::prelude::*;
use plotters::style::text_anchor::HPos;
use wgloss_shell::picture::{self, Area, Drawn, GRID, INK, line, words, write};

use super::ceilings::STEP;
use super::record::{Kind, Record, Row};
use super::rows::shape_text;

const FORWARD: RGBColor = picture::BLUE;
const FUSED: RGBColor = picture::VERMILION;
const BACKWARD: RGBColor = picture::PURPLE;
const STEP_OF: RGBColor = picture::GREEN;

const WIDTH: u32 = 1360;
/// Of the left half, with the bars.
const BARS: u32 = 760;
/// Of the names of rows, and of the space behind a bar for its number.
const NAMES: i32 = 270;
const BEHIND: i32 = 60;
const TOP: i32 = 92;
const BOTTOM: i32 = 44;
const BAR: i32 = 8;
/// Bars beyond are cut; their numbers are not.
const MOST: f64 = 1.5;

/// The picture, as SVG.
///
/// # Errors
/// What the drawing library refuses.
pub fn svg(record: &Record) -> Drawn<String> {
    let groups = groups(&record.rows);
    let needed: i32 = groups.iter().map(|(_, rows)| height(rows)).sum();
    let size = (WIDTH, (TOP + needed + BOTTOM).max(560) as u32);
    picture::svg(size, 1, |root| {
        let title = format!("wgloss {} ({})", record.version, record.commit);
        write(root, &title, (20, 18), 20, HPos::Left)?;
        let place = format!("{}, {}", record.adapter, record.driver);
        write(root, &place, (20, 42), 13, HPos::Left)?;
        let (left, right) = root.split_horizontally(BARS);
        bars(&left, &groups)?;
        curves(&right, record)
    })
}

/// Rows that differ only in their mode, which share a name.
fn groups(rows: &[Row]) -> Vec<(String, Vec<&Row>)> {
    let several = rows.iter().any(|row| row.dtype != "f32");
    let mut list: Vec<(String, Vec<&Row>)> = Vec::new();
    for row in rows {
        let mut name = format!("{} {}", row.title(), shape_text(&row.shape));
        if several {
            name += &format!(" {}", row.dtype);
        }
        match list.last_mut().filter(|(own, _)| *own == name) {
            Some((_, all)) => all.push(row),
            None => list.push((name, vec![row])),
        }
    }
    list
}

fn height(rows: &[&Row]) -> i32 {
    (rows.len() as i32 * (BAR + 2)).max(14) + 6
}

fn color(mode: &str) -> RGBColor {
    match mode {
        "forward" => FORWARD,
        "fused" => FUSED,
        super::stepped::MODE => STEP_OF,
        _ => BACKWARD,
    }
}

/// Share of the ceiling, a bar for each row.
fn bars(area: &Area<'_>, groups: &[(String, Vec<&Row>)]) -> Drawn<()> {
    let all = || groups.iter().flat_map(|(_, rows)| rows);
    let end: i32 = TOP + groups.iter().map(|(_, rows)| height(rows)).sum::<i32>();
    let largest = all().map(|row| row.share.median).fold(1.0, f64::max).min(MOST);
    let room = f64::from(BARS as i32 - NAMES - BEHIND);
    let x = |share: f64| NAMES + (share.clamp(0.0, largest) / largest * room) as i32;

    let mut at = 20;
    for (mode, of) in [
        ("forward", "read kernel"),
        ("backward", "copy kernel"),
        ("fused", "copy kernel"),
        (super::stepped::MODE, "copy kernel"),
    ] {
        if all().any(|row| row.mode == mode) {
            swatch(area, (at, 68), color(mode))?;
            let text = format!("{mode}: share of the GB/s of a {of}");
            write(area, &text, (at + 18, 68), 13, HPos::Left)?;
            at += 245;
        }
    }
    for tenths in (0..=15).step_by(5) {
        let share = f64::from(tenths) / 10.0;
        if share <= largest {
            let style = if tenths == 10 {
                INK.stroke_width(2)
            } else {
                GRID.stroke_width(1)
            };
            line(area, (x(share), TOP - 6), (x(share), end), style)?;
            write(
                area,
                &format!("{:.0} %", 100.0 * share),
                (x(share), end + 14),
                12,
                HPos::Center,
            )?;
        }
    }
    let mut y = TOP;
    for (name, rows) in groups {
        let high = height(rows);
        let middle = y + (high - 6) / 2;
        write(area, name, (NAMES - 8, middle), 12, HPos::Right)?;
        let mut top = middle - rows.len() as i32 * (BAR + 2) / 2;
        for row in rows {
            let to = x(row.share.median).max(NAMES + 1);
            let shape = Rectangle::new([(NAMES, top), (to, top + BAR)], color(&row.mode).filled());
            area.draw(&shape).map_err(words)?;
            // The spread of single rounds.
            let center = top + BAR / 2;
            line(
                area,
                (x(row.share.min), center),
                (x(row.share.max), center),
                INK.stroke_width(1),
            )?;
            let number = format!("{:.0} %", 100.0 * row.share.median);
            write(area, &number, (to.max(x(row.share.max)) + 5, center), 10, HPos::Left)?;
            top += BAR + 2;
        }
        y += high;
    }
    Ok(())
}

fn swatch(area: &Area<'_>, (x, y): (i32, i32), color: RGBColor) -> Drawn<()> {
    let shape = Rectangle::new([(x, y - 6), (x + 12, y + 6)], color.filled());
    area.draw(&shape).map_err(words)
}

/// A line of the right half: GB/s by bytes, with what it is called.
struct Curve {
    name: String,
    color: RGBColor,
    /// Ceilings are thin and have no dots.
    is_ceiling: bool,
    points: Vec<(f64, f64)>,
}

/// Throughput against size, of the rows of the sweep and the ceilings beside them.
fn curves(area: &Area<'_>, record: &Record) -> Drawn<()> {
    let list = curves_of(record);
    let points = || list.iter().flat_map(|curve| &curve.points);
    if points().next().is_none() {
        return Ok(());
    }
    let ends = points().fold((f64::MAX, f64::MIN), |(a, b), point| (a.min(point.0), b.max(point.0)));
    let highest = points().map(|point| point.1).fold(0.0, f64::max);
    // Of the same height however many bars there are, and beside their beginning.
    let (head, rest) = area.split_vertically(TOP);
    write(
        &head,
        "GB/s against the bytes that a call has to move",
        (20, 18),
        15,
        HPos::Left,
    )?;
    for (nth, curve) in list.iter().enumerate() {
        let at = (20 + (nth % 3) as i32 * 190, 44 + (nth / 3) as i32 * 22);
        swatch(&head, at, curve.color)?;
        write(&head, &curve.name, (at.0 + 18, at.1), 13, HPos::Left)?;
    }
    let (chart_area, _) = rest.split_vertically(440);
    let mut chart = ChartBuilder::on(&chart_area)
        .margin(12)
        .margin_right(28)
        .x_label_area_size(34)
        .y_label_area_size(48)
        .build_cartesian_2d(ends.0.floor()..ends.1.ceil(), 0.0..highest * 1.06)
        .map_err(words)?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(GRID)
        .axis_style(INK)
        .label_style(("sans-serif", 12).into_font().color(&INK))
        .x_labels(14)
        .x_label_formatter(&|power| size(*power))
        .y_label_formatter(&|rate| format!("{rate:.1}"))
        .draw()
        .map_err(words)?;
    for curve in &list {
        let width = if curve.is_ceiling { 1 } else { 2 };
        let style = curve.color.stroke_width(width);
        let series = LineSeries::new(curve.points.iter().copied(), style);
        chart.draw_series(series).map_err(words)?;
        if !curve.is_ceiling {
            let dot = |&point: &(f64, f64)| Circle::new(point, 3, curve.color.filled());
            chart.draw_series(curve.points.iter().map(dot)).map_err(words)?;
        }
    }
    Ok(())
}

/// `64 KiB` of 16; nothing between whole powers.
fn size(power: f64) -> String {
    if (power - power.round()).abs() > 1e-6 {
        return String::new();
    }
    let power = power.round() as u32;
    let (unit, below) = [("B", 0), ("KiB", 10), ("MiB", 20), ("GiB", 30)]
        .into_iter()
        .rfind(|(_, below)| *below <= power)
        .unwrap_or(("B", 0));
    format!("{} {unit}", 1u64 << (power - below).min(63))
}

fn curves_of(record: &Record) -> Vec<Curve> {
    let sweep = &record.sweep;
    let largest = sweep.iter().map(|row| row.bytes).max().unwrap_or_default();
    let point = |bytes: u64, rate: f64| ((bytes as f64).log2(), rate);
    let ceiling = |kind: Kind, color| {
        // Of each size once, however many rows it stood beside; those of larger rows lie outside of the picture.
        let own = record
            .ceilings
            .iter()
            .filter(|own| own.kind == kind && own.bytes <= largest + STEP);
        let points = own.map(|own| point(own.bytes, own.times.gb_per_s));
        Curve {
            name: format!("{} kernel", kind.name()),
            color,
            is_ceiling: true,
            points: points.collect(),
        }
    };
    let row = |loss: &str, mode: &str, color| {
        let own = sweep.iter().filter(|row| row.loss == loss && row.mode == mode);
        Curve {
            name: format!("{loss} {mode}"),
            color,
            is_ceiling: false,
            points: own.map(|row| point(row.bytes, row.times.gb_per_s)).collect(),
        }
    };
    let mut list = vec![
        ceiling(Kind::Read, RGBColor(74, 85, 104)),
        row("mse", "forward", picture::SKY),
        row("cross_entropy", "forward", FORWARD),
        ceiling(Kind::Copy, RGBColor(160, 174, 192)),
        row("mse", "fused", picture::ORANGE),
        row("cross_entropy", "fused", FUSED),
    ];
    for curve in &mut list {
        curve.points.sort_by(|a, b| a.0.total_cmp(&b.0));
    }
    list
}

#[cfg(test)]
mod tests {
    use super::size;

    #[test]
    fn sizes_have_their_units() {
        assert_eq!(
            [16.0, 20.0, 27.0, 30.0].map(size),
            ["64 KiB", "1 MiB", "128 MiB", "1 GiB"]
        );
        assert_eq!(size(16.5), "");
    }
}
