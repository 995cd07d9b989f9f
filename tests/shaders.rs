//! Every shader that can be composed: accepted by naga (and by tint where it is installed), bound as the plans say,
//! laid out as the Rust structs, translated to SPIR-V, MSL and HLSL. No device.
//!
//! The variants come from plans: of every loss of the registry under each of its options, and of draws from all that a call
//! can ask for (dtypes, shapes, reductions, gradients, places for them, statistics, tunings). All files of `shaders/` have
//! to come up.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use naga::valid::{Capabilities, ModuleInfo, ValidationFlags, Validator};
use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64Mcg;
use rayon::prelude::*;
use wgloss::layout::{Control, ElementParams, PairParams, ReduceParams, RowParams, UpdateParams};
use wgloss::limits::MAX_ITERATIONS;
use wgloss::optim::{OPTIMIZERS, Setting as OptimizerSetting, State};
use wgloss::plan::{Dispatch, Plan, plan, plan_copy, plan_naive, plan_update};
use wgloss::problem::{Family, Problem};
use wgloss::shader::{Const, Variant};
use wgloss::{
    Call, Checks, Dtype, Info, Limits, Loss, Mode, Mse, MultilabelSoftMargin, OnNan, REGISTRY, Reduction, Role, Stats,
    Tuning, View,
};

use crate::common::cases::{DTYPES, Setting, Setup, Style, blank, make, settings};
use crate::plans::{DEFAULT_LIMITS, SMALL, TINY, WIDE};

/// (N, C) by lane and by group, in quads or not; (N, C, d); enough tiles for several levels of sums.
const SHAPES: [&[usize]; 8] = [
    &[3, 7],
    &[3, 8],
    &[3, 1001],
    &[3, 1000],
    &[3, 7, 2],
    &[8],
    &[7],
    &[70_000, 4],
];

/// What a call can ask for.
const CHECKS: [Checks; 3] = [
    Checks {
        strict: false,
        nan: OnNan::Propagate,
    },
    Checks {
        strict: true,
        nan: OnNan::Propagate,
    },
    Checks {
        strict: true,
        nan: OnNan::Error,
    },
];

/// Draws for each loss beyond those that go through its options one by one.
const DRAWS: usize = 600;

/// Every variant of every driver, with the slots that its plan binds (and whether it writes them).
fn variants() -> &'static [Dispatch] {
    static VARIANTS: OnceLock<Vec<Dispatch>> = OnceLock::new();
    VARIANTS.get_or_init(|| {
        let mut found: HashMap<Variant, Dispatch> = HashMap::new();
        let mut lists: Vec<Vec<Dispatch>> = REGISTRY.par_iter().map(|info| variants_of(info)).collect();
        lists.push(others());
        lists.push(broadcasts());
        for dispatch in lists.into_iter().flatten() {
            found.entry(dispatch.variant.clone()).or_insert(dispatch);
        }
        let mut list: Vec<Dispatch> = found.into_values().collect();
        list.sort_by(|a, b| a.variant.label.cmp(&b.variant.label));
        list
    })
}

/// A call's choices beyond its tensors.
#[derive(Clone, Copy, Debug, Default)]
struct Choices {
    mode: usize,
    upstream: bool,
    /// A bit for each gradient beyond the first.
    grads: usize,
    /// 0: a new gradient; 1: in place; 2: added.
    place: usize,
    stats: Stats,
    padded: bool,
    checks: Checks,
    tuning: usize,
}

fn variants_of(info: &Info) -> Vec<Dispatch> {
    let mut random = Pcg64Mcg::seed_from_u64(info.name.bytes().map(u64::from).sum());
    let mut found: HashMap<Variant, Dispatch> = HashMap::new();
    let mut accepted = HashSet::new();
    let mut add = |setup: &Setup, choices: Choices| {
        for dispatch in compose(info, setup, choices) {
            for (name, _) in &setup.setting {
                accepted.insert(*name);
            }
            found.entry(dispatch.variant.clone()).or_insert(dispatch);
        }
    };
    let all: Vec<Setting> = settings(info);
    for (n, setting) in all.iter().enumerate() {
        for mode in 0..3 {
            for (k, &(dtype, other)) in DTYPES.iter().enumerate() {
                let setup = Setup {
                    dtype,
                    other,
                    given: (n + k) % 2 == 0,
                    full: (n + mode) % 2 == 0,
                    reduction: info.reductions[(n + k + mode) % info.reductions.len()],
                    setting: setting.clone(),
                    style: Style::Zeros,
                    ..Setup::new(SHAPES[(n + k + mode) % SHAPES.len()])
                };
                let choices = Choices {
                    mode,
                    upstream: true,
                    grads: n + k + mode,
                    place: (n + k) % 3,
                    ..Default::default()
                };
                add(&setup, choices);
                let wide = Setup {
                    shape: vec![3, 1000 + (n + mode) % 2],
                    ..setup
                };
                add(&wide, Choices { tuning: 3, ..choices });
            }
        }
    }
    // Packs of rows whose classes are not innermost take many: whole quads of them, and not, of few classes and in strips.
    let shapes = [[1, 9, 1156], [1, 7, 1028], [1, 7, 1027], [1, 33, 1156], [1, 40, 1027]];
    for (n, shape) in shapes.iter().enumerate() {
        for (k, &(dtype, other)) in DTYPES.iter().enumerate() {
            for place in 0..3 {
                let setup = Setup {
                    dtype,
                    other,
                    reduction: info.reductions[(n + k + place) % info.reductions.len()],
                    style: Style::Zeros,
                    ..Setup::new(shape)
                };
                let choices = Choices {
                    mode: (n + k + place) % 3,
                    grads: 1,
                    place,
                    ..Default::default()
                };
                add(&setup, choices);
            }
        }
    }
    // The most that a call can ask for: no more buffers than there may be.
    let every = Stats {
        lse: true,
        argmax: true,
        entropy: true,
        ..Default::default()
    };
    for n in 0..96 {
        let setup = Setup {
            dtype: DTYPES[n % 5].0,
            other: DTYPES[n % 5].1,
            full: n & 1 == 0,
            given: true,
            reduction: info.reductions[(n >> 1) % info.reductions.len()],
            style: Style::Zeros,
            ..Setup::new([&[8, 8][..], &[7, 7], &[3, 100]][n % 3])
        };
        let choices = Choices {
            mode: 1 + (n >> 2 & 1),
            upstream: true,
            grads: 3,
            place: [0, 2][n >> 3 & 1],
            stats: if !info.statistics || n >> 4 & 1 == 0 {
                Stats::default()
            } else {
                every
            },
            ..Default::default()
        };
        add(&setup, choices);
    }
    for _ in 0..DRAWS {
        let mut pick = |n: usize| random.random_range(0..n);
        let mut stats = Stats::default();
        if info.statistics && pick(2) == 0 {
            for stat in [
                &mut stats.lse,
                &mut stats.argmax,
                &mut stats.entropy,
                &mut stats.accuracy,
            ] {
                *stat = pick(3) == 0;
            }
        }
        let choices = Choices {
            upstream: pick(2) == 0,
            grads: pick(4),
            padded: pick(6) == 0,
            stats,
            mode: pick(3),
            place: pick(3),
            checks: CHECKS[pick(CHECKS.len())],
            tuning: pick(4),
        };
        let (dtype, other) = DTYPES[pick(DTYPES.len())];
        // The long one now and then.
        let shapes = SHAPES.len() - usize::from(pick(20) > 0);
        let setup = Setup {
            dtype,
            other,
            labels: Dtype::LABELS[pick(4)],
            full: pick(2) == 0,
            given: pick(2) == 0,
            reduction: info.reductions[pick(info.reductions.len())],
            setting: all[pick(all.len())].clone(),
            style: Style::Zeros,
            seed: pick(2) as u64,
            ..Setup::new(SHAPES[pick(shapes)])
        };
        add(&setup, choices);
    }
    for option in info.options {
        assert!(
            accepted.contains(option.name),
            "{}: no call with {} came up",
            info.name,
            option.name
        );
    }
    found.into_values().collect()
}

/// The dispatches of a call; none where the loss does not take it.
fn compose(info: &Info, setup: &Setup, choices: Choices) -> Vec<Dispatch> {
    let Some(mut case) = make(info, setup) else {
        return Vec::new();
    };
    case.stats = choices.stats;
    let mut call = case.call(Mode::ALL[choices.mode]);
    call.checks = choices.checks;
    if !choices.upstream {
        call.grad_output = None;
    }
    let mut place = 0..;
    call.grads
        .retain(|_| choices.grads >> place.next().unwrap_or(0) & 1 == 1);
    let Ok(mut problem) = case.loss.problem(&call) else {
        return Vec::new();
    };
    // A gradient over the input, or on top of another, asks for device buffers, which a plan does not look at.
    let grad = problem.mode.wants_grad();
    problem.in_place = grad && choices.place == 1;
    problem.accumulates = grad && choices.place == 2;
    if choices.padded && pads(&problem) {
        problem.operands[0].view.row_stride += 4;
    }
    let (limits, tuning) = [
        (of_subgroups(8), Tuning::SOFTWARE),
        (of_subgroups(32), Tuning::HARDWARE),
        (TINY, SMALL),
        (of_subgroups(8), WIDE),
    ][choices.tuning];
    dispatches(&problem, &limits, &tuning)
}

/// A device with such subgroups.
fn of_subgroups(subgroup: u32) -> Limits {
    Limits {
        subgroup,
        ..DEFAULT_LIMITS
    }
}

/// The first operand may have gaps between its rows.
fn pads(problem: &Problem) -> bool {
    let whole = matches!(&problem.family, Family::Rows(rows) if rows.inner == 1 && problem.input().shape.get(1) == Some(&rows.cols));
    problem.input().shape.len() == 2 && (whole || !matches!(problem.family, Family::Rows(_)))
        || matches!(&problem.family, Family::Rows(rows) if rows.whole.is_some() && problem.mode == Mode::Forward)
            && problem.input().shape.len() > 1
}

fn dispatches(problem: &Problem, limits: &Limits, tuning: &Tuning) -> Vec<Dispatch> {
    match plan(problem, limits, tuning) {
        Ok(plan) => of(plan),
        Err(error) => {
            assert!(*limits == TINY, "{}: {error}", problem.name);
            Vec::new()
        }
    }
}

fn of(plan: Plan) -> Vec<Dispatch> {
    plan.dispatches().cloned().collect()
}

/// Operands that broadcast, and the sums that their gradients are, in every dtype.
fn broadcasts() -> Vec<Dispatch> {
    let mut list = Vec::new();
    for tuning in [Tuning::SOFTWARE, Tuning::HARDWARE] {
        for (dtype, other) in DTYPES {
            for (a, b) in [
                ([4, 3], [1, 3]),
                ([4, 3], [4, 1]),
                ([4, 3], [1, 1]),
                ([1, 3], [4, 1]),
                ([4, 8], [1, 8]),
                ([4, 400], [4, 1]),
            ] {
                let (x, t) = (blank(dtype, &a), blank(other, &b));
                // Weights of elements, of which some broadcast.
                if t.shape()[0] == a[0] {
                    let loss = MultilabelSoftMargin {
                        weight: Some(t.clone()),
                        ..Default::default()
                    };
                    let call = Call::new(Mode::Fused, &[&x, &x]);
                    list.extend(dispatches(&loss.problem(&call).unwrap(), &DEFAULT_LIMITS, &tuning));
                }
                for reduction in [Reduction::None, Reduction::Mean] {
                    for mode in [Mode::Backward, Mode::Fused] {
                        let call = Call {
                            grads: vec![Role::Target],
                            ..Call::new(mode, &[&x, &t])
                        };
                        let problem = Mse { reduction }.problem(&call).unwrap();
                        list.extend(dispatches(&problem, &DEFAULT_LIMITS, &tuning));
                    }
                }
            }
        }
    }
    list
}

/// The copy and the naive sums of `bench`, and the optimizers' steps.
fn others() -> Vec<Dispatch> {
    let mut list = Vec::new();
    for per_lane in [1, 64] {
        let view = View::contiguous(Dtype::F32, &[1 << 20]);
        list.extend(of(plan_naive(&view, per_lane, &DEFAULT_LIMITS).unwrap()));
    }
    for tuning in [Tuning::SOFTWARE, Tuning::HARDWARE] {
        let view = View::contiguous(Dtype::F32, &[1 << 20]);
        list.extend(of(plan_copy(&view, &DEFAULT_LIMITS, &tuning).unwrap()));
        for (info, (dtype, other)) in OPTIMIZERS.iter().flat_map(|info| DTYPES.map(|dtypes| (info, dtypes))) {
            for len in [7, 8] {
                let (param, grad) = (View::contiguous(dtype, &[len]), View::contiguous(other, &[len]));
                // Every option changed, by itself and with each other.
                let values = [OptimizerSetting::Bool(true), OptimizerSetting::Float(0.5)];
                let changes: Vec<_> = info
                    .options
                    .iter()
                    .flat_map(|o| values.map(|value| (o.name, value)))
                    .collect();
                let mut optimizers = Vec::new();
                for (n, first) in changes.iter().enumerate() {
                    for second in &changes[n..] {
                        let mut optimizer = (info.new)();
                        let set = [first, second].map(|(name, value)| optimizer.set(name, *value).is_ok());
                        if set.contains(&true) && optimizer.check().is_ok() {
                            optimizers.push(optimizer);
                        }
                    }
                }
                for optimizer in optimizers {
                    let update = optimizer.update(&param, &grad, &State::default()).unwrap();
                    list.extend(of(plan_update(&update, &DEFAULT_LIMITS, &tuning).unwrap()));
                }
            }
        }
    }
    list
}

#[test]
fn packs_of_columns_come_up() {
    for wanted in [
        [Const::U32("PACKS", 4), Const::Bool("FLAT", true)],
        [Const::U32("PACKS", 1), Const::Bool("FLAT", true)],
        [Const::U32("PACKS", 1), Const::Bool("FLAT", false)],
    ] {
        let has = |own: &&Dispatch| {
            let mut all = wanted.iter().chain(&[Const::Bool("CROSSWISE", true)]);
            all.all(|constant| own.variant.consts.contains(constant))
        };
        assert!(variants().iter().filter(has).count() > 2, "{wanted:?}");
    }
    for flat in [true, false] {
        let is_strip = |own: &&Dispatch| {
            let wanted = [Const::U32("STRIP", 16), Const::Bool("FLAT", flat)];
            wanted.iter().all(|constant| own.variant.consts.contains(constant))
        };
        assert!(variants().iter().filter(is_strip).count() > 2, "strips, flat: {flat}");
    }
}

/// It needs a feature that not every device has: lanes of a subgroup read each other's registers.
fn is_shuffled(variant: &Variant) -> bool {
    variant.pieces.iter().any(|own| own.path.starts_with("shuffle/"))
}

fn parse(variant: &Variant) -> Result<(naga::Module, ModuleInfo), String> {
    let source = variant.compose();
    // A loop that was not written out keeps its mark, or loses it within the block of one that was.
    let is_left = |line: &str| line.contains("// unrolled") || line.starts_with("{ const ") && line.contains("for (");
    if let Some(line) = source.text.lines().position(is_left) {
        return Err(format!(
            "{}: a marked loop is left at {}",
            variant.label,
            source.locate(line + 1)
        ));
    }
    let module = naga::front::wgsl::parse_str(&source.text).map_err(|error| {
        let line = error.location(&source.text).map_or(0, |l| l.line_number as usize);
        format!("{}: {} at {}", variant.label, error.message(), source.locate(line))
    })?;
    let mut validator = match is_shuffled(variant) {
        true => Validator::new(ValidationFlags::all(), Capabilities::SUBGROUP),
        false => Validator::new(ValidationFlags::all(), Capabilities::empty()),
    };
    let info = validator
        .subgroup_stages(naga::valid::ShaderStages::COMPUTE)
        .subgroup_operations(naga::valid::SubgroupOperationSet::all())
        .validate(&module)
        .map_err(|error| format!("{}: {}", variant.label, error.emit_to_string(&source.text)))?;
    Ok((module, info))
}

/// Makes a claim of variants; fails with the first few messages.
fn claim<'a>(
    list: impl IntoParallelIterator<Item = &'a Dispatch>,
    check: impl Fn(&Dispatch, &naga::Module, &ModuleInfo) -> Result<(), String> + Sync,
) {
    let failures: Vec<String> = list
        .into_par_iter()
        .filter_map(|dispatch| {
            let parsed = parse(&dispatch.variant);
            parsed.and_then(|(module, info)| check(dispatch, &module, &info)).err()
        })
        .collect();
    crate::common::report(failures, variants().len());
}

/// Names and offsets.
type Fields = &'static [(&'static str, usize)];

/// naga accepts every variant. The layout is derived from the shader, so a plan must bind exactly what the shader uses,
/// written or not; params and states are laid out as the Rust structs say; loops are short.
#[test]
fn every_variant_is_what_plans_reckon_with() {
    let all = variants();
    assert!(all.len() > 4000, "only {} variants", all.len());
    let structs: [(&str, Fields, usize); 5] = [
        ("row", RowParams::FIELDS, size_of::<RowParams>()),
        ("element", ElementParams::FIELDS, size_of::<ElementParams>()),
        ("reduce", ReduceParams::FIELDS, size_of::<ReduceParams>()),
        ("pair", PairParams::FIELDS, size_of::<PairParams>()),
        ("update", UpdateParams::FIELDS, size_of::<UpdateParams>()),
    ];
    let seen = std::sync::Mutex::new(BTreeSet::new());
    claim(all, |dispatch, module, info| {
        binds(dispatch, module, info)?;
        states(dispatch, module)?;
        let label = &dispatch.variant.label;
        let (fields, size) = params(module).ok_or_else(|| format!("{label}: Params is no struct"))?;
        let same = |own: &[(&str, usize)]| {
            own.iter()
                .map(|(name, at)| (name.to_string(), *at))
                .eq(fields.iter().cloned())
        };
        let Some((kind, _, ours)) = structs.iter().find(|(_, own, _)| same(own)) else {
            return Err(format!(
                "{label}: Params of {} is {fields:?}",
                dispatch.variant.pieces[0].path
            ));
        };
        if size != *ours || dispatch.params.len() != size {
            return Err(format!(
                "{label}: {size} bytes of params, {ours} in Rust, {} given",
                dispatch.params.len()
            ));
        }
        seen.lock().unwrap().insert(*kind);
        if dispatch.iterations >= MAX_ITERATIONS {
            return Err(format!("{label}: {} iterations", dispatch.iterations));
        }
        Ok(())
    });
    assert_eq!(
        seen.lock().unwrap().len(),
        structs.len(),
        "some params were seen nowhere: {seen:?}"
    );
}

/// What other compilers get.
#[test]
fn naga_translates_variants() {
    claim(pairwise().to_vec(), |dispatch, module, info| {
        let label = &dispatch.variant.label;
        naga::back::spv::write_vec(module, info, &Default::default(), None).map_err(|e| format!("{label}: {e}"))?;
        let msl = naga::back::msl::Options {
            fake_missing_bindings: true,
            ..Default::default()
        };
        naga::back::msl::write_string(module, info, &msl, &Default::default()).map_err(|e| format!("{label}: {e}"))?;
        let mut hlsl = String::new();
        let (options, pipeline) = (naga::back::hlsl::Options::default(), Default::default());
        naga::back::hlsl::Writer::new(&mut hlsl, &options, &pipeline)
            .write(module, info, None)
            .map_err(|e| format!("{label}: {e}"))?;
        Ok(())
    });
}

/// Members of `Params` with their offsets, and its size.
fn params(module: &naga::Module) -> Option<(Vec<(String, usize)>, usize)> {
    let (_, found) = module
        .types
        .iter()
        .find(|(_, ty)| ty.name.as_deref() == Some("Params"))?;
    let naga::TypeInner::Struct { members, span } = &found.inner else {
        return None;
    };
    let fields = members
        .iter()
        .map(|m| (m.name.clone().unwrap_or_default(), m.offset as usize));
    Some((fields.collect(), *span as usize))
}

fn binds(dispatch: &Dispatch, module: &naga::Module, info: &ModuleInfo) -> Result<(), String> {
    let label = &dispatch.variant.label;
    let used = info.get_entry_point(0);
    let mut declared = BTreeSet::new();
    for (handle, global) in module.global_variables.iter() {
        let Some(binding) = &global.binding else {
            continue;
        };
        if used[handle].is_empty() {
            return Err(format!("{label}: binding {} is not used", binding.binding));
        }
        let written = matches!(
            global.space,
            naga::AddressSpace::Storage { access } if access.contains(naga::StorageAccess::STORE)
        );
        declared.insert((binding.binding, written));
    }
    let mut bound: BTreeSet<_> = dispatch.bindings.iter().map(|b| (b.slot as u32, b.written)).collect();
    bound.insert((0, false));
    if declared != bound {
        return Err(format!("{label}: declares {declared:?}, bound {bound:?}"));
    }
    if declared.len() > 1 + 8 {
        return Err(format!(
            "{label}: {} storage buffers, WebGPU gives 8",
            declared.len() - 1
        ));
    }
    Ok(())
}

/// The sizes of states that plans reckon with are those of the shaders.
fn states(dispatch: &Dispatch, module: &naga::Module) -> Result<(), String> {
    for (_, global) in module.global_variables.iter() {
        let Some(
            name @ ("states_in" | "states_out" | "counts_out" | "records_out" | "records" | "rows_in" | "rows_out"
            | "merged_in" | "merged_out"),
        ) = global.name.as_deref()
        else {
            continue;
        };
        let naga::TypeInner::Array { stride, .. } = module.types[global.ty].inner else {
            return Err(format!("{name} is no array"));
        };
        let slot = global.binding.as_ref().unwrap().binding;
        let binding = dispatch.bindings.iter().find(|b| b.slot as u32 == slot).unwrap();
        let tiles = dispatch.tiles.1 - dispatch.tiles.0;
        let exact = name != "states_out" || binding.size == tiles.max(1) * u64::from(stride);
        // A later dispatch's window begins on an aligned place before its first state.
        let later = dispatch.tiles.0 > 0 && binding.size >= tiles * u64::from(stride);
        if !binding.size.is_multiple_of(u64::from(stride)) || !(exact || later) {
            return Err(format!(
                "{}: {} bytes of {name} of {stride} bytes each, {tiles} tiles",
                dispatch.variant.label, binding.size
            ));
        }
    }
    Ok(())
}

/// What `monoid/count.wgsl` leaves is read as `Control`.
#[test]
fn control_is_laid_out_as_in_rust() {
    let count = variants()
        .iter()
        .find(|d| d.variant.label.starts_with("count_labels") && d.variant.label.contains("last"));
    let (module, _) = parse(&count.unwrap().variant).unwrap();
    let words = module
        .constants
        .iter()
        .find(|(_, c)| c.name.as_deref() == Some("RESULT_WORDS"))
        .unwrap()
        .1;
    let naga::Expression::Literal(naga::Literal::U32(words)) = module.global_expressions[words.init] else {
        panic!("a number");
    };
    assert_eq!(words as usize * 4, size_of::<Control>());
    let state = module
        .types
        .iter()
        .find(|(_, ty)| ty.name.as_deref() == Some("State"))
        .unwrap()
        .1;
    let naga::TypeInner::Struct { members, span } = &state.inner else {
        panic!("a struct");
    };
    let names: Vec<_> = members.iter().filter_map(|m| m.name.as_deref()).collect();
    assert_eq!(
        names,
        [
            "weight",
            "rows",
            "kept",
            "ignored",
            "bad",
            "first_bad",
            "bad_low",
            "bad_high"
        ]
    );
    assert_eq!(*span, 32);
    // What the kernel of the losses leaves is read as that state.
    let counting = variants().iter().find(|d| d.variant.label.contains("/counts"));
    let (counting, _) = parse(&counting.unwrap().variant).unwrap();
    let counted = counting
        .types
        .iter()
        .find(|(_, ty)| ty.name.as_deref() == Some("Counted"))
        .unwrap()
        .1;
    let naga::TypeInner::Struct { members: own, .. } = &counted.inner else {
        panic!("a struct");
    };
    let places = |of: &[naga::StructMember]| of.iter().map(|m| (m.name.clone(), m.offset)).collect::<Vec<_>>();
    assert_eq!(places(own), places(members));
}

/// Two variants of one label would be told apart by nobody.
#[test]
fn labels_tell_variants_apart() {
    let mut seen: BTreeMap<&str, &Variant> = BTreeMap::new();
    let mut failures = Vec::new();
    for dispatch in variants() {
        let variant = &dispatch.variant;
        if let Some(other) = seen.insert(&variant.label, variant) {
            let theirs = |a: &Variant, b: &Variant| {
                let only = |p: &&wgloss::shader::Piece| !b.pieces.contains(p);
                let pieces: Vec<_> = a.pieces.iter().filter(only).map(|p| (p.path, p.operand)).collect();
                let consts: Vec<_> = a.consts.iter().filter(|c| !b.consts.contains(c)).collect();
                format!("{pieces:?} {consts:?}")
            };
            failures.push(format!(
                "{}: {} and {}",
                variant.label,
                theirs(variant, other),
                theirs(other, variant)
            ));
        }
    }
    crate::common::report(failures, variants().len());
}

/// A file that no variant contains would be validated by nobody, and used by nobody.
#[test]
fn every_file_comes_up() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("shaders");
    let used: BTreeSet<&str> = variants()
        .iter()
        .flat_map(|d| d.variant.pieces.iter().map(|p| p.path))
        .collect();
    let mut missing = Vec::new();
    for folder in std::fs::read_dir(&root).unwrap() {
        for file in std::fs::read_dir(folder.unwrap().path()).unwrap() {
            let path = file.unwrap().path();
            let name = path.strip_prefix(&root).unwrap().to_str().unwrap().to_string();
            if !used.contains(name.as_str()) {
                missing.push(name);
            }
        }
    }
    assert!(missing.is_empty(), "in no variant: {missing:?}");
    for info in REGISTRY {
        let prefix = format!("{}/", info.name);
        assert!(
            variants()
                .iter()
                .any(|dispatch| dispatch.variant.label.starts_with(&prefix)),
            "{}",
            info.name
        );
    }
}

/// naga makes branches of `&&` and `||`, and adapters that are the processor run both sides of a branch.
#[test]
fn bools_meet_without_branches() {
    let pieces: BTreeMap<&str, &str> = variants()
        .iter()
        .flat_map(|d| d.variant.pieces.iter().map(|p| (p.path, p.text)))
        .collect();
    for (path, text) in pieces {
        for line in text.lines() {
            let code = line.split("//").next().unwrap();
            assert!(!code.contains("&&") && !code.contains("||"), "{path}: {line}");
        }
    }
}

/// A kernel that does not copy its params works with zeros, which no validator minds.
#[test]
fn every_kernel_begins_with_its_params() {
    const COPY: &str = "    params = uniforms;\n";
    for dispatch in variants() {
        let text = dispatch.variant.compose().text;
        let (_, main) = text.split_once("\nfn main(").unwrap();
        let (_, body) = main.split_once("{\n").unwrap();
        assert!(body.starts_with(COPY), "{}", dispatch.variant.label);
        assert_eq!(text.matches(" params = ").count(), 1, "{}", dispatch.variant.label);
    }
}

/// Variants in which every two pieces or constants that occur together anywhere do.
fn pairwise() -> &'static [&'static Dispatch] {
    static CHOSEN: OnceLock<Vec<&'static Dispatch>> = OnceLock::new();
    CHOSEN.get_or_init(|| {
        let mut numbers: HashMap<String, u32> = HashMap::new();
        let mut seen: HashSet<(u32, u32)> = HashSet::new();
        let mut chosen = Vec::new();
        for dispatch in variants() {
            let variant = &dispatch.variant;
            let pieces = variant
                .pieces
                .iter()
                .map(|piece| format!("{}{:?}", piece.path, piece.operand));
            // Widths and the like stand in arithmetic; they change no code.
            let changes = |c: &&Const| matches!(c, Const::Bool(..) | Const::U32("LANES" | "POWER", _));
            let consts = variant.consts.iter().filter(changes).map(|c| format!("{c:?}"));
            let mut number = |name| {
                let next = numbers.len() as u32;
                *numbers.entry(name).or_insert(next)
            };
            let own: BTreeSet<u32> = pieces.chain(consts).map(&mut number).collect();
            let pairs = own.iter().flat_map(|&a| own.range(a + 1..).map(move |&b| (a, b)));
            // All of them: each is to be seen.
            if pairs.filter(|pair| seen.insert(*pair)).count() > 0 {
                chosen.push(dispatch);
            }
        }
        chosen
    })
}

/// Tint is the compiler of Chromium; it checks uniformity, which naga does not.
#[test]
fn tint_accepts_variants_where_it_is_installed() {
    if Command::new("tint").arg("--version").output().is_err() {
        eprintln!("tint is not installed: nothing checked");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let chosen = pairwise();
    assert!(chosen.len() > 500, "only {} variants", chosen.len());
    let failures: Vec<String> = chosen
        .par_iter()
        .enumerate()
        .filter_map(|(n, dispatch)| {
            let variant = &dispatch.variant;
            let path = folder.path().join(format!("{n}.wgsl"));
            // naga takes the built-in functions without the directive, and not yet the directive.
            let header = if is_shuffled(variant) {
                "enable subgroups;\n"
            } else {
                ""
            };
            std::fs::write(&path, header.to_string() + &variant.compose().text).unwrap();
            let output = Command::new("tint")
                .args(["--format", "wgsl"])
                .arg(&path)
                .output()
                .unwrap();
            let message = String::from_utf8_lossy(&output.stderr);
            (!output.status.success()).then(|| format!("{}: {message}", variant.label))
        })
        .collect();
    crate::common::report(failures, chosen.len());
}

/// The validators are not asleep: a slot left out and a slot filled twice are errors, for every driver.
#[test]
fn missing_and_doubled_slots_are_noticed() {
    for driver in ["row", "wide_fold", "wide_put", "elementwise", "reduce", "pair"] {
        let path = format!("driver/{driver}.wgsl");
        let variant = &variants()
            .iter()
            .find(|d| d.variant.pieces[0].path == path)
            .unwrap()
            .variant;
        let refused = |pieces| {
            let broken = Variant {
                pieces,
                ..variant.clone()
            };
            naga::front::wgsl::parse_str(&broken.compose().text).is_err()
        };
        assert!(!refused(variant.pieces.clone()));
        let mut missing = variant.pieces.clone();
        missing.retain(|piece| !piece.path.starts_with("loss/") && !piece.path.starts_with("monoid/"));
        assert!(refused(missing), "{driver}");
        let mut doubled = variant.pieces.clone();
        doubled.push(doubled[0]);
        assert!(refused(doubled), "{driver}");
    }
    let reductions: BTreeSet<_> = REGISTRY
        .iter()
        .flat_map(|info| info.reductions.iter().map(|r| r.name()))
        .collect();
    assert_eq!(reductions.len(), Reduction::ALL.len());
}
