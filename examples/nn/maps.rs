//! Pictures of pixels, side by side, as SVG.

use std::path::Path;

use plotters::prelude::*;
use plotters::style::text_anchor::HPos;
use wgloss_shell::Failure;
use wgloss_shell::picture::{self, Drawn, INK, words, write};

use super::Done;
use super::curve::publish;

/// Of one pixel, and of the space around a map.
const PIXEL: i32 = 6;
const MARGIN: i32 = 20;
const TOP: i32 = 40;

/// Square maps of so many pixels a side, each below its title.
pub fn save(place: &Path, size: usize, maps: &[(&str, Vec<[u8; 3]>)]) -> Done {
    let text = svg(size as i32, maps).map_err(Failure::Failed)?;
    publish(place, &text)
}

fn svg(size: i32, maps: &[(&str, Vec<[u8; 3]>)]) -> Drawn<String> {
    let step = size * PIXEL + MARGIN;
    let whole = ((MARGIN + step * maps.len() as i32) as u32, (TOP + step) as u32);
    picture::svg(whole, 1, |root| {
        for (nth, (title, colors)) in maps.iter().enumerate() {
            let left = MARGIN + nth as i32 * step;
            write(root, title, (left, TOP / 2), 14, HPos::Left)?;
            for (at, &[red, green, blue]) in colors.iter().enumerate() {
                let (x, y) = (left + at as i32 % size * PIXEL, TOP + at as i32 / size * PIXEL);
                let pixel = Rectangle::new([(x, y), (x + PIXEL, y + PIXEL)], RGBColor(red, green, blue).filled());
                root.draw(&pixel).map_err(words)?;
            }
            let frame = [(left, TOP), (left + size * PIXEL, TOP + size * PIXEL)];
            root.draw(&Rectangle::new(frame, INK.stroke_width(1))).map_err(words)?;
        }
        Ok(())
    })
}
