//! Several rows at once in the registers of a lane: short ones, and strips of longer ones, some columns at a time.

use wgloss::plan::{Plan, plan};
use wgloss::problem::{Family, Problem};
use wgloss::shader::Const;
use wgloss::{
    Call, CrossEntropy, Dtype, Engine, GradTo, Info, Limits, Loss, Mode, REGISTRY, Reduction, Scalar, Stats, Tensor,
    Tuning, Values,
};

use crate::common::cases::{Case, Setting, Setup, Style, make};
use crate::common::data::Wild;
use crate::common::own::bytes_of;
use crate::common::{bits, engine, gpu, is_long, report, takes};

/// Constants of the dispatches that take packs.
fn packs(plan: &Plan, name: &str) -> Vec<Const> {
    let drivers = ["software/pack.wgsl", "software/strip.wgsl"];
    let own = plan
        .dispatches()
        .filter(|d| drivers.contains(&d.variant.pieces[0].path));
    let is = |constant: &&Const| matches!(constant, Const::U32(own, _) | Const::Bool(own, _) if *own == name);
    own.filter_map(|d| d.variant.consts.iter().find(is).copied()).collect()
}

fn planned(problem: &Problem) -> Plan {
    planned_by(problem, &Tuning::SOFTWARE)
}

fn planned_by(problem: &Problem, tuning: &Tuning) -> Plan {
    plan(problem, &gpu().plan_limits().unwrap(), tuning).unwrap()
}

/// The rows of dimension 1, where a loss has a choice.
fn along_classes(info: &Info) -> Setting {
    let dims = info.options.iter().filter(|option| option.name == "dim");
    dims.map(|option| (option.name, Scalar::Int(1))).collect()
}

/// Rows whose columns do not meet each other.
fn are_packed(problem: &Problem) -> bool {
    matches!(&problem.family, Family::Rows(rows)
        if rows.inner_loops == 0 && rows.whole.is_none() && rows.linear.is_none() && rows.cols <= 32)
}

/// Every loss of rows: packs of one, two and four rows, the last of them whole or not, and columns of four rows;
/// against the reference, with hard data and what else a loss may be given.
#[test]
fn packed_rows_are_as_the_reference_has_them() {
    let shapes: [&[usize]; 9] = [
        &[1027, 1],
        &[1024, 3],
        &[1027, 10],
        &[16_390, 10],
        &[1026, 6],
        &[1025, 21],
        &[1024, 32],
        &[2, 5, 1028],
        &[2, 7, 1027],
    ];
    let (mut failures, mut total) = (Vec::new(), 0);
    for (n, info) in REGISTRY.iter().enumerate() {
        for k in (0..2).filter(|k| takes(n + k, 2)) {
            let setup = Setup {
                dtype: Dtype::FLOATS[k],
                other: Dtype::FLOATS[k],
                full: (n + k) % 2 == 0,
                given: k == 1,
                reduction: info.reductions[(n + k) % info.reductions.len()],
                setting: along_classes(info),
                seed: n as u64,
                ..Setup::new(shapes[(3 * n + 5 * k) % shapes.len()])
            };
            let Some(mut case) = make(info, &setup) else { continue };
            case.stats.lse = info.statistics && (n + k) % 3 == 0;
            case.stats.entropy = case.stats.lse;
            case.stats.argmax = case.stats.lse;
            let call = case.call(case.most());
            let problem = case.loss.problem(&call).unwrap();
            if !are_packed(&problem) {
                continue;
            }
            total += 1;
            if packs(&planned(&problem), "PACK").is_empty() {
                failures.push(format!("{} is not packed", case.what));
            }
            failures.extend(crate::common::against::on_gpu(&case.what, &*case.loss, &call));
        }
    }
    assert!(total >= if is_long() { 15 } else { 7 }, "{total} cases");
    report(failures, total);
}

/// Rows of class indices, whose exponentials stay in the place of the logits until the gradient takes it: every small
/// number of columns, innermost and not, in every dtype, with wild logits, statistics or none.
#[test]
fn kept_exponentials_are_gradients_in_the_end() {
    let (mut failures, mut total) = (Vec::new(), 0);
    let wild = [Wild::Ties, Wild::Large, Wild::Impossible, Wild::Mixed, Wild::Nan];
    for (n, name) in ["cross_entropy", "softmax_focal"].into_iter().enumerate() {
        let info = wgloss::find(name).unwrap();
        for cols in (1..=9).filter(|cols| takes(cols + 2 * n, 3)) {
            let shape: &[usize] = if cols % 2 == 0 { &[2, cols, 1028] } else { &[1029, cols] };
            let setup = Setup {
                dtype: Dtype::FLOATS[cols / 2 % 3],
                given: cols % 3 == 0,
                reduction: info.reductions[cols % info.reductions.len()],
                style: Style::Wild(wild[cols % wild.len()]),
                ..Setup::new(shape)
            };
            let mut case = make(info, &setup).unwrap();
            case.stats.lse = info.statistics && cols % 4 == 1;
            let call = case.call(Mode::Fused);
            let keeps = packs(&planned(&case.loss.problem(&call).unwrap()), "KEEPS_EXPS");
            assert!(!keeps.is_empty() && keeps.iter().all(|own| *own == Const::Bool("KEEPS_EXPS", true)));
            total += 1;
            failures.extend(crate::common::against::on_gpu(&case.what, &*case.loss, &call));
        }
    }
    report(failures, total);
    // Where the gradient needs more than them, or there is none.
    let x = Tensor::new(&[0f32; 5150], &[1030, 5]).unwrap();
    let t = Tensor::new(&[0i64; 1030], &[1030]).unwrap();
    let smooth = CrossEntropy {
        label_smoothing: 0.1,
        ..Default::default()
    };
    let capped = CrossEntropy {
        softcap: 3.0,
        ..Default::default()
    };
    let plain = CrossEntropy::default();
    for (loss, mode, target) in [
        (&smooth, Mode::Fused, &t),
        (&capped, Mode::Fused, &t),
        (&plain, Mode::Fused, &x),
        (&plain, Mode::Forward, &t),
    ] {
        let plan = planned(&loss.problem(&Call::new(mode, &[&x, target])).unwrap());
        let keeps = packs(&plan, "KEEPS_EXPS");
        assert!(!keeps.is_empty() && keeps.iter().all(|own| *own == Const::Bool("KEEPS_EXPS", false)));
    }
}

/// The losses of a workgroup's rows meet in registers or in memory, to the same bits.
#[test]
fn tile_sums_have_one_order() {
    let own = engine::fresh().plan_limits().unwrap();
    let engines = [1, own.subgroup].map(|subgroup| {
        let mut engine = engine::fresh();
        engine.set_tuning(Tuning::SOFTWARE).unwrap();
        engine.set_plan_limits(Limits { subgroup, ..own }).unwrap();
        engine
    });
    for shape in [&[2000, 10][..], &[2, 7, 2050], &[700, 100]] {
        let case = case_of("cross_entropy", shape, Dtype::F32, Reduction::Mean);
        let call = case.call(Mode::Fused);
        let [through_memory, shuffled] = engines.each_ref().map(|engine| {
            bits(
                &case
                    .loss
                    .run(engine, &call)
                    .unwrap()
                    .include_placed()
                    .read(engine)
                    .unwrap(),
            )
        });
        assert_eq!(through_memory, shuffled, "{}", case.what);
    }
}

/// A tensor's elements in a buffer, from an element on and with gaps between the rows.
fn laid(engine: &Engine, from: &Tensor, first: usize, stride: usize) -> Tensor {
    let bytes = from.dtype().bytes() as usize;
    let (rows, row): (usize, usize) = (from.shape()[0], from.shape()[1..].iter().product());
    let mut memory = vec![0u8; ((first + rows * stride) * bytes).next_multiple_of(4)];
    for (r, own) in bytes_of(from).chunks(row * bytes).enumerate() {
        memory[(first + r * stride) * bytes..][..own.len()].copy_from_slice(own);
    }
    let (device, queue) = engine.wgpu().unwrap();
    let buffer = device.create_buffer(&wgpu::BufferDescriptor {
        label: None,
        size: memory.len() as u64,
        usage: wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::COPY_SRC,
        mapped_at_creation: false,
    });
    queue.write_buffer(&buffer, 0, &memory);
    Tensor::from_buffer(
        engine,
        buffer,
        (first * bytes) as u64,
        from.dtype(),
        from.shape(),
        Some(stride),
    )
    .unwrap()
}

fn case_of(name: &str, shape: &[usize], dtype: Dtype, reduction: Reduction) -> Case {
    let info = wgloss::find(name).unwrap();
    let setup = Setup {
        dtype,
        other: dtype,
        reduction,
        setting: along_classes(info),
        ..Setup::new(shape)
    };
    make(info, &setup).unwrap()
}

/// Quads of memory, or element by element: bits are the same wherever a tensor begins and whatever lies between its
/// rows, with a gradient of its own or over the input.
#[test]
fn bits_do_not_depend_on_where_packs_lie() {
    // Its pipelines go with it.
    let own = engine::fresh();
    let (mut failures, mut total) = (Vec::new(), 0);
    for (n, name) in ["cross_entropy", "nll", "softmax_focal"].into_iter().enumerate() {
        let shapes = [
            &[1030, 10][..],
            &[1027, 21],
            &[2, 6, 1036],
            &[2, 9, 1156],
            &[2, 39, 1036],
            &[2, 70, 1156],
        ];
        for (k, shape) in shapes.into_iter().enumerate() {
            if !takes(n + k, 5) || name == "nll" && shape[1] > 32 {
                continue; // of nll one column of each row is read
            }
            let case = case_of(name, shape, Dtype::FLOATS[(n + k) % 3], Reduction::Sum);
            let row: usize = shape[1..].iter().product();
            let call = case.call(Mode::Fused);
            let run = |input: &Tensor, grad_input| {
                let call = Call {
                    tensors: std::iter::once(input).chain(&case.tensors[1..]).collect(),
                    grad_input,
                    ..call.clone()
                };
                let flat = packs(&planned(&case.loss.problem(&call).unwrap()), "FLAT");
                let output = case.loss.run(&own, &call).unwrap();
                (flat, bits(&output.include_placed().read(&own).unwrap()))
            };
            let (flat, dense) = run(&case.tensors[0], GradTo::New);
            assert!(flat.contains(&Const::Bool("FLAT", true)), "{}: {flat:?}", case.what);
            // An element on, rows apart, and whole quads from the start.
            for (first, gap) in [(1, 0), (0, 3), (4, 0)] {
                for over in [false, true] {
                    let input = laid(&own, &case.tensors[0], first, row + gap);
                    let (flat, got) = run(&input, if over { GradTo::InPlace } else { GradTo::New });
                    let quads = flat.contains(&Const::Bool("FLAT", true));
                    assert_eq!(quads, (first, gap) == (4, 0), "{}: {flat:?}", case.what);
                    total += 1;
                    if got != dense {
                        failures.push(format!("{} from {first}, {gap} apart, over it: {over}", case.what));
                    }
                }
            }
        }
    }
    report(failures, total);
}

/// One row to a pack, or as many as there may be, and packs side by side: bits of losses and gradients are the same.
/// Sums go by lane, which takes other rows.
#[test]
fn bits_do_not_depend_on_how_many_rows_a_pack_has() {
    let (mut failures, mut total) = (Vec::new(), 0);
    let of = |pack| Tuning {
        pack,
        ..Tuning::SOFTWARE
    };
    let engines = [1, 4, 16].map(of).map(|tuning| {
        let mut engine = engine::fresh();
        engine.set_tuning(tuning).unwrap();
        (tuning, engine)
    });
    for (n, name) in ["cross_entropy", "nll", "softmax_focal", "multi_margin"]
        .into_iter()
        .enumerate()
    {
        let shapes: [(&[usize], _, _); 7] = [
            (&[1030, 10], 2, 1),
            (&[1027, 21], 4, 1),
            (&[2, 6, 1036], 4, 1),
            (&[2, 9, 1156], 4, 4),
            (&[1, 8, 8380], 4, 4),
            (&[2, 30, 1088], 4, 2),
            (&[2, 8, 1035], 4, 1),
        ];
        for (k, (shape, rows, beside)) in shapes.into_iter().enumerate() {
            if !takes(n + k, 6) || name == "multi_margin" && shape.len() > 2 {
                continue;
            }
            let case = case_of(name, shape, Dtype::F32, Reduction::None);
            let call = case.call(Mode::Fused);
            let problem = case.loss.problem(&call).unwrap();
            let runs = engines.each_ref().map(|(tuning, engine)| {
                // The last rows, which are no whole pack, are a dispatch of their own.
                let plan = planned_by(&problem, tuning);
                let mut consts = [packs(&plan, "PACK"), packs(&plan, "PACKS")].concat();
                consts.dedup();
                // A gradient of its own, and, of one loss, one added to something.
                let sum = engine.upload(&case.tensors[0]).unwrap();
                let mut places = vec![GradTo::New];
                places.extend((name == "cross_entropy").then_some(GradTo::AddTo(&sum)));
                let got = places.into_iter().map(|grad_input| {
                    let call = Call {
                        grad_input,
                        ..call.clone()
                    };
                    bits(
                        &case
                            .loss
                            .run(engine, &call)
                            .unwrap()
                            .include_placed()
                            .read(engine)
                            .unwrap(),
                    )
                });
                (consts, got.collect::<Vec<_>>())
            });
            let expected = [(1, 1), (rows, 1), (rows, beside)];
            for (n, ((consts, got), (pack, packs))) in runs.iter().zip(expected).enumerate() {
                assert_eq!(
                    consts,
                    &[Const::U32("PACK", pack), Const::U32("PACKS", packs)],
                    "{}",
                    case.what
                );
                total += usize::from(n > 0);
                if *got != runs[0].1 {
                    failures.push(format!("{}, {packs} packs of {pack}", case.what));
                }
            }
        }
    }
    report(failures, total);
}

/// Strips of more classes than a lane has registers for: whole quads of rows or not, one run of columns and several,
/// the last columns no whole quad, in every dtype, every reduction, with wild logits, ignored rows, statistics and
/// coefficients of every column; against the reference.
#[test]
fn strips_are_as_the_reference_has_them() {
    let (mut failures, mut total) = (Vec::new(), 0);
    let wild = [Wild::Ties, Wild::Large, Wild::Impossible, Wild::Mixed, Wild::Nan];
    let shapes: [&[usize]; 6] = [
        &[8, 1100, 128],
        &[2, 33, 1028],
        &[1, 64, 1160],
        &[1, 131, 1027],
        &[2, 66, 1156],
        &[1, 300, 1030],
    ];
    let settings: [Setting; 3] = [
        Vec::new(),
        vec![("label_smoothing", Scalar::Float(0.1))],
        vec![
            ("softcap", Scalar::Float(50.0)),
            ("label_smoothing", Scalar::Float(0.2)),
        ],
    ];
    for name in ["cross_entropy", "softmax_focal"] {
        let info = wgloss::find(name).unwrap();
        for (k, shape) in shapes.iter().enumerate() {
            for (n, mode) in [Mode::Forward, Mode::Backward, Mode::Fused].into_iter().enumerate() {
                if k > 0 && n != k % 3 || !takes(k + n + name.len(), 2) {
                    continue; // each mode with some shapes
                }
                let setup = Setup {
                    dtype: Dtype::FLOATS[(k + n + 2) % 3],
                    setting: settings[if name == "cross_entropy" { k % 3 } else { 0 }].clone(),
                    given: k % 2 == 0,
                    reduction: info.reductions[(2 * k + n + 1) % info.reductions.len()],
                    style: Style::Wild(wild[(k + n) % wild.len()]),
                    ..Setup::new(shape)
                };
                let mut case = make(info, &setup).unwrap();
                case.stats.lse = info.statistics && mode != Mode::Backward && k % 3 == 0;
                case.stats.entropy = case.stats.lse;
                case.stats.argmax = case.stats.lse;
                let call = case.call(mode);
                assert!(
                    !packs(&planned(&case.loss.problem(&call).unwrap()), "STRIP").is_empty(),
                    "{}",
                    case.what
                );
                total += 1;
                failures.extend(crate::common::against::on_gpu(&case.what, &*case.loss, &call));
            }
        }
    }
    report(failures, total);
}

/// One pack of four rows or several side by side, forward and with the gradient, new or added to zeros: the same bits.
#[test]
fn bits_do_not_depend_on_how_many_packs_a_strip_has() {
    let engines = [4, 8, 16].map(|pack| {
        let tuning = Tuning {
            pack,
            ..Tuning::SOFTWARE
        };
        let mut engine = engine::fresh();
        engine.set_tuning(tuning).unwrap();
        (tuning, engine)
    });
    let shapes = [(&[2, 37, 1156][..], Reduction::Mean), (&[1, 150, 8380], Reduction::Sum)];
    for (shape, reduction) in shapes.into_iter().take(if is_long() { 2 } else { 1 }) {
        let case = case_of("cross_entropy", shape, Dtype::F32, reduction);
        let call = case.call(Mode::Fused);
        let forward = case.call(Mode::Forward);
        let runs = engines.each_ref().map(|(tuning, engine)| {
            let strips = packs(&planned_by(&case.loss.problem(&call).unwrap(), tuning), "STRIP");
            let run = |call: &Call| {
                case.loss
                    .run(engine, call)
                    .unwrap()
                    .include_placed()
                    .read(engine)
                    .unwrap()
            };
            let (fused, forward) = (run(&call), run(&forward));
            assert_eq!(
                fused.loss.as_ref().unwrap().data[0].to_bits(),
                forward.loss.unwrap().data[0].to_bits()
            );
            let zeros = Tensor::new(&vec![0f32; shape.iter().product()], shape).unwrap();
            let zeros = engine.upload(&zeros).unwrap();
            let added = run(&Call {
                grad_input: GradTo::AddTo(&zeros),
                ..call.clone()
            });
            assert!(bits(&added) == bits(&fused), "{} added to zeros", case.what);
            (strips[0], bits(&fused))
        });
        let sizes = runs.each_ref().map(|(strip, _)| *strip);
        assert_eq!(sizes, [4, 8, 16].map(|rows| Const::U32("STRIP", rows)));
        assert!(runs.iter().all(|(_, own)| *own == runs[0].1), "{}", case.what);
    }
}

/// Rows without a finite logit, or with a NaN or an infinity among them: losses and statistics are those of the same
/// rows among few, which no pack takes, and of the reference.
#[test]
fn hard_rows_are_the_same_in_packs() {
    const INF: f32 = f32::INFINITY;
    let hard: [[f32; 6]; 6] = [
        [-INF; 6],
        [1.0, -INF, 2.0, 2.0, -INF, 0.5],
        [0.0; 6],
        [f32::MAX, -INF, f32::MAX, 0.0, 1.0, 2.0],
        [3.0, INF, 1.0, 0.0, 2.0, 1.0],
        [-INF, -INF, -INF, -INF, -INF, -1e30],
    ];
    // A label that is the arg-max and one that is not.
    let labels = [0i64, 2, 3, 2, 1, 5].map(|label| [label, 4]).concat();
    let loss = CrossEntropy {
        reduction: Reduction::None,
        ..Default::default()
    };
    let stats = Stats {
        lse: true,
        argmax: true,
        entropy: true,
        accuracy: true,
        z_loss: false,
    };
    let of_each = |times: usize| {
        let rows = labels.len() * times;
        let data: Vec<f32> = (0..rows).flat_map(|row| hard[row % labels.len() / 2]).collect();
        let x = Tensor::new(&data, &[rows, 6]).unwrap();
        let t = Tensor::new(&labels.repeat(times), &[rows]).unwrap();
        let call = Call {
            stats,
            ..Call::new(Mode::Fused, &[&x, &t])
        };
        let is_packed = !packs(&planned(&loss.problem(&call).unwrap()), "PACK").is_empty();
        assert_eq!(is_packed, times > 1);
        let values = loss.run(gpu(), &call).unwrap().include_placed().read(gpu()).unwrap();
        (values, crate::common::against::on_gpu("hard rows", &loss, &call))
    };
    let (few, failures) = of_each(1);
    assert!(failures.is_empty(), "{failures:?}");
    let (many, failures) = of_each(100);
    assert!(failures.is_empty(), "{failures:?}");
    assert_eq!(many.correct, few.correct.map(|correct| 100 * correct));
    let argmax = |values: &Values| values.argmax.clone().unwrap().data;
    assert_eq!(argmax(&many), argmax(&few).repeat(100));
}
