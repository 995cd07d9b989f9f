//! NaN, infinities and zeros among the numbers.

use wgloss::{Array, BceWithLogits, CrossEntropy, Loss, Reduction, SigmoidFocal, Tensor};

use super::both;

/// NaN and +inf poison their own row; -inf is a class of probability 0; an ignored row's logits do not matter.
#[test]
fn non_finite_logits() {
    let (nan, inf) = (f32::NAN, f32::INFINITY);
    for cols in [3usize, 200] {
        let mut rows = vec![vec![0.5f32; cols]; 6];
        rows[0][1] = nan;
        rows[1][2] = inf;
        rows[2] = vec![-inf; cols];
        rows[3][2] = -inf;
        rows[4] = vec![nan; cols];
        rows[5] = vec![f32::MIN; cols];
        let x = Tensor::new(&rows.concat(), &[6, cols]).unwrap();
        let labels = Tensor::new(&[0i64, 0, 0, 0, -100, 0], &[6]).unwrap();
        both(|engine| {
            let loss = CrossEntropy {
                reduction: Reduction::None,
                ..Default::default()
            };
            let values = loss
                .forward_backward(engine, &[&x, &labels], None)
                .unwrap()
                .read(engine)
                .unwrap();
            let (l, g) = (values.loss.unwrap().data, values.grad_input.unwrap().data);
            for row in 0..3 {
                assert!(
                    l[row].is_nan() && g[row * cols..(row + 1) * cols].iter().all(|g| g.is_nan()),
                    "row {row}"
                );
            }
            assert!((l[3] - ((cols - 1) as f32).ln()).abs() < 1e-5 && g[3 * cols + 2] == 0.0);
            assert_eq!(l[4], 0.0);
            assert!(g[4 * cols..5 * cols].iter().all(|&g| g == 0.0));
            // The most negative finite number is a number like any other.
            assert!((l[5] - (cols as f32).ln()).abs() < 1e-5, "{}", l[5]);
        });
    }
}

/// 0 times an infinite logarithm is 0: a class weight of 0 on a logit of -inf, labelled or smoothed.
#[test]
fn a_coefficient_of_zero_contributes_nothing() {
    let x = Tensor::new(&[f32::NEG_INFINITY, 0.0, 1.0, 0.0, f32::NEG_INFINITY, 1.0], &[2, 3]).unwrap();
    let labels = Tensor::new(&[0i64, 2], &[2]).unwrap();
    let weight = Some(Tensor::new(&[0.0f32, 0.0, 2.0], &[3]).unwrap());
    both(|engine| {
        for label_smoothing in [0.0, 0.3] {
            let loss = CrossEntropy {
                weight: weight.clone(),
                label_smoothing,
                reduction: Reduction::None,
                ..Default::default()
            };
            let values = loss
                .forward_backward(engine, &[&x, &labels], None)
                .unwrap()
                .read(engine)
                .unwrap();
            assert!(values.loss.unwrap().data.iter().all(|l| l.is_finite()));
            assert!(values.grad_input.unwrap().data.iter().all(|g| g.is_finite()));
        }
    });
}

#[test]
fn nan_elements_stay_nan() {
    let x = Tensor::new(&[f32::NAN, 1.0, f32::NAN, -1.0], &[4]).unwrap();
    let t = Tensor::new(&[0.0f32, f32::NAN, 1.0, 1.0], &[4]).unwrap();
    both(|engine| {
        let losses: [&dyn Loss; 2] = [
            &BceWithLogits {
                reduction: Reduction::None,
                ..Default::default()
            },
            &SigmoidFocal {
                gamma: 0.0,
                ..Default::default()
            },
        ];
        for loss in losses {
            let values = loss
                .forward_backward(engine, &[&x, &t], None)
                .unwrap()
                .read(engine)
                .unwrap();
            for Array { data, .. } in [values.loss.unwrap(), values.grad_input.unwrap()] {
                assert_eq!(
                    data.iter().map(|v| v.is_nan()).collect::<Vec<_>>(),
                    [true, true, true, false]
                );
            }
        }
    });
}

/// Without an upstream gradient, that of reduction none is one of ones.
#[test]
fn backward_of_none_defaults_to_ones() {
    let x = Tensor::new(&[1.0f32, 2.0, 0.5, 3.0], &[2, 2]).unwrap();
    let labels = Tensor::new(&[1i32, 0], &[2]).unwrap();
    let ones = Tensor::new(&[1.0f32, 1.0], &[2]).unwrap();
    both(|engine| {
        let loss = CrossEntropy {
            reduction: Reduction::None,
            ..Default::default()
        };
        let grad = |upstream| {
            loss.backward(engine, &[&x, &labels], upstream)
                .unwrap()
                .read(engine)
                .unwrap()
                .grad_input
        };
        assert_eq!(grad(None), grad(Some(&ones)));
    });
}
