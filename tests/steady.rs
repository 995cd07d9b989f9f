//! Calls like earlier ones: found again, for next to nothing, and told apart from all others; what is kept is bounded.

use std::hash::Hasher;

use wgloss::{
    Activity, Call, CrossEntropy, Dtype, Engine, Huber, Loss, Mode, Mse, Output, REGISTRY, Reduction, Role, Stats,
    Tensor, Tuning,
};

use crate::common::cases::{Case, Setup, make, settings};
use crate::common::engine::fresh;
use crate::common::own::{activity, labels, own, tensor, values};
use crate::common::{bits, is_long, report, takes};

fn on(engine: &Engine, case: &Case) -> Vec<Tensor> {
    case.tensors
        .iter()
        .map(|tensor| engine.upload(tensor).unwrap())
        .collect()
}

/// Dispatches of a small call: three, or those of a layer: its rows in order, its logits and their states, what rows
/// come to, and a product and its cuts for each gradient.
fn most(info: &wgloss::Info) -> u64 {
    if info.name == "linear_cross_entropy" { 12 } else { 3 }
}

/// A call like the one before plans, compiles, makes and binds nothing; it is one submission, which brings the results
/// along; and a small one is three dispatches at most. Over all losses.
#[test]
fn a_steady_call_makes_nothing() {
    let engine = fresh();
    let mut failures = Vec::new();
    let mut seen = 0;
    for (n, info) in REGISTRY.iter().enumerate() {
        for (r, &reduction) in info.reductions.iter().enumerate() {
            let setup = Setup {
                reduction,
                ..Setup::new(&[12, 40])
            };
            let Some(case) = make(info, &setup) else { continue };
            let tensors = on(&engine, &case);
            let tensors: Vec<&Tensor> = tensors.iter().collect();
            for (m, mode) in Mode::ALL.into_iter().enumerate() {
                if mode.wants_grad() && !case.differentiable || !takes(n + r + 2 * m, 4) {
                    continue;
                }
                let call = Call::new(mode, &tensors);
                let run = || drop(values(&case.loss.run(&engine, &call).unwrap(), &engine));
                for _ in 0..3 {
                    run();
                }
                let before = activity(&engine);
                run();
                let after = activity(&engine);
                let want = Activity {
                    dispatches: after.dispatches,
                    submissions: before.submissions + 1,
                    ..before
                };
                if after != want || after.dispatches - before.dispatches > most(info) {
                    failures.push(format!("{} {}: {before:?} then {after:?}", case.what, mode.name()));
                }
                seen += 1;
            }
        }
    }
    report(failures, seen);
    assert!(seen > if is_long() { 150 } else { 35 }, "{seen}");
}

/// Large results lie where those did that nobody holds any more; while they are held, they are new each time, and all
/// else is not.
#[test]
fn a_steady_call_makes_its_large_results() {
    let engine = fresh();
    let x = engine.upload(&tensor(3, &[300, 100])).unwrap();
    let t = engine.upload(&labels(3, 300, 100)).unwrap();
    let loss = CrossEntropy::default();
    let run = || loss.forward_backward(&engine, &[&x, &t], None).unwrap();
    let held: Vec<Output> = (0..3).map(|_| run()).collect();
    drop(held);
    let before = activity(&engine);
    let _held: Vec<Output> = (0..3).map(|_| run()).collect();
    let between = activity(&engine);
    let want = Activity {
        lent: before.lent + 3 * 300 * 100 * 4,
        submissions: before.submissions + 3,
        bind_groups: between.bind_groups,
        dispatches: between.dispatches,
        live: before.live + 3 * 300 * 100 * 4,
        idle: before.idle - 3 * 300 * 100 * 4,
        ..before
    };
    assert_eq!(between, want);
    let _output = run();
    let after = activity(&engine);
    assert_eq!(
        (after.plans, after.submissions),
        (between.plans, between.submissions + 1)
    );
    assert_eq!(after.lent, between.lent);
    assert!(after.bytes >= between.bytes + 300 * 100 * 4);
}

type Run<'a> = Box<dyn Fn(&Engine) -> Output + 'a>;

/// What differs in anything that results depend on is another call, also on the same memory.
#[test]
fn calls_that_differ_are_told_apart() {
    let engine = fresh();
    let data = tensor(4, &[40, 12]);
    let all = own(&engine, Dtype::F32, &[480]);
    all.put(&engine, &data);
    let window = |offset: u64, dtype, shape: &[usize], stride| {
        Tensor::from_buffer(&engine, all.buffer.clone(), offset, dtype, shape, stride).unwrap()
    };
    let views = [
        window(0, Dtype::F32, &[40, 12], None),
        window(0, Dtype::F32, &[12, 40], None),
        window(0, Dtype::F32, &[12, 10], None),
        window(0, Dtype::F32, &[12, 10], Some(20)),
        window(16, Dtype::F32, &[12, 10], Some(20)),
        window(0, Dtype::Bf16, &[12, 10], Some(20)),
        window(0, Dtype::F16, &[12, 10], Some(20)),
        window(0, Dtype::F32, &[12, 10, 1], None),
    ];
    let mean = CrossEntropy::default();
    let others = [
        mean.clone(),
        CrossEntropy {
            reduction: Reduction::Sum,
            ..mean.clone()
        },
        CrossEntropy {
            label_smoothing: 0.1,
            ..mean.clone()
        },
        CrossEntropy {
            weight: Some(Tensor::new(&[0.5f32; 10], &[10]).unwrap()),
            ..mean.clone()
        },
    ];
    let upstream = Tensor::new(&[2.0f32], &[]).unwrap();
    let twos = Tensor::new(&[2i64; 12], &[12]).unwrap();
    let mut list: Vec<Run<'_>> = Vec::new();
    for view in &views {
        for loss in &others {
            if loss.weight.is_some() && view.shape()[1] != 10 {
                continue;
            }
            for mode in Mode::ALL {
                let t = if view.shape().len() == 3 {
                    Tensor::new(&[2i64; 12], &[12, 1]).unwrap()
                } else {
                    Tensor::new(&vec![2i64; view.shape()[0]], &[view.shape()[0]]).unwrap()
                };
                list.push(Box::new(move |engine| {
                    loss.run(engine, &Call::new(mode, &[view, &t])).unwrap()
                }));
            }
        }
    }
    let (mean, view, t, upstream) = (&mean, &views[3], &twos, &upstream);
    list.push(Box::new(move |engine| {
        mean.backward(engine, &[view, t], Some(upstream)).unwrap()
    }));
    for stats in [
        Stats {
            lse: true,
            ..Default::default()
        },
        Stats {
            accuracy: true,
            ..Default::default()
        },
    ] {
        list.push(Box::new(move |engine| {
            let call = Call {
                stats,
                ..Call::new(Mode::Forward, &[view, t])
            };
            mean.run(engine, &call).unwrap()
        }));
    }
    let run = || -> Vec<Vec<u32>> { list.iter().map(|call| bits(&values(&call(&engine), &engine))).collect() };
    let first = run();
    let planned = activity(&engine).plans;
    assert!(run() == first && run() == first);
    assert_eq!(activity(&engine).plans, planned);
    // Each by itself, where nothing is remembered.
    for (nth, (call, first)) in list.iter().zip(&first).enumerate() {
        engine.release().unwrap();
        assert!(bits(&values(&call(&engine), &engine)) == *first, "call {nth}");
    }
}

#[derive(Default)]
struct Written(Vec<u8>);

impl Hasher for Written {
    fn write(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    fn finish(&self) -> u64 {
        0
    }
}

/// Every option of every loss goes into what it is found by.
#[test]
fn every_option_identifies() {
    let mut all: Vec<(String, Vec<u8>)> = Vec::new();
    for info in REGISTRY {
        for setting in settings(info) {
            for &reduction in info.reductions {
                let mut loss = (info.new)();
                loss.set_reduction(reduction);
                for (name, value) in &setting {
                    loss.set(name, value).unwrap();
                }
                let mut written = Written::default();
                assert!(loss.identify(&mut written));
                all.push((format!("{} {reduction:?} {loss:?}", info.name), written.0));
            }
        }
    }
    // What is set to its default is the same loss.
    all.sort();
    all.dedup();
    let len = all.len();
    all.sort_by(|a, b| a.1.cmp(&b.1));
    all.dedup_by(|a, b| a.1 == b.1);
    assert!(len > 400 && all.len() == len, "{len} losses, {} told apart", all.len());
}

/// A gradient's role in the signature is told apart, too.
#[test]
fn asked_gradients_are_told_apart() {
    let engine = fresh();
    let (x, t) = (
        engine.upload(&tensor(1, &[5, 6])).unwrap(),
        engine.upload(&tensor(2, &[5, 6])).unwrap(),
    );
    let loss = Mse::default();
    for _ in 0..3 {
        for grads in [Vec::new(), vec![Role::Target]] {
            let call = Call {
                grads: grads.clone(),
                ..Call::new(Mode::Backward, &[&x, &t])
            };
            let values = values(&loss.run(&engine, &call).unwrap(), &engine);
            assert_eq!(values.grads.len(), grads.len());
        }
    }
}

/// Tuning and limits are part of no key: what was kept under others goes.
#[test]
fn a_change_of_limits_or_tuning_forgets() {
    let mut engine = fresh();
    let (x, t) = (tensor(2, &[40, 100]), labels(2, 40, 100));
    let (x, t) = (engine.upload(&x).unwrap(), engine.upload(&t).unwrap());
    let run = |engine: &Engine| {
        let before = activity(engine).plans;
        let output = CrossEntropy::default()
            .forward_backward(engine, &[&x, &t], None)
            .unwrap();
        (bits(&values(&output, engine)), activity(engine).plans - before)
    };
    let first = run(&engine);
    assert_eq!((first.1, run(&engine).1), (1, 0));
    let small = wgloss::Limits {
        max_binding_bytes: 8 << 10,
        ..engine.plan_limits().unwrap()
    };
    engine.set_plan_limits(small).unwrap();
    assert!(run(&engine) == first);
    assert_eq!(run(&engine).1, 0);
    engine.set_tuning(Tuning::HARDWARE).unwrap();
    assert_eq!((run(&engine).1, run(&engine).1), (1, 0));
}

/// What the driver has allocated, where it tells.
fn allocated(engine: &Engine) -> u64 {
    let (device, _) = engine.wgpu().unwrap();
    device.poll(wgpu::PollType::wait_indefinitely()).unwrap();
    device
        .generate_allocator_report()
        .map_or(0, |report| report.total_allocated_bytes)
}

/// Thousands of calls on tensors that come and go, of many shapes, hold no memory beyond a bound: that of a tensor goes
/// with it, and what else is kept goes where asked.
#[test]
fn kept_memory_is_bounded() {
    let engine = fresh();
    let loss = Mse::default();
    let round = |n: usize| {
        let shape = [16, 64 + n % 300];
        let (x, t) = (
            engine.upload(&tensor(1, &shape)).unwrap(),
            engine.upload(&tensor(2, &shape)).unwrap(),
        );
        for mode in [Mode::Forward, Mode::Fused] {
            let _ = loss.run(&engine, &Call::new(mode, &[&x, &t])).unwrap();
        }
    };
    (0..300).for_each(round);
    let (before, _) = (allocated(&engine), ());
    (300..1200).for_each(round);
    let after = allocated(&engine);
    assert!(after <= before + (1 << 20), "{before} then {after} bytes");
    // One large tensor: dropping it is enough.
    let big = engine.upload(&tensor(3, &[1 << 20, 4])).unwrap();
    let _ = loss.forward(&engine, &[&big, &big]).unwrap();
    let with = allocated(&engine);
    drop(big);
    let without = allocated(&engine);
    if with > 0 {
        assert!(without + (16 << 20) <= with, "{with} then {without} bytes");
    }
    engine.release().unwrap();
    assert!(allocated(&engine) <= without);
    let x = tensor(1, &[4, 4]);
    assert!(values(&loss.forward(&engine, &[&x, &x]).unwrap(), &engine).scalar() == Some(0.0));
}

/// A chain of calls, each on the result of the one before, as long as what is kept: all end at once, without a call of
/// drop within drop for each.
#[test]
fn long_chains_end() {
    let engine = fresh();
    let t = engine.upload(&tensor(2, &[8])).unwrap();
    let first = engine.upload(&tensor(1, &[8])).unwrap();
    let mut chain = vec![first];
    for n in 0..8 * 250 {
        let huber = Huber {
            delta: 1.0 + (n % 250) as f64,
            reduction: Reduction::None,
        };
        let next = huber.forward(&engine, &[&chain[n], &t]).unwrap().loss.unwrap();
        chain.push(next);
    }
    let last = chain.pop().unwrap();
    // From the end, so that it is the first whose end all others follow, and where there is little stack.
    let end = move || while chain.pop().is_some() {};
    std::thread::Builder::new()
        .stack_size(128 << 10)
        .spawn(end)
        .unwrap()
        .join()
        .unwrap();
    assert_eq!(last.read::<f32>(&engine).unwrap().len(), 8);
}
