//! Learning curves as SVG: panels side by side, whose lines share their colours.

use std::ops::Range;
use std::path::Path;

use plotters::coord::ranged1d::ValueFormatter;
use plotters::prelude::*;
use plotters::style::text_anchor::HPos;
use wgloss_shell::picture::{self, Area, BLUE, Drawn, GREEN, GRID, INK, PURPLE, VERMILION, words, write};
use wgloss_shell::{Failure, draft, print};

use super::Done;

const COLORS: [RGBColor; 4] = [BLUE, VERMILION, GREEN, PURPLE];

const PANEL: u32 = 480;
/// What a title takes.
const LEAST_WIDTH: u32 = 640;
const HEIGHT: u32 = 440;
const TOP: u32 = 96;

/// Numbers at places along x, of the line of a name.
pub struct Line {
    /// Which of the names in the picture's head it belongs to.
    pub of: usize,
    pub points: Vec<(f64, f64)>,
    /// What scatters, behind its mean.
    pub is_faint: bool,
}

pub struct Panel<'a> {
    pub title: &'a str,
    pub x: &'a str,
    /// Whether equal ratios are equal distances, upward.
    pub is_log: bool,
    pub lines: Vec<Line>,
}

impl Line {
    /// Numbers after so many steps each, or as many epochs.
    pub fn of(of: usize, numbers: &[f64], every: usize) -> Self {
        let points = numbers.iter().enumerate();
        Self {
            of,
            points: points.map(|(nth, &own)| (((nth + 1) * every) as f64, own)).collect(),
            is_faint: false,
        }
    }
}

impl<'a> Panel<'a> {
    pub fn new(title: &'a str, x: &'a str, lines: impl IntoIterator<Item = Line>) -> Self {
        Self {
            title,
            x,
            is_log: false,
            lines: lines.into_iter().collect(),
        }
    }

    pub fn log(mut self) -> Self {
        self.is_log = true;
        self
    }
}

/// Draws the picture and moves it to its place, whole.
pub fn save(place: &Path, title: &str, names: &[String], panels: &[Panel<'_>]) -> Done {
    publish(place, &svg(title, names, panels).map_err(Failure::Failed)?)
}

/// A file that is there when it is whole.
pub fn publish(place: &Path, text: &str) -> Done {
    draft::publish(vec![draft::whole("picture", place, text.as_bytes())?])?;
    print::line(&format!("drawn in {}", place.display()))
}

/// The loss of each step in epochs, faint, and its mean over each epoch.
pub fn of_losses(of: usize, losses: &[f32], per_epoch: usize) -> [Line; 2] {
    let at = |step: usize| step as f64 / per_epoch as f64;
    let each = losses.iter().zip(1..).map(|(&loss, step)| (at(step), f64::from(loss)));
    let means = losses.chunks(per_epoch).enumerate().map(|(epoch, own)| {
        let sum: f64 = own.iter().map(|&loss| f64::from(loss)).sum();
        // In the middle of what it is the mean of.
        (at(epoch * per_epoch) + at(own.len()) / 2.0, sum / own.len() as f64)
    });
    let line = |points, is_faint| Line { of, points, is_faint };
    [line(each.collect(), true), line(means.collect(), false)]
}

/// The picture, as SVG.
pub fn svg(title: &str, names: &[String], panels: &[Panel<'_>]) -> Drawn<String> {
    let size = ((PANEL * panels.len() as u32).max(LEAST_WIDTH), HEIGHT);
    picture::svg(size, 1, |root| {
        write(root, title, (20, 22), 18, HPos::Left)?;
        let step = size.0 as i32 / names.len().max(1) as i32;
        for (nth, name) in names.iter().enumerate() {
            let x = 20 + nth as i32 * step;
            let swatch = Rectangle::new([(x, 46), (x + 12, 58)], color(nth).filled());
            root.draw(&swatch).map_err(words)?;
            write(root, name, (x + 18, 52), 13, HPos::Left)?;
        }
        let (_, rest) = root.split_vertically(TOP - 24);
        for (area, panel) in rest.split_evenly((1, panels.len())).iter().zip(panels) {
            let (x, y) = (ends(panel, |point| point.0), ends(panel, |point| point.1));
            let x = 0.0..x.end;
            match panel.is_log {
                true => draw(area, panel, x, (y.start * 0.8..y.end * 1.25).log_scale())?,
                false => draw(area, panel, x, y.start..y.end + 0.05 * (y.end - y.start))?,
            }
        }
        Ok(())
    })
}

fn color(of: usize) -> RGBColor {
    COLORS[of % COLORS.len()]
}

/// The least and the largest of finite numbers; what is no range becomes one.
fn ends(panel: &Panel<'_>, of: impl Fn(&(f64, f64)) -> f64) -> Range<f64> {
    let points = panel.lines.iter().flat_map(|line| &line.points);
    let numbers = points
        .map(of)
        .filter(|own| own.is_finite() && (*own > 0.0 || !panel.is_log));
    let (least, most) = numbers.fold((f64::MAX, f64::MIN), |(a, b), own| (a.min(own), b.max(own)));
    if least < most { least..most } else { 0.5..1.0 }
}

fn draw<Y>(
    area: &Area<'_>,
    panel: &Panel<'_>,
    x: Range<f64>,
    y: impl plotters::coord::ranged1d::AsRangedCoord<CoordDescType = Y, Value = f64>,
) -> Drawn<()>
where
    Y: plotters::coord::ranged1d::Ranged<ValueType = f64> + ValueFormatter<f64>,
{
    let mut chart = ChartBuilder::on(area)
        .margin(12)
        .margin_right(24)
        .caption(panel.title, ("sans-serif", 14).into_font().color(&INK))
        .x_label_area_size(38)
        .y_label_area_size(48)
        .build_cartesian_2d(x, y)
        .map_err(words)?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(GRID)
        .axis_style(INK)
        .label_style(("sans-serif", 12).into_font().color(&INK))
        .y_labels(8)
        .x_desc(panel.x)
        .x_label_formatter(&|at| format!("{at:.0}"))
        .y_label_formatter(&|own| match panel.is_log {
            true => format!("{}", (own * 1e6).round() / 1e6),
            false => format!("{own:.2}"),
        })
        .draw()
        .map_err(words)?;
    for line in &panel.lines {
        let own = color(line.of);
        let style = match line.is_faint {
            true => own.mix(0.25).stroke_width(1),
            false => own.stroke_width(2),
        };
        let points = || line.points.iter().copied().filter(|point| point.1.is_finite());
        chart.draw_series(LineSeries::new(points(), style)).map_err(words)?;
        if !line.is_faint {
            let dots = points().map(|point| Circle::new(point, 2, own.filled()));
            chart.draw_series(dots).map_err(words)?;
        }
    }
    Ok(())
}
