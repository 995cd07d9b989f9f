//! What `bench` times besides the losses: ceilings and baselines, each element of them once, loops short, sums and
//! copies right. And a call under a stopwatch computes what it computes without.

use wgloss::limits::MAX_ITERATIONS;
use wgloss::plan::{Dispatch, Plan, plan_copy, plan_naive, plan_reduce};
use wgloss::shader::Const;
use wgloss::{
    Call, CrossEntropy, Dtype, Engine, Error, Loss, Mode, Reduce, ReduceOp, Role, Stopwatch, Tensor, Tuning, View,
};

use crate::common::engine::fresh;
use crate::common::plans::{DEFAULT_LIMITS, SMALL, TINY, verify};
use crate::common::{gpu, hardware};

/// Elements of a lane in the baselines of `bench`.
const PER_LANE: [u32; 2] = [1, 64];

fn constant(dispatch: &Dispatch, wanted: &str) -> u64 {
    let value = dispatch.variant.consts.iter().find_map(|constant| match constant {
        Const::U32(name, value) if *name == wanted => Some(u64::from(*value)),
        _ => None,
    });
    value.unwrap_or_else(|| panic!("{}: no {wanted}", dispatch.variant.label))
}

/// Holds the iterations that are stated against those that stand in the shaders, and both against the bound.
fn expect_short(plan: &Plan, counted: impl Fn(u64, u64) -> u64) {
    for dispatch in plan.dispatches() {
        let counted = counted(constant(dispatch, "TILE"), constant(dispatch, "WIDTH"));
        let label = &dispatch.variant.label;
        assert!(counted <= dispatch.iterations, "{label}: {counted} iterations");
        assert!(dispatch.iterations < MAX_ITERATIONS, "{label}: {}", dispatch.iterations);
    }
}

/// From nothing to the largest there is, where one loop over all elements would run for 16 million iterations.
#[test]
fn loops_are_short_however_large_the_input() {
    for len in [1, 4, 4096, 1_000_004, 33_554_432, (1 << 32) - 4] {
        let view = View::contiguous(Dtype::F32, &[len]);
        for tuning in [Tuning::SOFTWARE, Tuning::HARDWARE, SMALL] {
            let plan = plan_copy(&view, &DEFAULT_LIMITS, &tuning).unwrap();
            expect_short(&plan, |tile, width| tile / (4 * width));
            for op in ReduceOp::ALL {
                let plan = plan_reduce(op, &view, &DEFAULT_LIMITS, &tuning).unwrap();
                // Quads and the levels of the tree; the runs of quads come on top.
                expect_short(&plan, |tile, width| tile / (4 * width) + u64::from(width.ilog2()));
            }
        }
        for per_lane in PER_LANE {
            let plan = plan_naive(&view, per_lane, &DEFAULT_LIMITS).unwrap();
            expect_short(&plan, |tile, width| tile.div_ceil(width) + u64::from(width.ilog2()));
        }
    }
}

#[test]
fn a_naive_sum_refuses_loops_that_would_be_cut_short() {
    let view = View::contiguous(Dtype::F32, &[1 << 24]);
    let plan = |per_lane| plan_naive(&view, per_lane, &DEFAULT_LIMITS);
    // With the eight levels of the tree.
    let most = MAX_ITERATIONS as u32 - 9;
    expect_short(&plan(most).unwrap(), |tile, width| {
        tile.div_ceil(width) + u64::from(width.ilog2())
    });
    for per_lane in [0, most + 1, u32::MAX] {
        let error = plan(per_lane).unwrap_err();
        assert!(matches!(error, Error::Operand { name: "per_lane", .. }), "{error}");
    }
    let huge = View::contiguous(Dtype::F32, &[1 << 32]);
    assert!(matches!(plan_naive(&huge, 1, &DEFAULT_LIMITS), Err(Error::Limit(_))));
    let mut narrow = DEFAULT_LIMITS;
    narrow.max_width = 128;
    assert!(matches!(plan_naive(&view, 1, &narrow), Err(Error::Limit(_))));
}

#[test]
fn copies_and_naive_sums_are_covered_once_under_tiny_limits() {
    let len = 1_000_004;
    let view = View::contiguous(Dtype::F32, &[len]);
    let size_of = |role| if role == Role::Loss { 4 } else { 4 * len as u64 };
    verify(&plan_copy(&view, &TINY, &SMALL).unwrap(), &TINY, &size_of, "copy/");
    for per_lane in [1, 16] {
        let plan = plan_naive(&view, per_lane, &TINY).unwrap();
        // Level by level: tiles from the first on, as many as the level before has sums.
        let (mut items, mut next) = (len as u64, 0);
        for dispatch in plan.dispatches() {
            let tiles = items.div_ceil(constant(dispatch, "TILE"));
            assert_eq!(dispatch.tiles.0, next, "tiles left out or done twice");
            next = dispatch.tiles.1;
            assert!(next <= tiles);
            for binding in &dispatch.bindings {
                assert!(binding.size <= TINY.max_binding_bytes, "{binding:?}");
                assert!(binding.offset.is_multiple_of(TINY.offset_alignment), "{binding:?}");
            }
            if next == tiles {
                (items, next) = (tiles, 0);
            }
        }
        assert_eq!((items, next), (1, 0));
    }
}

/// Numbers whose sum tells where one is missing or met twice.
fn numbers(len: usize) -> Vec<f32> {
    (0..len).map(|i| (i % 7) as f32 + 1.0).collect()
}

fn expect_times(engine: &Engine, stopwatch: &Stopwatch<'_>) {
    let timing = stopwatch.once().unwrap();
    let (device, _) = engine.wgpu().unwrap();
    let has_clock = device.features().contains(wgpu::Features::TIMESTAMP_QUERY);
    assert_eq!(timing.device_ns.is_some(), has_clock);
    assert!(timing.wall_ns > 0.0 && timing.device_ns.is_none_or(|ns| ns >= 0.0));
}

/// Of one element, and of more than one dispatch takes on a software adapter.
#[test]
fn gpu_sums_are_those_of_all_elements() {
    let engine = gpu();
    for len in [1, 4, 255, 257, 65_537, 17_000_003] {
        let data = numbers(len + 5);
        let tensor = engine.upload(&Tensor::new(&data, &[len + 5]).unwrap()).unwrap();
        let wanted: f64 = data[..len].iter().map(|&x| f64::from(x)).sum();
        let mut all = vec![engine.stopwatch_read(&tensor, len).unwrap()];
        all.extend(PER_LANE.map(|per_lane| engine.stopwatch_naive(&tensor, len, per_lane).unwrap()));
        for stopwatch in &all {
            // The second time as the first.
            expect_times(engine, stopwatch);
            expect_times(engine, stopwatch);
            let sum: Vec<f32> = stopwatch.tensor(Role::Loss).unwrap().read(engine).unwrap();
            let error = f64::from(sum[0]) / wanted - 1.0;
            let label = &stopwatch.plan().dispatches().next().unwrap().variant.label;
            assert!(error.abs() < 1e-6, "{label} of {len}: {sum:?}, expected {wanted}");
        }
    }
}

#[test]
fn gpu_copies_are_whole_and_no_more() {
    let engine = gpu();
    for len in [4, 65_536, 1_000_004] {
        let data = numbers(len + 4);
        let from = engine.upload(&Tensor::new(&data, &[len + 4]).unwrap()).unwrap();
        let blank = || {
            let blank = Tensor::new(&vec![-1f32; len + 4], &[len + 4]).unwrap();
            engine.upload(&blank).unwrap()
        };
        let (by_kernel, by_device) = (blank(), blank());
        expect_times(engine, &engine.stopwatch_copy(&from, &by_kernel, len).unwrap());
        expect_times(engine, &engine.stopwatch_transfer(&from, &by_device, len).unwrap());
        for to in [by_kernel, by_device] {
            let got: Vec<f32> = to.read(engine).unwrap();
            assert!(got[..len] == data[..len] && got[len..] == [-1.0; 4], "copy of {len}");
        }
    }
}

#[test]
fn gpu_a_call_under_a_stopwatch_has_the_same_results() {
    let engine = gpu();
    let logits = Tensor::new(&numbers(70), &[10, 7]).unwrap();
    let labels = Tensor::new(&[3i64; 10], &[10]).unwrap();
    let loss = CrossEntropy::default();
    let call = wgloss::Call::new(Mode::Fused, &[&logits, &labels]);
    let stopwatch = engine.stopwatch(&loss, &call).unwrap();
    expect_times(engine, &stopwatch);
    expect_times(engine, &stopwatch);
    let timed = stopwatch.output().unwrap().read(engine).unwrap();
    assert_eq!(timed, loss.run(engine, &call).unwrap().read(engine).unwrap());
}

#[test]
fn gpu_what_cannot_be_timed_is_refused() {
    let engine = gpu();
    let tensor = Tensor::new(&numbers(64), &[64]).unwrap();
    let halves = tensor.to_dtype(Dtype::F16).unwrap();
    let refused = |result: wgloss::Result<Stopwatch<'_>>, name: &str| match result.map(|_| ()) {
        Err(Error::Operand { name: own, .. }) => assert_eq!(own, name),
        other => panic!("{other:?}"),
    };
    refused(engine.stopwatch_read(&tensor, 65), "from");
    refused(engine.stopwatch_read(&halves, 64), "from");
    refused(engine.stopwatch_naive(&tensor, 64, 0), "per_lane");
    refused(engine.stopwatch_copy(&tensor, &tensor, 63), "len");
    refused(engine.stopwatch_copy(&tensor, &halves, 64), "to");
    refused(engine.stopwatch_transfer(&tensor, &halves, 64), "to");
    let on_host = Engine::cpu();
    assert!(matches!(
        on_host.stopwatch_read(&tensor, 64).map(|_| ()),
        Err(Error::Device(_))
    ));
}

/// `wgloss tune` times other tunings on one engine: each has the plan and the bits of an engine that is tuned so.
#[test]
fn gpu_a_stopwatch_of_another_tuning_is_that_of_an_engine_so_tuned() {
    let data = numbers(100_000);
    let tensor = Tensor::new(&data, &[data.len()]).unwrap();
    let sum = Reduce::default();
    let of = |engine: &Engine, tuning: Option<Tuning>| {
        let tensor = engine.upload(&tensor).unwrap();
        let call = Call::new(Mode::Forward, &[&tensor]);
        let stopwatch = match tuning {
            Some(tuning) => engine.stopwatch_tuned(&sum, &call, tuning).unwrap(),
            None => engine.stopwatch(&sum, &call).unwrap(),
        };
        stopwatch.once().unwrap();
        let values = stopwatch.output().unwrap().read(engine).unwrap();
        (stopwatch.plan().clone(), values.scalar().unwrap().to_bits())
    };
    assert_eq!(of(gpu(), Some(Tuning::HARDWARE)), of(hardware(), None));
    assert_eq!(of(gpu(), Some(SMALL)).0, of(gpu(), Some(SMALL)).0);
    assert_ne!(of(gpu(), Some(SMALL)).0, of(gpu(), None).0);
}

#[test]
fn gpu_a_wrong_tuning_is_refused_and_changes_nothing() {
    let mut engine = fresh();
    let own = engine.tuning();
    let wrong = Tuning {
        tile: 100,
        ..Tuning::SOFTWARE
    };
    let error = engine.set_tuning(wrong).unwrap_err().to_string();
    assert!(
        error.starts_with("tile: 100 given, expected a power of two from 512 on"),
        "{error}"
    );
    assert_eq!(engine.tuning(), own);
    let tensor = Tensor::new(&[1f32; 8], &[8]).unwrap();
    let call = Call::new(Mode::Forward, &[&tensor]);
    let refused = engine.stopwatch_tuned(&Reduce::default(), &call, wrong).map(|_| ());
    assert_eq!(refused.unwrap_err().to_string(), error);
    assert!(Engine::cpu().set_tuning(wrong).is_err());
}
