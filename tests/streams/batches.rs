//! Batches that add up.

use wgloss::{Batches, Call, CrossEntropy, Engine, Error, Loss, Mode, Tensor, denominator};

use crate::common::data::Data;
use crate::common::gpu;

#[test]
fn batches_add_up_to_the_whole() {
    let mut data = Data::new(8);
    let (rows, cols) = (900usize, 50usize);
    let x = data.logits(rows * cols);
    let labels = data.labels(rows, cols, Some(-100));
    let weight = Tensor::new(&data.uniform(cols, 0.5, 2.0), &[cols]).unwrap();
    for engine in [gpu(), &Engine::cpu()] {
        for weight in [None, Some(weight.clone())] {
            let loss = CrossEntropy {
                weight,
                ..Default::default()
            };
            let whole_x = Tensor::new(&x, &[rows, cols]).unwrap();
            let whole_labels = Tensor::new(&labels, &[rows]).unwrap();
            let call = Call::new(Mode::Fused, &[&whole_x, &whole_labels]);
            let want = loss.run(engine, &call).unwrap().read(engine).unwrap();
            let batches: Vec<_> = [0..100, 100..101, 101..rows]
                .into_iter()
                .map(|own| {
                    let x = Tensor::new(&x[own.start * cols..own.end * cols], &[own.len(), cols]).unwrap();
                    (x, Tensor::new(&labels[own.clone()], &[own.len()]).unwrap())
                })
                .collect();
            let calls = |mode| batches.iter().map(move |(x, labels)| Call::new(mode, &[x, labels]));
            let refused = Batches::new(engine, &loss).push(&calls(Mode::Fused).next().unwrap());
            assert!(
                refused
                    .unwrap_err()
                    .to_string()
                    .starts_with("denominator: the gradient of a mean")
            );
            let own = CrossEntropy {
                denominator: Some(3.0),
                ..loss.clone()
            };
            let refused = Batches::new(engine, &own).push(&calls(Mode::Forward).next().unwrap());
            let why = refused.unwrap_err().to_string();
            assert!(why.starts_with("denominator: 3 given for each call"), "{why}");
            let sum: f64 = calls(Mode::Forward)
                .map(|call| denominator(engine, &loss, &call).unwrap())
                .sum();
            assert!((sum - want.weight.unwrap()).abs() < 1e-3 * sum);
            let mut all = Batches::new(engine, &loss).with_denominator(sum);
            let mut grads = Vec::new();
            for call in calls(Mode::Fused) {
                grads.extend(all.push(&call).unwrap().read(engine).unwrap().grad_input.unwrap().data);
            }
            let totals = all.finish().unwrap();
            assert!((totals.mean() - f64::from(want.scalar().unwrap())).abs() < 1e-6 * totals.mean());
            assert_eq!((totals.terms, totals.ignored), (want.terms, want.ignored));
            for (own, want) in grads.iter().zip(&want.grad_input.as_ref().unwrap().data) {
                assert!((own - want).abs() <= 2e-7 * want.abs(), "{own} {want}");
            }
            // Two processes.
            let part = |own: std::ops::Range<usize>| {
                let mut part = Batches::new(engine, &loss);
                for call in calls(Mode::Forward).skip(own.start).take(own.len()) {
                    let _ = part.push(&call).unwrap();
                }
                part.finish().unwrap()
            };
            let mut joint = part(0..2);
            joint.merge(&part(2..3));
            assert!((joint.mean() - totals.mean()).abs() < 1e-7 * totals.mean());
        }
    }
}

#[test]
fn batches_name_the_row_of_a_bad_label() {
    let loss = CrossEntropy::default();
    for engine in [gpu(), &Engine::cpu()] {
        let mut all = Batches::new(engine, &loss);
        for labels in [[0i64, 1], [1, 5], [-3, 0]] {
            let x = Tensor::new(&[0f32; 4], &[2, 2]).unwrap();
            let labels = Tensor::new(&labels, &[2]).unwrap();
            let _ = all.push(&Call::new(Mode::Forward, &[&x, &labels])).unwrap();
        }
        match all.finish().unwrap_err() {
            Error::BadLabels {
                count,
                rows,
                first_row,
                value,
                ..
            } => assert_eq!((count, rows, first_row, value), (2, 6, 3, 5)),
            other => panic!("{other}"),
        }
    }
}
