//! Calls that one can keep, with tensors by name: the same as by position, and told what they lack.

use wgloss::{Call, CrossEntropy, Engine, Error, GradTo, Loss, Mode, Mse, REGISTRY, Role, Softmax, Stats, Tensor};

use crate::common::cases::{Setup, make};
use crate::common::own::values;
use crate::common::{bits, gpu};

fn operands(engine: &Engine) -> (Tensor, Tensor) {
    let x = Tensor::new(&[2.0f32, 0.0, 0.0, 0.0, 1.0, 0.0], &[2, 3]).unwrap();
    let t = Tensor::new(&[0i64, 1], &[2]).unwrap();
    (engine.upload(&x).unwrap(), engine.upload(&t).unwrap())
}

/// Every name that a loss's signature has stands for its place.
#[test]
fn names_stand_for_places() {
    let engine = gpu();
    let mut roles = Vec::new();
    for info in REGISTRY {
        let Some(case) = make(info, &Setup::new(&[6, 5])) else {
            continue;
        };
        let want = bits(&values(
            &case.loss.run(engine, &case.call(Mode::Forward)).unwrap(),
            engine,
        ));
        // Backwards: names need no order.
        let named = info.operands.iter().map(|own| own.role).zip(&case.tensors).rev();
        let mut call = wgloss::OwnedCall::of(case.loss);
        for (role, tensor) in named {
            call = call.tensor(role, tensor);
            roles.push(role);
        }
        let output = call.run(engine).unwrap();
        assert!(bits(&values(&output, engine)) == want, "{}", info.name);
        assert!(output.grad_input.is_none());
    }
    assert!(roles.contains(&Role::Negative) && roles.contains(&Role::Var) && roles.contains(&Role::Input2));
}

#[test]
fn what_is_asked_for_is_what_is_computed() {
    for engine in [gpu(), &Engine::cpu()] {
        let (x, t) = operands(engine);
        let weight = Tensor::new(&[1.0f32, 2.0, 3.0], &[3]).unwrap();
        let half = Tensor::new(&[0.5f32], &[]).unwrap();
        let by_field = CrossEntropy {
            weight: Some(weight.clone()),
            ..Default::default()
        };
        let call = CrossEntropy::default()
            .input(&x)
            .target(&t)
            .weight(&weight)
            .grad_output(&half);
        let call = call.stats(Stats {
            lse: true,
            ..Default::default()
        });
        assert!(call.loss().weight.is_some());
        let positional = Call {
            grad_output: Some(&half),
            stats: Stats {
                lse: true,
                ..Default::default()
            },
            ..Call::new(Mode::Fused, &[&x, &t])
        };
        let want = bits(&values(&by_field.run(engine, &positional).unwrap(), engine));
        for _ in 0..3 {
            assert!(bits(&values(&call.run(engine).unwrap(), engine)) == want);
        }
        assert!(bits(&values(&pollster::block_on(call.run_async(engine)).unwrap(), engine)) == want);
        let alone = call.clone().backward().run(engine).unwrap();
        assert!(alone.loss.is_none() && alone.grad_input.is_some());
        let both = Mse::default()
            .input(&x)
            .target(&x)
            .grad_of(Role::Target)
            .run(engine)
            .unwrap();
        assert!(both.loss.is_some() && both.grad(Role::Target).is_some());
        let alone = call.forward().run(engine).unwrap();
        assert!(alone.loss.is_some() && alone.grad_input.is_none());
    }
}

/// Gradients go where they are told.
#[test]
fn gradients_have_their_places() {
    let engine = gpu();
    let (x, t) = operands(engine);
    let loss = CrossEntropy::default();
    let want = loss
        .forward_backward(engine, &[&x, &t], None)
        .unwrap()
        .read(engine)
        .unwrap();
    let want = want.grad_input.unwrap().data;
    let into = engine.upload(&Tensor::new(&[9.0f32; 6], &[2, 3]).unwrap()).unwrap();
    let call = loss.input(&x).target(&t);
    let output = call.clone().grad_into(&into).run(engine).unwrap();
    assert!(output.read(engine).unwrap().grad_input.is_none(), "the caller has it");
    assert_eq!(into.read::<f32>(engine).unwrap(), want);
    assert_eq!(
        output.include_placed().read(engine).unwrap().grad_input.unwrap().data,
        want
    );
    let _ = call.clone().grad_add_to(&into).run(engine).unwrap();
    let twice: Vec<f32> = want.iter().map(|x| x + x).collect();
    assert_eq!(into.read::<f32>(engine).unwrap(), twice);
    let (device, queue) = engine.wgpu().unwrap();
    let mut encoder = device.create_command_encoder(&Default::default());
    let output = call.grad_in_place().encode(engine, &mut encoder).unwrap();
    queue.submit([encoder.finish()]);
    assert!(output.read(engine).unwrap().grad_input.is_none());
    assert_eq!(x.read::<f32>(engine).unwrap(), want);
}

#[test]
fn what_is_missing_or_nowhere_is_told() {
    let engine = gpu();
    let (x, t) = operands(engine);
    let told = |result: wgloss::Result<wgloss::Output>| result.unwrap_err().to_string();
    assert_eq!(
        told(CrossEntropy::default().input(&x).run(engine)),
        "target: missing: cross_entropy takes input, target, weight, sample_weight"
    );
    assert_eq!(
        told(Softmax::default().input(&x).target(&t).run(engine)),
        "target: softmax has none, it takes input"
    );
    let by_position = CrossEntropy::default().forward(engine, &[&x, &t, &x]);
    assert_eq!(
        told(by_position),
        "cross_entropy: takes 2 (input, target), got 3 tensors; weight, sample_weight are fields of the loss, beside \
         its options"
    );
    // A place for a gradient that nobody computes, or where none can be.
    let on_host = Tensor::new(&[2.0f32, 0.0, 0.0, 0.0, 1.0, 0.0], &[2, 3]).unwrap();
    for (input, grad_input, mode) in [
        (&x, GradTo::Into(&x), Mode::Forward),
        (&x, GradTo::AddTo(&x), Mode::Forward),
        (&x, GradTo::InPlace, Mode::Forward),
        (&on_host, GradTo::InPlace, Mode::Fused),
    ] {
        let call = Call {
            grad_input,
            ..Call::new(mode, &[input, &t])
        };
        for result in [
            CrossEntropy::default().run(engine, &call).map(|_| ()),
            CrossEntropy::default()
                .encode(
                    engine,
                    &mut engine.wgpu().unwrap().0.create_command_encoder(&Default::default()),
                    &call,
                )
                .map(|_| ()),
        ] {
            assert!(
                matches!(result, Err(Error::Operand { name: "grad_input", .. })),
                "{result:?}"
            );
        }
    }
}
