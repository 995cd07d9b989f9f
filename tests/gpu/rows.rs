//! What is counted and said of rows: weights, denominators, means of nothing, statistics.

use wgloss::{Call, CrossEntropy, Dtype, Engine, Loss, Mode, OnEmpty, Reduction, Stats, Tensor};

use super::{REDUCTIONS, floats};
use crate::common::against::{against_reference, on_gpu};
use crate::common::data::{Data, row_shape};
use crate::common::{F32, engine, gpu, report};

fn labelled(cols: usize, rows: usize, seed: u64) -> (Tensor, Tensor, Vec<f32>) {
    let mut data = Data::new(seed);
    let x = floats(&mut data, &[rows, cols]);
    let labels = Tensor::new(&data.labels(rows, cols, Some(-100)), &[rows]).unwrap();
    (x, labels, data.uniform(rows, 0.0, 2.0))
}

/// `sample_weight` is what PyTorch users make of reduction none: losses times weights, summed, over the sum of the
/// weights (times those of the classes) of the rows kept.
#[test]
fn sample_weights_are_what_they_stand_for() {
    // An engine of its own, whose pipelines go with it.
    let own = engine::fresh();
    let gpu = || &own;
    for (cols, rows) in [(5usize, 40usize), (100, 9)] {
        let (x, labels, weights) = labelled(cols, rows, cols as u64);
        let mut data = Data::new(3);
        let class_weights = data.uniform(cols, 0.2, 2.0);
        let sample_weight = Tensor::new(&weights, &[rows]).unwrap();
        for class_weight in [None, Some(Tensor::new(&class_weights, &[cols]).unwrap())] {
            let base = CrossEntropy {
                weight: class_weight.clone(),
                label_smoothing: 0.1,
                reduction: Reduction::None,
                ..Default::default()
            };
            let each = base
                .forward(gpu(), &[&x, &labels])
                .unwrap()
                .read(gpu())
                .unwrap()
                .loss
                .unwrap()
                .data;
            let label = labels.as_slice::<i64>().unwrap();
            let own = |c: i64| {
                class_weight
                    .as_ref()
                    .map_or(1.0, |_| f64::from(class_weights[c as usize]))
            };
            let total: f64 = (0..rows)
                .filter(|&i| label[i] >= 0)
                .map(|i| f64::from(weights[i]) * own(label[i]))
                .sum();
            let sum: f64 = each
                .iter()
                .zip(&weights)
                .map(|(l, w)| f64::from(*l) * f64::from(*w))
                .sum();
            for (reduction, want) in [(Reduction::Mean, sum / total), (Reduction::Sum, sum)] {
                let loss = CrossEntropy {
                    sample_weight: Some(sample_weight.clone()),
                    reduction,
                    ..base.clone()
                };
                // The gradient is that of reduction none under the weights over the denominator as upstream gradients.
                let factor = if reduction == Reduction::Mean { 1.0 / total } else { 1.0 };
                let upstream: Vec<f32> = weights.iter().map(|w| (f64::from(*w) * factor) as f32).collect();
                let upstream = Tensor::new(&upstream, &[rows]).unwrap();
                let emulated = base
                    .backward(gpu(), &[&x, &labels], Some(&upstream))
                    .unwrap()
                    .read(gpu())
                    .unwrap();
                let got = loss
                    .forward_backward(gpu(), &[&x, &labels], None)
                    .unwrap()
                    .read(gpu())
                    .unwrap();
                F32.compare("loss", &got.loss, &[want]).unwrap();
                let wide: Vec<f64> = emulated
                    .grad_input
                    .unwrap()
                    .data
                    .iter()
                    .map(|&g| f64::from(g))
                    .collect();
                F32.compare("gradient", &got.grad_input, &wide).unwrap();
            }
        }
    }
}

/// A denominator given by the caller: two micro-batches with the whole batch's denominator add up to the whole.
#[test]
fn a_given_denominator_takes_the_place_of_the_counted_one() {
    let (x, labels, _) = labelled(9, 50, 5);
    for engine in [gpu(), &Engine::cpu()] {
        let whole = CrossEntropy::default()
            .forward_backward(engine, &[&x, &labels], None)
            .unwrap()
            .read(engine)
            .unwrap();
        let kept = 50 - whole.ignored;
        let loss = CrossEntropy {
            denominator: Some(kept as f64),
            ..Default::default()
        };
        let (data, label) = (x.as_slice::<f32>().unwrap(), labels.as_slice::<i64>().unwrap());
        let (mut sum, mut grads) = (0.0, Vec::new());
        for rows in [0..20, 20..50] {
            let part = Tensor::new(&data[rows.start * 9..rows.end * 9], &[rows.len(), 9]).unwrap();
            let own = Tensor::new(&label[rows.clone()], &[rows.len()]).unwrap();
            let values = loss
                .forward_backward(engine, &[&part, &own], None)
                .unwrap()
                .read(engine)
                .unwrap();
            sum += f64::from(values.scalar().unwrap());
            grads.extend(values.grad_input.unwrap().data);
        }
        F32.compare("loss", &whole.loss, &[sum]).unwrap();
        let wide: Vec<f64> = grads.iter().map(|&g| f64::from(g)).collect();
        F32.compare("gradient", &whole.grad_input, &wide).unwrap();
    }
}

/// The mean of no rows at all, of rows all ignored, and of weights that are all 0.
#[test]
fn the_mean_of_nothing_is_what_was_asked_for() {
    let x = Tensor::new(&[1.0f32, 2.0, 3.0, 4.0], &[2, 2]).unwrap();
    let ignored = Tensor::new(&[-100i64, -100], &[2]).unwrap();
    let none = (
        Tensor::new(&[0.0f32; 0], &[0, 2]).unwrap(),
        Tensor::new(&[0i64; 0], &[0]).unwrap(),
    );
    let labels = Tensor::new(&[0i64, 1], &[2]).unwrap();
    let zero = |n: usize| Some(Tensor::new(&vec![0.0f32; n], &[n]).unwrap());
    for engine in [gpu(), &Engine::cpu()] {
        for (on_empty, zeros) in [(OnEmpty::Nan, false), (OnEmpty::Zero, true)] {
            for z_loss in [0.0, 0.1] {
                let loss = CrossEntropy {
                    on_empty,
                    z_loss,
                    ..Default::default()
                };
                for (x, target) in [(&x, &ignored), (&none.0, &none.1), (&none.0, &none.0)] {
                    let values = loss
                        .forward_backward(engine, &[x, target], None)
                        .unwrap()
                        .read(engine)
                        .unwrap();
                    let mean = values.scalar().unwrap();
                    let what = format!("{on_empty:?} {:?}, z {z_loss}, {}", target.shape(), engine.name());
                    assert!(if zeros { mean == 0.0 } else { mean.is_nan() }, "{what}: {mean}");
                    assert!(values.grad_input.unwrap().data.iter().all(|&g| g == 0.0), "{what}");
                    if z_loss > 0.0 {
                        let z = values.z_loss.unwrap().data[0];
                        assert!(if zeros { z == 0.0 } else { z.is_nan() }, "{what}: z-loss {z}");
                    }
                }
                // Rows there are, so this is no mean of nothing.
                let weightless = CrossEntropy {
                    sample_weight: zero(2),
                    ..loss.clone()
                };
                let values = weightless
                    .forward(engine, &[&x, &labels])
                    .unwrap()
                    .read(engine)
                    .unwrap();
                assert!(values.scalar().unwrap().is_nan(), "{}", engine.name());
            }
        }
    }
}

/// Statistics are of the soft-capped logits, of ignored rows too, which do not count; of ties, the first; and they come
/// from forward, backward and fused calls alike.
#[test]
fn statistics_of_rows() {
    let (mut failures, mut total) = (Vec::new(), 0);
    for (seed, shape) in [&[40usize, 7][..], &[9, 64], &[5, 65], &[4, 1003], &[3, 5, 6]]
        .iter()
        .enumerate()
    {
        let mut data = Data::new(seed as u64);
        let cols = shape[1];
        let mut logits = data.logits(shape.iter().product());
        // Ties of the largest, here and there; a row of equals; a row of holes.
        logits.iter_mut().step_by(3).for_each(|x| *x = 30.0);
        if shape.len() == 2 {
            logits[cols..2 * cols].fill(-2.5);
            logits[2 * cols..3 * cols - 1].fill(f32::NEG_INFINITY);
        }
        let rows = row_shape(shape);
        let count = rows.iter().product();
        let labels = Tensor::new(&data.labels(count, cols, Some(-100)), &rows).unwrap();
        let p = Tensor::new(&data.uniform(logits.len(), 0.0, 1.0), shape).unwrap();
        for (n, mode) in Mode::ALL.into_iter().enumerate() {
            let k = (n + seed) % 3;
            let dtype = Dtype::FLOATS[k];
            let x = Tensor::new(&logits, shape).unwrap().to_dtype(dtype).unwrap();
            for (target, accuracy) in [(&labels, true), (&p, false)] {
                let loss = CrossEntropy {
                    softcap: [0.0, 20.0][(n + k) % 2],
                    z_loss: [0.0, 1e-2][(n + seed) % 2],
                    label_smoothing: [0.0, 0.1][seed % 2],
                    reduction: REDUCTIONS[(n + k + seed) % 3],
                    ..Default::default()
                };
                let stats = Stats {
                    lse: true,
                    argmax: true,
                    entropy: true,
                    accuracy,
                    z_loss: false,
                };
                let call = Call {
                    stats,
                    ..Call::new(mode, &[&x, target])
                };
                total += 1;
                let what = format!("{shape:?} {dtype} {} {loss:?} {}", mode.name(), target.dtype());
                let check = if mode == Mode::Fused { against_reference } else { on_gpu };
                failures.extend(check(&what, &loss, &call));
            }
        }
    }
    report(failures, total);
    // The first of ties, and the count: by hand.
    let x = Tensor::new(&[1.0f32, 5.0, 5.0, 2.0, 2.0, 2.0, 0.0, 0.0, 9.0], &[3, 3]).unwrap();
    let labels = Tensor::new(&[2i64, 0, -100], &[3]).unwrap();
    for engine in [gpu(), &Engine::cpu()] {
        let call = Call {
            stats: Stats {
                argmax: true,
                accuracy: true,
                ..Default::default()
            },
            ..Call::new(Mode::Forward, &[&x, &labels])
        };
        let values = CrossEntropy::default()
            .run(engine, &call)
            .unwrap()
            .read(engine)
            .unwrap();
        assert_eq!(values.argmax.as_ref().unwrap().data, [1, 0, 2]);
        assert_eq!(
            (values.correct, values.ignored, values.accuracy()),
            (Some(1), 1, Some(0.5))
        );
    }
}
