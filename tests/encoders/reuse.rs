//! What is recorded again and again makes nothing new.

use wgloss::optim::{OPTIMIZERS, Parameter, State};
use wgloss::{
    Activity, Adam, Batches, Call, CrossEntropy, Dtype, Engine, Error, GradTo, Loss, Mode, Mse, Optimizer, Output,
    REGISTRY, Tensor,
};

use super::{encoder, operands, submit};
use crate::common::bits;
use crate::common::cases::{Setup, make};
use crate::common::engine::fresh;
use crate::common::own::{activity, own, tensor, values};

/// Buffers and bind groups.
fn made(before: Activity, after: Activity) -> (u64, u64) {
    (after.buffers - before.buffers, after.bind_groups - before.bind_groups)
}

/// A hundred of the same call, each in a submission: read, dropped unread, or dropped before it is submitted.
#[test]
fn a_hundred_encodes_make_no_buffer_after_the_first() {
    let engine = fresh();
    let (x, t) = operands(&engine, 16, 50);
    let on = |seed| engine.upload(&tensor(seed, &[16, 50])).unwrap();
    let (into, other) = (on(1), on(2));
    let calls: [(Box<dyn Loss>, &Tensor, GradTo<'_>); 3] = [
        (Box::new(CrossEntropy::default()), &t, GradTo::New),
        (Box::new(CrossEntropy::default()), &t, GradTo::Into(&into)),
        (Box::new(Mse::default()), &other, GradTo::AddTo(&into)),
    ];
    for (loss, target, grad_input) in calls {
        let call = Call {
            grad_input,
            ..Call::new(Mode::Fused, &[&x, target])
        };
        for kind in 0..3 {
            let run = || {
                let mut own = encoder(&engine);
                let output = loss.encode(&engine, &mut own, &call).unwrap();
                match kind {
                    0 => {
                        submit(&engine, own);
                        drop(output.read(&engine).unwrap());
                    }
                    1 => submit(&engine, own),
                    _ => drop(own),
                }
            };
            run();
            let before = activity(&engine);
            for _ in 0..100 {
                run();
            }
            assert_eq!(made(before, activity(&engine)), (0, 0), "{} {kind}", loss.info().name);
        }
    }
}

/// Results that are held keep theirs, whatever is recorded meanwhile, and submissions may come in any order.
#[test]
fn held_results_are_nobody_elses() {
    let engine = fresh();
    let x: Vec<Tensor> = (0..5)
        .map(|seed| engine.upload(&tensor(seed, &[16, 50])).unwrap())
        .collect();
    let (_, t) = operands(&engine, 16, 50);
    let loss = CrossEntropy::default();
    let want: Vec<_> = (x.iter())
        .map(|x| {
            bits(&values(
                &loss.forward_backward(&engine, &[x, &t], None).unwrap(),
                &engine,
            ))
        })
        .collect();
    for round in 0..4usize {
        let mut all: Vec<(usize, Output, wgpu::CommandEncoder)> = Vec::new();
        for nth in [0, 1, 0, 2, 3, 4, 0] {
            let mut own = encoder(&engine);
            let call = Call::new(Mode::Fused, &[&x[nth], &t]);
            let output = loss.encode(&engine, &mut own, &call).unwrap();
            drop(loss.encode(&engine, &mut own, &call).unwrap()); // nobody wants that one
            all.push((nth, output, own));
        }
        all.rotate_left(round);
        let mut outputs = Vec::new();
        for (nth, output, own) in all {
            submit(&engine, own);
            outputs.push((nth, output));
        }
        for (nth, output) in outputs {
            assert!(bits(&values(&output, &engine)) == want[nth], "{nth} in round {round}");
        }
    }
}

/// All losses, encoded, as they are run: to the bit, and made once.
#[test]
fn every_loss_is_encoded_as_it_is_run() {
    let engine = fresh();
    for (n, info) in REGISTRY.iter().enumerate() {
        let setup = Setup {
            reduction: info.reductions[n % info.reductions.len()],
            seed: n as u64,
            ..Setup::new(&[12, 40])
        };
        let Some(case) = make(info, &setup) else { continue };
        let tensors: Vec<Tensor> = case.tensors.iter().map(|own| engine.upload(own).unwrap()).collect();
        let mode = case.most();
        let call = Call::new(mode, &tensors.iter().collect::<Vec<_>>());
        let want = bits(&values(&case.loss.run(&engine, &call).unwrap(), &engine));
        let mut before = None;
        for _ in 0..3 {
            let mut own = encoder(&engine);
            let output = case.loss.encode(&engine, &mut own, &call).unwrap();
            submit(&engine, own);
            assert!(bits(&values(&output, &engine)) == want, "{}", case.what);
            let after = activity(&engine);
            assert!(
                before.is_none_or(|before| made(before, after) == (0, 0)),
                "{}",
                case.what
            );
            before = Some(after);
        }
    }
}

/// Steps on the same tensors, whose numbers differ from one to the next: submitted each, or several in one submission.
#[test]
fn steps_make_nothing_after_the_first() {
    let engine = fresh();
    let shapes: [&[usize]; 3] = [&[40, 30], &[7], &[3000]];
    let on = |seed: u64| -> Vec<Tensor> {
        let each = shapes.iter().map(|shape| engine.upload(&tensor(seed, shape)).unwrap());
        each.collect()
    };
    for info in OPTIMIZERS {
        let optimizer = (info.new)();
        // One parameter at a time, by the engine: what the others are compared with.
        let (mut alone, grads) = (on(1), on(2));
        let mut states: Vec<State> = shapes.iter().map(|_| State::default()).collect();
        let steps = 60;
        let mut after_first = None;
        for _ in 0..steps {
            for ((param, grad), state) in alone.iter_mut().zip(&grads).zip(&mut states) {
                *param = optimizer.step(&engine, param, grad, state).unwrap();
            }
            after_first.get_or_insert_with(|| activity(&engine));
        }
        assert_eq!(
            made(after_first.unwrap(), activity(&engine)),
            (0, 0),
            "{} step",
            info.name
        );

        let want: Vec<Vec<f32>> = alone.iter().map(|own| own.read(&engine).unwrap()).collect();
        for (kind, in_one) in [
            ("encode", 1),
            ("encode", 4),
            ("encode_all", 1),
            ("encode_all", 3),
            ("step_all", 1),
        ] {
            let mut params = on(1);
            let mut states: Vec<State> = shapes.iter().map(|_| State::default()).collect();
            let mut after_first = None;
            for _ in 0..steps / in_one {
                let mut own = encoder(&engine);
                for _ in 0..in_one {
                    let each = params.iter_mut().zip(&grads).zip(&mut states);
                    let mut all: Vec<Parameter<'_>> = each
                        .map(|((param, grad), state)| Parameter::new(param, grad, state))
                        .collect();
                    match kind {
                        "encode_all" => optimizer.encode_all(&engine, &mut own, &mut all).unwrap(),
                        "step_all" => optimizer.step_all(&engine, &mut all).unwrap(),
                        _ => {
                            for parameter in all {
                                let Parameter { tensor, grad, state } = parameter;
                                *tensor = optimizer.encode(&engine, &mut own, tensor, grad, state).unwrap();
                            }
                        }
                    }
                }
                submit(&engine, own);
                after_first.get_or_insert_with(|| activity(&engine));
            }
            let what = format!("{} {kind} {in_one}", info.name);
            assert_eq!(made(after_first.unwrap(), activity(&engine)), (0, 0), "{what}");
            let got: Vec<Vec<f32>> = params.iter().map(|own| own.read(&engine).unwrap()).collect();
            assert_eq!(got, want, "{what}");
            assert!(states.iter().all(|state| state.step() == steps as u64), "{what}");
        }
    }
}

/// What is wrong with one of several parameters is said of that one, and none is changed.
#[test]
fn one_wrong_parameter_stops_all() {
    for engine in [fresh(), Engine::cpu()] {
        let on = |len: usize| {
            engine
                .upload(&Tensor::new(&vec![1.0f32; len], &[len]).unwrap())
                .unwrap()
        };
        let (mut first, mut second, good, wrong) = (on(4), on(5), on(4), on(6));
        let (mut a, mut b) = (State::default(), State::default());
        let mut all = [
            Parameter::new(&mut first, &good, &mut a),
            Parameter::new(&mut second, &wrong, &mut b),
        ];
        let error = Adam::default().step_all(&engine, &mut all).unwrap_err().to_string();
        assert!(
            error.starts_with("grad: ") && error.ends_with("(of parameter 1 of 0 to 1)"),
            "{error}"
        );
        assert_eq!((a.step(), b.step()), (0, 0));
        assert_eq!(first.read::<f32>(&engine).unwrap(), [1.0; 4]);
    }
}

/// Batches that are recorded come to the totals of those that are run, however many go in one submission.
#[test]
fn batches_are_recorded_as_they_are_run() {
    let engine = fresh();
    let loss = CrossEntropy::default();
    let rows = [5, 9, 2, 7, 1, 4];
    let data: Vec<(Tensor, Tensor)> = rows.iter().map(|&rows| operands(&engine, rows, 6)).collect();
    let mut run = Batches::new(&engine, &loss);
    for (x, t) in &data {
        let _ = run.push(&Call::new(Mode::Forward, &[x, t])).unwrap();
    }
    let want = run.finish().unwrap();
    assert_eq!(want.terms, 28);
    for in_one in [1, 2, 6] {
        let mut recorded = Batches::new(&engine, &loss);
        for some in data.chunks(in_one) {
            let mut own = encoder(&engine);
            for (x, t) in some {
                let _ = recorded.encode(&mut own, &Call::new(Mode::Forward, &[x, t])).unwrap();
            }
            submit(&engine, own);
        }
        assert_eq!(recorded.finish().unwrap(), want, "{in_one}");
    }
    for submits in [false, true] {
        let mut recorded = Batches::new(&engine, &loss);
        let mut never = encoder(&engine);
        let (x, t) = &data[0];
        let call = Call::new(Mode::Forward, &[x, t]);
        let _ = recorded.encode(&mut never, &call).unwrap();
        drop(never);
        if submits {
            assert!(matches!(
                recorded.push(&call),
                Err(Error::NotSubmitted { dropped: true, .. })
            ));
        } else {
            assert!(matches!(
                recorded.finish(),
                Err(Error::NotSubmitted { dropped: true, .. })
            ));
        }
    }
}

/// A result that nobody wants any more is still written when its encoder is submitted: over nobody else's, though that
/// was recorded later, on the same tensors, and submitted before.
#[test]
fn what_nobody_wants_is_written_over_nothing() {
    let engine = fresh();
    let x = own(&engine, Dtype::F32, &[16, 50]);
    let (_, t) = operands(&engine, 16, 50);
    let loss = CrossEntropy::default();
    let call = Call::new(Mode::Fused, &[&x.tensor, &t]);
    let put = |seed: u64| x.put(&engine, &tensor(seed, &[16, 50]));
    put(1);
    let want = bits(&values(&loss.run(&engine, &call).unwrap(), &engine));
    for reads_early in [false, true] {
        let (mut unwanted, mut wanted) = (encoder(&engine), encoder(&engine));
        drop(loss.encode(&engine, &mut unwanted, &call).unwrap());
        let output = loss.encode(&engine, &mut wanted, &call).unwrap();
        put(1);
        submit(&engine, wanted);
        if reads_early {
            assert!(bits(&values(&output, &engine)) == want);
        }
        put(2);
        submit(&engine, unwanted);
        assert!(bits(&values(&output, &engine)) == want);
    }
}
