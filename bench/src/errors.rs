//! How far results are from what they should be.

use serde_json::{Value, json};
use wgloss::Dtype;
use wgloss::precision::{FLUSHED, rounded, ulp};

/// The error allowed, relative to the value and to the size of its tensor.
const TOLERANCE: f64 = 1e-5;

/// The largest errors seen.
#[derive(Clone, Default)]
pub struct Worst {
    pub absolute: f64,
    /// Over elements that are not tiny beside their tensor: of those that are, only the absolute error matters.
    pub relative: f64,
    pub ulps: f64,
    /// The largest error beside the one allowed, both without the rounding to the dtype, and the case it was in.
    pub share: f64,
    pub at: String,
}

impl Worst {
    pub fn json(&self) -> Value {
        json!({
            "absolute": self.absolute, "relative": self.relative, "ulps": self.ulps, "share": self.share, "at": self.at,
        })
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

/// What a number of a dtype adds to the error allowed: half of its last digit, rounded away.
fn rounding(dtype: Dtype, want: f64) -> f64 {
    match dtype {
        // The smallest subnormal numbers are 2^-24 apart, where an error may tip the rounding.
        Dtype::F16 => (want.abs() * 2f64.powi(-11)).max(2f64.powi(-24)),
        Dtype::Bf16 => want.abs() * 2f64.powi(-8),
        _ => 0.0,
    }
}

/// Compares numbers of a dtype with their reference, and adds to the largest errors. `slack` is a further error allowed
/// for each number.
pub fn compare(got: &[f32], dtype: Dtype, want: &[f64], slack: Option<&[f64]>, worst: &mut Worst) -> Option<Miss> {
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
        let ulps = error / ulp(dtype, want);
        let usual = TOLERANCE * (want.abs() + floor) + FLUSHED + rounding(dtype, want);
        let allowed = usual + slack.map_or(0.0, |slack| slack[index]);
        // NaN fits only NaN, an infinity only itself, which is also what a dtype makes of values beyond its range.
        let fits = if want.is_nan() {
            got.is_nan()
        } else if got.is_infinite() || rounded(dtype, want).is_infinite() {
            f64::from(got) == rounded(dtype, want + want.signum() * usual)
        } else {
            error <= allowed
        };
        if !fits {
            count += 1;
            first.get_or_insert((index, got, want, ulps));
        }
        if want.is_finite() && error <= usual {
            worst.absolute = worst.absolute.max(error);
            // Without what every number of the dtype is allowed for being one.
            let half_ulp = rounding(dtype, want);
            worst.share = worst.share.max((error - half_ulp).max(0.0) / (usual - half_ulp));
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

#[cfg(test)]
mod tests {
    use super::*;

    fn fits(got: &[f32], want: &[f64]) -> bool {
        compare(got, Dtype::F32, want, None, &mut Worst::default()).is_none()
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
    fn halves_are_allowed_their_rounding() {
        let fits = |dtype, got: f32, want: f64| compare(&[got], dtype, &[want], None, &mut Worst::default()).is_none();
        assert!(
            fits(Dtype::F16, 1.0, 1.000_48) && !fits(Dtype::F16, 1.0, 1.000_53) && !fits(Dtype::F32, 1.0, 1.000_48)
        );
        assert!(fits(Dtype::Bf16, 1.0, 1.003_9) && !fits(Dtype::Bf16, 1.0, 1.004));
        assert!(fits(Dtype::F16, f32::INFINITY, 65_520.0) && !fits(Dtype::F16, f32::INFINITY, 60_000.0));
        assert!(fits(Dtype::F16, 0.0, 3e-8) && !fits(Dtype::F16, 0.0, 1e-6));
        assert_eq!(
            (ulp(Dtype::F16, 1.0), ulp(Dtype::Bf16, -3.0)),
            (2f64.powi(-10), 2f64.powi(-6))
        );
    }

    #[test]
    fn an_ulp_is_the_spacing_of_f32() {
        let mut worst = Worst::default();
        assert!(compare(&[1.0 + f32::EPSILON], Dtype::F32, &[1.0], None, &mut worst).is_none());
        assert_eq!(worst.ulps, 1.0);
    }
}
