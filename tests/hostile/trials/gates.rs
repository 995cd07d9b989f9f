//! Values that are reported, norms of gradients and what is made of them, and the largest of squares.

use wgloss::optim::{ClipState, State};
use wgloss::{Adam, Bce, Call, Checks, ClipGrad, Engine, Error, Loss, Mode, Mse, OnNan, Optimizer, Role};

use super::{INF, NAN, Trial, column};
use crate::common::F32;

/// Values that break a rule are reported.
pub fn checks() -> Vec<Trial> {
    let found = |name, checks: Checks, nan: bool| Trial {
        name,
        run: Box::new(move |engine| {
            let bad = if nan { NAN } else { INF };
            let (x, t) = (column(&[0.5, bad, 0.25]), column(&[1.0, 0.0, 0.5]));
            let reports = |loss: &dyn Loss| {
                let call = Call {
                    checks,
                    ..Call::new(Mode::Forward, &[&x, &t])
                };
                let read = loss.run(engine, &call).unwrap().read(engine);
                matches!(read, Err(Error::BadValues { .. }))
            };
            let all = [reports(&Mse::default()), reports(&Bce::default())];
            if all == [true; 2] {
                Vec::new()
            } else {
                vec![format!("{name}: {all:?}")]
            }
        }),
    };
    let strict = Checks {
        strict: true,
        nan: OnNan::Error,
    };
    // NaN is a number like others, where nobody asked.
    let quiet = Trial {
        name: "NaN is not reported",
        run: Box::new(|engine| {
            let (x, t) = (column(&[0.5, NAN, 0.25]), column(&[1.0, 0.0, 0.5]));
            let loss = Bce::default();
            let read = loss
                .run(engine, &Call::new(Mode::Forward, &[&x, &t]))
                .unwrap()
                .read(engine);
            read.err().map(|error| error.to_string()).into_iter().collect()
        }),
    };
    vec![
        quiet,
        found("NaN is reported", strict, true),
        found("infinities are reported", strict, false),
    ]
}

/// Norms of gradients and what is made of them, beside the reference's.
pub fn gates() -> Vec<Trial> {
    let clip = |name, clip: ClipGrad, data: Vec<f32>| Trial {
        name,
        run: Box::new(move |engine| {
            let of = |engine: &Engine| {
                let mut grad = engine.upload(&column(&data)).unwrap();
                let norm = clip.run(engine, &mut [&mut grad], &mut ClipState::default()).unwrap();
                let norm = norm.map_or(Vec::new(), |norm| norm.read::<f32>(engine).unwrap());
                [norm, grad.read::<f32>(engine).unwrap()].concat()
            };
            let want: Vec<f64> = of(&Engine::cpu()).into_iter().map(f64::from).collect();
            F32.check(name, &of(engine), &want).err().into_iter().collect()
        }),
    };
    let norm = |norm_type: f64| ClipGrad::Norm {
        max_norm: 1.0,
        norm_type,
    };
    let large: Vec<f32> = (0..5000).map(|i| 1e33 * (i % 7) as f32 + 1e33).collect();
    let ends: Vec<f32> = (0..9000)
        .map(|i| if i % 100 == 3 { 3e38 } else { 2e37 * (i % 5) as f32 })
        .collect();
    let with = |special: f32| {
        let mut data: Vec<f32> = (0..300).map(|i| (i % 9) as f32 - 4.0).collect();
        data[123] = special;
        data
    };
    // Lanes that saw the largest number before others: 3e38 first, small ones behind.
    let falling: Vec<f32> = (0..9000).map(|i| if i < 4000 { 3e38 } else { 1e37 }).collect();
    let mut list = vec![
        clip("norm of large gradients", norm(2.0), large),
        clip("norm at the end of f32", norm(1.0), ends.clone()),
        clip("norm 3 at the end of f32", norm(3.0), vec![3e38, 0.0, 1e38]),
        clip("norm 2 near the end of f32", norm(2.0), vec![2e38, 1e38, 1e38]),
        clip(
            "norm of falling gradients",
            norm(2.0),
            falling.iter().map(|x| x * 0.01).collect(),
        ),
        clip("norm beyond f32", norm(2.0), falling),
        clip("norm 8 at the end of f32", norm(8.0), vec![9e37; 9000]),
        clip("norm inf", norm(f64::INFINITY), with(-7.0)),
        clip("norm of NaN", norm(2.0), with(NAN)),
        clip("norm of inf", norm(2.0), with(INF)),
        clip("value of NaN", ClipGrad::value(1.5), with(NAN)),
    ];
    list.push(Trial {
        name: "amsgrad after NaN",
        run: Box::new(|engine| {
            let adam = Adam {
                amsgrad: true,
                ..Default::default()
            };
            let of = |engine: &Engine| {
                let mut state = State::after(3);
                let peaks = [1.0, NAN, 0.5, 2.0];
                for (role, numbers) in [
                    (Role::ExpAvg, [0.1; 4]),
                    (Role::ExpAvgSq, [0.2; 4]),
                    (Role::MaxExpAvgSq, peaks),
                ] {
                    state.attach(role, engine.upload(&column(&numbers)).unwrap());
                }
                let (param, grad) = (column(&[1.0, 2.0, 3.0, 4.0]), column(&[0.5; 4]));
                let (param, grad) = (engine.upload(&param).unwrap(), engine.upload(&grad).unwrap());
                let param = adam.step(engine, &param, &grad, &mut state).unwrap();
                let mut all = param.read::<f32>(engine).unwrap();
                for (_, tensor) in state.tensors() {
                    all.extend(tensor.read::<f32>(engine).unwrap());
                }
                all
            };
            let want: Vec<f64> = of(&Engine::cpu()).into_iter().map(f64::from).collect();
            F32.check("amsgrad", &of(engine), &want).err().into_iter().collect()
        }),
    });
    list.push(Trial {
        name: "amsgrad of NaN",
        run: Box::new(|engine| {
            let adam = Adam {
                amsgrad: true,
                ..Default::default()
            };
            let of = |engine: &Engine| {
                let (mut state, mut all) = (State::default(), Vec::new());
                let mut param = engine
                    .upload(&column(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]))
                    .unwrap();
                // NaN comes, and stays in the largest square.
                for grad in [[0.5f32; 8], [0.25, NAN, 0.5, 0.5, 0.5, 0.5, 0.5, NAN], [0.5; 8]] {
                    let grad = engine.upload(&column(&grad)).unwrap();
                    param = adam.step(engine, &param, &grad, &mut state).unwrap();
                    for (_, tensor) in state.tensors() {
                        all.extend(tensor.read::<f32>(engine).unwrap());
                    }
                    all.extend(param.read::<f32>(engine).unwrap());
                }
                all
            };
            let want: Vec<f64> = of(&Engine::cpu()).into_iter().map(f64::from).collect();
            F32.check("amsgrad", &of(engine), &want).err().into_iter().collect()
        }),
    });
    list
}
