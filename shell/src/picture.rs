//! How pictures look: SVG, in colours that colour-blind people tell apart and that differ in grey, too.

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

pub type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
/// What a drawing to memory may have wrong, in words.
pub type Drawn<T> = Result<T, String>;

/// Of Okabe and Ito, without their yellow, which white paper swallows.
pub const BLUE: RGBColor = RGBColor(0, 114, 178);
pub const VERMILION: RGBColor = RGBColor(213, 94, 0);
pub const GREEN: RGBColor = RGBColor(0, 158, 115);
pub const PURPLE: RGBColor = RGBColor(204, 121, 167);
pub const ORANGE: RGBColor = RGBColor(230, 159, 0);
pub const SKY: RGBColor = RGBColor(86, 180, 233);
pub const INK: RGBColor = RGBColor(45, 55, 72);
pub const GRID: RGBColor = RGBColor(226, 232, 240);

/// A picture of so many pixels, each drawn as `fine` by `fine` units: the backend knows whole units only, in which
/// curves have steps.
///
/// # Errors
/// What the drawing library refuses.
pub fn svg((wide, high): (u32, u32), fine: u32, draw: impl FnOnce(&Area<'_>) -> Drawn<()>) -> Drawn<String> {
    let mut text = String::new();
    {
        let root = SVGBackend::with_string(&mut text, (wide * fine, high * fine)).into_drawing_area();
        root.fill(&WHITE).map_err(words)?;
        draw(&root)?;
        root.present().map_err(words)?;
    }
    let size = |fine: u32| format!("width=\"{}\" height=\"{}\"", wide * fine, high * fine);
    Ok(text.replacen(&size(fine), &size(1), 1))
}

pub fn words(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// Text whose middle is at this height.
///
/// # Errors
/// What the drawing library refuses.
pub fn write(area: &Area<'_>, text: &str, at: (i32, i32), size: i32, anchor: HPos) -> Drawn<()> {
    let style = TextStyle::from(("sans-serif", size).into_font())
        .color(&INK)
        .pos(Pos::new(anchor, VPos::Center));
    area.draw_text(text, &style, at).map_err(words)
}

/// # Errors
/// What the drawing library refuses.
pub fn line(area: &Area<'_>, from: (i32, i32), to: (i32, i32), style: impl Into<ShapeStyle>) -> Drawn<()> {
    area.draw(&PathElement::new([from, to], style)).map_err(words)
}
