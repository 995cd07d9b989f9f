//! What a discrete GPU runs has run: the variants that its tuning makes of some rows are listed, and each is executed
//! here at its own widths, on fewer rows or elements, against the f64 reference. Where lanes of 32 read each other's
//! registers, the twin that merges through workgroup memory runs, and the shuffles of its state run eight wide.

use std::collections::{BTreeMap, BTreeSet};

use wgloss::optim::{AdamW, Optimizer, State};
use wgloss::plan::{Plan, plan, plan_update};
use wgloss::problem::Problem;
use wgloss::shader::{Const, Variant};
use wgloss::{Call, Dtype, Engine, Limits, Mode, Reduction, Tensor, Tuning, View, find, precision, reference};

use crate::common::against::compare;
use crate::common::cases::{Case, Setup, make};
use crate::common::data::Data;
use crate::common::{F32, engine, is_long, report, takes};

/// A row as GPUs have it, and one of the same variants that any adapter has memory for.
struct Row {
    name: &'static str,
    shape: &'static [usize],
    small: &'static [usize],
}

const fn row(name: &'static str, shape: &'static [usize], small: &'static [usize]) -> Row {
    Row { name, shape, small }
}

/// Of elements, so many that a tile grows with them: 33 million and the least with the same tile.
const MANY: &[usize] = &[33_554_432];
const SAME: &[usize] = &[16_777_220];

const ROWS: [Row; 11] = [
    row("cross_entropy", &[8192, 128_256], &[520, 32_772]),
    row("cross_entropy", &[1024, 32_000], &[512, 32_000]),
    row("cross_entropy", &[8192, 1000], &[8192, 1000]),
    row("cross_entropy", &[3_276_800, 10], &[131_072, 10]),
    row("cross_entropy", &[8, 21, 512, 512], &[2, 21, 256, 256]),
    row("cross_entropy", &[8, 32_000, 128], &[8, 16_400, 128]),
    row("cross_entropy", &[4, 1_000_000], &[4, 1_000_000]),
    row("bce_with_logits", MANY, SAME),
    row("mse", MANY, SAME),
    row("sigmoid_focal", MANY, SAME),
    row("reduce", MANY, SAME),
];

/// Who converts f16 where it is read, and where it is written: integers, or the device (true).
type Converts = [bool; 2];
const BY_INTEGERS: Converts = [false; 2];
/// By integers, read by the device alone, as AMD's drivers are trusted to, and both ways.
const WAYS: [Converts; 3] = [BY_INTEGERS, [true, false], [true; 2]];

fn ways(dtype: Dtype) -> &'static [Converts] {
    if dtype == Dtype::F16 { &WAYS } else { &WAYS[..1] }
}

fn converting([unpacks_f16, packs_f16]: Converts, limits: Limits) -> Limits {
    Limits {
        unpacks_f16,
        packs_f16,
        ..limits
    }
}

/// A GPU of a desktop or a server.
fn native(subgroup: u32, converts: Converts) -> Limits {
    let limits = Limits {
        max_binding_bytes: 1 << 31,
        max_buffer_bytes: 1 << 32,
        max_dispatch_bytes: 1 << 30,
        max_width: 1024,
        subgroup,
        ..crate::common::plans::DEFAULT_LIMITS
    };
    converting(converts, limits)
}

fn case(row: &Row, shape: &[usize], dtype: Dtype, is_told: bool) -> Case {
    let info = find(row.name).unwrap();
    let setup = Setup {
        dtype,
        other: dtype,
        labels: Dtype::I64,
        given: false,
        // As `bench` has them.
        reduction: match info.reductions {
            all if all.contains(&Reduction::Mean) => Reduction::Mean,
            all => all[0],
        },
        ..Setup::new(shape)
    };
    if !is_told {
        return make(info, &setup).unwrap();
    }
    // Shapes and dtypes alone.
    let few: Vec<usize> = shape.iter().map(|&n| n.min(4)).collect();
    let mut own = make(
        info,
        &Setup {
            shape: few.clone(),
            ..setup
        },
    )
    .unwrap();
    for tensor in &mut own.tensors {
        let grown: Vec<usize> = match tensor.shape().len() {
            n if n == shape.len() => shape.to_vec(),
            _ => [&shape[..1], &shape[2.min(shape.len())..]].concat(),
        };
        *tensor = Tensor::placeholder(tensor.dtype(), &grown).unwrap();
    }
    let upstream = match own.upstream.shape() {
        [] => Vec::new(),
        _ => own.tensors[own.tensors.len() - 1].shape().to_vec(),
    };
    own.upstream = Tensor::placeholder(own.upstream.dtype(), &upstream).unwrap();
    own
}

fn variants(problem: &Problem, limits: &Limits, tuning: &Tuning) -> Vec<Variant> {
    let made: Plan = plan(problem, limits, tuning).unwrap();
    made.dispatches().map(|own| own.variant.clone()).collect()
}

/// What a label does not tell: f16 is read, or read and written, by the device's own conversions.
const BY_THE_DEVICE: &str = "by the device";

fn told(variant: &Variant) -> String {
    let is_set = |name| {
        let is_own = |own: &Const| matches!(own, Const::Bool(named, true) if *named == name);
        variant.pieces.iter().flat_map(|own| own.consts).any(is_own)
    };
    let how = match (is_set("UNPACKS_F16"), is_set("PACKS_F16")) {
        (false, false) => return variant.label.clone(),
        (true, false) => "read",
        (false, true) => "written",
        (true, true) => "read and written",
    };
    format!("{}, f16 {how} {BY_THE_DEVICE}", variant.label)
}

/// A call as the rows are benchmarked: nothing upstream, and the gradient of the input alone.
fn plain(case: &Case, mode: Mode) -> Call<'_> {
    Call::new(mode, &case.tensors.iter().collect::<Vec<_>>())
}

/// The tree of a variant that shuffles, and the state that goes through it.
fn shuffled(variant: &Variant) -> Option<(&'static str, Vec<&'static str>)> {
    let paths = || variant.pieces.iter().map(|own| own.path);
    let tree = paths().find(|own| own.starts_with("lanes/tree_subgroup"))?;
    Some((
        tree,
        paths()
            .filter(|own| own.starts_with("state/") || own.starts_with("loss/"))
            .collect(),
    ))
}

fn hardware(tuning: Tuning, subgroup: u32) -> Engine {
    let mut engine = engine::fresh();
    engine.set_tuning(tuning).unwrap();
    let own = engine.plan_limits().unwrap();
    engine.set_plan_limits(Limits { subgroup, ..own }).unwrap();
    engine
}

/// A step of so many elements, beside the reference's.
fn step_against_reference(what: &str, dtype: Dtype, len: usize, engine: &Engine) -> Result<(), String> {
    let cpu = Engine::cpu();
    let mut data = Data::new(23);
    let mut random = || Tensor::new(&data.logits(len), &[len]).unwrap().to_dtype(dtype).unwrap();
    let (param, grad) = (random(), random());
    let stepped = |engine: &Engine| {
        let own = AdamW::default().step(engine, &param, &grad, &mut State::default());
        own.unwrap().numbers(engine).unwrap().data
    };
    let (got, want) = (stepped(engine), stepped(&cpu));
    if dtype == Dtype::F32 {
        let want: Vec<f64> = want.into_iter().map(f64::from).collect();
        return F32.check(what, &got, &want);
    }
    // Near the middle between two neighbours either may be the parameter.
    let is_near = |(&g, &w): (&f32, &f32)| f64::from((g - w).abs()) <= precision::ulp(dtype, w.into());
    match got.iter().zip(&want).find(|&pair| !is_near(pair)) {
        Some((g, w)) => Err(format!("{what}: {g} instead of {w}")),
        None => Ok(()),
    }
}

/// Where the list is kept, for who wants to read it; `WGLOSS_RECORD=1` writes it anew.
const TABLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/results/variants.md");

/// The list, by rows: each variant, and what is executed for it.
fn table<'a>(all: impl Iterator<Item = (&'a str, &'a str, &'a str)>) -> String {
    let mut text = String::from(
        "# Variants that a discrete GPU runs\n\n\
         Made by `tests/discrete.rs`, which executes each at its own widths on fewer rows or elements, beside the f64\n\
         reference. Where lanes shuffle, the twin through workgroup memory, told below it, is executed, and its state is\n\
         shuffled eight wide. Each stands with the first row that has it. All are executed with WGLOSS_TEST_LONG=1, as CI\n\
         does; a part of them without.\n",
    );
    let mut last = "";
    let mut all: Vec<_> = all.collect();
    all.sort_unstable();
    for (row, label, twin) in all {
        if row != last {
            text += &format!("\n## {row}\n\n");
            last = row;
        }
        text += &format!("- {label}\n");
        if label != twin {
            text += &format!("  - {twin}\n");
        }
    }
    text
}

fn kept(text: &str) {
    if std::env::var("WGLOSS_RECORD").is_ok_and(|own| own == "1") {
        std::fs::write(TABLE, text).unwrap();
        return;
    }
    let old = std::fs::read_to_string(TABLE).unwrap_or_default();
    assert!(
        old == text,
        "{TABLE} tells other variants: make it anew with WGLOSS_RECORD=1"
    );
}

#[test]
fn what_a_discrete_gpu_runs_has_run() {
    let own = engine::fresh().plan_limits().unwrap();
    let wanted = Tuning::HARDWARE.row_width;
    if own.max_width < wanted {
        eprintln!(
            "skipped: {} invocations to a workgroup here, and rows want {wanted}",
            own.max_width
        );
        return;
    }
    let through_memory = hardware(Tuning::HARDWARE, 1);
    // Groups of as many lanes as this adapter's subgroups have, and workgroups of as many groups.
    let eight = (own.subgroup >= 8).then(|| {
        let tuning = Tuning {
            subgroup: 8,
            row_width: 64,
            width: 64,
            ..Tuning::HARDWARE
        };
        hardware(tuning, own.subgroup)
    });
    let by_the_device = WAYS[1..].iter().map(|&converts| {
        let mut engine = hardware(Tuning::HARDWARE, 1);
        let limits = converting(converts, engine.plan_limits().unwrap());
        let told = engine.set_plan_limits(limits);
        let told = told.map_err(|error| eprintln!("skipped: f16 by the device: {error}"));
        told.is_ok().then_some((converts, engine))
    });
    let by_the_device: Vec<(Converts, Engine)> = by_the_device.flatten().collect();
    let engine_of = |converts: Converts| match converts {
        BY_INTEGERS => Some(&through_memory),
        _ => by_the_device
            .iter()
            .find(|(own, _)| *own == converts)
            .map(|(_, engine)| engine),
    };
    // What the rows here come to, what of it ran, and whose state was shuffled.
    let (mut planned, mut executed, mut stood_in) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    let (mut listed, mut failures, mut total) = (BTreeMap::new(), Vec::new(), 0);
    for (n, row) in ROWS.iter().enumerate() {
        for (k, dtype) in Dtype::FLOATS.into_iter().enumerate() {
            let (large, part) = (case(row, row.shape, dtype, true), case(row, row.small, dtype, true));
            // In the quick form some of them run: of many elements one in twelve, of rows one in four.
            let every = if row.shape == MANY { 12 } else { 4 };
            let runs = takes(n + k, every) || n < 3 && k == 0;
            let small = runs.then(|| case(row, row.small, dtype, false));
            for (mode, &converts) in [Mode::Forward, Mode::Fused]
                .into_iter()
                .flat_map(|mode| ways(dtype).iter().map(move |way| (mode, way)))
            {
                let what = format!("{} {:?} {dtype} {}", row.name, row.shape, mode.name());
                let problem = |case: &Case| case.loss.problem(&plain(case, mode)).unwrap();
                let of = |subgroup| variants(&problem(&large), &native(subgroup, converts), &Tuning::HARDWARE);
                for (wide, twin) in of(32).into_iter().zip(of(1)) {
                    listed.entry((told(&wide), told(&twin))).or_insert((what.clone(), wide));
                }
                let limits = converting(converts, through_memory.plan_limits().unwrap());
                let own = variants(&problem(&part), &limits, &Tuning::HARDWARE);
                let own: Vec<String> = own.iter().map(told).collect();
                planned.extend(own.clone());
                let (Some(small), Some(through_memory)) = (&small, engine_of(converts)) else {
                    continue;
                };
                executed.extend(own);
                // As the commands call it, and in some cases with all that it has.
                let mut calls = vec![plain(small, mode)];
                calls.extend(takes(n + k, 3).then(|| small.call(mode)));
                for call in calls {
                    total += 1;
                    let want = reference::run(small.loss.as_ref(), &call).unwrap();
                    let eight = eight.as_ref().filter(|_| converts == BY_INTEGERS);
                    for (nth, engine) in [Some(through_memory), eight].into_iter().flatten().enumerate() {
                        let problem = small.loss.problem(&call).unwrap();
                        let made = variants(&problem, &engine.plan_limits().unwrap(), &engine.tuning().unwrap());
                        stood_in.extend(made.iter().filter_map(shuffled));
                        let what = format!("{what}, {}", ["through memory", "eight wide"][nth]);
                        match small.loss.run(engine, &call).and_then(|output| output.read(engine)) {
                            Ok(got) => failures.extend(compare(&what, small.loss.as_ref(), &call, &got, &want)),
                            Err(error) => failures.push(format!("{what}: {error}")),
                        }
                    }
                }
            }
        }
    }
    let steps = Dtype::FLOATS
        .into_iter()
        .flat_map(|dtype| ways(dtype).iter().map(move |&way| (dtype, way)));
    for (dtype, converts) in steps {
        let what = format!("adamw [100000000] {dtype}");
        let step = |len| {
            let view = View::contiguous(dtype, &[len]);
            let update = AdamW::default().update(&view, &view, &State::default()).unwrap();
            let plan = plan_update(&update, &native(1, converts), &Tuning::HARDWARE).unwrap();
            plan.dispatches().map(|own| own.variant.clone()).collect::<Vec<_>>()
        };
        for own in step(100_000_000) {
            listed.insert((told(&own), told(&own)), (what.clone(), own));
        }
        planned.extend(step(1000).iter().map(told));
        if let Some(engine) = engine_of(converts) {
            executed.extend(step(1000).iter().map(told));
            failures.extend(step_against_reference(&what, dtype, 1000, engine).err());
            total += 1;
        }
    }
    for ((label, twin), (row, variant)) in &listed {
        let can_run = by_the_device.len() + 1 == WAYS.len() || !twin.ends_with(BY_THE_DEVICE);
        if !planned.contains(twin) || is_long() && can_run && !executed.contains(twin) {
            failures.push(format!("{twin} of {row} is not executed"));
        }
        if let Some(own) = shuffled(variant).filter(|_| is_long() && eight.is_some())
            && !stood_in.contains(&own)
        {
            failures.push(format!(
                "{label} of {row}: nothing with its state goes through {}",
                own.0
            ));
        }
    }
    println!("{} variants", listed.len());
    report(failures, total);
    kept(&table(listed.iter().map(|((label, twin), (row, _))| {
        (row.as_str(), label.as_str(), twin.as_str())
    })));
}
