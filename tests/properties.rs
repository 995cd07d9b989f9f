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
use wgloss::problem::Divisor;
use wgloss::{
    Dtype, Engine, Error, Info, Limits, Mode, REGISTRY, Reduction, Role, Scalar, Stats, Tensor, Tuning, precision,
    reference,
};

use crate::common::cases::{Case, DTYPES, Setting, Setup, Style, make, settings};
use crate::common::data::Wild;
use crate::common::{bits, engine, gpu, hardware};

fn variable(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |n| {
        n.parse().unwrap_or_else(|_| panic!("{name}={n} is no number"))
    })
}

/// What makes other shader code. A software adapter compiles a variant for a tenth of a second, so that many cases share
/// each of a few.
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
            reduction: self.flavour.reduction,
            setting: self.flavour.setting.clone(),
            style: self.style,
            seed: self.seed,
        }
    }

    fn case(&self) -> Option<(Case, Mode)> {
        // Rows of one number are parallel, and of 1 minus their cosine only what PyTorch's epsilon leaves is not rounding.
        if self.flavour.loss == "cosine_embedding" && self.shape.last() == Some(&1) {
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

/// A result, its truth, and the error allowed to each number.
struct Judged {
    name: String,
    dtype: Dtype,
    got: Vec<f32>,
    want: Vec<f64>,
    allowed: Vec<f64>,
}

impl Judged {
    /// The first number that is further off than allowed with a slack of its own.
    fn miss(&self, slack: Option<&[f64]>) -> Option<String> {
        if self.got.len() != self.want.len() {
            return Some(format!(
                "{}: {} numbers, expected {}",
                self.name,
                self.got.len(),
                self.want.len()
            ));
        }
        let index = (0..self.got.len()).find(|&i| {
            let error = self.allowed[i] + slack.map_or(0.0, |slack| slack[i]);
            !precision::admits(self.dtype, self.got[i], self.want[i], error)
        })?;
        let (got, want, allowed) = (self.got[index], self.want[index], self.allowed[index]);
        let slack = slack.map_or(0.0, |slack| slack[index]);
        Some(format!(
            "{}[{index}] of {}: got {got:e}, want {want:e}, off by {:e}, allowed {allowed:e} and {slack:e} for its inputs",
            self.name,
            self.dtype,
            (f64::from(got) - want).abs()
        ))
    }
}

fn size(want: &[f64]) -> f64 {
    let finite = want.iter().filter(|x| x.is_finite());
    finite.fold(0.0f64, |most, x| most.max(x.abs())).min(1.0)
}

/// What the losses add up to without signs, as the result is scaled.
fn magnitude(draw: &Draw, mode: Mode, scale: f64) -> Option<f64> {
    let single = Draw {
        flavour: Flavour {
            reduction: Reduction::None,
            ..draw.flavour.clone()
        },
        ..draw.clone()
    };
    let (case, _) = single.case()?;
    let losses = reference::run(case.loss.as_ref(), &case.call(mode)).ok()?.loss;
    let floor = size(&losses);
    Some(losses.iter().map(|loss| loss.abs() + floor).sum::<f64>() * scale.abs())
}

/// What the columns of rows that are added up as they are add up to without signs.
fn columns(draw: &Draw) -> Option<Vec<f64>> {
    let op = draw.flavour.setting.iter().find(|(name, _)| *name == "op");
    let adds = op.is_none_or(|(_, op)| *op == Scalar::Choice("mean".into()));
    let truth = (draw.flavour.loss == "reduce" && adds).then(|| truth(draw, Mode::Forward, f32::abs))?;
    truth?.into_iter().next()
}

fn judge(draw: &Draw, case: &Case, mode: Mode, engine: &Engine, tuning: &Tuning) -> Result<Vec<Judged>, Error> {
    let call = case.call(mode);
    let problem = case.loss.problem(&call)?;
    let got = case.loss.run(engine, &call)?.read(engine)?;
    let want = reference::run(case.loss.as_ref(), &call)?;
    let depth = precision::loss_depth(&problem, &engine.plan_limits().unwrap(), tuning)?;
    let each = |want: &[f64]| {
        let floor = size(want);
        want.iter()
            .map(|x| precision::bound(x.abs() + floor, depth))
            .collect::<Vec<_>>()
    };
    let mut list = Vec::new();
    if let Some(loss) = got.loss {
        let scale = match problem.divisor {
            Divisor::Known(_) => problem.static_scale(),
            Divisor::Counted if want.control.weight == 0.0 => 0.0,
            Divisor::Counted => 1.0 / f64::from(want.control.weight),
        };
        let magnitude = || magnitude(draw, Mode::Forward, scale);
        let allowed = match (problem.is_reduced().then(magnitude).flatten(), columns(draw)) {
            (Some(magnitude), _) => vec![precision::bound(magnitude, depth)],
            (None, Some(columns)) => each(&columns),
            (None, None) => each(&want.loss),
        };
        list.push(Judged {
            name: "loss".into(),
            dtype: loss.dtype,
            got: loss.data,
            want: want.loss.clone(),
            allowed,
        });
    }
    let grads = got.grad_input.into_iter().map(|grad| (Role::Grad(0), grad));
    let others = got.grads.into_iter().map(|(role, grad)| {
        let place = problem.operands.iter().position(|own| own.role == role).unwrap();
        (Role::Grad(place as u8), grad)
    });
    for (role, grad) in grads.chain(others) {
        let want = want.grad(role).unwrap_or_default().to_vec();
        list.push(Judged {
            name: format!("{role:?}"),
            dtype: grad.dtype,
            got: grad.data,
            allowed: each(&want),
            want,
        });
    }
    for (name, array, want) in [("lse", got.lse, want.lse), ("entropy", got.entropy, want.entropy)] {
        list.extend(array.map(|array| Judged {
            name: name.into(),
            dtype: array.dtype,
            got: array.data,
            allowed: each(&want),
            want,
        }));
    }
    Ok(list)
}

/// The truth of each result for other numbers in the operands, in f32.
fn truth(draw: &Draw, mode: Mode, mut change: impl FnMut(f32) -> f32) -> Option<Vec<Vec<f64>>> {
    let (mut case, _) = draw.case()?;
    let wide = |tensor: &Tensor| match tensor.dtype().is_float() {
        true => tensor.to_dtype(Dtype::F32).unwrap(),
        false => tensor.clone(),
    };
    let given: Vec<(Role, Tensor)> = case
        .loss
        .tensors()
        .into_iter()
        .map(|(role, own)| (role, wide(own)))
        .collect();
    for (role, tensor) in given {
        case.loss.attach(role, tensor).unwrap();
    }
    case.upstream = wide(&case.upstream);
    for tensor in &mut case.tensors {
        let own = wide(tensor);
        if let Some(data) = own.as_slice::<f32>() {
            let data: Vec<f32> = data.iter().map(|&x| change(x)).collect();
            *tensor = Tensor::new(&data, own.shape()).unwrap();
        }
    }
    let call = case.call(mode);
    let want = reference::run(case.loss.as_ref(), &call).ok()?;
    let mut list = Vec::new();
    if mode.wants_loss() {
        list.push(want.loss);
    }
    list.extend(want.grads.into_iter().map(|(_, grad)| grad));
    list.extend([want.lse, want.entropy].into_iter().filter(|_| case.stats.any()));
    Some(list)
}

/// Twice what the last digits of the inputs are worth to a result, by its place.
fn slack(draw: &Draw, mode: Mode, place: usize, want: &[f64]) -> Vec<f64> {
    let is_loss = place == 0 && mode.wants_loss();
    let mut truths: Vec<_> = (0..8)
        .map(|seed| {
            let mut lot = Pcg64Mcg::seed_from_u64(seed);
            let change = if is_loss { precision::moved } else { precision::nudge };
            truth(draw, mode, |x| change(x, lot.random()))
        })
        .collect();
    truths.push(truth(draw, mode, |x| {
        if f64::from(x.abs()) < precision::UNIT { 0.0 } else { x }
    }));
    let mut slack = vec![0f64; want.len()];
    for other in truths.iter().flatten().filter_map(|truth| truth.get(place)) {
        for (slack, (want, other)) in slack.iter_mut().zip(want.iter().zip(other)) {
            *slack = slack.max(2.0 * (want - other).abs());
        }
    }
    slack
}

/// Within the error model; where not, within what the last digits of the inputs are worth. Says whether that was needed.
fn is_near(judged: &[Judged], draw: &Draw, mode: Mode) -> Result<bool, TestCaseError> {
    let mut needed = false;
    for (place, own) in judged.iter().enumerate().filter(|(_, own)| own.miss(None).is_some()) {
        if let Some(miss) = own.miss(Some(&slack(draw, mode, place, &own.want))) {
            return Err(TestCaseError::fail(miss));
        }
        needed = true;
    }
    Ok(needed)
}

#[test]
fn results_are_as_near_as_the_error_model_says() {
    let (seed, cases) = (variable("WGLOSS_SEED", 1), variable("WGLOSS_CASES", 300));
    println!("WGLOSS_SEED={seed}, WGLOSS_CASES={cases}");
    let (ran, loose) = (Cell::new(0), Cell::new(0));
    let styles: Vec<Style> = std::iter::once(Style::Hard).chain(Wild::ALL.map(Style::Wild)).collect();
    let strategy = draws(
        flavours(seed, (cases as usize / 6).max(REGISTRY.len())),
        shapes(70, &[1, 3, 4, 10, 33, 64, 257, 1028]),
        styles,
    );
    let tuning = Tuning::of(gpu().adapter_info().unwrap().device_type);
    hold(seed, cases, strategy, |draw| {
        let Some((case, mode)) = draw.case() else {
            return Ok(()); // the loss does not take the shape or the option
        };
        let (engine, tuning) = if draw.flavour.hardware {
            (hardware(), Tuning::HARDWARE)
        } else {
            (gpu(), tuning)
        };
        let judged = match judge(&draw, &case, mode, engine, &tuning) {
            Ok(judged) => judged,
            Err(Error::Limit(_)) => return Ok(()),
            Err(error) => return Err(TestCaseError::fail(format!("{}: {error}", case.what))),
        };
        let needed = is_near(&judged, &draw, mode)?;
        ran.set(ran.get() + 1);
        loose.set(loose.get() + u64::from(needed));
        Ok(())
    });
    println!("{} of {cases} ran, {} of them ill-conditioned", ran.get(), loose.get());
    assert!(2 * ran.get() > cases, "{} of {cases} ran", ran.get());
    assert!(
        10 * loose.get() < ran.get(),
        "{} of {} are ill-conditioned",
        loose.get(),
        ran.get()
    );
}

#[test]
fn random_shapes_under_tiny_limits_have_the_same_bits() {
    let (seed, cases) = (variable("WGLOSS_SEED", 1), variable("WGLOSS_CASES", 300) / 2);
    println!("WGLOSS_SEED={seed}");
    // Small tiles, so that small tensors are cut into many.
    let tuning = Tuning {
        row_width: 8,
        lane_cols: 16,
        width: 8,
        tile: 512,
        ..Tuning::SOFTWARE
    };
    let mut engine = engine::fresh();
    engine.set_tuning(tuning);
    let roomy = engine.plan_limits().unwrap();
    let engine = RefCell::new(engine);
    let (ran, cut) = (Cell::new(0u64), Cell::new(0u64));
    let strategy = draws(
        flavours(seed + 1, (cases as usize / 6).max(REGISTRY.len())),
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
