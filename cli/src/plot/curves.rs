//! Curves as the strokes that they are drawn with.

type Point = (f64, f64);

/// From where to where numbers are shown: all of them, but for ends that run away (to an infinity, say) from the rest.
pub fn limits(numbers: impl Iterator<Item = f32>) -> Option<(f64, f64)> {
    let mut all: Vec<f64> = numbers.filter(|x| x.is_finite()).map(f64::from).collect();
    all.sort_by(f64::total_cmp);
    let (least, most) = (*all.first()?, *all.last()?);
    let at = |share: f64| all[(share * (all.len() - 1) as f64) as usize];
    let (low, high) = (at(0.02), at(0.98));
    let span = high - low;
    let far = 4.0 * span;
    let low = if span > 0.0 && low - least > far {
        low - span / 2.0
    } else {
        least
    };
    let high = if span > 0.0 && most - high > far {
        high + span / 2.0
    } else {
        most
    };
    let room = if high > low { 0.06 * (high - low) } else { 1.0 };
    Some((low - room, high + room))
}

/// The parts of a curve that are numbers between the limits.
pub fn within(points: &[Point], (low, high): (f64, f64)) -> Vec<Vec<Point>> {
    let mut parts: Vec<Vec<Point>> = Vec::new();
    for pair in points.windows(2) {
        let [a, b] = [pair[0], pair[1]];
        let is_out = |edge: f64, sign: f64| sign * (a.1 - edge) > 0.0 && sign * (b.1 - edge) > 0.0;
        if !a.1.is_finite() || !b.1.is_finite() || is_out(high, 1.0) || is_out(low, -1.0) {
            continue;
        }
        // Where the stroke has this height.
        let cut = |point: Point| {
            let y = point.1.clamp(low, high);
            let x = if y == point.1 {
                point.0
            } else {
                a.0 + (b.0 - a.0) * (y - a.1) / (b.1 - a.1)
            };
            (x, y)
        };
        match parts.last_mut() {
            Some(part) if part.last() == Some(&cut(a)) => part.push(cut(b)),
            _ => parts.push(vec![cut(a), cut(b)]),
        }
    }
    parts
}

/// Cuts a line into dashes: `pattern` has the lengths of strokes and gaps in turns; empty, there are no gaps.
pub fn dashes(points: &[Point], pattern: &[f64]) -> Vec<Vec<Point>> {
    let Some((&first, &whole)) = points.first().zip(pattern.first()) else {
        return vec![points.to_vec()];
    };
    let (mut strokes, mut stroke) = (Vec::new(), vec![first]);
    let (mut nth, mut left) = (0, whole);
    for pair in points.windows(2) {
        let [mut a, b] = [pair[0], pair[1]];
        loop {
            let length = (b.0 - a.0).hypot(b.1 - a.1);
            let is_stroke = nth % 2 == 0;
            if length < left {
                left -= length;
                if is_stroke {
                    stroke.push(b);
                }
                break;
            }
            let share = left / length;
            a = (a.0 + share * (b.0 - a.0), a.1 + share * (b.1 - a.1));
            if is_stroke {
                stroke.push(a);
                strokes.push(std::mem::take(&mut stroke));
            } else {
                stroke = vec![a];
            }
            nth += 1;
            left = pattern[nth % pattern.len()];
        }
    }
    if stroke.len() > 1 {
        strokes.push(stroke);
    }
    strokes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_that_run_away_are_not_shown() {
        let plain = |list: &[f32]| limits(list.iter().copied());
        assert_eq!(plain(&[0.0, f32::NAN, 100.0, f32::INFINITY]), Some((-6.0, 106.0)));
        assert_eq!(plain(&[2.0, 2.0]), Some((1.0, 3.0)));
        assert_eq!(plain(&[f32::NAN]), None);
        let steep = (0..=1000).map(|i| if i == 1000 { 1e12 } else { i as f32 });
        let (low, high) = limits(steep).unwrap();
        assert!(low < 0.0 && (1000.0..2000.0).contains(&high), "{low} {high}");
    }

    #[test]
    fn lines_end_at_the_limits() {
        let points = [
            (0.0, 0.0),
            (1.0, 2.0),
            (2.0, 0.0),
            (3.0, f64::NAN),
            (4.0, 5.0),
            (5.0, 5.0),
            (6.0, 0.0),
        ];
        let parts = within(&points, (-1.0, 1.0));
        assert_eq!(
            parts,
            [
                vec![(0.0, 0.0), (0.5, 1.0)],
                vec![(1.5, 1.0), (2.0, 0.0)],
                vec![(5.8, 1.0), (6.0, 0.0)]
            ]
        );
    }

    #[test]
    fn dashes_go_around_corners() {
        let corner = [(0.0, 0.0), (4.0, 0.0), (4.0, 4.0)];
        assert_eq!(
            dashes(&corner, &[3.0, 0.5, 2.0, 1.0]),
            [
                vec![(0.0, 0.0), (3.0, 0.0)],
                vec![(3.5, 0.0), (4.0, 0.0), (4.0, 1.5)],
                vec![(4.0, 2.5), (4.0, 4.0)]
            ]
        );
        assert_eq!(dashes(&corner, &[]), [corner.to_vec()]);
    }
}
