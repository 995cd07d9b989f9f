//! Steps behind a scaler: those of one without it, skipped where a gradient is not finite; and the scale.

use wgloss::optim::{Parameter, ScalerState, State};
use wgloss::{ClipGrad, Dtype, Engine, Error, GradScaler, Optimizer, Sgd, Tensor};

use super::{floats, optimizers};
use crate::common::engine::fresh;
use crate::common::gpu;
use crate::common::own::{activity, tensor};

const STEPS: u64 = 9;
/// The steps with a gradient that is not finite: the first among them.
const BAD: [u64; 3] = [0, 4, 5];

/// Two parameters, and their gradients at each step.
fn given(step: u64, scale: f32) -> [Tensor; 2] {
    [(&[9, 30][..], 1), (&[5], 2)].map(|(shape, nth)| {
        let own = tensor(10 * step + nth, shape).numbers(&Engine::cpu()).unwrap().data;
        let mut own: Vec<f32> = own.iter().map(|x| x * scale).collect();
        if BAD.contains(&step) && nth == 1 {
            own[7] = if step == 4 { f32::NAN } else { f32::NEG_INFINITY };
        }
        Tensor::new(&own, shape).unwrap()
    })
}

fn uploaded(engine: &Engine, own: &[Tensor; 2]) -> [Tensor; 2] {
    own.each_ref().map(|own| engine.upload(own).unwrap())
}

/// The parameters after all steps of a scaler, each recorded or run.
fn scaled(engine: &Engine, optimizer: &dyn Optimizer, clip: Option<ClipGrad>, records: bool) -> Vec<f32> {
    let scaler = GradScaler {
        init_scale: 1024.0,
        growth_interval: 2,
        ..Default::default()
    };
    let mut scale = ScalerState::default();
    let mut params = uploaded(engine, &given(100, 1.0));
    let mut states = [State::default(), State::default()];
    let mut now = 1024.0;
    for step in 0..STEPS {
        let grads = uploaded(engine, &given(step, now));
        let mut all: Vec<Parameter<'_>> = (params.iter_mut().zip(&grads))
            .zip(&mut states)
            .map(|((param, grad), state)| Parameter::new(param, grad, state))
            .collect();
        if records {
            let (device, queue) = engine.wgpu().unwrap();
            let mut encoder = device.create_command_encoder(&Default::default());
            scaler
                .encode_all(engine, &mut encoder, optimizer, &mut all, clip, &mut scale)
                .unwrap();
            scaler.encode_update(engine, &mut encoder, &mut scale).unwrap();
            queue.submit([encoder.finish()]);
        } else {
            scaler.step_all(engine, optimizer, &mut all, clip, &mut scale).unwrap();
            scaler.update(engine, &mut scale).unwrap();
        }
        now = scaler.read_scale(engine, &scale).unwrap() as f32;
    }
    // Skipped: 0, 4, 5; up after 1 and 2, down at 4 and 5, up after 6 and 7.
    assert_eq!(now, 1024.0 * 0.5 * 2.0 * 0.5 * 0.5 * 2.0);
    assert_eq!(scaler.skipped(engine, &scale).unwrap(), BAD.len() as u64);
    let taken = states.each_ref().map(|own| own.taken(engine).unwrap());
    assert_eq!(taken, [STEPS - BAD.len() as u64; 2]);
    params.iter().flat_map(|own| floats(own, engine)).collect()
}

/// The same without a scaler, leaving out what it would skip.
fn plain(engine: &Engine, optimizer: &dyn Optimizer) -> Vec<f32> {
    let mut params = uploaded(engine, &given(100, 1.0));
    let mut states = [State::default(), State::default()];
    for step in (0..STEPS).filter(|step| !BAD.contains(step)) {
        let grads = uploaded(engine, &given(step, 1.0));
        for ((param, grad), state) in params.iter_mut().zip(&grads).zip(&mut states) {
            *param = optimizer.step(engine, param, grad, state).unwrap();
        }
    }
    params.iter().flat_map(|own| floats(own, engine)).collect()
}

fn near(what: &str, ours: &[f32], truth: &[f32]) {
    assert_eq!(ours.len(), truth.len(), "{what}");
    for (a, b) in ours.iter().zip(truth) {
        assert!((a - b).abs() <= 2e-6 * b.abs().max(1.0), "{what}: {a}, {b}");
    }
}

/// With every option of every optimizer: the steps that are taken are those of one without a scaler.
#[test]
fn steps_are_those_without_a_scaler() {
    let (device, host) = (fresh(), Engine::cpu());
    for optimizer in optimizers() {
        let what = format!("{optimizer:?}");
        let truth = plain(&host, &*optimizer);
        near(&what, &scaled(&host, &*optimizer, None, false), &truth);
        let run = scaled(&device, &*optimizer, None, false);
        near(&what, &run, &truth);
        assert!(run == scaled(&device, &*optimizer, None, true), "{what}: recorded");
    }
}

/// Clipped on the way, as in the reference; a clip that is ignored would differ by far.
#[test]
fn steps_are_clipped_on_their_way() {
    let (device, host) = (fresh(), Engine::cpu());
    let sgd = Sgd {
        lr: 0.1,
        ..Default::default()
    };
    for clip in [ClipGrad::norm(1.0), ClipGrad::value(0.25), ClipGrad::norm(1e6)] {
        let truth = scaled(&host, &sgd, Some(clip), false);
        near(&format!("{clip:?}"), &scaled(&device, &sgd, Some(clip), false), &truth);
        let apart = truth.iter().zip(plain(&host, &sgd)).any(|(a, b)| (a - b).abs() > 1e-2);
        assert_eq!(apart, clip != ClipGrad::norm(1e6), "{clip:?}");
    }
}

/// Adam's corrections, made on the device from its count, at any of many counts.
#[test]
fn corrections_on_the_device_are_those_of_the_host() {
    let (device, host) = (gpu(), Engine::cpu());
    for betas in [(0.9, 0.999), (0.0, 0.5), (0.99, 0.999_99)] {
        let adam = wgloss::Adam {
            lr: 1.0,
            betas,
            ..Default::default()
        };
        for step in [0, 1, 9, 1_000, 123_456, 20_000_000] {
            let of = |engine: &Engine, scaled: bool| {
                let grad = engine.upload(&Tensor::new(&[0.5f32], &[1]).unwrap()).unwrap();
                let mut param = engine.upload(&Tensor::new(&[0.0f32], &[1]).unwrap()).unwrap();
                let mut state = State::after(step);
                for (role, value) in [(wgloss::Role::ExpAvg, 0.25f32), (wgloss::Role::ExpAvgSq, 0.125)] {
                    state.attach(role, engine.upload(&Tensor::new(&[value], &[1]).unwrap()).unwrap());
                }
                let mut all = [Parameter::new(&mut param, &grad, &mut state)];
                match scaled {
                    true => {
                        let (scaler, mut scale) = (GradScaler::unscaled(), ScalerState::default());
                        scaler.step_all(engine, &adam, &mut all, None, &mut scale).unwrap();
                    }
                    false => adam.step_all(engine, &mut all).unwrap(),
                }
                assert_eq!(state.taken(engine).unwrap(), step + 1);
                floats(&param, engine)[0]
            };
            let (ours, truth) = (of(device, true), of(&host, false));
            assert!(
                ((ours - truth) / truth).abs() < 2e-6,
                "{betas:?} after {step}: {ours}, {truth}"
            );
        }
    }
}

/// The scale stays what has an inverse in f32.
#[test]
fn the_scale_stays_finite() {
    for engine in [gpu(), &Engine::cpu()] {
        let scaler = GradScaler {
            init_scale: 2f64.powi(125),
            growth_interval: 1,
            ..Default::default()
        };
        let mut scale = ScalerState::default();
        let _ = scaler.scale(engine, &mut scale).unwrap();
        for _ in 0..5 {
            scaler.update(engine, &mut scale).unwrap();
        }
        assert_eq!(scaler.read_scale(engine, &scale).unwrap(), 2f64.powi(126));
        assert_eq!(
            floats(&scaler.scale(engine, &mut scale).unwrap(), engine),
            [2f32.powi(126)]
        );
    }
}

/// A hundred steps on the same tensors make no buffer and no bind group after the first.
#[test]
fn steps_again_make_nothing_new() {
    let engine = fresh();
    let scaler = GradScaler::default();
    let (mut scale, mut state) = (ScalerState::default(), State::default());
    let mut param = engine.upload(&tensor(1, &[70_000])).unwrap();
    let grad = engine.upload(&tensor(2, &[70_000])).unwrap();
    let mut step = || {
        let mut all = [Parameter::new(&mut param, &grad, &mut state)];
        scaler
            .step_all(&engine, &wgloss::Adam::default(), &mut all, None, &mut scale)
            .unwrap();
        scaler.update(&engine, &mut scale).unwrap();
    };
    step();
    let before = activity(&engine);
    (0..100).for_each(|_| step());
    let after = activity(&engine);
    let made = (after.buffers - before.buffers, after.bind_groups - before.bind_groups);
    assert_eq!(made, (0, 0));
}

#[test]
fn what_a_scaler_refuses_is_named() {
    let engine = gpu();
    let (mut scale, mut state) = (ScalerState::default(), State::default());
    let grad = engine.upload(&tensor(2, &[3])).unwrap();
    let mut param = engine.upload(&tensor(1, &[3])).unwrap();
    let before = floats(&param, engine);
    for (scaler, name) in [
        (
            GradScaler {
                init_scale: 0.0,
                ..Default::default()
            },
            "init_scale",
        ),
        (
            GradScaler {
                init_scale: 1e39,
                ..Default::default()
            },
            "init_scale",
        ),
        (
            GradScaler {
                growth_factor: 0.5,
                ..Default::default()
            },
            "growth_factor",
        ),
        (
            GradScaler {
                backoff_factor: 1.5,
                ..Default::default()
            },
            "backoff_factor",
        ),
        (
            GradScaler {
                growth_interval: 0,
                ..Default::default()
            },
            "growth_interval",
        ),
    ] {
        let mut all = [Parameter::new(&mut param, &grad, &mut state)];
        let error = scaler
            .step_all(engine, &Sgd::default(), &mut all, None, &mut scale)
            .unwrap_err();
        assert!(error.to_string().contains(name), "{error}");
    }
    // A step that fails leaves the state what it was: one without a scaler goes on.
    let scaler = GradScaler::default();
    let wrong = engine.upload(&tensor(2, &[4])).unwrap();
    let mut all = [Parameter::new(&mut param, &wrong, &mut state)];
    assert!(
        scaler
            .step_all(engine, &Sgd::default(), &mut all, None, &mut scale)
            .is_err()
    );
    assert_eq!((floats(&param, engine), state.step()), (before, 0));
    let _ = Sgd::default().step(engine, &param, &grad, &mut state).unwrap();
    // One that a device counts goes on with a scaler alone.
    let mut all = [Parameter::new(&mut param, &grad, &mut state)];
    scaler
        .step_all(engine, &Sgd::default(), &mut all, None, &mut scale)
        .unwrap();
    let error = Sgd::default().step(engine, &param, &grad, &mut state).unwrap_err();
    assert!(matches!(&error, Error::Operand { name: "state", .. }), "{error}");
    assert_eq!(state.taken(engine).unwrap(), 2);
}

/// 16-bit gradients are unscaled in f32: what would vanish in f16 is there.
#[test]
fn small_gradients_of_16_bits_survive() {
    let engine = gpu();
    let scaler = GradScaler::default();
    let mut scale = ScalerState::default();
    let param = Tensor::new(&[0.0f32; 4], &[4]).unwrap().to_dtype(Dtype::F16).unwrap();
    let mut param = engine.upload(&param).unwrap();
    let grad = Tensor::new(&[1e-9 * 65536.0f32; 4], &[4])
        .unwrap()
        .to_dtype(Dtype::F16)
        .unwrap();
    let grad = engine.upload(&grad).unwrap();
    let mut state = State::default();
    let sgd = Sgd {
        lr: 1e6,
        ..Default::default()
    };
    let mut all = [Parameter::new(&mut param, &grad, &mut state)];
    scaler.step_all(engine, &sgd, &mut all, None, &mut scale).unwrap();
    assert!(floats(&param, engine).iter().all(|x| (x + 1e-3).abs() < 1e-5));
}

/// A step whose encoder was dropped is not counted, and the next is what it would have been.
#[test]
fn dropped_encoders_count_nothing() {
    let engine = gpu();
    let (scaler, adam) = (
        GradScaler::unscaled(),
        wgloss::Adam {
            lr: 0.1,
            ..Default::default()
        },
    );
    let (mut scale, mut state) = (ScalerState::default(), State::default());
    let mut param = engine.upload(&tensor(1, &[3])).unwrap();
    let grad = engine.upload(&tensor(2, &[3])).unwrap();
    let truth = {
        let other = engine.upload(&tensor(1, &[3])).unwrap();
        floats(
            &adam.step(engine, &other, &grad, &mut State::default()).unwrap(),
            engine,
        )
    };
    let (device, _) = engine.wgpu().unwrap();
    {
        let mut lost = param.clone();
        let mut encoder = device.create_command_encoder(&Default::default());
        let mut all = [Parameter::new(&mut lost, &grad, &mut state)];
        scaler
            .encode_all(engine, &mut encoder, &adam, &mut all, None, &mut scale)
            .unwrap();
    }
    let mut all = [Parameter::new(&mut param, &grad, &mut state)];
    scaler.step_all(engine, &adam, &mut all, None, &mut scale).unwrap();
    assert_eq!(state.taken(engine).unwrap(), 1);
    near("after a dropped step", &floats(&param, engine), &truth);
}

/// State that was there before counts on: nothing begins anew, on the device no more than on the processor.
#[test]
fn attached_state_goes_on() {
    let sgd = Sgd {
        momentum: 0.9,
        dampening: 0.5,
        ..Default::default()
    };
    let adagrad = wgloss::Adagrad {
        initial_accumulator_value: 0.5,
        ..Default::default()
    };
    let cases: [(&dyn Optimizer, wgloss::Role, u64, bool); 4] = [
        (&sgd, wgloss::Role::MomentumBuffer, 0, true),
        (&sgd, wgloss::Role::MomentumBuffer, 5, true),
        (&sgd, wgloss::Role::MomentumBuffer, 5, false),
        (&adagrad, wgloss::Role::Sum, 0, true),
    ];
    for (optimizer, role, step, is_there) in cases {
        let run = |engine: &Engine, scaled: bool| {
            let on = |own: Tensor| engine.upload(&own).unwrap();
            let (mut param, grad) = (on(tensor(1, &[5])), on(tensor(2, &[5])));
            let mut state = State::after(step);
            if is_there {
                state.attach(role, on(Tensor::new(&[0.25f32; 5], &[5]).unwrap()));
            }
            let mut scale = ScalerState::default();
            for _ in 0..2 {
                let mut all = [Parameter::new(&mut param, &grad, &mut state)];
                if scaled {
                    let none = GradScaler::unscaled().step_all(engine, optimizer, &mut all, None, &mut scale);
                    assert!(none.unwrap().is_none());
                } else {
                    optimizer.step_all(engine, &mut all).unwrap();
                }
            }
            assert_eq!(state.taken(engine).unwrap(), step + 2);
            floats(&param, engine)
        };
        let truth = run(&Engine::cpu(), false);
        let what = format!("{optimizer:?} after {step}");
        near(&what, &run(gpu(), true), &truth);
        near(&what, &run(&Engine::cpu(), true), &truth);
    }
}

/// Parameters without an element are stepped with the others, and counted.
#[test]
fn empty_parameters_are_counted() {
    for engine in [gpu(), &Engine::cpu()] {
        let empty = || engine.upload(&Tensor::new(&[0f32; 0], &[0]).unwrap()).unwrap();
        let (mut scale, mut state) = (ScalerState::default(), State::default());
        let (mut param, grad) = (empty(), empty());
        for step in 1..4 {
            let mut all = [Parameter::new(&mut param, &grad, &mut state)];
            let (adam, clip) = (wgloss::Adam::default(), Some(ClipGrad::norm(1.0)));
            let norm = GradScaler::default().step_all(engine, &adam, &mut all, clip, &mut scale);
            assert_eq!(floats(&norm.unwrap().unwrap(), engine), [0.0]);
            assert_eq!(state.taken(engine).unwrap(), step);
        }
    }
}

/// A norm beyond f32, of finite gradients, skips nothing.
#[test]
fn large_gradients_are_clipped_and_not_skipped() {
    for engine in [gpu(), &Engine::cpu()] {
        for norm_type in [0.1, 1.0, 2.0] {
            let (mut scale, mut state) = (ScalerState::default(), State::default());
            let mut param = engine.upload(&tensor(1, &[900])).unwrap();
            let before = floats(&param, engine);
            let grad = engine.upload(&Tensor::new(&[3e38f32; 900], &[900]).unwrap()).unwrap();
            let mut all = [Parameter::new(&mut param, &grad, &mut state)];
            let clip = ClipGrad::Norm {
                max_norm: 1.0,
                norm_type,
            };
            let scaler = GradScaler::unscaled();
            let norm = scaler.step_all(engine, &Sgd::default(), &mut all, Some(clip), &mut scale);
            assert_eq!(floats(&norm.unwrap().unwrap(), engine), [f32::MAX], "{norm_type}");
            assert_eq!(state.taken(engine).unwrap(), 1);
            assert_eq!(scaler.skipped(engine, &scale).unwrap(), 0);
            let moved = floats(&param, engine);
            let near = moved.iter().zip(&before).all(|(a, b)| (a - b).abs() <= 2e-3);
            assert!(near, "{norm_type}");
        }
    }
}

/// Recorded steps of no scaler, and then a scaler's: nobody knows the count before the encoder is submitted.
#[test]
fn counting_begins_with_what_is_known() {
    let engine = fresh();
    let adam = wgloss::Adam::default();
    let (scaler, mut scale, mut state) = (GradScaler::unscaled(), ScalerState::default(), State::default());
    let mut param = engine.upload(&tensor(1, &[3])).unwrap();
    let grad = engine.upload(&tensor(2, &[3])).unwrap();
    let (device, _) = engine.wgpu().unwrap();
    let mut encoder = device.create_command_encoder(&Default::default());
    let mut moved = adam.encode(&engine, &mut encoder, &param, &grad, &mut state).unwrap();
    let mut all = [Parameter::new(&mut moved, &grad, &mut state)];
    let error = scaler.encode_all(&engine, &mut encoder, &adam, &mut all, None, &mut scale);
    assert!(error.unwrap_err().to_string().contains("not submitted"));
    drop(encoder);
    // A scaler's only step, dropped: the state is as it was, and goes on without one.
    let mut encoder = device.create_command_encoder(&Default::default());
    let mut lost = param.clone();
    let mut all = [Parameter::new(&mut lost, &grad, &mut state)];
    let none = scaler.encode_all(&engine, &mut encoder, &adam, &mut all, None, &mut scale);
    assert!(none.unwrap().is_none());
    drop(encoder);
    let mut all = [Parameter::new(&mut param, &grad, &mut state)];
    adam.step_all(&engine, &mut all).unwrap();
    assert_eq!(state.step(), 1);
}

/// An engine on another device is refused, and the scale stays what it was.
#[test]
fn a_scale_stays_on_its_device() {
    let (first, second) = (fresh(), fresh());
    let scaler = GradScaler {
        init_scale: 8.0,
        growth_interval: 1,
        ..Default::default()
    };
    let mut scale = ScalerState::default();
    scaler.update(&first, &mut scale).unwrap();
    for _ in 0..2 {
        let error = scaler.update(&second, &mut scale).unwrap_err();
        assert!(error.to_string().contains("another device"), "{error}");
    }
    assert_eq!(scaler.read_scale(&first, &scale).unwrap(), 16.0);
}
