//! Properties of random calls. A failure is shrunk and printed with its seed.
//!
//! `WGLOSS_SEED` draws other calls, `WGLOSS_CASES` more of them.

use std::cell::{Cell, RefCell};

use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64Mcg;
use wgloss::{Dtype, Error, Info, Limits, Mode, REGISTRY, Reduction, Stats, Tuning, reference};

use crate::common::cases::{Case, DTYPES, Setting, Setup, Style, make, settings};
use crate::common::data::Wild;
use crate::common::{bits, engine, gpu, is_long};

fn variable(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |n| {
        n.parse().unwrap_or_else(|_| panic!("{name}={n} is no number"))
    })
}

/// Cases without `WGLOSS_CASES`.
fn usual() -> u64 {
    if is_long() { 300 } else { 80 }
}

/// A loss has one at least, in the long form.
fn count_of_flavours(cases: u64) -> usize {
    (cases as usize / 6).max(if is_long() { REGISTRY.len() } else { REGISTRY.len() / 2 })
}

/// What makes other shader code. A software adapter compiles a variant for a tenth of a second, so that many cases
/// share each of a few.
#[derive(Clone, Debug)]
struct Flavour {
    loss: &'static str,
    setting: Setting,
    reduction: Reduction,
    mode: Mode,
    dtypes: (Dtype, Dtype),
    labels: Dtype,
    full: bool,
    given: bool,
    stats: bool,
    hardware: bool,
}

fn flavours(seed: u64, count: usize) -> Vec<Flavour> {
    let mut lot = Pcg64Mcg::seed_from_u64(seed);
    let first = lot.random_range(0..REGISTRY.len());
    (0..count)
        .map(|n| {
            // In turns, so that every loss has its own.
            let info = REGISTRY[(first + n) % REGISTRY.len()];
            Flavour {
                loss: info.name,
                setting: settings(info).choose(&mut lot).unwrap().clone(),
                reduction: *info.reductions.choose(&mut lot).unwrap(),
                mode: *Mode::ALL.choose(&mut lot).unwrap(),
                dtypes: *DTYPES.choose(&mut lot).unwrap(),
                labels: *Dtype::LABELS.choose(&mut lot).unwrap(),
                full: lot.random_range(0..3) == 0,
                given: lot.random(),
                stats: lot.random_range(0..3) == 0,
                hardware: lot.random_range(0..4) == 0,
            }
        })
        .collect()
}

/// A call: of a flavour, the rest drawn by itself.
#[derive(Clone, Debug)]
struct Draw {
    flavour: Flavour,
    shape: Vec<usize>,
    style: Style,
    seed: u64,
}

impl Flavour {
    fn info(&self) -> &'static Info {
        wgloss::find(self.loss).unwrap()
    }
}

impl Draw {
    fn setup(&self) -> Setup {
        Setup {
            shape: self.shape.clone(),
            dtype: self.flavour.dtypes.0,
            other: self.flavour.dtypes.1,
            labels: self.flavour.labels,
            full: self.flavour.full,
            given: self.flavour.given,
            of_stats: false,
            reduction: self.flavour.reduction,
            setting: self.flavour.setting.clone(),
            style: self.style,
            seed: self.seed,
        }
    }

    fn case(&self) -> Option<(Case, Mode)> {
        // Rows of one number are parallel, and of 1 minus their cosine only what PyTorch's epsilon leaves is not
        // rounding; the distances of such rows of chosen numbers lie at kinks, but for another epsilon.
        if is_of_pairs(self.flavour.loss) && self.shape.last() == Some(&1) {
            return None;
        }
        let mut case = make(self.flavour.info(), &self.setup())?;
        case.stats = Stats {
            lse: self.flavour.stats && self.flavour.info().statistics,
            entropy: self.flavour.stats && self.flavour.info().statistics,
            ..Stats::default()
        };
        let mode = if case.differentiable {
            self.flavour.mode
        } else {
            Mode::Forward
        };
        Some((case, mode))
    }
}

/// Shapes around the widths of quads, lanes and workgroups; the simplest first, for it is shrunk towards.
fn shapes(rows: usize, cols: &[usize]) -> impl Strategy<Value = Vec<usize>> + use<> {
    let cols = select(cols.to_vec());
    let inner = select(vec![0usize, 0, 0, 1, 3]);
    (1..rows, cols, inner).prop_map(|(rows, cols, inner)| match inner {
        0 => vec![rows, cols],
        _ => vec![rows.div_ceil(inner), cols, inner],
    })
}

fn draws(
    flavours: Vec<Flavour>,
    shapes: impl Strategy<Value = Vec<usize>>,
    styles: Vec<Style>,
) -> impl Strategy<Value = Draw> {
    (select(flavours), shapes, select(styles), 1..1000u64).prop_map(|(flavour, shape, style, seed)| Draw {
        flavour,
        shape,
        style,
        seed,
    })
}

/// Runs a property on as many draws, and panics with the simplest that fails.
fn hold<S: Strategy<Value = Draw>>(
    seed: u64,
    cases: u64,
    strategy: S,
    property: impl Fn(Draw) -> Result<(), TestCaseError>,
) {
    let config = Config {
        cases: cases as u32,
        failure_persistence: None,
        max_shrink_iters: 100,
        ..Config::default()
    };
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    match TestRunner::new_with_rng(config, rng).run(&strategy, property) {
        Ok(()) => {}
        Err(TestError::Fail(why, draw)) => panic!(
            "{why}\nWGLOSS_SEED={seed}, adapter {}, shrunk to {draw:#?}",
            gpu().name()
        ),
        Err(TestError::Abort(why)) => panic!("{why}, WGLOSS_SEED={seed}"),
    }
}

/// Compares rows of several tensors.
fn is_of_pairs(loss: &str) -> bool {
    matches!(loss, "triplet_margin" | "cosine_embedding")
}

#[test]
fn results_are_as_near_as_the_error_model_says() {
    let (seed, cases) = (variable("WGLOSS_SEED", 1), variable("WGLOSS_CASES", usual()));
    println!("WGLOSS_SEED={seed}, WGLOSS_CASES={cases}");
    let (ran, loose, worst) = (Cell::new(0), Cell::new(0), Cell::new((0.0, "")));
    let styles: Vec<Style> = std::iter::once(Style::Hard).chain(Wild::ALL.map(Style::Wild)).collect();
    let strategy = draws(
        flavours(seed, count_of_flavours(cases)),
        shapes(70, &[1, 3, 4, 10, 33, 64, 257, 1028]),
        styles,
    );
    let (own, mut wide) = (engine::fresh(), engine::fresh());
    wide.set_tuning(Tuning::HARDWARE).unwrap();
    hold(seed, cases, strategy, |draw| {
        let Some((case, mode)) = draw.case() else {
            return Ok(()); // the loss does not take the shape or the option
        };
        let engine = if draw.flavour.hardware { &wide } else { &own };
        let call = case.call(mode);
        let run = case.loss.run(engine, &call).and_then(|output| output.read(engine));
        let judged = run.and_then(|values| reference::compare_on(engine, case.loss.as_ref(), &call, &values));
        let judged = match judged {
            Ok(judged) => judged,
            Err(Error::Limit(_)) => return Ok(()),
            Err(error) => return Err(TestCaseError::fail(format!("{}: {error}", case.what))),
        };
        if !judged.is_close() {
            return Err(TestCaseError::fail(format!("{}: {judged}", case.what)));
        }
        let needed = judged.results.iter().any(|own| own.ill_conditioned > 0);
        let f32s = judged
            .results
            .iter()
            .filter(|own| own.dtype == Dtype::F32 && own.ill_conditioned == 0);
        let share = f32s.map(|own| own.share).fold(0.0, f64::max);
        if share > worst.get().0 {
            worst.set((share, draw.flavour.loss));
        }
        ran.set(ran.get() + 1);
        loose.set(loose.get() + u64::from(needed));
        Ok(())
    });
    println!(
        "{} of {cases} ran, {} of them ill-conditioned; the largest error of an f32 result is {:.2?} of the bound",
        ran.get(),
        loose.get(),
        worst.get()
    );
    assert!(2 * ran.get() > cases, "{} of {cases} ran", ran.get());
    assert!(
        20 * loose.get() < ran.get(),
        "{} of {} are ill-conditioned",
        loose.get(),
        ran.get()
    );
}

#[test]
fn random_shapes_under_tiny_limits_have_the_same_bits() {
    let (seed, cases) = (variable("WGLOSS_SEED", 1), variable("WGLOSS_CASES", usual()) / 2);
    println!("WGLOSS_SEED={seed}");
    // Small tiles, so that small tensors are cut into many, and rows that are wide.
    let tuning = Tuning {
        row_width: 8,
        subgroup: 4,
        subgroup_cols: 64,
        lane_cols: 16,
        lane_rows: 4,
        pack: 2,
        held: 8,
        block_tails: 1,
        workgroups: 4,
        width: 8,
        tile: 512,
        wide_cols: 100,
        wide_tile: 64,
    };
    let mut engine = engine::fresh();
    engine.set_tuning(tuning).unwrap();
    let roomy = engine.plan_limits().unwrap();
    let engine = RefCell::new(engine);
    let (ran, cut) = (Cell::new(0u64), Cell::new(0u64));
    let strategy = draws(
        flavours(seed + 1, count_of_flavours(cases)),
        shapes(900, &[1, 4, 10, 64, 130]),
        vec![Style::Hard],
    );
    hold(seed, cases, strategy, |draw| {
        let Some((case, mode)) = draw.case() else { return Ok(()) };
        let call = case.call(mode);
        let run = |limits: Limits| -> Result<(Vec<u32>, usize), Error> {
            let mut engine = engine.borrow_mut();
            engine.set_plan_limits(limits)?;
            let count = wgloss::plan::plan(&case.loss.problem(&call)?, &limits, &tuning)?
                .steps
                .len();
            Ok((bits(&case.loss.run(&engine, &call)?.read(&engine)?), count))
        };
        let tiny = Limits {
            max_binding_bytes: 4096 << (draw.seed % 4),
            offset_alignment: roomy.offset_alignment.max(256),
            max_groups: 1 + (draw.seed % 37) as u32,
            ..roomy
        };
        match (run(roomy), run(tiny)) {
            (Ok((whole, steps)), Ok((parts, more))) => {
                ran.set(ran.get() + 1);
                cut.set(cut.get() + u64::from(more > steps));
                if whole != parts {
                    let differ = whole.iter().zip(&parts).filter(|(a, b)| a != b).count();
                    return Err(TestCaseError::fail(format!(
                        "{}: {differ} of {} numbers differ under {tiny:?}",
                        case.what,
                        whole.len()
                    )));
                }
                Ok(())
            }
            // A row, or an operand that broadcasts, may be larger than the binding.
            (Ok(_), Err(Error::Limit(_))) | (Err(Error::Limit(_)), Err(_)) => Ok(()),
            (Err(error), _) | (_, Err(error)) => Err(TestCaseError::fail(format!("{}: {error}", case.what))),
        }
    });
    println!("{} of {cases} ran, {} of them in more pieces", ran.get(), cut.get());
    assert!(
        3 * ran.get() > cases && 3 * cut.get() > ran.get(),
        "{} of {cases} ran, {} cut",
        ran.get(),
        cut.get()
    );
}
