//! The variants come from plans: of every loss of the registry under each of its options, and of draws from all that a
//! call can ask for (dtypes, shapes, reductions, gradients, places for them, statistics, tunings). All files of
//! `shaders/` have to come up.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::OnceLock;

use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64Mcg;
use rayon::prelude::*;
use wgloss::plan::{Dispatch, Plan, plan};
use wgloss::problem::{Family, Problem};
use wgloss::shader::{Const, Variant};
use wgloss::{
    Call, Checks, Dtype, Info, Limits, Loss, Mode, Mse, MultilabelSoftMargin, OnNan, REGISTRY, Reduction, Role, Stats,
    Tuning,
};

use super::others;
use crate::common::cases::{DTYPES, Setting, Setup, Style, blank, make, settings};
use crate::common::plans::{DEFAULT_LIMITS, SMALL, TINY, WIDE};
use crate::common::{is_long, takes};

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
pub fn variants() -> &'static [Dispatch] {
    static VARIANTS: OnceLock<Vec<Dispatch>> = OnceLock::new();
    VARIANTS.get_or_init(|| {
        let mut found: HashMap<Variant, Dispatch> = HashMap::new();
        let mut lists: Vec<Vec<Dispatch>> = REGISTRY.par_iter().map(|info| variants_of(info)).collect();
        lists.push(others::others());
        lists.push(others::products());
        lists.push(others::layers());
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
    /// Which statistics have an upstream gradient, as far as there are any: a bit for each.
    of_stats: usize,
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
    // Packs of rows whose classes are not innermost take many: whole quads of them, and not, of few classes and in
    // strips.
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
    // Long rows that lie across, as a GPU takes them: with whole words of two rows, and without.
    for (n, shape) in [[1, 2052, 16], [1, 2052, 17]].iter().enumerate() {
        for (k, &(dtype, other)) in DTYPES.iter().enumerate() {
            let setup = Setup {
                dtype,
                other,
                given: k % 2 == 0,
                reduction: info.reductions[(n + k) % info.reductions.len()],
                style: Style::Zeros,
                ..Setup::new(shape)
            };
            let choices = Choices {
                mode: (n + k) % 3,
                upstream: n == 0,
                place: k % 3,
                tuning: 1,
                ..Default::default()
            };
            add(&setup, choices);
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
    // Statistics with upstream gradients, in every way through a row.
    let shapes: &[&[usize]] = &[
        &[8, 8],
        &[7, 7],
        &[3, 100],
        &[6, 2000],
        &[3, 9001],
        &[300, 3, 2],
        &[1, 9, 1156],
        &[1, 40, 1027],
        &[1, 2052, 16],
        &[1, 2052, 17],
        &[2, 3, 700],
    ];
    for n in 0..if info.statistics { 220 } else { 0 } {
        let setup = Setup {
            dtype: DTYPES[n % 5].0,
            other: DTYPES[n % 5].1,
            full: n / 4 % 3 == 0,
            given: n % 3 == 0,
            reduction: info.reductions[(n / 2) % info.reductions.len()],
            setting: all[n % all.len()].clone(),
            style: Style::Zeros,
            ..Setup::new(shapes[n % shapes.len()])
        };
        let choices = Choices {
            mode: 1 + n / 3 % 2,
            upstream: n / 7 % 2 == 0,
            of_stats: 1 + n / 2 % 3,
            grads: n / 5,
            place: n / 11 % 3,
            tuning: n / 13 % 4,
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
            of_stats: 0,
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
    let setup = &Setup {
        of_stats: choices.of_stats > 0,
        ..setup.clone()
    };
    let Some(mut case) = make(info, setup) else {
        return Vec::new();
    };
    case.stats = choices.stats;
    let mut call = case.call(Mode::ALL[choices.mode]);
    call.checks = choices.checks;
    if !choices.upstream {
        call.grad_output = None;
    }
    call.grad_lse = call.grad_lse.filter(|_| choices.of_stats & 1 == 1);
    call.grad_entropy = call.grad_entropy.filter(|_| choices.of_stats & 2 == 2);
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
pub fn of_subgroups(subgroup: u32) -> Limits {
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

pub(super) fn of(plan: Plan) -> Vec<Dispatch> {
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

/// Variants in which every two pieces or constants that occur together anywhere do; in the quick form, in which each
/// occurs.
pub fn covering() -> &'static [&'static Dispatch] {
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
            let pairs = own.iter().flat_map(|&a| own.range(a..).map(move |&b| (a, b)));
            let wanted = pairs.filter(|(a, b)| is_long() || a == b);
            // All of them: each is to be seen.
            if wanted.filter(|pair| seen.insert(*pair)).count() > 0 {
                chosen.push(dispatch);
            }
        }
        chosen
    })
}

/// All variants; in the quick form one in eight of them, and those of [`covering`].
pub fn checked() -> Vec<&'static Dispatch> {
    let all = variants().iter().enumerate();
    let some = all.filter(|(n, _)| takes(*n, 8)).map(|(_, own)| own);
    if is_long() {
        some.collect()
    } else {
        some.chain(covering().iter().copied()).collect()
    }
}
