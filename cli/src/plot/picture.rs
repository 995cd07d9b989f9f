//! Curves as a picture: the loss above, its gradient below, told apart by colour and by dashes.

use plotters::prelude::*;
use plotters::style::text_anchor::HPos;
use wgloss::{Info, Scalar};
use wgloss_shell::picture::{self, Area, GRID, INK, line, words, write};

use super::curves::{dashes, limits, within};
use super::setup::{Curve, Setup};
use crate::args;

pub const COLORS: [RGBColor; 7] = [
    picture::BLUE,
    picture::VERMILION,
    picture::GREEN,
    picture::PURPLE,
    BLACK,
    picture::ORANGE,
    picture::SKY,
];
/// Lengths of strokes and gaps.
const DASHES: [&[f64]; COLORS.len()] = [
    &[],
    &[12.0, 5.0],
    &[2.5, 4.0],
    &[12.0, 4.0, 2.5, 4.0],
    &[22.0, 6.0],
    &[6.0, 5.0],
    &[12.0, 4.0, 2.5, 4.0, 2.5, 4.0],
];

/// Units of a pixel.
const FINE: i32 = 8;
const WIDTH: i32 = 900;
const PANEL: i32 = 310;
const LEFT: i32 = 20;
/// Of a line of the legend.
const ENTRY: i32 = 22;
const SAMPLE: i32 = 46;
/// About as wide as letters of size 13 are.
const LETTER: f64 = 7.2;

pub struct Drawn<'a> {
    pub info: &'static Info,
    pub setup: &'a Setup,
    pub classes: usize,
    pub axis: &'a [f32],
    pub curves: &'a [Curve],
}

/// An entry of the legend, and where it begins.
struct Entry {
    text: String,
    at: (i32, i32),
}

/// The picture, as SVG.
pub fn svg(drawn: &Drawn<'_>) -> picture::Drawn<String> {
    let (same, labels) = labels(drawn.curves);
    let mut top = 44;
    let same_at = (!same.is_empty()).then(|| std::mem::replace(&mut top, 66));
    let legend = legend(labels, &mut top);
    top += 14;
    let size = (WIDTH as u32, (top + 2 * PANEL + 26) as u32);
    picture::svg(size, FINE as u32, |root| {
        let text = |text: &str, (x, y): (i32, i32), size: i32| {
            write(root, text, (x * FINE, y * FINE), size * FINE, HPos::Left)
        };
        text(drawn.info.name, (LEFT, 22), 21)?;
        let behind = LEFT + 12 + (drawn.info.name.len() as f64 * 1.5 * LETTER) as i32;
        text(drawn.info.summary, (behind, 23), 13)?;
        if same_at.is_some() {
            text(&same, (LEFT, 46), 13)?;
        }
        for (nth, entry) in legend.iter().enumerate() {
            let (x, y) = entry.at;
            let ends = [x, x + SAMPLE].map(|x| (f64::from(x * FINE), f64::from(y * FINE)));
            strokes(root, &ends, nth)?;
            text(&entry.text, (x + SAMPLE + 8, y), 13)?;
        }
        let (_, rest) = root.split_vertically(top * FINE);
        let (above, below) = rest.split_vertically(PANEL * FINE);
        let what = if drawn.setup.is_function() { "value" } else { "loss" };
        panel(root, &above, drawn, (what, None), |curve| &curve.loss)?;
        let by = format!("gradient by {}", drawn.setup.by());
        let axis = drawn.setup.axis(drawn.classes);
        panel(root, &below, drawn, (&by, Some(&axis)), |curve| &curve.gradient)
    })
}

/// What all curves have in common, and what each has of its own.
fn labels(curves: &[Curve]) -> (String, Vec<String>) {
    let first = curves.first().map(|own| own.settings.as_slice()).unwrap_or_default();
    let value = |curve: &Curve, name: &str| {
        let own = curve.settings.iter().find(|(own, _)| *own == name);
        own.map(|(_, value)| value.clone())
    };
    let text = |name: &str, value: &Scalar| format!("{name} = {}", args::scalar_text(value));
    let is_same = |name: &str| curves.iter().all(|own| value(own, name) == value(&curves[0], name));
    let joined = |list: Vec<String>| list.join(", ");
    let same = first.iter().filter(|(name, _)| is_same(name));
    let same = joined(same.map(|(name, value)| text(name, value)).collect());
    if curves.len() < 2 {
        return (same, Vec::new());
    }
    let own = |curve: &Curve| {
        let own = curve.settings.iter().filter(|(name, _)| !is_same(name));
        joined(own.map(|(name, value)| text(name, value)).collect())
    };
    (same, curves.iter().map(own).collect())
}

/// Entries in columns of one width, in as many lines as it takes.
fn legend(labels: Vec<String>, top: &mut i32) -> Vec<Entry> {
    let letters = labels.iter().map(|text| text.chars().count()).max().unwrap_or_default();
    let wide = SAMPLE + 32 + (letters as f64 * LETTER) as i32;
    let across = ((WIDTH - LEFT) / wide).max(1);
    let first = *top + 4;
    *top += (labels.len() as i32 + across - 1) / across * ENTRY;
    let at = |nth: i32| (LEFT + nth % across * wide, first + nth / across * ENTRY);
    let entries = labels.into_iter().zip(0..);
    entries.map(|(text, nth)| Entry { text, at: at(nth) }).collect()
}

/// A line in units of the picture, in the colour and the dashes of a curve.
fn strokes(area: &Area<'_>, points: &[(f64, f64)], nth: usize) -> picture::Drawn<()> {
    let pattern: Vec<f64> = DASHES[nth % DASHES.len()]
        .iter()
        .map(|length| length * f64::from(FINE))
        .collect();
    let style = COLORS[nth % COLORS.len()].stroke_width(2 * FINE as u32);
    for stroke in dashes(points, &pattern) {
        let stroke: Vec<(i32, i32)> = stroke
            .iter()
            .map(|(x, y)| (x.round() as i32, y.round() as i32))
            .collect();
        area.draw(&PathElement::new(stroke, style)).map_err(words)?;
    }
    Ok(())
}

/// One quantity of all curves over the axis, whose name stands below where it is given.
fn panel(
    root: &Area<'_>,
    area: &Area<'_>,
    drawn: &Drawn<'_>,
    (what, axis): (&str, Option<&str>),
    of: impl Fn(&Curve) -> &[f32],
) -> picture::Drawn<()> {
    let all = drawn.curves.iter().flat_map(|curve| of(curve).iter().copied());
    let (low, high) = limits(all).ok_or_else(|| format!("the {what} is NaN or infinite everywhere"))?;
    let ends = |axis: &[f32]| Some((f64::from(*axis.first()?), f64::from(*axis.last()?)));
    let (left, right) = ends(drawn.axis).ok_or("there is no axis")?;
    let letters = |size: i32| ("sans-serif", size * FINE).into_font().color(&INK);
    let mut chart = ChartBuilder::on(area)
        .margin(8 * FINE)
        .margin_right(24 * FINE)
        .x_label_area_size(if axis.is_some() { 46 } else { 26 } * FINE)
        .y_label_area_size(72 * FINE)
        .build_cartesian_2d(left..right, low..high)
        .map_err(words)?;
    let (across, up) = (right - left, high - low);
    let (x_text, y_text) = (|x: &f64| tick(*x, across), |y: &f64| tick(*y, up));
    let mut mesh = chart.configure_mesh();
    mesh.light_line_style(TRANSPARENT)
        .bold_line_style(GRID.stroke_width(FINE as u32))
        .axis_style(INK.stroke_width(FINE as u32))
        .set_all_tick_mark_size(4 * FINE)
        .x_labels(9)
        .y_labels(7)
        .x_label_formatter(&x_text)
        .y_label_formatter(&y_text)
        .label_style(letters(12))
        .axis_desc_style(letters(13))
        .y_desc(what);
    if let Some(axis) = axis {
        mesh.x_desc(axis);
    }
    mesh.draw().map_err(words)?;
    let place = |(x, y): (f64, f64)| {
        let (x, y) = chart.plotting_area().map_coordinate(&(x, y));
        (f64::from(x), f64::from(y))
    };
    if low < 0.0 && high > 0.0 {
        let [from, to] = [left, right].map(|x| chart.plotting_area().map_coordinate(&(x, 0.0)));
        line(root, from, to, INK.stroke_width(FINE as u32))?;
    }
    for (nth, curve) in drawn.curves.iter().enumerate() {
        let points = drawn
            .axis
            .iter()
            .zip(of(curve))
            .map(|(&x, &y)| (f64::from(x), f64::from(y)));
        for part in within(&points.collect::<Vec<_>>(), (low, high)) {
            let part: Vec<(f64, f64)> = part.into_iter().map(place).collect();
            strokes(root, &part, nth)?;
        }
    }
    Ok(())
}

/// A number beside a grid line, without what binary fractions leave behind.
fn tick(x: f64, span: f64) -> String {
    let digits = (9.0 - span.log10().floor()).clamp(0.0, 17.0) as usize;
    let rounded = format!("{x:.digits$}").parse().unwrap_or(x) + 0.0;
    match rounded.abs() {
        size if size >= 1e6 || size > 0.0 && size < 1e-4 => format!("{rounded:e}"),
        _ => rounded.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::tick;

    #[test]
    fn grid_lines_have_short_numbers() {
        assert_eq!([-4.1e-17, 0.1 + 0.2, -2.0].map(|x| tick(x, 1.0)), ["0", "0.3", "-2"]);
        assert_eq!([2e6, 3.0].map(|x| tick(x, 5e6)), ["2e6", "3"]);
        assert_eq!(tick(2e-5, 1e-4), "2e-5");
    }
}
