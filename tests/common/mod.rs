//! What the tests share: the engine, the tolerance, data that hurts.

pub mod against;
pub mod cases;
pub mod data;
pub mod elsewhere;
pub mod engine;
pub mod own;
pub mod plans;

use wgloss::{Array, Dtype, Values};

pub use engine::{gpu, hardware};

/// The rule that results are judged by: `bound · (|want| + min(1, largest |want| of the tensor))`. An f32 computation
/// makes an error relative to its own size, and a small one relative to the numbers it is made of, which those of its
/// tensor stand for. NaN equals only NaN, an infinity only itself.
#[derive(Clone, Copy, Debug)]
pub struct Tolerance {
    pub bound: f64,
}

/// What f32 results have to keep.
pub const F32: Tolerance = Tolerance { bound: 1e-5 };

impl Tolerance {
    /// Every element of `got` against `want`; the message names the worst.
    pub fn check(self, what: &str, got: &[f32], want: &[f64]) -> Result<(), String> {
        self.check_as(Dtype::F32, what, got, want)
    }

    /// The same of results in a dtype of their own. 16-bit ones are f32 results rounded: they lie between the roundings
    /// of the least and the most that f32 may be, which is its tolerance and half an ulp of theirs.
    pub fn check_as(self, dtype: Dtype, what: &str, got: &[f32], want: &[f64]) -> Result<(), String> {
        if got.len() != want.len() {
            return Err(format!("{what}: {} elements, expected {}", got.len(), want.len()));
        }
        let finite = want.iter().filter(|w| w.is_finite());
        let largest = finite.fold(0.0f64, |m, w| m.max(w.abs())).min(1.0);
        let mut worst: Option<(f64, usize)> = None; // NaN counts as infinitely far
        let mut failures = 0;
        for (i, (&g, &w)) in got.iter().zip(want).enumerate() {
            let g64 = f64::from(g);
            let allowed = self.bound * (w.abs() + largest);
            let fine = wgloss::precision::admits(dtype, g, w, allowed);
            if !fine {
                failures += 1;
                let over = (g64 - w).abs() / allowed;
                let over = if over.is_nan() { f64::INFINITY } else { over };
                if worst.is_none_or(|(most, _)| over > most) {
                    worst = Some((over, i));
                }
            }
        }
        match worst {
            None => Ok(()),
            Some((over, i)) => Err(format!(
                "{what}: {failures} of {} elements of {dtype}; worst [{i}]: got {:e}, want {:e}, {over:.1} times the \
                 tolerance of f32, {} ulps; adapter {}",
                got.len(),
                got[i],
                want[i],
                ulps(got[i], want[i] as f32),
                engine::describe(gpu()),
            )),
        }
    }

    /// An array against the numbers of the reference; `None` against no numbers.
    pub fn compare(self, what: &str, got: &Option<Array>, want: &[f64]) -> Result<(), String> {
        match got {
            Some(array) => self.check_as(array.dtype, what, &array.data, want),
            None => Err(format!("{what}: missing")),
        }
    }
}

fn ulps(a: f32, b: f32) -> i64 {
    let key = |x: f32| {
        let bits = i64::from(x.to_bits() & 0x7fff_ffff);
        if x.is_sign_negative() { -bits } else { bits }
    };
    (key(a) - key(b)).abs()
}

/// The long forms of properties are asked for: `tests/run.sh --all-adapters` sets `WGLOSS_TEST_LONG=1`.
pub fn is_long() -> bool {
    std::env::var("WGLOSS_TEST_LONG").is_ok_and(|long| long == "1")
}

/// Whether a sweep takes the combination at this place: each of them in its long form, otherwise one of `every` so
/// many. Compiling takes most of a test's time, and a combination of choices that other combinations have, too, is a
/// pipeline more.
pub fn takes(place: usize, every: usize) -> bool {
    is_long() || place.is_multiple_of(every)
}

/// Fails with all messages at once.
pub fn report(failures: Vec<String>, total: usize) {
    assert!(
        failures.is_empty(),
        "{} of {total} failed:\n{}",
        failures.len(),
        failures
            .iter()
            .take(std::env::var("SHOWN").map_or(20, |n| n.parse().unwrap()))
            .cloned()
            .collect::<Vec<_>>()
            .join("\n")
    );
}

/// All outputs as bits.
pub fn bits(values: &Values) -> Vec<u32> {
    let single = [
        &values.loss,
        &values.grad_input,
        &values.z_loss,
        &values.lse,
        &values.entropy,
    ];
    let floats = single
        .into_iter()
        .flatten()
        .chain(values.grads.iter().map(|(_, grad)| grad));
    let mut all: Vec<u32> = floats
        .flat_map(|array| array.data.iter().map(|v| v.to_bits()))
        .collect();
    all.extend(
        values
            .argmax
            .iter()
            .flat_map(|array| array.data.iter().map(|&i| i as u32)),
    );
    all.extend(values.correct.map(|n| n as u32));
    all
}

#[test]
fn the_tolerance_refuses_what_it_should() {
    let fails = |got: &[f32], want: &[f64]| F32.check("", got, want).is_err();
    assert!(!fails(&[1.0, 0.0], &[1.0, 0.0]));
    assert!(fails(&[1.0, 3e-5], &[1.0, 0.0]), "too far from 0");
    assert!(
        fails(&[1e-6, 2e-6], &[1e-6, 1.9e-6]),
        "small tensors are judged by their own size"
    );
    assert!(fails(&[f32::NAN], &[0.0]) && fails(&[0.0], &[f64::NAN]));
    assert!(fails(&[f32::INFINITY], &[f64::NEG_INFINITY]) && fails(&[f32::MAX], &[f64::INFINITY]));
    assert!(fails(&[1.0], &[1.0, 1.0]), "lengths");
    // Of f16, the neighbours of 1.0004 are 1 and 1.0009765625; 65519 rounds to 65504, 65521 to infinity.
    let half = |got: f32, want: f64| F32.check_as(Dtype::F16, "", &[got], &[want]).is_ok();
    assert!(half(1.0, 1.0004) && !half(1.000_976_6, 1.0004) && !half(1.0004, 1.0004));
    assert!(half(65504.0, 65510.0) && half(f32::INFINITY, 65530.0) && !half(65504.0, 65530.0));
}
