//! Labels that are no classes.

use wgloss::plan::plan;
use wgloss::{
    Call, CrossEntropy, Dtype, Error, Limits, Loss, Mode, MultiMargin, MultilabelMargin, Nll, Reduction, SoftmaxFocal,
    Tensor, Tuning,
};

use super::{REDUCTIONS, both};
use crate::common::cases::label_tensor;
use crate::common::data::{Data, row_shape};
use crate::common::engine;

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

/// Forward alone counts its labels in the kernel of the losses where tiles have many rows, forward and backward before
/// it: the same counts, faults and denominators, to the bit, in packs, strips, lanes, subgroups and workgroups, in one
/// dispatch or several.
#[test]
fn labels_are_counted_on_the_way_as_before() {
    // An engine of its own, whose pipelines go with it.
    let own = engine::fresh();
    let gpu = || &own;
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
