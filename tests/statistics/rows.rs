//! Rows without probabilities or with far logits, and those without a good label.

use wgloss::{Call, CrossEntropy, Engine, Error, Loss, Mode, Tensor};

use super::case;
use crate::common::against::against_reference;
use crate::common::cases::{Setup, Style};
use crate::common::data::Wild;
use crate::common::own::values;
use crate::common::{gpu, hardware, report};

/// A row without probabilities has no gradient but NaN, unless none is asked for: then 0, where its label is ignored.
#[test]
fn rows_without_probabilities() {
    const BROKEN: [f32; 3] = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY];
    for cols in [4usize, 70, 5000] {
        let mut x: Vec<f32> = (0..6 * cols).map(|i| (i % 7) as f32 * 0.5).collect();
        for (row, with) in BROKEN.into_iter().enumerate() {
            for half in [0, 3] {
                let row = &mut x[(row + half) * cols..][..cols];
                if with == f32::NEG_INFINITY {
                    row.fill(with);
                } else {
                    row[cols / 2] = with;
                }
            }
        }
        let x = Tensor::new(&x, &[6, cols]).unwrap();
        let t = Tensor::new(&[-100i64; 6], &[6]).unwrap();
        let by = Tensor::new(&[0.0f32, 0.0, 0.0, 1.0, 1.0, 1.0], &[6]).unwrap();
        let ways = [(true, false), (false, true), (true, true)];
        for ((lse, entropy), softcap) in ways.into_iter().flat_map(|way| [0.0, 30.0].map(|cap| (way, cap))) {
            let call = Call {
                grad_lse: lse.then_some(&by),
                grad_entropy: entropy.then_some(&by),
                ..Call::new(Mode::Backward, &[&x, &t])
            };
            // A cap leaves infinite logits probabilities, and only those that are NaN none.
            let broken = if softcap > 0.0 {
                3 * cols..4 * cols
            } else {
                3 * cols..6 * cols
            };
            for engine in [gpu(), hardware(), &Engine::cpu()] {
                let loss = CrossEntropy {
                    softcap,
                    ..Default::default()
                };
                let output = loss.run(engine, &call).unwrap();
                let grad = output.read(engine).unwrap().grad_input.unwrap().data;
                assert!(
                    grad[..3 * cols].iter().all(|g| *g == 0.0),
                    "{cols}: {:?}",
                    engine.name()
                );
                assert!(
                    grad[broken.clone()].iter().all(|g| g.is_nan()),
                    "{cols}: {:?}",
                    engine.name()
                );
            }
        }
    }
}

/// Logits of -inf, and differences beyond f32.
#[test]
fn masked_and_far_logits() {
    let mut failures = Vec::new();
    for cols in [6usize, 70, 3000] {
        let mut x: Vec<f32> = (0..4 * cols).map(|i| (i * 7 % 11) as f32 * 0.5 - 2.0).collect();
        x[..cols - 2].fill(f32::NEG_INFINITY);
        x[cols..2 * cols].fill(-3e38);
        x[2 * cols - 1] = 3e38;
        x[2 * cols + 1] = 1e4;
        let x = Tensor::new(&x, &[4, cols]).unwrap();
        let t = Tensor::new(&[cols as i64 - 1, cols as i64 - 1, 1, -100], &[4]).unwrap();
        let by = Tensor::new(&[0.7f32, -1.5, 2.0, -0.3], &[4]).unwrap();
        let call = Call {
            grad_lse: Some(&by),
            grad_entropy: Some(&by),
            ..Call::new(Mode::Fused, &[&x, &t])
        };
        failures.extend(against_reference(&format!("{cols}"), &CrossEntropy::default(), &call));
    }
    for wild in [Wild::Large, Wild::Zeros] {
        let case = case(&Setup {
            style: Style::Wild(wild),
            ..Setup::new(&[20, 33])
        });
        failures.extend(against_reference(&case.what, &*case.loss, &case.call(Mode::Fused)));
    }
    report(failures, 5);
}

/// As an ignored row's: the loss has none, and the statistics are what they are.
#[test]
fn a_bad_label_leaves_statistics_their_gradients() {
    let x = Tensor::new(&[1.0f32, 2.0, 3.0, 0.0, 0.0, 0.0], &[2, 3]).unwrap();
    let t = Tensor::new(&[7i64, 0], &[2]).unwrap();
    let by = Tensor::new(&[2.0f32, 0.0], &[2]).unwrap();
    let call = Call {
        grad_lse: Some(&by),
        ..Call::new(Mode::Backward, &[&x, &t])
    };
    let sum: f64 = [1f64, 2.0, 3.0].map(f64::exp).iter().sum();
    for engine in [gpu(), hardware(), &Engine::cpu()] {
        let output = CrossEntropy::default().run(engine, &call).unwrap();
        assert!(matches!(output.read(engine), Err(Error::BadLabels { .. })));
        let grad = values(&output, engine).grad_input.unwrap().data;
        for (x, g) in [1f64, 2.0, 3.0].iter().zip(&grad) {
            let want = 2.0 * x.exp() / sum;
            assert!((f64::from(*g) - want).abs() < 1e-6, "{:?}: {grad:?}", engine.name());
        }
    }
}
