//! How far results are from what they should be.

use serde_json::{Value, json};

/// The error allowed, relative to the value and to the size of its tensor.
const TOLERANCE: f64 = 1e-5;

/// Below the smallest normal f32 a GPU may flush to 0.
const FLUSHED: f64 = f32::MIN_POSITIVE as f64;

/// The largest errors seen.
#[derive(Clone, Copy, Default)]
pub struct Worst {
    pub absolute: f64,
    /// Over elements that are not tiny beside their tensor: of those that are, only the absolute error matters.
    pub relative: f64,
    pub ulps: f64,
}

impl Worst {
    pub fn merge(&mut self, other: &Self) {
        self.absolute = self.absolute.max(other.absolute);
        self.relative = self.relative.max(other.relative);
        self.ulps = self.ulps.max(other.ulps);
    }

    pub fn json(&self) -> Value {
        json!({ "absolute": self.absolute, "relative": self.relative, "ulps": self.ulps })
    }
}

/// What does not fit.
pub enum Miss {
    Length {
        got: usize,
        want: usize,
    },
    /// The first element beyond the tolerance, and how many there are.
    Values {
        count: usize,
        index: usize,
        got: f32,
        want: f64,
        ulps: f64,
    },
}

/// Compares a tensor with its reference, and adds to the largest errors.
pub fn compare(got: &[f32], want: &[f64], worst: &mut Worst) -> Option<Miss> {
    if got.len() != want.len() {
        return Some(Miss::Length {
            got: got.len(),
            want: want.len(),
        });
    }
    let largest = want
        .iter()
        .copied()
        .filter(|x| x.is_finite())
        .fold(0.0, |a: f64, x| a.max(x.abs()));
    let floor = largest.min(1.0);
    let (mut count, mut first) = (0, None);
    for (index, (&got, &want)) in got.iter().zip(want).enumerate() {
        let error = (f64::from(got) - want).abs();
        let ulps = error / ulp(want);
        // NaN fits only NaN, an infinity only itself, which is also what f32 makes of values beyond its range.
        let fits = if want.is_nan() {
            got.is_nan()
        } else if (want as f32).is_infinite() {
            got == want as f32
        } else {
            error <= TOLERANCE * (want.abs() + floor) + FLUSHED
        };
        if !fits {
            count += 1;
            first.get_or_insert((index, got, want, ulps));
        }
        if want.is_finite() && error.is_finite() {
            worst.absolute = worst.absolute.max(error);
            if want.abs() >= (1e-3 * floor).max(FLUSHED) {
                worst.relative = worst.relative.max(error / want.abs());
                worst.ulps = worst.ulps.max(ulps);
            }
        }
    }
    first.map(|(index, got, want, ulps)| Miss::Values {
        count,
        index,
        got,
        want,
        ulps,
    })
}

/// The distance from a value, rounded to f32, to the next larger one.
fn ulp(x: f64) -> f64 {
    let near = (x as f32).abs();
    if near >= f32::MAX || near.is_nan() {
        return f64::NAN;
    }
    f64::from(f32::from_bits(near.to_bits() + 1)) - f64::from(near)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fits(got: &[f32], want: &[f64]) -> bool {
        compare(got, want, &mut Worst::default()).is_none()
    }

    #[test]
    fn small_errors_fit_and_large_ones_do_not() {
        assert!(fits(&[1.0, 1e-9], &[1.000_01, 0.0]));
        assert!(!fits(&[1.0, 0.0], &[1.000_1, 0.0]));
        // Relative to a tensor that is small as a whole.
        assert!(!fits(&[1.1e-8], &[1e-8]));
        assert!(fits(&[0.0], &[1e-300]));
        assert!(!fits(&[1.0], &[1.0, 2.0]));
    }

    #[test]
    fn nan_and_infinities_fit_only_themselves() {
        let (nan, inf) = (f32::NAN, f32::INFINITY);
        assert!(fits(&[nan, inf, -inf], &[f64::NAN, f64::INFINITY, f64::NEG_INFINITY]));
        assert!(!fits(&[nan], &[1.0]) && !fits(&[1.0], &[f64::NAN]));
        assert!(!fits(&[inf], &[f64::NEG_INFINITY]) && !fits(&[inf], &[1.0]) && !fits(&[3e38], &[f64::INFINITY]));
    }

    #[test]
    fn an_ulp_is_the_spacing_of_f32() {
        let mut worst = Worst::default();
        assert!(compare(&[1.0 + f32::EPSILON], &[1.0], &mut worst).is_none());
        assert_eq!(worst.ulps, 1.0);
    }
}
