//! The largest errors as a picture: of each loss and dtype, beside what is allowed.

use plotters::prelude::*;
use plotters::style::text_anchor::HPos;
use wgloss::Dtype;
use wgloss_shell::picture::{self, Area, Drawn, GRID, INK, line, words, write};

use super::run::Outcome;
use super::sums::Sum;

const WIDTH: i32 = 820;
/// From the names to the axis, and from its end to the edge.
const NAMES: i32 = 190;
const BEHIND: i32 = 150;
const TOP: i32 = 118;
const BOTTOM: i32 = 56;
/// Of one dtype, and between losses.
const LANE: i32 = 13;
const GAP: i32 = 9;
/// The least share of the axis: what is below stands at its begin.
const LEAST: f64 = 1e-4;

/// A loss with its lanes.
struct Group {
    name: &'static str,
    lanes: Vec<Lane>,
}

struct Lane {
    dtype: Dtype,
    /// The largest error beside the one allowed; `None` where a case failed.
    share: Option<f64>,
    text: String,
}

/// The picture, as SVG. `told` says on what the errors were seen.
pub fn svg(told: [&str; 2], outcomes: &[&Outcome], sums: &[Sum]) -> Drawn<String> {
    let groups = groups(outcomes, sums);
    let high = |group: &Group| group.lanes.len() as i32 * LANE + GAP;
    let end = TOP + groups.iter().map(high).sum::<i32>();
    picture::svg((WIDTH as u32, (end + BOTTOM) as u32), 1, |root| {
        write(root, told[0], (20, 22), 20, HPos::Left)?;
        write(root, told[1], (20, 46), 13, HPos::Left)?;
        let mut x = 20;
        for dtype in Dtype::FLOATS {
            mark(root, (x + 5, 74), dtype)?;
            write(root, dtype.name(), (x + 18, 74), 13, HPos::Left)?;
            x += 76;
        }
        axis(root, end)?;
        let mut y = TOP;
        for group in &groups {
            let middle = y + group.lanes.len() as i32 * LANE / 2;
            write(root, group.name, (NAMES - 14, middle), 12, HPos::Right)?;
            for (nth, lane) in (0..).zip(&group.lanes) {
                draw(root, lane, y + nth * LANE + LANE / 2)?;
            }
            y += high(group);
        }
        Ok(())
    })
}

fn groups(outcomes: &[&Outcome], sums: &[Sum]) -> Vec<Group> {
    let mut list: Vec<Group> = Vec::new();
    for own in outcomes {
        let worst = own.worst.iter().max_by(|a, b| a.1.share.total_cmp(&b.1.share));
        let lane = match (own.failures.len(), worst) {
            (0, Some((of, worst))) => Lane {
                dtype: own.dtype,
                share: Some(worst.share),
                text: format!("{} ({of})", number(worst.share)),
            },
            (failed, _) => Lane {
                dtype: own.dtype,
                share: None,
                text: format!("{failed} of {} failed", own.cases),
            },
        };
        match list.last_mut().filter(|group| group.name == own.name) {
            Some(group) => group.lanes.push(lane),
            None => list.push(Group {
                name: own.name,
                lanes: vec![lane],
            }),
        }
    }
    let worst = sums.iter().max_by(|a, b| a.share().total_cmp(&b.share()));
    list.extend(worst.map(|sum| Group {
        name: "long sums",
        lanes: vec![Lane {
            dtype: Dtype::F32,
            share: sum.passes().then_some(sum.share()),
            text: number(sum.share()),
        }],
    }));
    list
}

fn number(share: f64) -> String {
    match share {
        0.0 => "0".into(),
        share if share < 1e-3 => format!("{share:.0e}"),
        share => format!("{share:.3}"),
    }
}

/// Where a share stands.
fn place(share: f64) -> i32 {
    let part = (share.max(LEAST).log10() - LEAST.log10()) / -LEAST.log10();
    NAMES + (part * f64::from(WIDTH - NAMES - BEHIND)) as i32
}

fn axis(root: &Area<'_>, end: i32) -> Drawn<()> {
    for power in [-4, -3, -2, -1] {
        let share = 10f64.powi(power);
        let x = place(share);
        line(root, (x, TOP - 8), (x, end), GRID.stroke_width(1))?;
        let text = if power == -4 {
            "0.0001 or less".into()
        } else {
            share.to_string()
        };
        write(root, &text, (x, end + 12), 12, HPos::Center)?;
    }
    line(root, (place(1.0), TOP - 8), (place(1.0), end), INK.stroke_width(2))?;
    write(root, "1", (place(1.0), end + 12), 12, HPos::Center)?;
    write(root, "allowed", (place(1.0), TOP - 18), 13, HPos::Center)?;
    let middle = (NAMES + place(1.0)) / 2;
    write(
        root,
        "largest error, as a share of the one allowed",
        (middle, end + 36),
        13,
        HPos::Center,
    )
}

fn draw(root: &Area<'_>, lane: &Lane, y: i32) -> Drawn<()> {
    let beyond = place(1.0) + 14;
    // In a column of their own, where no other stroke goes through them.
    write(root, &lane.text, (beyond + 14, y), 11, HPos::Left)?;
    let Some(share) = lane.share else {
        let cross = Cross::new((beyond, y), 4, picture::VERMILION.stroke_width(2));
        return root.draw(&cross).map_err(words);
    };
    let x = place(share);
    line(root, (NAMES, y), (x, y), color(lane.dtype).stroke_width(1))?;
    mark(root, (x, y), lane.dtype)
}

fn color(dtype: Dtype) -> RGBColor {
    match dtype {
        Dtype::F16 => picture::VERMILION,
        Dtype::Bf16 => picture::GREEN,
        _ => picture::BLUE,
    }
}

/// A mark for each dtype, by its form as by its colour.
fn mark(root: &Area<'_>, (x, y): (i32, i32), dtype: Dtype) -> Drawn<()> {
    let style = color(dtype).filled();
    let drawn = match dtype {
        Dtype::F16 => root.draw(&TriangleMarker::new((x, y), 5, style)),
        Dtype::Bf16 => root.draw(&Rectangle::new([(x - 4, y - 4), (x + 4, y + 4)], style)),
        _ => root.draw(&Circle::new((x, y), 4, style)),
    };
    drawn.map_err(words)
}

#[cfg(test)]
mod tests {
    use wgloss::REGISTRY;

    use super::*;

    #[test]
    fn failures_stand_beyond_what_is_allowed() {
        let mut failed = Outcome::new(REGISTRY[0].name, Dtype::F16, &["loss"]);
        failed.cases = 7;
        failed.failures.push("a case".into());
        let outcomes = [Outcome::new(REGISTRY[0].name, Dtype::F32, &["loss"]), failed];
        let outcomes = outcomes.each_ref();
        let text = svg(["title", "place"], &outcomes, &[]).unwrap();
        for word in [
            "title\n",
            "place\n",
            "l1\n",
            "0 (statistics)\n",
            "1 of 7 failed\n",
            "allowed\n",
        ] {
            assert_eq!(text.contains(word), word != "0 (statistics)\n", "{word}");
        }
        assert!(place(0.0) == NAMES && place(1.0) == WIDTH - BEHIND);
        assert_eq!([0.0, 5e-4, 0.0312].map(number), ["0", "5e-4", "0.031"]);
    }
}
