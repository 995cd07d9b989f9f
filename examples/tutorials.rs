//! What tutorials on losses print, input by input, as wgloss computes it: the program fails where ours are other values.
//!
//! `cargo run --release --example tutorials`

use wgloss::functional::{bce, cross_entropy, l1, mse, nll, sigmoid_focal, smooth_l1};
use wgloss::{Bce, CrossEntropy, Engine, L1, Mode, Mse, Nll, Reduction, Result, SigmoidFocal, SmoothL1, Values};

/// Tells what came of a listing, and compares it with what the tutorial prints.
fn told(what: &str, values: Result<Values>, printed: &[f32]) -> Result<()> {
    let got = values?.loss.map(|loss| loss.data).unwrap_or_default();
    println!("{what:<58} {got:?}");
    let is_close = |(got, want): (&f32, &f32)| (got - want).abs() <= 1e-5 * want.abs() + 1e-12;
    let is_same = got.len() == printed.len() && got.iter().zip(printed).all(is_close);
    assert!(is_same, "{what}: the tutorial has {printed:?}");
    Ok(())
}

/// Losses of numbers.
fn numbers(engine: &Engine) -> Result<()> {
    let (x, y) = ((&[2.0f32, 3.0, 4.0, 5.0][..], [4]), (&[4.0f32, 5.0, 6.0, 7.0][..], [4]));
    told(
        "l1 of (2, 3, 4, 5) and (4, 5, 6, 7)",
        l1(engine, x, y, &L1::default(), Mode::Forward),
        &[2.0],
    )?;
    told(
        "mse of the same",
        mse(engine, x, y, &Mse::default(), Mode::Forward),
        &[4.0],
    )?;

    let (x, y) = (
        (&[1.0f32, 2.0, 3.0, 4.0][..], [2, 2]),
        (&[5.0f32, 6.0, 7.0, 8.0][..], [2, 2]),
    );
    let reduction = Reduction::Sum;
    told(
        "l1, sum, of ((1, 2), (3, 4)) and ((5, 6), (7, 8))",
        l1(engine, x, y, &L1 { reduction }, Mode::Forward),
        &[16.0],
    )?;
    told(
        "mse of the same",
        mse(engine, x, y, &Mse { reduction }, Mode::Forward),
        &[64.0],
    )?;
    let smooth = SmoothL1 {
        reduction,
        ..Default::default()
    };
    told(
        "smooth_l1 of the same",
        smooth_l1(engine, x, y, &smooth, Mode::Forward),
        &[14.0],
    )
}

/// One class of many.
fn classes(engine: &Engine) -> Result<()> {
    let plain = CrossEntropy::default();
    let (scores, class) = ((&[0.1f32, 0.2, 0.3][..], [1, 3]), (&[1i64][..], [1]));
    let by_hand = -0.2 + (0.1f32.exp() + 0.2f32.exp() + 0.3f32.exp()).ln();
    assert!((by_hand - 1.10194).abs() < 1e-5);
    told(
        "cross_entropy of (0.1, 0.2, 0.3), class 1",
        cross_entropy(engine, scores, class, &plain, Mode::Forward),
        &[1.10194],
    )?;

    let log_p = (&[0.1f32, 0.2, 99.5, 1.3, 2.4, 0.4][..], [2, 3]);
    let each = Nll {
        reduction: Reduction::None,
        ..Default::default()
    };
    told(
        "nll, none, of two rows, classes 2 and 0",
        nll(engine, log_p, (&[2i64, 0][..], [2]), &each, Mode::Forward),
        &[-99.5, -1.3],
    )?;

    // Both classes have nearly all of the probability: the loss is 0, and what is left is that of the smoothing.
    let scores = (&[9.0f32, 5.0, 8.0, 67.0, 11.0, 6.0, 75.0, 8.0, 4.0, 7.0][..], [2, 5]);
    let classes = (&[3i64, 1][..], [2]);
    let one_hot = (&[0.0f32, 0.0, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0][..], [2, 5]);
    for (label_smoothing, printed) in [(0.0, 0.0), (0.2, 10.2)] {
        let loss = CrossEntropy {
            label_smoothing,
            ..Default::default()
        };
        let what = |targets| format!("cross_entropy, smoothing {label_smoothing}, of two rows, {targets}");
        let values = cross_entropy(engine, scores, classes, &loss, Mode::Forward);
        told(&what("classes 3 and 1"), values, &[printed])?;
        told(
            &what("one-hot"),
            cross_entropy(engine, scores, one_hot, &loss, Mode::Forward),
            &[printed],
        )?;
    }
    Ok(())
}

/// Two classes.
fn probabilities(engine: &Engine) -> Result<()> {
    let each = Bce {
        reduction: Reduction::None,
        ..Default::default()
    };
    let (p, t) = ((&[0.9f32, 0.1][..], [2]), (&[0.0f32, 1.0][..], [2]));
    told(
        "bce, none, of (0.9, 0.1) and (0, 1)",
        bce(engine, p, t, &each, Mode::Forward),
        &[std::f32::consts::LN_10; 2],
    )?;

    let (x, t) = (
        (&[1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0][..], [2, 3]),
        (&[0.0f32, 0.0, 1.0, 0.0, 0.0, 1.0][..], [2, 3]),
    );
    let printed = [0.526401, 1.237559, 2.732083e-5, 2.90618, 3.704941, 3.784001e-9];
    let focal = SigmoidFocal::default();
    told(
        "sigmoid_focal of ((1, 2, 3), (4, 5, 6))",
        sigmoid_focal(engine, x, t, &focal, Mode::Forward),
        &printed,
    )
}

/// Every listing.
pub fn listings(engine: &Engine) -> Result<()> {
    numbers(engine)?;
    classes(engine)?;
    probabilities(engine)
}

#[allow(dead_code, reason = "tests take the listings alone")]
fn main() -> Result<()> {
    let engine = Engine::new().unwrap_or_else(|_| Engine::cpu());
    println!("on {}", engine.name());
    listings(&engine)
}
