//! States of optimizers as others have them: counts at their end, moments of 16 bits, a buffer without a count.

use wgloss::optim::{OPTIMIZERS, State};
use wgloss::{Adam, Dtype, Engine, Optimizer, Role, Sgd, Tensor};

use crate::common::gpu;

fn tensor(data: &[f32]) -> Tensor {
    Tensor::new(data, &[data.len()]).unwrap()
}

/// A count that has no next number is refused before anything is computed, and the one before it is the last.
#[test]
fn a_count_that_cannot_go_on_is_refused() {
    for engine in [gpu(), &Engine::cpu()] {
        for info in OPTIMIZERS {
            let optimizer = (info.new)();
            for step in [State::MAX_STEP, State::MAX_STEP + 1, u64::MAX] {
                let mut state = State::after(step);
                let error = optimizer
                    .step(engine, &tensor(&[1.0]), &tensor(&[1.0]), &mut state)
                    .unwrap_err();
                let wanted = format!("step: {step} steps were taken, and the count ends at {}", i64::MAX);
                assert!(error.to_string().starts_with(&wanted), "{error}");
                assert_eq!((state.step(), state.tensors().len()), (step, 0));
            }
            let mut state = State::after(State::MAX_STEP - 1);
            for role in info.states {
                state.attach(*role, tensor(&[0.25]));
            }
            let param = optimizer
                .step(engine, &tensor(&[1.0]), &tensor(&[1.0]), &mut state)
                .unwrap();
            assert_eq!(state.step(), State::MAX_STEP);
            assert!(param.numbers(engine).unwrap().data[0] < 1.0);
        }
    }
}

/// Moments of 16 bits on the host become f32 when they are attached, and count as the same numbers.
#[test]
fn moments_of_16_bits_are_widened_on_the_host() {
    let (exp_avg, exp_avg_sq) = ([0.5f32, -1.25, 3.0], [2.0f32, 0.125, 1.5]);
    let after = |dtype: Dtype| {
        let mut state = State::after(7);
        state.attach(Role::ExpAvg, tensor(&exp_avg).to_dtype(dtype).unwrap());
        state.attach(Role::ExpAvgSq, tensor(&exp_avg_sq).to_dtype(dtype).unwrap());
        assert!(state.tensors().iter().all(|(_, tensor)| tensor.dtype() == Dtype::F32));
        state
    };
    for engine in [gpu(), &Engine::cpu()] {
        let stepped = |mut state: State| {
            let (param, grad) = (tensor(&[1.0, 2.0, 3.0]), tensor(&[0.5, 0.25, -1.0]));
            let param = Adam::default().step(engine, &param, &grad, &mut state).unwrap();
            let moments = state
                .tensors()
                .iter()
                .map(|(_, tensor)| tensor.numbers(engine).unwrap().data);
            (param.numbers(engine).unwrap().data, moments.collect::<Vec<_>>())
        };
        let want = stepped(after(Dtype::F32));
        assert!(want.0[0] != 1.0 && want == stepped(after(Dtype::F16)) && want == stepped(after(Dtype::Bf16)));

        let mut wrong = State::default();
        wrong.attach(Role::ExpAvg, Tensor::new(&[1i32], &[1]).unwrap());
        let error = Adam::default()
            .step(engine, &tensor(&[1.0]), &tensor(&[1.0]), &mut wrong)
            .unwrap_err();
        assert!(
            error.to_string().starts_with("exp_avg: expected dtype f32, got i32"),
            "{error}"
        );
    }
    // One on a device would be converted behind the user's back, and stays where it is.
    let half = gpu().upload(&tensor(&[1.0]).to_dtype(Dtype::F16).unwrap()).unwrap();
    let mut state = State::default();
    state.attach(Role::ExpAvgSq, half);
    let error = Adam::default()
        .step(gpu(), &tensor(&[1.0]), &tensor(&[1.0]), &mut state)
        .unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("exp_avg_sq: expected dtype f32, got f16 on a device; attach"),
        "{error}"
    );
}

/// What makes a step of SGD not the first is its buffer, not the count.
#[test]
fn a_momentum_buffer_goes_on_without_a_count() {
    let sgd = Sgd {
        lr: 1.0,
        momentum: 0.5,
        dampening: 0.5,
        ..Default::default()
    };
    for engine in [gpu(), &Engine::cpu()] {
        for (count, buffer, want) in [(0, Some(4.0), 7.5), (9, Some(4.0), 7.5), (0, None, 9.0), (9, None, 9.0)] {
            let mut state = State::after(count);
            if let Some(buffer) = buffer {
                state.attach(Role::MomentumBuffer, tensor(&[buffer]));
            }
            // b = 0.5 b + (1 - 0.5) g, or g; p = p - b
            let param = sgd.step(engine, &tensor(&[10.0]), &tensor(&[1.0]), &mut state).unwrap();
            assert_eq!(param.numbers(engine).unwrap().data, [want]);
        }
    }
}
