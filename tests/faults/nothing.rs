//! Batches of nothing.

use wgloss::{BceWithLogits, CrossEntropy, Engine, Loss, Mode, REGISTRY, Reduce, ReduceOp, Reduction, Tensor};

use super::{both, message};
use crate::common::cases::{Setup, make};
use crate::common::engine;

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
                for engine in [&*engine::passing(), &Engine::cpu()] {
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
