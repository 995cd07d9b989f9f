//! Bad input: clear errors with the numbers, outputs still there, and an engine that goes on.

use wgloss::{
    Array, BceWithLogits, Call, CrossEntropy, Engine, Error, Loss, Mode, ReduceOp, Reduction, SigmoidFocal, Tensor,
};

use crate::common::data::{Data, row_shape};
use crate::common::gpu;

fn both(claim: impl Fn(&Engine)) {
    claim(gpu());
    claim(&Engine::cpu());
}

fn message<T: std::fmt::Debug>(result: wgloss::Result<T>) -> String {
    result.unwrap_err().to_string()
}

#[test]
fn labels_out_of_range_are_reported_and_not_followed() {
    let mut data = Data::new(4);
    for shape in [&[300, 7][..], &[300, 100], &[20, 5, 15]] {
        let (rows, cols) = (300, shape[1]);
        let x = Tensor::new(&data.logits(shape.iter().product()), shape).unwrap();
        let mut good = data.labels(rows, cols, Some(-100));
        good[5] = 2;
        let mut bad = good.clone();
        for (row, label) in [(17, cols as i64), (18, -1), (250, 1 << 40), (299, i64::MIN)] {
            bad[row] = label;
        }
        let row_shape = row_shape(shape);
        let good = Tensor::new(&good, &row_shape).unwrap();
        let bad = Tensor::new(&bad, &row_shape).unwrap();
        both(|engine| {
            for reduction in Reduction::ALL {
                let loss = CrossEntropy {
                    reduction,
                    ..Default::default()
                };
                let before = loss
                    .forward_backward(engine, &x, &good, None)
                    .unwrap()
                    .read(engine)
                    .unwrap();
                let error = loss
                    .forward_backward(engine, &x, &bad, None)
                    .unwrap()
                    .read(engine)
                    .unwrap_err();
                let Error::BadLabels {
                    count,
                    rows,
                    first_row,
                    value,
                    classes,
                    values,
                    ..
                } = &error
                else {
                    panic!("{error}");
                };
                assert_eq!(
                    (*count, *rows, *first_row, *value, *classes),
                    (4, 300, 17, cols as i64, cols as u64)
                );
                let text = error.to_string();
                assert!(text.contains("4 of 300") && text.contains("row 17"), "{text}");
                let (loss_values, grad) = (values.loss.as_ref().unwrap(), values.grad_input.as_ref().unwrap());
                match reduction {
                    Reduction::None => {
                        let nan: Vec<usize> = (0..300).filter(|&i| loss_values.data[i].is_nan()).collect();
                        assert_eq!(nan, [17, 18, 250, 299]);
                    }
                    _ => assert!(loss_values.data[0].is_nan()),
                }
                let inner: usize = shape[2..].iter().product();
                for row in [17, 18, 250, 299] {
                    for c in 0..cols {
                        assert_eq!(grad.data[row / inner * cols * inner + c * inner + row % inner], 0.0);
                    }
                }
                assert!(grad.data.iter().all(|g| g.is_finite()));
                assert!(grad.data.iter().any(|g| *g != 0.0));
                let after = loss
                    .forward_backward(engine, &x, &good, None)
                    .unwrap()
                    .read(engine)
                    .unwrap();
                assert_eq!(before, after, "the next batch is untouched");
            }
        });
    }
}

/// A bad label counts in no denominator: the gradients of the other rows are those of a batch without it.
#[test]
fn bad_labels_count_in_no_denominator() {
    let x = Tensor::new(&[1.0f32, 2.0, 0.5, 3.0], &[2, 2]).unwrap();
    let alone = Tensor::new(&[1.0f32, 2.0], &[1, 2]).unwrap();
    both(|engine| {
        let loss = CrossEntropy::default();
        let labels = Tensor::new(&[1i32, 9], &[2]).unwrap();
        let Err(Error::BadLabels { values, .. }) = loss.backward(engine, &x, &labels, None).unwrap().read(engine)
        else {
            panic!("a bad label");
        };
        let one = Tensor::new(&[1i32], &[1]).unwrap();
        let wanted = loss.backward(engine, &alone, &one, None).unwrap().read(engine).unwrap();
        assert_eq!(
            values.grad_input.unwrap().data[..2],
            wanted.grad_input.unwrap().data[..]
        );
    });
}

/// -100 is not a u32: 4294967196 is a bad label, not an ignored one.
#[test]
fn ignore_index_is_compared_as_i64() {
    let x = Tensor::new(&[1.0f32, 2.0], &[1, 2]).unwrap();
    both(|engine| {
        let labels = Tensor::new(&[(-100i32) as u32], &[1]).unwrap();
        let error = CrossEntropy::default()
            .forward(engine, &x, &labels)
            .unwrap()
            .read(engine)
            .unwrap_err();
        assert!(
            matches!(
                error,
                Error::BadLabels {
                    value: 4_294_967_196,
                    ..
                }
            ),
            "{error}"
        );
        let labels = Tensor::new(&[-100i32], &[1]).unwrap();
        let values = CrossEntropy::default()
            .forward(engine, &x, &labels)
            .unwrap()
            .read(engine)
            .unwrap();
        assert_eq!(values.ignored, 1);
        assert!(values.scalar().unwrap().is_nan(), "the mean of nothing");
    });
}

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
                .forward_backward(engine, &x, &labels, None)
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
                .forward_backward(engine, &x, &labels, None)
                .unwrap()
                .read(engine)
                .unwrap();
            assert!(values.loss.unwrap().data.iter().all(|l| l.is_finite()));
            assert!(values.grad_input.unwrap().data.iter().all(|g| g.is_finite()));
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
            loss.backward(engine, &x, &labels, upstream)
                .unwrap()
                .read(engine)
                .unwrap()
                .grad_input
        };
        assert_eq!(grad(None), grad(Some(&ones)));
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
                .forward_backward(engine, &x, &t, None)
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

#[test]
fn shapes_dtypes_and_options_are_refused_with_the_numbers() {
    let floats = |shape: &[usize]| Tensor::new(&vec![0.0f32; shape.iter().product()], shape).unwrap();
    let labels = |shape: &[usize]| Tensor::new(&vec![0i64; shape.iter().product()], shape).unwrap();
    let ce = CrossEntropy::default();
    let says = |result: wgloss::Result<wgloss::Output>, words: &[&str]| {
        let text = message(result);
        assert!(
            words.iter().all(|word| text.contains(word)),
            "{text:?} lacks one of {words:?}"
        );
    };
    both(|engine| {
        says(
            ce.forward(engine, &floats(&[4, 3]), &labels(&[5])),
            &["target", "[4]", "[5]"],
        );
        says(
            ce.forward(engine, &floats(&[4, 3]), &floats(&[4])),
            &["target", "[4, 3]", "[4]"],
        );
        says(ce.forward(engine, &floats(&[]), &labels(&[])), &["input", "0-d"]);
        says(
            ce.forward(engine, &floats(&[4, 0]), &labels(&[4])),
            &["input", "0 classes"],
        );
        says(
            ce.forward(engine, &labels(&[4, 3]), &labels(&[4])),
            &["input", "f32", "i64"],
        );
        let weight = CrossEntropy {
            weight: Some(floats(&[4])),
            ..Default::default()
        };
        says(
            weight.forward(engine, &floats(&[4, 3]), &labels(&[4])),
            &["weight", "[3]", "[4]"],
        );
        let smooth = CrossEntropy {
            label_smoothing: 1.5,
            ..Default::default()
        };
        says(
            smooth.forward(engine, &floats(&[4, 3]), &labels(&[4])),
            &["label_smoothing", "1.5"],
        );
        let ignore = CrossEntropy {
            ignore_index: 2,
            ..Default::default()
        };
        says(
            ignore.forward(engine, &floats(&[4, 3]), &floats(&[4, 3])),
            &["ignore_index", "2"],
        );
        let upstream = floats(&[3]);
        says(
            ce.backward(engine, &floats(&[4, 3]), &labels(&[4]), Some(&upstream)),
            &["grad_output", "[3]", "mean"],
        );
        let bce = BceWithLogits::default();
        says(
            bce.forward(engine, &floats(&[4, 3]), &floats(&[4, 1])),
            &["target", "[4, 3]", "[4, 1]"],
        );
        says(
            bce.forward(engine, &floats(&[4, 3]), &labels(&[4, 3])),
            &["target", "i64"],
        );
        let wide = BceWithLogits {
            pos_weight: Some(floats(&[4])),
            ..Default::default()
        };
        says(
            wide.forward(engine, &floats(&[4, 3]), &floats(&[4, 3])),
            &["pos_weight", "[4]", "[4, 3]"],
        );
        for (alpha, gamma, word) in [(2.0, 2.0, "alpha"), (0.5, -1.0, "gamma"), (0.5, f64::NAN, "gamma")] {
            let focal = SigmoidFocal {
                alpha,
                gamma,
                ..Default::default()
            };
            says(focal.forward(engine, &floats(&[4]), &floats(&[4])), &[word]);
        }
    });
    assert!(message(Tensor::new(&[0.0f32; 5], &[2, 3])).contains("[2, 3]"));
    assert!(Tensor::new(&[0.0f32; 0], &[usize::MAX, 2]).is_err());
    let (x, classes) = (floats(&[2, 3]), labels(&[2]));
    let call = Call {
        grad_target: true,
        ..Call::new(Mode::Fused, &x, &classes)
    };
    assert!(ce.problem(&call).is_err(), "class indices have no gradient");
}

#[test]
fn batches_of_nothing() {
    let x = Tensor::new(&[0.0f32; 0], &[0, 5]).unwrap();
    let labels = Tensor::new(&[0i64; 0], &[0]).unwrap();
    both(|engine| {
        for (reduction, want) in [(Reduction::Mean, f32::NAN), (Reduction::Sum, 0.0)] {
            let ce = CrossEntropy {
                reduction,
                ..Default::default()
            };
            let bce = BceWithLogits {
                reduction,
                ..Default::default()
            };
            for (loss, target) in [(&ce as &dyn Loss, &labels), (&ce, &x), (&bce, &x)] {
                let values = loss
                    .forward_backward(engine, &x, target, None)
                    .unwrap()
                    .read(engine)
                    .unwrap();
                let got = values.scalar().unwrap();
                assert!(got == want || (got.is_nan() && want.is_nan()), "{loss:?}: {got}");
                assert_eq!(values.grad_input.unwrap().shape, [0, 5]);
            }
        }
        let sum = wgloss::reduce(engine, ReduceOp::Sum, &x).unwrap();
        assert_eq!(sum.read::<f32>(engine).unwrap(), [0.0]);
        let mean = wgloss::reduce(engine, ReduceOp::Mean, &x).unwrap();
        assert!(mean.read::<f32>(engine).unwrap()[0].is_nan());
        let lse = wgloss::reduce(engine, ReduceOp::LogSumExp, &x).unwrap();
        assert_eq!(lse.read::<f32>(engine).unwrap(), [f32::NEG_INFINITY]);
        assert!(message(wgloss::reduce(engine, ReduceOp::Argmax, &x)).contains("argmax"));
    });
}
