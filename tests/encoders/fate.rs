//! What was recorded and never submitted is an error wherever it is read or computed with, and a step that was never
//! submitted was never taken.

use wgloss::optim::{OPTIMIZERS, State};
use wgloss::{Call, CrossEntropy, Engine, Error, Loss, Mode, Optimizer, Output, Result, Sgd, Softmax, Tensor, Values};

use super::{encoder, operands, submit};
use crate::common::engine::fresh;
use crate::common::own::{tensor, values};
use crate::common::{bits, gpu};

/// All ways to read an output.
fn reads(output: &Output, engine: &Engine) -> [Result<Option<Values>>; 3] {
    [
        output.read(engine).map(Some),
        pollster::block_on(output.read_async(engine)).map(Some),
        output.try_read(engine),
    ]
}

fn is_not_submitted<T>(result: &Result<T>, name: &str, dropped: bool) -> bool {
    matches!(result, Err(Error::NotSubmitted { name: own, dropped: is }) if *own == name && *is == dropped)
}

/// Small results and large ones, before the submission, after it, and where there is none.
#[test]
fn results_are_there_once_they_are_submitted_and_not_before() {
    let engine = gpu();
    for shape in [(16, 50), (300, 200)] {
        let (x, t) = operands(engine, shape.0, shape.1);
        let loss = CrossEntropy::default();
        let want = values(&loss.forward_backward(engine, &[&x, &t], None).unwrap(), engine);
        for mode in [Mode::Forward, Mode::Backward, Mode::Fused] {
            let call = Call::new(mode, &[&x, &t]);
            let mut early = encoder(engine);
            let output = loss.encode(engine, &mut early, &call).unwrap();
            let part = output.grad_input.as_ref().or(output.loss.as_ref()).unwrap().clone();
            for result in reads(&output, engine) {
                assert!(is_not_submitted(&result, "result", false), "{mode:?}: {result:?}");
            }
            assert!(is_not_submitted(&part.numbers(engine), "result", false));
            let commands = early.finish();
            assert!(is_not_submitted(&output.read(engine), "result", false));
            engine.wgpu().unwrap().1.submit([commands]);
            let got = values(&output, engine);
            assert_eq!(got.loss, want.loss.clone().filter(|_| mode.wants_loss()));
            assert_eq!(got.grad_input, want.grad_input.clone().filter(|_| mode.wants_grad()));
            assert!(part.numbers(engine).is_ok());

            // The encoder is dropped, and what was made of another.
            for finishes in [false, true] {
                let mut never = encoder(engine);
                let output = loss.encode(engine, &mut never, &call).unwrap();
                let part = output.grad_input.as_ref().or(output.loss.as_ref()).unwrap().clone();
                if finishes {
                    drop(never.finish());
                } else {
                    drop(never);
                }
                for result in reads(&output, engine) {
                    assert!(is_not_submitted(&result, "result", true), "{mode:?}: {result:?}");
                }
                assert!(is_not_submitted(&part.numbers(engine), "result", true));
            }
        }
    }
    let never = Error::NotSubmitted {
        name: "result",
        dropped: true,
    };
    assert_eq!(
        never.to_string(),
        "result: was recorded into a command encoder that was dropped, or submitted without the one that computes its \
         operands"
    );
}

/// A result goes into later calls: of the same encoder at any time, of the engine's own once it is submitted.
#[test]
fn operands_that_were_not_computed_are_refused() {
    let engine = gpu();
    let (x, t) = operands(engine, 16, 50);
    let (soft, loss) = (Softmax::default(), CrossEntropy::default());
    let inner = soft.forward(engine, &[&x]).unwrap().loss.unwrap();
    let want = bits(&values(&loss.forward(engine, &[&inner, &t]).unwrap(), engine));
    let mut both = encoder(engine);
    let first = soft
        .encode(engine, &mut both, &Call::new(Mode::Forward, &[&x]))
        .unwrap();
    let first = first.loss.unwrap();
    assert!(is_not_submitted(&loss.forward(engine, &[&first, &t]), "input", false));
    let second = loss
        .encode(engine, &mut both, &Call::new(Mode::Forward, &[&first, &t]))
        .unwrap();
    submit(engine, both);
    assert!(bits(&values(&second, engine)) == want);
    assert!(bits(&values(&loss.forward(engine, &[&first, &t]).unwrap(), engine)) == want);

    let mut never = encoder(engine);
    let first = soft
        .encode(engine, &mut never, &Call::new(Mode::Forward, &[&x]))
        .unwrap();
    let first = first.loss.unwrap();
    drop(never);
    let mut later = encoder(engine);
    let call = Call::new(Mode::Forward, &[&first, &t]);
    assert!(is_not_submitted(&loss.encode(engine, &mut later, &call), "input", true));
    assert!(is_not_submitted(&loss.run(engine, &call), "input", true));
    let sgd = Sgd::default();
    let mut state = State::default();
    assert!(is_not_submitted(
        &sgd.step(engine, &x, &first, &mut state),
        "grad",
        true
    ));
    assert!(is_not_submitted(
        &sgd.encode(engine, &mut later, &x, &first, &mut state),
        "grad",
        true
    ));
    assert_eq!(state.step(), 0);
}

/// A step whose encoder was dropped was not taken: neither the count nor the state knows of it, first step or not.
#[test]
fn a_step_that_was_dropped_does_not_count() {
    let engine = fresh();
    let on = |seed| engine.upload(&tensor(seed, &[400])).unwrap();
    for info in OPTIMIZERS {
        for before in [0, 2] {
            let mut optimizer = (info.new)();
            if info.name == "sgd" {
                optimizer = Box::new(Sgd {
                    momentum: 0.9,
                    dampening: 0.5,
                    ..Default::default()
                });
            }
            let run = |drops: bool| {
                let (mut param, grad, mut state) = (on(1), on(2), State::default());
                for _ in 0..before {
                    param = optimizer.step(&engine, &param, &grad, &mut state).unwrap();
                }
                if drops {
                    let mut never = encoder(&engine);
                    let other = on(3);
                    let stepped = optimizer
                        .encode(&engine, &mut never, &param, &other, &mut state)
                        .unwrap();
                    assert_eq!(state.step(), before + 1);
                    assert!(is_not_submitted(&stepped.numbers(&engine), "result", false));
                    drop(never);
                    assert_eq!(state.step(), before);
                    assert!(is_not_submitted(&stepped.numbers(&engine), "result", true));
                    assert!(info.states.iter().all(|role| state.get(*role).is_some()
                        == (before > 0
                            && optimizer.rule(&state).states > 0
                            && info.states.iter().position(|own| own == role).unwrap()
                                < optimizer.rule(&state).states)));
                }
                let mut last = encoder(&engine);
                param = optimizer.encode(&engine, &mut last, &param, &grad, &mut state).unwrap();
                submit(&engine, last);
                let state_bits: Vec<Vec<f32>> = (state.tensors().iter())
                    .map(|(_, tensor)| tensor.read::<f32>(&engine).unwrap())
                    .collect();
                assert_eq!(state.step(), before + 1);
                (param.read::<f32>(&engine).unwrap(), state_bits)
            };
            assert_eq!(run(false), run(true), "{} after {before}", info.name);
        }
    }
}

/// The handle that a step was given still reads what was there before.
#[test]
fn what_a_dropped_step_would_have_written_is_as_it_was() {
    let engine = gpu();
    let param = engine.upload(&Tensor::new(&[1.0f32, 2.0], &[2]).unwrap()).unwrap();
    let grad = engine.upload(&Tensor::new(&[1.0f32, 1.0], &[2]).unwrap()).unwrap();
    let mut never = encoder(engine);
    let mut state = State::default();
    let _ = Sgd::default()
        .encode(engine, &mut never, &param, &grad, &mut state)
        .unwrap();
    drop(never);
    assert_eq!(param.read::<f32>(engine).unwrap(), [1.0, 2.0]);
}

/// A gradient that one encoder computes and another takes: they have to be submitted, in that order.
#[test]
fn what_takes_results_of_another_encoder_needs_it() {
    let engine = gpu();
    let (x, t) = operands(engine, 16, 50);
    let loss = CrossEntropy::default();
    let sgd = Sgd::default();
    for order in ["both", "late", "dropped"] {
        let param = engine.upload(&tensor(3, &[16, 50])).unwrap();
        let mut state = State::default();
        let (mut first, mut second) = (encoder(engine), encoder(engine));
        let call = Call::new(Mode::Backward, &[&x, &t]);
        let grad = loss.encode(engine, &mut first, &call).unwrap().grad_input.unwrap();
        let stepped = sgd.encode(engine, &mut second, &param, &grad, &mut state).unwrap();
        let soft = Softmax::default().encode(engine, &mut second, &Call::new(Mode::Forward, &[&stepped]));
        let soft = soft.unwrap();
        if order == "both" {
            submit(engine, first);
            submit(engine, second);
            assert!(stepped.numbers(engine).is_ok() && soft.read(engine).is_ok() && state.step() == 1);
            continue;
        }
        submit(engine, second);
        let never = (order == "late").then(|| submit(engine, first));
        assert!(
            is_not_submitted(&stepped.numbers(engine), "result", true),
            "{order} {never:?}"
        );
        assert!(is_not_submitted(&soft.read(engine), "result", true));
    }
}

/// A pass of the caller's that is still open is an error, and no panic.
#[test]
fn an_open_pass_is_an_error() {
    let engine = gpu();
    let (x, t) = operands(engine, 16, 50);
    let mut own = encoder(engine);
    let pass = own.begin_compute_pass(&Default::default()).forget_lifetime();
    let result = CrossEntropy::default().encode(engine, &mut own, &Call::new(Mode::Fused, &[&x, &t]));
    assert!(matches!(result, Err(Error::Device(_))), "{result:?}");
    drop(pass);
    assert!(
        CrossEntropy::default()
            .forward(engine, &[&x, &t])
            .unwrap()
            .read(engine)
            .is_ok()
    );
}

/// A call that is refused for an operand that is yet to be submitted gives back what it is bound to.
#[test]
fn refusals_keep_nothing() {
    let engine = fresh();
    let (x, t) = operands(&engine, 16, 50);
    let (soft, loss) = (Softmax::default(), CrossEntropy::default());
    // The same memory each time: what is bound to it is kept.
    let mut last = None;
    for round in 0..30 {
        let mut own = encoder(&engine);
        let inner = soft
            .encode(&engine, &mut own, &Call::new(Mode::Forward, &[&x]))
            .unwrap();
        let inner = inner.loss.unwrap();
        assert!(is_not_submitted(&loss.forward(&engine, &[&inner, &t]), "input", false));
        submit(&engine, own);
        drop(loss.forward(&engine, &[&inner, &t]).unwrap().read(&engine).unwrap());
        if round == 2 {
            last = engine.activity();
        }
    }
    let (last, now) = (last.unwrap(), engine.activity().unwrap());
    assert_eq!((now.buffers, now.bind_groups), (last.buffers, last.bind_groups));
}
