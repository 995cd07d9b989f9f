//! Gradients held to a norm or a size: the golden cases, the f64 definition, 16 bits, and what is refused.

use wgloss::optim::ClipState;
use wgloss::{Activity, ClipGrad, Dtype, Engine, Error, Tensor};

use super::golden::{array, clips, singles};
use super::{bits, floats};
use crate::common::engine::fresh;
use crate::common::own::{activity, tensor};
use crate::common::{F32, gpu, report};

fn golden(engine: &Engine) {
    let cases = clips();
    assert_eq!(cases.len(), 17);
    let mut failures = Vec::new();
    for case in &cases {
        let number = |name: &str| match &case.params[name] {
            serde_json::Value::String(inf) if inf == "inf" => f64::INFINITY,
            value => value.as_f64().unwrap(),
        };
        let clip = match case.loss.as_str() {
            "clip_grad_norm" => ClipGrad::Norm {
                max_norm: number("max_norm"),
                norm_type: number("norm_type"),
            },
            _ => ClipGrad::value(number("clip_value")),
        };
        let mut names: Vec<_> = case.inputs.keys().collect();
        names.sort();
        let given = |name: &&String| {
            let (shape, data) = array(&case.inputs[*name]);
            engine.upload(&Tensor::new(&singles(&data), &shape).unwrap()).unwrap()
        };
        let mut grads: Vec<Tensor> = names.iter().map(given).collect();
        let mut all: Vec<&mut Tensor> = grads.iter_mut().collect();
        let norm = clip.run(engine, &mut all, &mut ClipState::default()).unwrap();
        if let Some(entry) = case.expected.get("total_norm") {
            let got = norm.unwrap().read::<f32>(engine).unwrap();
            failures.extend(F32.check(&case.id, &got, &array(entry).1).err());
        }
        for (name, grad) in names.iter().zip(&grads) {
            let (_, want) = array(&case.expected[&format!("clipped_{name}")]);
            failures.extend(F32.check(&case.id, &grad.read::<f32>(engine).unwrap(), &want).err());
        }
    }
    report(failures, cases.len());
}

#[test]
fn golden_cases_of_clipping() {
    golden(&fresh());
    golden(&Engine::cpu());
}

/// Gradients of any size and dtype, within the error of one rounding and that of a norm.
#[test]
fn clipping_is_that_of_the_reference() {
    let (device, host) = (fresh(), Engine::cpu());
    for (scale, dtype) in [
        (1e-30, Dtype::F32),
        (1.0, Dtype::F32),
        (1e25, Dtype::F32),
        (2e36, Dtype::F32),
        (1.0, Dtype::F16),
        (1.0, Dtype::Bf16),
    ] {
        for norm_type in [1.0, 2.0, 2.5, f64::INFINITY] {
            let clip = ClipGrad::Norm {
                max_norm: f64::max(scale, 1e-3),
                norm_type,
            };
            let given: Vec<Tensor> = [&[70_001][..], &[3, 5], &[0], &[1]]
                .iter()
                .zip(1..)
                .map(|(shape, seed)| {
                    let own = tensor(seed, shape).numbers(&host).unwrap().data;
                    let own: Vec<f32> = own.iter().map(|x| x * scale as f32).collect();
                    Tensor::new(&own, shape).unwrap().to_dtype(dtype).unwrap()
                })
                .collect();
            let run = |engine: &Engine| {
                let mut grads: Vec<Tensor> = given.iter().map(|own| engine.upload(own).unwrap()).collect();
                let mut all: Vec<&mut Tensor> = grads.iter_mut().collect();
                let norm = clip.run(engine, &mut all, &mut ClipState::default()).unwrap().unwrap();
                let own: Vec<f32> = grads.iter().flat_map(|own| floats(own, engine)).collect();
                (norm.read::<f32>(engine).unwrap()[0], own)
            };
            let ((norm, ours), (true_norm, truth)) = (run(&device), run(&host));
            let what = format!("{norm_type} of {dtype} at {scale}");
            assert!(
                ((norm - true_norm) / true_norm).abs() < 2e-6,
                "{what}: {norm}, {true_norm}"
            );
            let eps = match dtype {
                Dtype::F16 => 1.01 / 1024.0,
                Dtype::Bf16 => 1.01 / 128.0,
                _ => 4e-6,
            };
            for (a, b) in ours.iter().zip(&truth) {
                assert!(
                    (a - b).abs() <= eps * b.abs() + f32::from(dtype.is_half()) * 6e-8,
                    "{what}: {a}, {b}"
                );
            }
        }
    }
}

/// What is not finite: the norm says which, and gradients become what PyTorch makes of them.
#[test]
fn what_is_not_finite_is_told_by_the_norm() {
    for engine in [gpu(), &Engine::cpu()] {
        for (bad, norm, rest) in [(f32::INFINITY, f32::INFINITY, 0.0), (f32::NAN, f32::NAN, f32::NAN)] {
            let mut grad = engine.upload(&Tensor::new(&[1.0, bad, -2.0], &[3]).unwrap()).unwrap();
            let own = ClipGrad::norm(1.0).run(engine, &mut [&mut grad], &mut ClipState::default());
            let own = own.unwrap().unwrap().read::<f32>(engine).unwrap()[0];
            assert!(own == norm || own.is_nan() && norm.is_nan(), "{own}");
            let left = floats(&grad, engine);
            assert!(left[0] == rest || left[0].is_nan() && rest.is_nan(), "{left:?}");
            assert!(left[1].is_nan());
            // By value, one by one.
            let mut grad = engine.upload(&Tensor::new(&[1.0, bad, -2.0], &[3]).unwrap()).unwrap();
            let none = ClipGrad::value(1.5).run(engine, &mut [&mut grad], &mut ClipState::default());
            assert!(none.unwrap().is_none());
            let left = floats(&grad, engine);
            assert_eq!((left[0], left[2]), (1.0, -1.5));
            assert!(left[1] == 1.5 || left[1].is_nan() && bad.is_nan(), "{left:?}");
        }
    }
}

/// Clipped again and again, the same gradients take nothing new but the norm; recorded or run, the bits are the same.
#[test]
fn clipping_again_makes_nothing_new() {
    let engine = fresh();
    let mut states = [ClipState::default(), ClipState::default()];
    let mut made: Vec<(u64, u64)> = Vec::new();
    let given = [tensor(1, &[900]), tensor(2, &[7, 3])];
    let mut grads: Vec<Vec<Tensor>> = (0..2)
        .map(|_| given.iter().map(|own| engine.upload(own).unwrap()).collect())
        .collect();
    for _ in 0..4 {
        let before: Activity = activity(&engine);
        let clip = ClipGrad::norm(0.5);
        let [run, recorded] = &mut grads[..] else {
            unreachable!()
        };
        let first = clip.run(&engine, &mut run.iter_mut().collect::<Vec<_>>(), &mut states[0]);
        let (device, queue) = engine.wgpu().unwrap();
        let mut encoder = device.create_command_encoder(&Default::default());
        let mut all: Vec<&mut Tensor> = recorded.iter_mut().collect();
        let second = clip
            .encode(&engine, &mut encoder, &mut all, &mut states[1])
            .unwrap()
            .unwrap();
        assert!(matches!(second.read::<f32>(&engine), Err(Error::NotSubmitted { .. })));
        queue.submit([encoder.finish()]);
        let after = activity(&engine);
        made.push((after.buffers - before.buffers, after.bind_groups - before.bind_groups));
        assert_eq!(bits(&first.unwrap().unwrap(), &engine), bits(&second, &engine));
        for (a, b) in run.iter().zip(recorded.iter()) {
            assert_eq!(bits(a, &engine), bits(b, &engine));
        }
    }
    // The norm of each, which somebody may want to keep.
    assert!(made[1..].iter().all(|own| *own == (2, 0)), "{made:?}");
}

#[test]
fn what_cannot_be_clipped_is_named() {
    let grad = || Tensor::new(&[1.0f32, 2.0], &[2]).unwrap();
    for engine in [gpu(), &Engine::cpu()] {
        for (clip, name) in [
            (ClipGrad::norm(-1.0), "max_norm"),
            (ClipGrad::norm(f64::NAN), "max_norm"),
            (ClipGrad::value(f64::INFINITY), "clip_value"),
            (
                ClipGrad::Norm {
                    max_norm: 1.0,
                    norm_type: 0.0,
                },
                "norm_type",
            ),
        ] {
            let mut own = engine.upload(&grad()).unwrap();
            let error = clip
                .run(engine, &mut [&mut own], &mut ClipState::default())
                .unwrap_err();
            assert!(error.to_string().contains(name), "{error}");
            assert_eq!(floats(&own, engine), [1.0, 2.0]);
        }
        let mut wrong = engine.upload(&Tensor::new(&[1i32, 2], &[2]).unwrap()).unwrap();
        let error = ClipGrad::norm(1.0).run(engine, &mut [&mut wrong], &mut ClipState::default());
        assert!(error.unwrap_err().to_string().contains("grad"));
        // No gradients at all have a norm of 0.
        let none = ClipGrad::norm(1.0)
            .run(engine, &mut [], &mut ClipState::default())
            .unwrap();
        assert_eq!(none.unwrap().read::<f32>(engine).unwrap(), [0.0]);
    }
    let engine = gpu();
    let mut first = engine.upload(&grad()).unwrap();
    let mut second = first.clone();
    let error = ClipGrad::norm(1.0).run(engine, &mut [&mut first, &mut second], &mut ClipState::default());
    assert!(error.unwrap_err().to_string().contains("lies over"));
}
