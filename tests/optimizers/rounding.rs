//! 16-bit parameters and numbers that are none.

use wgloss::optim::State;
use wgloss::{Adam, Dtype, Engine, Optimizer, Role, Sgd, Tensor, Tuning};

use super::{DTYPES, floats, on_host, optimizers};
use crate::common::data::Data;
use crate::common::{F32, engine, gpu, is_long, report};

/// The place of a 16-bit float among those of its dtype.
fn rank(x: f32, dtype: Dtype) -> i32 {
    let bits = match dtype {
        Dtype::F16 => half::f16::from_f32(x).to_bits(),
        _ => half::bf16::from_f32(x).to_bits(),
    };
    let size = i32::from(bits & 0x7fff);
    if bits >> 15 == 1 { -size } else { size }
}

/// How many parameters of a step are not the reference's, all of them near enough: a 16-bit parameter is the number
/// rounded, and near the middle between two neighbours it may be the other one; near 0, where those lie closer than f32
/// errors of what is subtracted there, it keeps the tolerance of f32.
fn others(what: &str, dtype: Dtype, got: &[f32], want: &[f32]) -> Result<usize, String> {
    let wide: Vec<f64> = want.iter().map(|&x| x.into()).collect();
    if dtype == Dtype::F32 {
        return F32.check(what, got, &wide).map(|()| 0);
    }
    let apart = |(&g, &w): (&f32, &f32)| (rank(g, dtype) - rank(w, dtype)).abs();
    let far = got
        .iter()
        .zip(want)
        .map(|(g, w)| if apart((g, w)) > 1 { *g } else { *w });
    F32.check(what, &far.collect::<Vec<_>>(), &wide)?;
    Ok(got.iter().zip(want).filter(|&pair| apart(pair) > 0).count())
}

/// Each step of the GPU against one of the reference from the same numbers; the state is f32 and judged as such.
#[test]
fn sixteen_bit_parameters_are_the_references_rounded() {
    let cpu = Engine::cpu();
    let (mut failures, mut total, mut other) = (Vec::new(), 0, 0);
    let mut data = Data::new(31);
    for (n, optimizer) in optimizers().iter().enumerate() {
        let engine = &*match n % 2 {
            0 => engine::passing(),
            _ => engine::passing_tuned(Tuning::HARDWARE),
        };
        // Not all at each: pipelines take time.
        let dtypes = [DTYPES[n % 5], DTYPES[(n + 1) % 5]];
        for &(dtype, grad_dtype) in &dtypes[..if is_long() { 2 } else { 1 }] {
            for len in [1usize, 2, 7, 1024, 20_001] {
                let what = format!("{optimizer:?} {dtype} {grad_dtype} {len}");
                let mut random = |dtype| Tensor::new(&data.logits(len), &[len]).unwrap().to_dtype(dtype).unwrap();
                let mut param = engine.upload(&random(dtype)).unwrap();
                let mut state = State::default();
                for _ in 0..3 {
                    let grad = random(grad_dtype);
                    let mut reference = on_host(&state, engine);
                    let start = Tensor::new(&floats(&param, engine), &[len])
                        .unwrap()
                        .to_dtype(dtype)
                        .unwrap();
                    let want = optimizer.step(&cpu, &start, &grad, &mut reference).unwrap();
                    param = optimizer.step(engine, &param, &grad, &mut state).unwrap();
                    match others(&what, dtype, &floats(&param, engine), &floats(&want, &cpu)) {
                        Ok(count) => other += count,
                        Err(message) => failures.push(message),
                    }
                    total += len;
                    assert_eq!(state.step(), reference.step());
                    for (role, tensor) in reference.tensors() {
                        let want: Vec<f64> = floats(tensor, &cpu).iter().map(|&x| x.into()).collect();
                        let got = floats(state.get(*role).unwrap(), engine);
                        failures.extend(F32.check(&format!("{what} {}", role.name()), &got, &want).err());
                    }
                }
            }
        }
    }
    println!("{other} of {total} parameters are the other neighbour");
    report(failures, total);
    assert!(other * 10_000 < total, "{other} of {total}");
}

/// What PyTorch does where a number is none.
#[test]
fn nan_and_infinity_spread_as_in_pytorch() {
    let param = Tensor::new(&[1.0f32, 1.0, f32::INFINITY, 1.0], &[4]).unwrap();
    let grads = [[f32::NAN, f32::INFINITY, 1.0, 0.0], [1.0; 4]];
    let adam = Adam {
        amsgrad: true,
        ..Default::default()
    };
    for engine in [gpu(), &Engine::cpu()] {
        for optimizer in [&adam as &dyn Optimizer, &Sgd::default()] {
            let (mut param, mut state) = (engine.upload(&param).unwrap(), State::default());
            for grad in grads {
                let grad = Tensor::new(&grad, &[4]).unwrap();
                param = optimizer.step(engine, &param, &grad, &mut state).unwrap();
            }
            let got = floats(&param, engine);
            assert!(
                got[0].is_nan() && got[2] == f32::INFINITY && got[3] < 1.0,
                "{optimizer:?} {got:?}"
            );
            assert!(if optimizer.info().name == "sgd" {
                got[1] == f32::NEG_INFINITY
            } else {
                got[1].is_nan()
            });
            if let Some(peak) = state.get(Role::MaxExpAvgSq) {
                let peak = floats(peak, engine);
                assert!(
                    peak[0].is_nan() && peak[1] == f32::INFINITY && peak[3] > 0.0,
                    "{peak:?}"
                );
            }
        }
    }
}
