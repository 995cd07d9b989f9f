//! What holds of every loss of the registry.

use wgloss::{Dtype, Engine, Error, LogSoftmax, Loss, Mode, REGISTRY, Stats, Tensor};

use crate::common::against::{against_reference, on_gpu};
use crate::common::cases::{Case, DTYPES, Setup, make, settings};
use crate::common::data::Data;
use crate::common::{F32, engine, gpu, is_long, report, takes};

/// Every loss in every dtype: odd rows by lane and longer ones by group, whole quads or not; options, reductions,
/// optional tensors and dtypes of labels in turn. 16-bit results are those of the rounded inputs. In the quick form
/// each loss has two or three of the dtypes, in one shape each.
#[test]
fn every_loss_in_every_dtype() {
    let shapes: [&[usize]; 5] = [&[5, 7], &[3, 129], &[2, 5, 3], &[4, 132], &[9]];
    let (mut failures, mut total) = (Vec::new(), 0);
    for (nth, info) in REGISTRY.iter().enumerate() {
        let all = settings(info);
        let mut count = 0;
        for (k, (dtype, other)) in DTYPES.into_iter().enumerate() {
            // Each shape in two of the dtypes.
            for n in [k, (k + 2) % 5] {
                if !is_long() && ((nth + k) % 2 == 1 || n != [k, (k + 2) % 5][nth / 2 % 2]) {
                    continue;
                }
                let shape = shapes[n];
                let setup = Setup {
                    dtype,
                    other,
                    labels: Dtype::LABELS[(n + k) % 4],
                    full: (n + k) % 3 == 1,
                    given: (n + k) % 2 == 1,
                    reduction: info.reductions[(n + 2 * k) % info.reductions.len()],
                    seed: (5 * n + k) as u64,
                    ..Setup::new(shape)
                };
                // The first setting from a place of its own that the loss takes.
                let start = (n * 11 + k * 17) % all.len();
                let taken = (0..all.len()).find_map(|i| {
                    let setting = all[(start + i) % all.len()].clone();
                    make(
                        info,
                        &Setup {
                            setting,
                            ..setup.clone()
                        },
                    )
                });
                let Some(mut case) = taken else { continue };
                if info.statistics && n < 3 {
                    case.stats = Stats {
                        lse: true,
                        argmax: true,
                        entropy: true,
                        accuracy: !setup.full,
                        z_loss: false,
                    };
                }
                (count, total) = (count + 1, total + 1);
                // Compiling takes most of the time.
                let check = if count == 2 { against_reference } else { on_gpu };
                failures.extend(check(&case.what, &*case.loss, &case.call(case.most())));
            }
        }
        assert!(count >= if is_long() { 6 } else { 1 }, "{}: {count} cases", info.name);
    }
    report(failures, total);
}

/// Each loss's gradient by itself and beside the loss: the golden cases have more of both.
#[test]
fn backward_and_fused_agree() {
    let mut failures = Vec::new();
    for (nth, info) in REGISTRY.iter().enumerate() {
        for (n, shape) in [&[6usize, 9][..], &[3, 132]].into_iter().enumerate() {
            if !takes(nth + 4 * n, 8) {
                continue;
            }
            let Some(case) = make(info, &Setup::new(shape)).or_else(|| {
                let reduction = info.reductions[0];
                make(
                    info,
                    &Setup {
                        reduction,
                        ..Setup::new(shape)
                    },
                )
            }) else {
                continue;
            };
            if case.differentiable {
                failures.extend(fused_and_single(&case));
            }
        }
    }
    report(failures, 2 * REGISTRY.len());
}

fn fused_and_single(case: &Case) -> Vec<String> {
    let engine = engine::passing();
    let run = |mode| {
        case.loss
            .run(&engine, &case.call(mode))
            .and_then(|output: wgloss::Output| output.read(&engine))
    };
    let result: Result<_, Error> = (|| Ok((run(Mode::Forward)?, run(Mode::Backward)?, run(Mode::Fused)?)))();
    let (forward, backward, fused) = match result {
        Ok(all) => all,
        Err(error) => return vec![format!("{}: {error}", case.what)],
    };
    let mut failures = Vec::new();
    let wide = |array: &Option<wgloss::Array>| -> Vec<f64> {
        array
            .iter()
            .flat_map(|a| a.data.iter().map(|&v| f64::from(v)))
            .collect()
    };
    failures.extend(F32.compare(&case.what, &forward.loss, &wide(&fused.loss)).err());
    failures.extend(
        F32.compare(&case.what, &backward.grad_input, &wide(&fused.grad_input))
            .err(),
    );
    if backward.loss.is_some() || forward.grad_input.is_some() || backward.grads.len() != case.grads.len() {
        failures.push(format!(
            "{}: outputs that were not asked for, or missing ones",
            case.what
        ));
    }
    failures
}

/// A function without an upstream gradient has one of ones, bit for bit.
#[test]
fn functions_default_to_an_upstream_of_ones() {
    let x = Tensor::new(&Data::new(78).logits(21), &[3, 7]).unwrap();
    let ones = Tensor::new(&[1f32; 21], &[3, 7]).unwrap();
    for name in ["softmax", "log_softmax", "sigmoid", "log_sigmoid"] {
        let loss = (wgloss::find(name).unwrap().new)();
        for engine in [gpu(), &Engine::cpu()] {
            let grad = |upstream| {
                let output = loss.backward(engine, &[&x], upstream).unwrap();
                output.read(engine).unwrap().grad_input.unwrap().data
            };
            assert_eq!(grad(None), grad(Some(&ones)), "{name} {}", engine.name());
        }
    }
    let log_softmax = LogSoftmax::default().backward(gpu(), &[&x], None).unwrap();
    let largest = log_softmax.read(gpu()).unwrap().grad_input.unwrap().data;
    assert!(largest.iter().any(|g| g.abs() > 0.1), "gradients of nothing");
}

/// A class list has no ignored rows, whatever ends it.
#[test]
fn lists_have_no_ignored_rows() {
    let x = Tensor::new(&[0.1f32, 0.2, 0.3, 0.4], &[2, 2]).unwrap();
    let lists = Tensor::new(&[-1i64, -1, 0, -1], &[2, 2]).unwrap();
    for engine in [gpu(), &Engine::cpu()] {
        let values = wgloss::MultilabelMargin::default()
            .forward(engine, &[&x, &lists])
            .unwrap()
            .read(engine)
            .unwrap();
        assert_eq!((values.ignored, values.terms), (0, 2), "{}", engine.name());
    }
}
