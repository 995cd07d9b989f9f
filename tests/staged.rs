//! Rows that a GPU's tuning brings together, so that memory is read in whole sectors and written in whole words: short
//! ones by way of workgroup memory, and long ones that lie across, several to a workgroup.

use wgloss::plan::{Dispatch, plan};
use wgloss::problem::Problem;
use wgloss::shader::Const;
use wgloss::{
    Call, CrossEntropy, Dtype, Engine, GradTo, Info, Limits, Loss, Mode, REGISTRY, Reduction, Scalar, Stats, Tensor,
    Tuning,
};

use crate::common::against::on_hardware;
use crate::common::cases::{Case, Setting, Setup, Style, make};
use crate::common::data::Wild;
use crate::common::engine::hardware;
use crate::common::{bits, gpu, is_long, report, takes};

/// Elements that lanes take at a time, in the dispatches that go by way of workgroup memory.
fn taken(problem: &Problem, tuning: &Tuning) -> Vec<u32> {
    let plan = plan(problem, &gpu().plan_limits().unwrap(), tuning).unwrap();
    let own = plan.dispatches();
    let own = own.filter(|d| d.variant.pieces.iter().any(|p| p.path == "row/staged.wgsl"));
    own.filter_map(|d| {
        d.variant.consts.iter().find_map(|own| match own {
            Const::U32("TAKES", takes) => Some(*takes),
            _ => None,
        })
    })
    .collect()
}

/// The rows of dimension 1, where a loss has a choice.
fn along_classes(info: &Info) -> Setting {
    let dims = info.options.iter().filter(|option| option.name == "dim");
    dims.map(|option| (option.name, Scalar::Int(1))).collect()
}

/// Shapes, and what lanes take at a time of 32 and of 16 bits: blocks with a ragged end, odd ones, of whole quads;
/// rows that lie across: in slabs of their own, with several slabs to a tile, and an odd number of rows.
const SHAPES: [(&[usize], u32, u32); 12] = [
    (&[1027, 10], 1, 2),
    (&[129, 21], 1, 2),
    (&[131, 1], 1, 2),
    (&[64, 31], 1, 2),
    (&[67, 32], 4, 4),
    (&[200, 12], 4, 4),
    (&[1, 7], 1, 2),
    (&[2, 21, 1030], 1, 2),
    (&[3, 10, 34], 1, 2),
    (&[2, 32, 66], 1, 2),
    (&[3, 9, 35], 1, 1),
    (&[2, 5, 1027], 1, 1),
];

/// Every loss of rows, against the reference, with hard data and what else a loss may be given.
#[test]
fn staged_rows_are_as_the_reference_has_them() {
    let wild = [Wild::Ties, Wild::Large, Wild::Impossible, Wild::Mixed, Wild::Nan];
    let (mut failures, mut total, mut losses) = (Vec::new(), 0, Vec::new());
    for (n, info) in REGISTRY.iter().enumerate() {
        for (k, (shape, whole, half)) in SHAPES.into_iter().enumerate() {
            let dtype = Dtype::FLOATS[(n + k) % 3];
            let wants_more = matches!(info.name, "cross_entropy" | "softmax_focal");
            if !takes(n + k, if wants_more { 2 } else { 4 }) {
                continue;
            }
            let setup = Setup {
                dtype,
                other: dtype,
                given: k % 2 == 1,
                reduction: info.reductions[(n + k) % info.reductions.len()],
                setting: along_classes(info),
                style: match k % 3 {
                    // But for sums, of which large numbers that cancel leave no digits.
                    0 if info.name != "reduce" => Style::Wild(wild[(n + k) % wild.len()]),
                    _ => Style::Hard,
                },
                seed: (n + k) as u64,
                ..Setup::new(shape)
            };
            let Some(mut case) = make(info, &setup) else { continue };
            case.stats.lse = info.statistics && k % 4 == 0;
            case.stats.entropy = case.stats.lse;
            case.stats.argmax = case.stats.lse;
            let most = case.most();
            let modes = if most == Mode::Fused {
                vec![Mode::Forward, Mode::Backward, Mode::Fused]
            } else {
                vec![most]
            };
            let call = case.call(modes[k % modes.len()]);
            let problem = case.loss.problem(&call).unwrap();
            let expected = if dtype == Dtype::F32 { whole } else { half };
            match taken(&problem, &Tuning::HARDWARE)[..] {
                [] => continue,
                [own] if own == expected => {}
                ref other => failures.push(format!("{}: takes {other:?}, not {expected}", case.what)),
            }
            assert!(taken(&problem, &Tuning::SOFTWARE).is_empty(), "{}", case.what);
            losses.push(info.name);
            total += 1;
            failures.extend(on_hardware(&case.what, &*case.loss, &call));
        }
    }
    losses.dedup();
    for name in ["cross_entropy", "softmax_focal", "multi_margin", "reduce"] {
        assert!(losses.contains(&name) || !is_long(), "{losses:?} without {name}");
    }
    assert!(total >= if is_long() { 40 } else { 10 }, "{total} cases");
    report(failures, total);
}

fn case_of(name: &str, shape: &[usize], dtype: Dtype, seed: u64) -> Case {
    let info = wgloss::find(name).unwrap();
    let setup = Setup {
        dtype,
        other: dtype,
        reduction: Reduction::Mean,
        setting: along_classes(info),
        seed,
        ..Setup::new(shape)
    };
    make(info, &setup).unwrap()
}

/// Gradients over the input and on top of something are those of a tensor of their own, whatever a lane takes at a
/// time; and where the windows are small, and slabs are gathered.
#[test]
fn places_of_gradients_change_no_bit() {
    let own = hardware().plan_limits().unwrap();
    let mut cut = crate::common::engine::fresh();
    cut.set_tuning(Tuning::HARDWARE).unwrap();
    let small = Limits {
        max_binding_bytes: 32 << 10,
        offset_alignment: 256,
        max_groups: 100,
        ..own
    };
    cut.set_plan_limits(small).unwrap();
    let (mut failures, mut total) = (Vec::new(), 0);
    for (n, (shape, ..)) in SHAPES.into_iter().enumerate() {
        for (k, dtype) in Dtype::FLOATS.into_iter().enumerate().filter(|(k, _)| takes(n + k, 3)) {
            let case = case_of("cross_entropy", shape, dtype, n as u64);
            let engine = hardware();
            let input = engine.upload(&case.tensors[0]).unwrap();
            let zeros = Tensor::new(&vec![0f32; shape.iter().product()], shape).unwrap();
            let sum = engine.upload(&zeros.to_dtype(dtype).unwrap()).unwrap();
            let run = |engine, input: &Tensor, grad_input| {
                let call = Call {
                    tensors: std::iter::once(input).chain(&case.tensors[1..]).collect(),
                    grad_input,
                    ..case.call(Mode::Fused)
                };
                assert!(!taken(&case.loss.problem(&call).unwrap(), &Tuning::HARDWARE).is_empty());
                let output = case.loss.run(engine, &call).unwrap();
                bits(&output.include_placed().read(engine).unwrap())
            };
            let want = run(engine, &input, GradTo::New);
            for (way, got) in [
                ("added", run(engine, &input, GradTo::AddTo(&sum))),
                ("in small windows", run(&cut, &case.tensors[0], GradTo::New)),
                ("over the input", run(engine, &input, GradTo::InPlace)),
            ] {
                total += 1;
                // -0 and 0 add up to 0.
                let unsigned = |&b: &u32| if b << 1 == 0 && way == "added" { 0 } else { b };
                if !got.iter().map(unsigned).eq(want.iter().map(unsigned)) {
                    failures.push(format!("{} {k} {way}", case.what));
                }
            }
        }
    }
    report(failures, total);
}

/// Ignored and bad labels among others: their rows have gradients of 0, and are counted.
#[test]
fn rows_that_are_not_kept_have_no_gradient() {
    let classes = 10;
    for (dtype, shape, rows) in [
        (Dtype::F32, vec![131, classes], 131),
        (Dtype::Bf16, vec![131, classes], 131),
        (Dtype::F16, vec![2, classes, 130], 260),
    ] {
        let numbers: Vec<f32> = (0..rows * classes).map(|i| (i % 17) as f32 - 8.0).collect();
        let x = Tensor::new(&numbers, &shape).unwrap().to_dtype(dtype).unwrap();
        let labels: Vec<i64> = (0..rows as i64)
            .map(|i| match i % 5 {
                3 => -100,
                4 if i > 100 => 10 + i,
                _ => i % 10,
            })
            .collect();
        let t = match shape.len() {
            2 => Tensor::new(&labels, &[rows]).unwrap(),
            _ => Tensor::new(&labels, &[2, rows / 2]).unwrap(),
        };
        let loss = CrossEntropy {
            softcap: 5.0,
            ..Default::default()
        };
        let call = Call {
            stats: Stats {
                lse: true,
                ..Stats::default()
            },
            ..Call::new(Mode::Fused, &[&x, &t])
        };
        assert!(!taken(&loss.problem(&call).unwrap(), &Tuning::HARDWARE).is_empty());
        let output = loss.run(hardware(), &call).unwrap();
        let error = output.read(hardware()).unwrap_err();
        let wgloss::Error::BadLabels { count, values, .. } = error else {
            panic!("{error}")
        };
        let bad = labels.iter().filter(|&&own| own >= 10).count();
        assert_eq!(count as usize, bad);
        let grad = values.grad_input.unwrap();
        let inner = if shape.len() == 2 { 1 } else { rows / 2 };
        for (row, label) in labels.iter().enumerate() {
            let at = |c: usize| row / inner * classes * inner + c * inner + row % inner;
            let sum: f32 = (0..classes).map(|c| grad.data[at(c)].abs()).sum();
            assert_eq!(sum > 0.0, (0..10).contains(label), "{dtype} row {row}: {label}");
        }
    }
}

/// The names of a plan's drivers for rows that lie across, and whether lanes write whole words of two rows.
fn across(problem: &Problem, tuning: &Tuning) -> (usize, bool) {
    let plan = plan(problem, &gpu().plan_limits().unwrap(), tuning).unwrap();
    let own = plan.dispatches();
    let own: Vec<_> = own
        .filter(|d| d.variant.pieces[0].path.starts_with("driver/across_"))
        .collect();
    let pairs = own
        .iter()
        .any(|d| d.variant.consts.contains(&Const::Bool("PAIRS", true)));
    (own.len(), pairs)
}

/// Long rows that are not innermost: with several slabs to a workgroup, with the last columns of a row in a tile of
/// their own, where rows share words and where they do not.
#[test]
fn rows_across_are_as_the_reference_has_them() {
    let shapes: [(&[usize], bool); 5] = [
        (&[2, 2050, 34], true),
        (&[1, 4103, 17], false),
        (&[3, 2051, 21], false),
        (&[2, 6000, 16], true),
        (&[1, 2049, 100], true),
    ];
    let (mut failures, mut total) = (Vec::new(), 0);
    for (n, name) in ["cross_entropy", "softmax_focal"].into_iter().enumerate() {
        let info = wgloss::find(name).unwrap();
        for (k, (shape, is_even)) in shapes.into_iter().enumerate() {
            for (d, dtype) in Dtype::FLOATS
                .into_iter()
                .enumerate()
                .filter(|(d, _)| takes(n + k + d, 5))
            {
                let setup = Setup {
                    dtype,
                    other: dtype,
                    given: k % 2 == 1,
                    reduction: info.reductions[(k + d) % info.reductions.len()],
                    setting: along_classes(info),
                    seed: (n + k) as u64,
                    ..Setup::new(shape)
                };
                let mut case = make(info, &setup).unwrap();
                case.stats.lse = info.statistics && (k + d) % 2 == 0;
                case.stats.argmax = case.stats.lse;
                let mode = [Mode::Fused, Mode::Forward, Mode::Backward][(n + k + d) % 3];
                let call = case.call(mode);
                let problem = case.loss.problem(&call).unwrap();
                let passes = if mode.wants_grad() { 3 } else { 2 };
                let pairs = is_even && mode.wants_grad() && dtype != Dtype::F32;
                assert_eq!(across(&problem, &Tuning::HARDWARE), (passes, pairs), "{}", case.what);
                assert_eq!(across(&problem, &Tuning::SOFTWARE).0, 0);
                total += 1;
                failures.extend(on_hardware(&case.what, &*case.loss, &call));
                if pairs {
                    let over = Call {
                        grad_input: GradTo::InPlace,
                        ..call
                    };
                    let input = hardware().upload(&case.tensors[0]).unwrap();
                    let of = |call: &Call<'_>| {
                        let output = case.loss.run(hardware(), call).unwrap();
                        bits(&output.include_placed().read(hardware()).unwrap())
                    };
                    let tensors = || std::iter::once(&input).chain(&case.tensors[1..]).collect::<Vec<_>>();
                    let new = of(&Call {
                        grad_input: GradTo::New,
                        tensors: tensors(),
                        ..over.clone()
                    });
                    let got = of(&Call {
                        tensors: tensors(),
                        ..over
                    });
                    if got != new {
                        failures.push(format!("{} over its input", case.what));
                    }
                }
            }
        }
    }
    report(failures, total);
}

/// In windows of little more than a slab, and in parts of a slab, with blocks of rows that end with theirs: the same
/// bits, into a tensor of its own, over the input and on top of something.
#[test]
fn rows_across_are_cut_to_the_same_bits() {
    let shape = [3, 2050, 20];
    let mut cut = crate::common::engine::fresh();
    cut.set_tuning(Tuning::HARDWARE).unwrap();
    let own = cut.plan_limits().unwrap();
    let (mut failures, mut total) = (Vec::new(), 0);
    for (n, dtype) in Dtype::FLOATS.into_iter().enumerate() {
        let case = case_of("cross_entropy", &shape, dtype, n as u64);
        let slab = (shape[1] * shape[2]) as u64 * dtype.bytes();
        let whole = hardware();
        for dispatch_bytes in [64 << 10, 1 << 30] {
            cut.set_plan_limits(Limits {
                max_binding_bytes: (slab + 1024).next_multiple_of(256),
                max_dispatch_bytes: dispatch_bytes,
                offset_alignment: 256,
                ..own
            })
            .unwrap();
            let problem = case.loss.problem(&case.call(Mode::Fused)).unwrap();
            let dispatches = |engine: &Engine| {
                let plan = plan(&problem, &engine.plan_limits().unwrap(), &Tuning::HARDWARE).unwrap();
                let is_across = |d: &&Dispatch| d.variant.pieces[0].path.starts_with("driver/across_");
                plan.dispatches().filter(is_across).count()
            };
            assert!(dispatches(&cut) > dispatches(whole) && dispatches(whole) == 3);
            let run = |engine: &Engine, way: usize| {
                let input = engine.upload(&case.tensors[0]).unwrap();
                let zeros = Tensor::new(&vec![0f32; shape.iter().product()], &shape).unwrap();
                let sum = engine.upload(&zeros.to_dtype(dtype).unwrap()).unwrap();
                let call = Call {
                    tensors: std::iter::once(&input).chain(&case.tensors[1..]).collect(),
                    grad_input: [GradTo::New, GradTo::InPlace, GradTo::AddTo(&sum)][way],
                    ..case.call(Mode::Fused)
                };
                let output = case.loss.run(engine, &call).unwrap();
                bits(&output.include_placed().read(engine).unwrap())
            };
            for way in 0..3 {
                total += 1;
                if run(&cut, way) != run(whole, way) {
                    failures.push(format!("{} in dispatches of {dispatch_bytes}, way {way}", case.what));
                }
            }
        }
    }
    report(failures, total);
}

/// Rows of a lane each around the columns of a block and of what a lane holds, also of losses that are not held or
/// staged: what is left behind the last block is less than one.
#[test]
fn rows_of_a_lane_have_all_their_columns() {
    let mut failures = Vec::new();
    let mut runs = 0;
    for (n, info) in REGISTRY.iter().enumerate() {
        for (m, cols) in [15, 16, 17, 20, 31, 32, 33].into_iter().enumerate() {
            if !is_long() && !takes(n + m, 3) && info.name != "nll" {
                continue;
            }
            let setup = Setup {
                setting: along_classes(info),
                seed: (n * 7 + m) as u64,
                ..Setup::new(&[70, cols])
            };
            let Some(case) = make(info, &setup) else { continue };
            let call = case.call(case.most());
            failures.extend(on_hardware(&case.what, &*case.loss, &call));
            runs += 1;
        }
    }
    report(failures, runs);
}
