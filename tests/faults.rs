//! Bad input: clear errors with the numbers, outputs still there, and an engine that goes on.

use wgloss::plan::plan;
use wgloss::{
    Array, BceWithLogits, Call, CrossEntropy, Dtype, Engine, Error, GaussianNll, L1, Limits, Loss, Mode, Mse,
    MultiMargin, MultilabelMargin, Nll, REGISTRY, Reduce, ReduceOp, Reduction, Role, SigmoidFocal, Softmax,
    SoftmaxFocal, Stats, Tensor, Tuning,
};

use crate::common::cases::{Setup, label_tensor, make};
use crate::common::data::{Data, row_shape};
use crate::common::{engine, gpu};

const REDUCTIONS: [Reduction; 3] = [Reduction::None, Reduction::Mean, Reduction::Sum];

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
            for reduction in REDUCTIONS {
                let loss = CrossEntropy {
                    reduction,
                    ..Default::default()
                };
                let before = loss
                    .forward_backward(engine, &[&x, &good], None)
                    .unwrap()
                    .read(engine)
                    .unwrap();
                let error = loss
                    .forward_backward(engine, &[&x, &bad], None)
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
                    .forward_backward(engine, &[&x, &good], None)
                    .unwrap()
                    .read(engine)
                    .unwrap();
                assert_eq!(before, after, "the next batch is untouched");
            }
        });
    }
}

/// Forward alone counts its labels in the kernel of the losses where tiles have many rows, forward and backward before it: the
/// same counts, faults and denominators, to the bit, in packs, strips, lanes, subgroups and workgroups, in one dispatch or several.
#[test]
fn labels_are_counted_on_the_way_as_before() {
    let mut data = Data::new(6);
    let limits = gpu().plan_limits().unwrap();
    let tuning = gpu().tuning().unwrap();
    let losses: [(&dyn Loss, &dyn Loss); 2] = [
        (
            &CrossEntropy::default(),
            &CrossEntropy {
                reduction: Reduction::Sum,
                ..Default::default()
            },
        ),
        (
            &SoftmaxFocal::default(),
            &Nll {
                reduction: Reduction::Sum,
                ..Default::default()
            },
        ),
    ];
    let mut small = engine::fresh();
    small
        .set_plan_limits(Limits {
            max_binding_bytes: 1 << 16,
            ..limits
        })
        .unwrap();
    const STRIPS: [usize; 3] = [2, 36, 1156];
    // Some(true): on the way; None: as the adapter's tuning has it.
    let shapes: [(&[usize], Option<bool>); 6] = [
        (&[5000, 10], Some(true)),
        (&[2, 7, 2050], Some(true)),
        (&[700, 100], None),
        (&[40, 1000], None),
        (&[9, 5000], Some(false)),
        (&STRIPS, None),
    ];
    for (n, (shape, expected_way)) in shapes.into_iter().enumerate() {
        let rows = shape.iter().product::<usize>() / shape[1];
        let x = Tensor::new(&data.logits(shape.iter().product()), shape).unwrap();
        let good = data.labels(rows, shape[1], Some(-100));
        let mut bad = good.clone();
        for (row, label) in [(rows - 1, -7), (rows / 2, 1 << 33), (rows / 2 + 1, shape[1] as i64)] {
            bad[row] = label;
        }
        for labels in [&good, &bad] {
            let t = Tensor::new(labels, &row_shape(shape)).unwrap();
            let (mean, sum) = losses[n % 2];
            for loss in [mean, sum] {
                let runs = [(gpu(), Mode::Forward), (&small, Mode::Forward), (gpu(), Mode::Fused)];
                let [forward, cut, fused] = runs.map(|(engine, mode)| {
                    let call = Call::new(mode, &[&x, &t]);
                    let limits = engine.plan_limits().unwrap();
                    let plan = plan(&loss.problem(&call).unwrap(), &limits, &tuning).unwrap();
                    let is_any = |claim: fn(&str) -> bool| plan.dispatches().any(|own| claim(&own.variant.label));
                    let on_the_way = is_any(|label| label.contains("/counts"));
                    let reads = loss.info().name != "nll";
                    let are_strips = reads && shape == STRIPS && tuning == Tuning::SOFTWARE;
                    assert_eq!(is_any(|label| label.contains("/strip")), are_strips, "{shape:?}");
                    assert_ne!(on_the_way, is_any(|label| label.starts_with("count_labels/i64")));
                    let expected = if mode == Mode::Fused { Some(false) } else { expected_way };
                    assert_eq!(on_the_way, expected.unwrap_or(on_the_way), "{shape:?}");
                    let (fault, loss) = match loss.run(engine, &call).unwrap().read(engine) {
                        Ok(values) => (None, values.loss),
                        Err(Error::BadLabels {
                            count,
                            rows,
                            first_row,
                            value,
                            values,
                            ..
                        }) => (Some((count, rows, first_row, value)), values.loss),
                        Err(error) => panic!("{error}"),
                    };
                    (fault, loss.map(|own| own.data[0].to_bits()))
                });
                let expected = (labels == &bad).then_some((3, rows as u64, rows as u64 / 2, 1 << 33));
                assert_eq!(forward.0, expected, "{shape:?}");
                assert_eq!((&forward, &forward), (&cut, &fused), "{shape:?}");
            }
        }
    }
    // Where the sum of weights has an order, they are counted before.
    let x = Tensor::new(&[0f32; 15_000], &[5000, 3]).unwrap();
    let t = Tensor::new(&[0i64; 5000], &[5000]).unwrap();
    let w = Tensor::new(&[1f32, 2.0, 3.0], &[3]).unwrap();
    let loss = CrossEntropy {
        weight: Some(w),
        ..Default::default()
    };
    let plan = plan(
        &loss.problem(&Call::new(Mode::Forward, &[&x, &t])).unwrap(),
        &limits,
        &tuning,
    )
    .unwrap();
    assert!(plan.dispatches().all(|own| !own.variant.label.contains("/counts")));
}

/// The same of every loss that takes classes, in every dtype of labels; u8 too, whose range may be all that there is.
#[test]
fn every_loss_reports_bad_labels() {
    let mut data = Data::new(8);
    let (rows, cols) = (37usize, 5usize);
    let x = Tensor::new(&data.logits(rows * cols), &[rows, cols]).unwrap();
    for dtype in Dtype::LABELS {
        let mut labels = data.labels(rows, cols, None);
        (labels[3], labels[36]) = (cols as i64, 200);
        let target = label_tensor(&labels, dtype, &[rows]);
        for loss in [
            &Nll::default() as &dyn Loss,
            &SoftmaxFocal::default(),
            &MultiMargin::default(),
            &CrossEntropy::default(),
        ] {
            both(|engine| {
                let read = loss
                    .forward_backward(engine, &[&x, &target], None)
                    .unwrap()
                    .read(engine);
                let what = format!("{} {dtype} {}", loss.info().name, engine.name());
                let Err(Error::BadLabels {
                    count,
                    rows: all,
                    first_row,
                    value,
                    classes,
                    values,
                    ..
                }) = read
                else {
                    panic!("{what}: {read:?}");
                };
                assert_eq!((count, all, first_row, value, classes), (2, 37, 3, 5, 5), "{what}");
                assert!(values.scalar().unwrap().is_nan(), "{what}");
                let grad = values.grad_input.unwrap().data;
                assert!(grad[15..20].iter().chain(&grad[180..]).all(|&g| g == 0.0), "{what}");
                assert!(
                    grad.iter().all(|g| g.is_finite()) && grad.iter().any(|&g| g != 0.0),
                    "{what}"
                );
            });
        }
    }
    // The largest u8 is a class of 256.
    let x = Tensor::new(&data.logits(512), &[2, 256]).unwrap();
    let target = Tensor::new(&[255u8, 0], &[2]).unwrap();
    both(|engine| {
        assert!(
            CrossEntropy::default()
                .forward(engine, &[&x, &target])
                .unwrap()
                .read(engine)
                .is_ok()
        )
    });
}

/// A list's entries are classes or -1, behind the first -1 as well.
#[test]
fn bad_entries_of_lists_are_reported() {
    let x = Tensor::new(&[0.1f32, 0.2, 0.4, 0.8, 0.3, 0.5], &[2, 3]).unwrap();
    let lists = |list: [i64; 6]| Tensor::new(&list, &[2, 3]).unwrap();
    both(|engine| {
        let read = |target: &Tensor| {
            let output = MultilabelMargin::default()
                .forward_backward(engine, &[&x, target], None)
                .unwrap();
            output.read(engine)
        };
        let good = read(&lists([2, -1, 0, 1, 0, -1])).unwrap();
        for (list, row, bad) in [
            ([2, -1, 0, 3, 0, -1], 1, 3),
            ([2, -1, 7, 1, 0, -1], 0, 7),
            ([2, -1, 0, 1, 0, -2], 1, -2),
        ] {
            let Err(Error::BadLabels {
                count,
                rows,
                first_row,
                value,
                classes,
                values,
                ..
            }) = read(&lists(list))
            else {
                panic!("{list:?}");
            };
            assert_eq!(
                (count, rows, first_row, value, classes),
                (1, 2, row, bad, 3),
                "{list:?}"
            );
            // Behind the end of its list, it says nothing of the row.
            if list[1] == -1 && bad == 7 {
                assert_eq!((&values.loss, &values.grad_input), (&good.loss, &good.grad_input));
            }
        }
        // An empty list, and one without an end.
        let values = read(&lists([-1, 0, 1, 0, 1, 2])).unwrap();
        assert_eq!(values.scalar(), Some(0.0));
        assert!(values.grad_input.unwrap().data.iter().all(|&g| g == 0.0));
    });
}

/// A bad label counts in no denominator: the gradients of the other rows are those of a batch without it.
#[test]
fn bad_labels_count_in_no_denominator() {
    let x = Tensor::new(&[1.0f32, 2.0, 0.5, 3.0], &[2, 2]).unwrap();
    let alone = Tensor::new(&[1.0f32, 2.0], &[1, 2]).unwrap();
    both(|engine| {
        let loss = CrossEntropy::default();
        let labels = Tensor::new(&[1i32, 9], &[2]).unwrap();
        let Err(Error::BadLabels { values, .. }) = loss.backward(engine, &[&x, &labels], None).unwrap().read(engine)
        else {
            panic!("a bad label");
        };
        let one = Tensor::new(&[1i32], &[1]).unwrap();
        let wanted = loss
            .backward(engine, &[&alone, &one], None)
            .unwrap()
            .read(engine)
            .unwrap();
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
            .forward(engine, &[&x, &labels])
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
            .forward(engine, &[&x, &labels])
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
            ce.forward(engine, &[&floats(&[4, 3]), &labels(&[5])]),
            &["target", "[4]", "[5]"],
        );
        says(
            ce.forward(engine, &[&floats(&[4, 3]), &floats(&[4])]),
            &["target", "[4, 3]", "[4]"],
        );
        says(ce.forward(engine, &[&floats(&[]), &labels(&[])]), &["input", "0-d"]);
        says(
            ce.forward(engine, &[&floats(&[4, 0]), &labels(&[4])]),
            &["input", "0 classes"],
        );
        says(
            ce.forward_backward(engine, &[&labels(&[4, 3]), &labels(&[4])], None),
            &["input", "i64", "no gradient by integers"],
        );
        let weight = CrossEntropy {
            weight: Some(floats(&[4])),
            ..Default::default()
        };
        says(
            weight.forward(engine, &[&floats(&[4, 3]), &labels(&[4])]),
            &["weight", "[3]", "[4]"],
        );
        let smooth = CrossEntropy {
            label_smoothing: 1.5,
            ..Default::default()
        };
        says(
            smooth.forward(engine, &[&floats(&[4, 3]), &labels(&[4])]),
            &["label_smoothing", "1.5"],
        );
        let ignore = CrossEntropy {
            ignore_index: 2,
            ..Default::default()
        };
        says(
            ignore.forward(engine, &[&floats(&[4, 3]), &floats(&[4, 3])]),
            &["ignore_index", "2"],
        );
        let upstream = floats(&[3]);
        says(
            ce.backward(engine, &[&floats(&[4, 3]), &labels(&[4])], Some(&upstream)),
            &["grad_output", "[3]", "mean"],
        );
        let bce = BceWithLogits::default();
        says(
            bce.forward(engine, &[&floats(&[4, 3]), &floats(&[4, 1])]),
            &["target", "[4, 3]", "[4, 1]"],
        );
        says(
            bce.forward(engine, &[&floats(&[4, 3]), &labels(&[4, 1])]),
            &["target", "[4, 3]", "[4, 1]"],
        );
        let wide = BceWithLogits {
            pos_weight: Some(floats(&[4])),
            ..Default::default()
        };
        says(
            wide.forward(engine, &[&floats(&[4, 3]), &floats(&[4, 3])]),
            &["pos_weight", "[4]", "[4, 3]"],
        );
        says(
            L1::default().forward(engine, &[&floats(&[4, 3]), &floats(&[4])]),
            &["target", "[4]", "[4, 3]"],
        );
        for var in [&[2usize][..], &[4, 3, 1], &[4, 2]] {
            says(
                GaussianNll::default().forward(engine, &[&floats(&[4, 3]), &floats(&[4, 3]), &floats(var)]),
                &["var", &format!("{var:?}")],
            );
        }
        says(
            Nll::default().forward(engine, &[&floats(&[4, 3])]),
            &["2", "input, target", "1"],
        );
        let dim = Softmax {
            dim: 2,
            ..Default::default()
        };
        says(dim.forward(engine, &[&floats(&[4, 3])]), &["dim", "2", "-2 to 1"]);
        let (sums, wrong) = (
            Reduce {
                dim: vec![1],
                keepdim: true,
                ..Default::default()
            },
            floats(&[4]),
        );
        says(
            sums.backward(engine, &[&floats(&[4, 3])], Some(&wrong)),
            &["grad_output", "[4, 1]", "[4]"],
        );
        let sum_divided = CrossEntropy {
            denominator: Some(2.0),
            reduction: Reduction::Sum,
            ..Default::default()
        };
        says(
            sum_divided.forward(engine, &[&floats(&[4, 3]), &labels(&[4])]),
            &["denominator", "sum"],
        );
        let weighted = CrossEntropy {
            sample_weight: Some(floats(&[3])),
            ..Default::default()
        };
        says(
            weighted.forward(engine, &[&floats(&[4, 3]), &labels(&[4])]),
            &["sample_weight", "[4]", "[3]"],
        );
        let halves = |shape: &[usize], dtype| floats(shape).to_dtype(dtype).unwrap();
        says(
            Mse::default().forward(engine, &[&halves(&[4], Dtype::F16), &halves(&[4], Dtype::Bf16)]),
            &["target", "f16", "bf16"],
        );
        says(
            Mse::default().forward(engine, &[&floats(&[4]), &halves(&[4], Dtype::F16)]),
            &["target", "f32", "f16"],
        );
        let full = floats(&[4, 3]);
        let accuracy = Call {
            stats: Stats {
                accuracy: true,
                ..Default::default()
            },
            ..Call::new(Mode::Forward, &[&full, &full])
        };
        says(ce.run(engine, &accuracy), &["target", "accuracy", "indices"]);
        for (alpha, gamma, word) in [(2.0, 2.0, "alpha"), (0.5, -1.0, "gamma"), (0.5, f64::NAN, "gamma")] {
            let focal = SigmoidFocal {
                alpha,
                gamma,
                ..Default::default()
            };
            says(focal.forward(engine, &[&floats(&[4]), &floats(&[4])]), &[word]);
        }
    });
    assert!(message(Tensor::new(&[0.0f32; 5], &[2, 3])).contains("[2, 3]"));
    assert!(Tensor::new(&[0.0f32; 0], &[usize::MAX, 2]).is_err());
    let (x, classes) = (floats(&[2, 3]), labels(&[2]));
    let call = Call {
        grads: vec![Role::Target],
        ..Call::new(Mode::Fused, &[&x, &classes])
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
                    .forward_backward(engine, &[&x, target], None)
                    .unwrap()
                    .read(engine)
                    .unwrap();
                let got = values.scalar().unwrap();
                assert!(got == want || (got.is_nan() && want.is_nan()), "{loss:?}: {got}");
                assert_eq!(values.grad_input.unwrap().shape, [0, 5]);
            }
        }
        let run = |op| {
            let loss = Reduce {
                op,
                ..Default::default()
            };
            loss.forward(engine, &[&x])?.read(engine)
        };
        assert_eq!(run(ReduceOp::Sum).unwrap().scalar(), Some(0.0));
        assert!(run(ReduceOp::Mean).unwrap().scalar().unwrap().is_nan());
        assert_eq!(run(ReduceOp::LogSumExp).unwrap().scalar(), Some(f32::NEG_INFINITY));
        assert!(message(run(ReduceOp::Argmax)).contains("argmax"));
    });
}

/// Nothing in, nothing or NaN out, from every loss; and the engine goes on.
#[test]
fn no_loss_stumbles_over_nothing() {
    let (mut failures, mut total) = (Vec::new(), 0);
    for info in REGISTRY {
        for shape in [&[0usize, 5][..], &[0]] {
            for reduction in info.reductions {
                let setup = Setup {
                    reduction: *reduction,
                    ..Setup::new(shape)
                };
                let Some(case) = make(info, &setup) else { continue };
                // (0) is nothing to some, and one row of nothing to others.
                if case.loss.problem(&case.call(Mode::Forward)).unwrap().term_count() > 0 && info.name != "reduce" {
                    continue;
                }
                for engine in [gpu(), &Engine::cpu()] {
                    total += 1;
                    let values = case
                        .loss
                        .run(engine, &case.call(case.most()))
                        .and_then(|output| output.read(engine));
                    let what = format!("{} {}", case.what, engine.name());
                    match values.map(|values| values.loss) {
                        Ok(Some(loss)) if loss.data.is_empty() => {}
                        Ok(Some(loss)) => {
                            let want = if *reduction == Reduction::Sum || info.name == "reduce" {
                                0.0
                            } else {
                                f32::NAN
                            };
                            if loss
                                .data
                                .iter()
                                .any(|l| l.to_bits() != want.to_bits() && !(l.is_nan() && want.is_nan()))
                            {
                                failures.push(format!("{what}: {:?} instead of {want}", loss.data));
                            }
                        }
                        Ok(None) => failures.push(format!("{what}: no loss")),
                        Err(error) => failures.push(format!("{what}: {error}")),
                    }
                }
            }
        }
    }
    assert!(total > 100, "only {total}");
    crate::common::report(failures, total);
}
