//! What is kept between calls: none sees what another left behind, however results are held and encoders submitted.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};

use wgloss::optim::State;
use wgloss::{
    Call, CrossEntropy, Dtype, Engine, Error, GradTo, Loss, Mode, Mse, Optimizer, Output, REGISTRY, Reduction, Sgd,
    Softmax, Stats, Tensor, Values,
};

use crate::common::cases::{Case, Setup, by_rows, make};
use crate::common::engine::fresh;
use crate::common::own::{Own, activity, labels, own, tensor, values};
use crate::common::{bits, gpu, is_long, report, takes};

fn submit(engine: &Engine, encoder: wgpu::CommandEncoder) {
    engine.wgpu().unwrap().1.submit([encoder.finish()]);
}

fn encoder(engine: &Engine) -> wgpu::CommandEncoder {
    engine.wgpu().unwrap().0.create_command_encoder(&Default::default())
}

/// Whatever an earlier call on the same memory left in results and scratch, NaN and faults above all, no later one sees
/// it.
#[test]
fn what_a_call_leaves_behind_reaches_no_other() {
    let engine = fresh();
    let mut failures = Vec::new();
    let mut seen = 0;
    for (n, info) in REGISTRY.iter().enumerate() {
        for (m, shape) in [&[40, 9][..], &[7, 150], &[3, 5, 7]].into_iter().enumerate() {
            if !takes(n + 2 * m, 5) {
                continue;
            }
            let setup = Setup {
                reduction: info.reductions[(n + m) % info.reductions.len()],
                setting: by_rows(info),
                dtype: [Dtype::F32, Dtype::Bf16, Dtype::F16][(n + m) % 3],
                seed: n as u64,
                ..Setup::new(shape)
            };
            let Some(good) = make(info, &setup) else { continue };
            let own: Vec<Own> = (good.tensors.iter())
                .map(|like| own(&engine, like.dtype(), like.shape()))
                .collect();
            let mode = good.most();
            let call = Call {
                tensors: own.iter().map(|own| &own.tensor).collect(),
                ..good.call(mode)
            };
            let upstream = call.grad_output.map(|tensor| engine.upload(tensor).unwrap());
            let call = Call {
                grad_output: upstream.as_ref(),
                stats: if info.statistics {
                    Stats {
                        lse: true,
                        argmax: true,
                        accuracy: true,
                        entropy: true,
                        ..Default::default()
                    }
                } else {
                    Stats::default()
                },
                ..call
            };
            let run = |case: &Case| {
                for (own, tensor) in own.iter().zip(&case.tensors) {
                    own.put(&engine, tensor);
                }
                bits(&values(&case.loss.run(&engine, &call).unwrap(), &engine))
            };
            let first = run(&good);
            for own in &own {
                let nan = vec![0xff; own.buffer.size() as usize]; // and labels of -1
                engine.wgpu().unwrap().1.write_buffer(&own.buffer, 0, &nan);
            }
            drop(values(&good.loss.run(&engine, &call).unwrap(), &engine));
            let made = activity(&engine).buffers;
            if run(&good) != first || activity(&engine).buffers != made {
                failures.push(good.what.clone());
            }
            seen += 1;
        }
    }
    report(failures, seen);
    assert!(seen > if is_long() { 60 } else { 10 }, "{seen}");
}

/// Results that somebody holds, in whatever way, stay as they are, while the same call goes on.
#[test]
fn held_results_stay() {
    let engine = fresh();
    let x = own(&engine, Dtype::F32, &[16, 50]);
    let t = engine.upload(&labels(5, 16, 50)).unwrap();
    let loss = CrossEntropy::default();
    let run = |seed: u64| {
        x.put(&engine, &tensor(seed, &[16, 50]));
        loss.forward_backward(&engine, &[&x.tensor, &t], None).unwrap()
    };
    let fused = |seed: u64| values(&run(seed), &engine);
    let want: Vec<Values> = (0..30).map(fused).collect();
    // Whole, by a clone, by one tensor, by a raw buffer alone, and not at all.
    let (mut whole, mut grads, mut raw) = (Vec::new(), Vec::new(), Vec::new());
    for (seed, want) in want.iter().enumerate() {
        let output = run(seed as u64);
        match seed % 5 {
            0 => whole.push((seed, output)),
            1 => whole.push((seed, output.clone())),
            2 => grads.push((seed, output.grad_input.unwrap())),
            3 => raw.push((seed, output.grad_input.as_ref().unwrap().buffer().unwrap().clone())),
            _ => assert!(bits(&values(&output, &engine)) == bits(want)),
        }
    }
    for (seed, output) in &whole {
        assert!(bits(&values(output, &engine)) == bits(&want[*seed]), "output {seed}");
    }
    for (seed, grad) in &grads {
        assert!(
            grad.read::<f32>(&engine).unwrap() == want[*seed].grad_input.as_ref().unwrap().data,
            "grad {seed}"
        );
    }
    for (seed, buffer) in raw {
        let grad = Tensor::from_buffer(&engine, buffer, 0, Dtype::F32, &[16, 50], None).unwrap();
        assert!(
            grad.read::<f32>(&engine).unwrap() == want[seed].grad_input.as_ref().unwrap().data,
            "buffer {seed}"
        );
    }
    // Read twice, and from two threads at once.
    let output = &whole[0].1;
    let start = Barrier::new(2);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                start.wait();
                for _ in 0..20 {
                    assert!(bits(&values(output, &engine)) == bits(&want[0]));
                }
            });
        }
    });
}

/// A result that was written into since is read as it is now: as a gradient's place, and as a parameter.
#[test]
fn results_written_later_are_read_as_they_are() {
    let engine = fresh();
    let x = engine.upload(&tensor(1, &[6, 8])).unwrap();
    let t = engine.upload(&tensor(2, &[6, 8])).unwrap();
    let mse = Mse {
        reduction: Reduction::Sum,
    };
    let grad = |call: &Call<'_>| mse.run(&engine, call).unwrap().grad_input.unwrap();
    for _ in 0..4 {
        let plain = grad(&Call::new(Mode::Backward, &[&x, &t]));
        let once = plain.read::<f32>(&engine).unwrap();
        let into = Call {
            grad_input: GradTo::AddTo(&plain),
            ..Call::new(Mode::Backward, &[&x, &t])
        };
        let _ = grad(&into);
        let twice: Vec<f32> = once.iter().map(|x| 2.0 * x).collect();
        assert!(plain.read::<f32>(&engine).unwrap() == twice);
        let step = |param: &Tensor| {
            let sgd = Sgd {
                lr: 1.0,
                ..Default::default()
            };
            sgd.step(
                &engine,
                param,
                &engine.upload(&Tensor::new(&once, &[6, 8]).unwrap()).unwrap(),
                &mut State::default(),
            )
            .unwrap()
        };
        let fresh = grad(&Call::new(Mode::Backward, &[&x, &t]));
        let _ = step(&fresh);
        assert!(fresh.read::<f32>(&engine).unwrap().iter().all(|&x| x == 0.0));
    }
}

/// What is recorded into the caller's encoders: submitted late, in another order, twice in one, never; with calls
/// between that are submitted at once. Its operands, too, may be results that nobody holds any more.
#[test]
fn encoders_may_come_late() {
    let engine = fresh();
    let soft = Softmax::default();
    let ce = CrossEntropy::default();
    let t = engine.upload(&labels(8, 16, 50)).unwrap();
    let hosts: Vec<Tensor> = (0..4).map(|seed| tensor(seed, &[16, 50])).collect();
    let inputs: Vec<Tensor> = hosts.iter().map(|x| engine.upload(x).unwrap()).collect();
    let alone = |x: &Tensor| ce.forward_backward(gpu(), &[x, &labels(8, 16, 50)], None).unwrap();
    let want: Vec<Vec<u32>> = hosts.iter().map(|x| bits(&values(&alone(x), gpu()))).collect();
    for round in 0..3 {
        let (mut first, mut second, mut never) = (encoder(&engine), encoder(&engine), encoder(&engine));
        let call = |nth: usize| Call::new(Mode::Fused, &[&inputs[nth], &t]);
        let a = ce.encode(&engine, &mut first, &call(0)).unwrap();
        let b = ce.encode(&engine, &mut second, &call(1)).unwrap();
        let c = ce.encode(&engine, &mut second, &call(2)).unwrap();
        let d = ce.encode(&engine, &mut never, &call(3)).unwrap();
        drop(d);
        let e = ce.run(&engine, &call(3)).unwrap();
        drop(never);
        submit(&engine, second);
        let f = ce.run(&engine, &call(0)).unwrap();
        submit(&engine, first);
        for (nth, output) in [(0, a), (1, b), (2, c), (3, e), (0, f)] {
            assert!(bits(&values(&output, &engine)) == want[nth], "{nth} in round {round}");
        }
    }
    // softmax of softmax, where the inner one's result is dropped before the outer one is submitted, while others
    // follow.
    let x = own(&engine, Dtype::F32, &[16, 50]);
    let inner = |seed: u64| {
        x.put(&engine, &tensor(seed, &[16, 50]));
        soft.forward(&engine, &[&x.tensor]).unwrap().loss.unwrap()
    };
    let outer = |x: &Tensor| values(&soft.forward(&engine, &[x]).unwrap(), &engine);
    let want = bits(&outer(&inner(0)));
    for _ in 0..3 {
        let mut late = encoder(&engine);
        let output = {
            let inner = inner(0);
            soft.encode(&engine, &mut late, &Call::new(Mode::Forward, &[&inner]))
                .unwrap()
        };
        for seed in [1, 2, 3, 1, 2, 3] {
            drop(inner(seed));
        }
        submit(&engine, late);
        assert!(bits(&values(&output, &engine)) == want);
    }
    // The same of a step.
    let param = engine.upload(&tensor(9, &[16, 50])).unwrap();
    let before = param.read::<f32>(&engine).unwrap();
    let mut late = encoder(&engine);
    let expected = {
        let grad = inner(0);
        let sgd = Sgd {
            lr: 1.0,
            ..Default::default()
        };
        let _ = sgd
            .encode(&engine, &mut late, &param, &grad, &mut State::default())
            .unwrap();
        grad.read::<f32>(&engine).unwrap()
    };
    for seed in [1, 2, 3] {
        drop(inner(seed));
    }
    submit(&engine, late);
    let after = param.read::<f32>(&engine).unwrap();
    assert!(
        after
            .iter()
            .zip(before.iter().zip(expected))
            .all(|(after, (x, g))| *after == x - g)
    );
}

/// Eight threads on the same tensors with the same calls, small and cut, run, encoded and given up, each holding a
/// result for a while.
#[test]
fn threads_share_nothing_they_should_not() {
    let mut engine = fresh();
    let limits = wgloss::Limits {
        max_dispatch_bytes: 16 << 10, // some calls go in several submissions
        ..engine.plan_limits().unwrap()
    };
    engine.set_plan_limits(limits).unwrap();
    let calls: Vec<(Box<dyn Loss>, Vec<Tensor>)> = [(64, 100), (5, 3000), (300, 12), (16, 50)]
        .into_iter()
        .enumerate()
        .map(|(n, (rows, cols))| {
            let x = engine.upload(&tensor(n as u64, &[rows, cols])).unwrap();
            if n % 2 == 0 {
                let t = engine.upload(&labels(n as u64, rows, cols)).unwrap();
                (Box::new(CrossEntropy::default()) as Box<dyn Loss>, vec![x, t])
            } else {
                let t = engine.upload(&tensor(n as u64 + 9, &[rows, cols])).unwrap();
                (Box::new(Mse::default()) as Box<dyn Loss>, vec![x, t])
            }
        })
        .collect();
    let run = |nth: usize| {
        let (loss, tensors) = &calls[nth % calls.len()];
        loss.forward_backward(&engine, &tensors.iter().collect::<Vec<_>>(), None)
            .unwrap()
    };
    let want: Vec<Vec<u32>> = (0..calls.len()).map(|nth| bits(&values(&run(nth), &engine))).collect();
    let before = activity(&engine);
    let start = Barrier::new(8);
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let (start, run, want, calls, engine) = (&start, &run, &want, &calls, &engine);
            scope.spawn(move || {
                start.wait();
                let mut held: Option<(usize, Output)> = None;
                for round in 0..24 {
                    let nth = (thread + round) % calls.len();
                    let output = if round % 6 == 5 {
                        let (loss, tensors) = &calls[nth];
                        let mut encoder = encoder(engine);
                        let call = Call::new(Mode::Fused, &tensors.iter().collect::<Vec<_>>());
                        let output = loss.encode(engine, &mut encoder, &call).unwrap();
                        submit(engine, encoder);
                        output
                    } else {
                        run(nth)
                    };
                    if round % 4 == thread % 4 {
                        continue; // nobody reads it
                    }
                    if let Some((nth, output)) = held.replace((nth, output)) {
                        assert!(bits(&values(&output, engine)) == want[nth], "{nth} in thread {thread}");
                    }
                }
            });
        }
    });
    // The pace, which the machine's load decides, may have had some planned anew.
    assert!(activity(&engine).plans - before.plans < 50);
}

/// A call found again whose buffer the user destroyed, or whose device is gone, is an error of ours and of nobody else;
/// so is giving up a readback then.
#[test]
fn a_kept_call_fails_as_a_new_one_does() {
    let owner = fresh();
    let (device, queue) = owner.wgpu().unwrap();
    let heard = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&heard);
    device.on_uncaptured_error(Arc::new(move |_| {
        counter.fetch_add(1, Ordering::SeqCst);
    }));
    let engine = Engine::from_wgpu(device.clone(), queue.clone());
    let loss = Mse::default();
    let x = own(&engine, Dtype::F32, &[8, 8]);
    x.put(&engine, &tensor(1, &[8, 8]));
    let t = engine.upload(&tensor(2, &[8, 8])).unwrap();
    let good = engine.upload(&tensor(1, &[8, 8])).unwrap();
    let run = |x: &Tensor| loss.forward_backward(&engine, &[x, &t], None);
    let want = bits(&values(&run(&good).unwrap(), &engine));
    for _ in 0..3 {
        assert!(bits(&values(&run(&x.tensor).unwrap(), &engine)) == want);
    }
    x.buffer.destroy();
    for _ in 0..3 {
        assert!(matches!(run(&x.tensor), Err(Error::Operand { name: "input", .. })));
        assert!(bits(&values(&run(&good).unwrap(), &engine)) == want);
    }
    let (late, held) = (run(&good).unwrap(), run(&good).unwrap());
    let mut reading = Box::pin(late.read_async(&engine));
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let _ = reading.as_mut().poll(&mut context);
    device.destroy();
    let _ = device.poll(wgpu::PollType::wait_indefinitely());
    drop(reading);
    drop(late);
    // Of the loss the owner hears, and we when something is read.
    for _ in 0..2 {
        assert!(run(&good).and_then(|output| output.read(&engine)).is_err());
    }
    assert!(held.read(&engine).is_err());
    drop(held);
    assert_eq!(heard.load(Ordering::SeqCst), 0);
}
