//! Runs the cases of a loss in a dtype, on both sides.

use std::collections::HashSet;

use serde_json::{Value, json};
use wgloss::plan::plan;
use wgloss::shader::Variant;
use wgloss::{Array, Call, Dtype, Engine, Error, Info, Limits, Loss, Mode, Stats, Tuning, Values, reference};
use wgloss_bench::errors::{Miss, Worst, compare};

use super::case::{Case, Form, Held, Nudge};
use super::extremes;
use super::flavour::Flavour;
use super::plans::plans;

/// Pipelines that cases beyond the required ones may still have compiled.
fn budget(dtype: Dtype) -> usize {
    if dtype == Dtype::F32 { 3 } else { 0 }
}

/// Random looks at inputs a little off, where a result is.
const NUDGES: u64 = 4;

/// How much to run.
#[derive(Clone, Copy)]
pub struct Effort {
    pub seed: u64,
    /// Of the long form.
    pub rounds: Option<u64>,
}

impl Effort {
    pub fn seeds(self) -> impl Iterator<Item = u64> {
        (0..self.rounds.unwrap_or(1)).map(move |round| self.seed.wrapping_add(round))
    }
}

/// What became of the cases of a loss or an optimizer in a dtype.
pub struct Outcome {
    pub name: &'static str,
    pub dtype: Dtype,
    pub cases: usize,
    pub failures: Vec<String>,
    /// Pipelines that the cases needed.
    pub pipelines: usize,
    /// Results that only fit beside what their inputs' last digits are worth.
    pub ill_conditioned: usize,
    /// The largest errors, by what they are of.
    pub worst: Vec<(&'static str, Worst)>,
}

impl Outcome {
    pub fn new(name: &'static str, dtype: Dtype, of: &[&'static str]) -> Self {
        Self {
            name,
            dtype,
            cases: 0,
            failures: Vec::new(),
            pipelines: 0,
            ill_conditioned: 0,
            worst: of.iter().map(|&of| (of, Worst::default())).collect(),
        }
    }

    fn of_loss(info: &Info, dtype: Dtype) -> Self {
        let all = [LOSS, GRADIENT, STATISTICS];
        Self::new(info.name, dtype, if info.statistics { &all } else { &all[..2] })
    }

    /// Compares a result with its truth, where nothing but the usual error is allowed.
    pub fn compare(
        &mut self,
        of: &str,
        (got, dtype): (&[f32], Dtype),
        want: &[f64],
        at: impl FnOnce() -> String,
    ) -> Option<Miss> {
        let mut other = Worst::default();
        let own = self.worst.iter_mut().find(|(name, _)| *name == of);
        let worst = own.map_or(&mut other, |(_, worst)| worst);
        let share = worst.share;
        let miss = compare(got, dtype, want, None, worst);
        if worst.share > share {
            worst.at = at();
        }
        miss
    }

    pub fn json(&self) -> Value {
        let mut json = json!({
            "cases": self.cases,
            "failed": self.failures.len(),
            "pipelines": self.pipelines,
            "ill_conditioned": self.ill_conditioned,
        });
        for (of, worst) in &self.worst {
            json[*of] = worst.json();
        }
        json
    }
}

/// What errors of losses are of.
const LOSS: &str = "loss";
const GRADIENT: &str = "gradient";
const STATISTICS: &str = "statistics";

/// Runs the cases of a loss in a dtype: as many as are quick, or, in so many rounds, all.
pub fn job(
    engine: &Engine,
    info: &'static Info,
    dtype: Dtype,
    effort: Effort,
    mut done: impl FnMut(&Outcome),
) -> Outcome {
    let mut outcome = Outcome::of_loss(info, dtype);
    let (Some(limits), Some(tuning)) = (engine.plan_limits(), engine.tuning()) else {
        outcome.failures.push("the engine has no device".into());
        return outcome;
    };
    let mut compiled = HashSet::new();
    for seed in effort.seeds() {
        let left = if effort.rounds.is_some() {
            usize::MAX
        } else {
            budget(dtype)
        };
        round(
            engine,
            (&limits, &tuning),
            (info, &mut outcome),
            (&mut compiled, left),
            (seed, effort),
        );
        done(&outcome);
    }
    outcome.pipelines = compiled.len();
    outcome
}

fn round(
    engine: &Engine,
    (limits, tuning): (&Limits, &Tuning),
    (info, outcome): (&'static Info, &mut Outcome),
    (compiled, mut left): (&mut HashSet<Variant>, usize),
    (seed, effort): (u64, Effort),
) {
    let flavours = Flavour::all(info, outcome.dtype, seed);
    let at_ends = extremes::flavours(info, outcome.dtype);
    for plan in plans(&flavours, &at_ends, seed, effort.rounds.is_some()) {
        let fail = |outcome: &mut Outcome, case: &str, why: &str| {
            outcome.failures.push(format!("{case}: {why}, seed {seed}"));
        };
        let case = match plan.case(seed) {
            Ok(case) => case,
            Err(error) => {
                fail(outcome, &plan.to_string(), &error.to_string());
                continue;
            }
        };
        match variants(&case, limits, tuning) {
            Ok(variants) => {
                let new: Vec<Variant> = variants.into_iter().filter(|own| !compiled.contains(own)).collect();
                if !plan.required && new.len() > left {
                    continue;
                }
                left -= if plan.required { 0 } else { new.len() };
                compiled.extend(new);
            }
            // Of nothing there is no maximum, and some rows are longer than an invocation may run.
            Err(Error::Limit(_)) => continue,
            Err(_) if plan.is_empty() => continue,
            Err(error) => {
                fail(outcome, &case.text, &error.to_string());
                continue;
            }
        }
        outcome.cases += 1;
        if let Err(message) = run_case(engine, &case, outcome) {
            fail(outcome, &case.text, &message);
        }
    }
}

/// The pipelines that a case needs.
fn variants(case: &Case, limits: &Limits, tuning: &Tuning) -> Result<HashSet<Variant>, Error> {
    case.with(Form::Stored, |loss, call| {
        let plan = plan(&loss.problem(call)?, limits, tuning)?;
        Ok(plan.dispatches().map(|own| own.variant.clone()).collect())
    })
}

/// A result of the GPU and its truth.
struct Pair {
    name: String,
    of: Of,
    dtype: Dtype,
    got: Vec<f32>,
    want: Vec<f64>,
}

#[derive(Clone, Copy, PartialEq)]
enum Of {
    Loss,
    Gradient,
    Statistic,
}

fn truth(case: &Case, form: Form<'_>) -> Result<reference::Results, Error> {
    case.with(form, |loss, call| reference::run(loss, call))
}

/// Runs a case on both sides, and says what differs.
fn run_case(engine: &Engine, case: &Case, outcome: &mut Outcome) -> Result<(), String> {
    let text = |error: Error| error.to_string();
    let want = truth(case, Form::Wide).map_err(text)?;
    let got = case
        .with(Form::Stored, |loss, call| loss.run(engine, call)?.read(engine))
        .map_err(text)?;
    let all = pairs(case, &got, &want);
    let mut misses = Vec::new();
    if let (Some(expected), Some(loss)) = (extremes::of_nothing(case), &got.loss) {
        let fits = |x: &&f32| f64::from(**x) == expected || x.is_nan() && expected.is_nan();
        misses.extend(
            loss.data
                .iter()
                .find(|x| !fits(x))
                .map(|x| format!("loss of nothing = {x}, expected {expected}")),
        );
    }
    let mut others: Vec<Vec<Pair>> = Vec::new();
    for (index, pair) in all.iter().enumerate() {
        let of = match pair.of {
            Of::Loss => LOSS,
            Of::Gradient => GRADIENT,
            Of::Statistic => STATISTICS,
        };
        let at = || format!("{}: {}", case.text, pair.name);
        let Some(miss) = outcome.compare(of, (&pair.got, pair.dtype), &pair.want, at) else {
            continue;
        };
        // Where the last digits of the inputs decide as much, f32 cannot know better: sums that cancel, a kink between.
        if others.is_empty() {
            let gradients = gradients(case);
            let random = (0..NUDGES).map(Nudge::Random);
            let along = [1.0, -1.0].map(|sign| Nudge::Along(&gradients, sign));
            for nudge in random.chain(along) {
                others.push(pairs(case, &got, &truth(case, Form::Nudged(nudge)).map_err(text)?));
            }
        }
        let slack = slack(&pair.want, others.iter().map(|other| other[index].want.as_slice()));
        match compare(&pair.got, pair.dtype, &pair.want, Some(&slack), &mut Worst::default()) {
            Some(_) => misses.push(describe(&pair.name, &miss)),
            None => outcome.ill_conditioned += 1,
        }
    }
    if misses.is_empty() {
        return Ok(());
    }
    Err(misses.join("; "))
}

/// The gradients of all tensors of the signature that have one; empty where there is none.
fn gradients(case: &Case) -> Vec<Vec<f64>> {
    let places = || case.info.operands.iter().zip(&case.signature).enumerate();
    let run = |loss: &dyn Loss, call: &Call<'_>| {
        let floats = places().filter(|(_, (own, held))| own.grad && held.wide.dtype().is_float());
        let all = Call {
            mode: Mode::Fused,
            grads: floats.map(|(_, (own, _))| own.role).collect(),
            stats: Stats::default(),
            ..call.clone()
        };
        reference::run(loss, &all)
    };
    let results = case.with(Form::Wide, run).unwrap_or_default();
    let of = |(place, held): (usize, &Held)| match place {
        0 => results.grad_input.clone().unwrap_or_default(),
        _ => results.grad(held.role).unwrap_or_default().to_vec(),
    };
    case.signature.iter().enumerate().map(of).collect()
}

/// Twice what each number changes by, at most.
fn slack<'a>(want: &[f64], others: impl Iterator<Item = &'a [f64]>) -> Vec<f64> {
    let mut slack = vec![0f64; want.len()];
    for other in others {
        for (slack, (want, other)) in slack.iter_mut().zip(want.iter().zip(other)) {
            *slack = slack.max(2.0 * (want - other).abs());
        }
    }
    slack
}

/// All results that were asked for.
fn pairs(case: &Case, got: &Values, want: &reference::Results) -> Vec<Pair> {
    let mut list = Vec::new();
    let mut add = |name: &str, of, array: Option<&Array>, want: &[f64]| {
        list.push(Pair {
            name: name.into(),
            of,
            dtype: array.map_or(Dtype::F32, |array| array.dtype),
            got: array.map(|array| array.data.clone()).unwrap_or_default(),
            want: want.to_vec(),
        });
    };
    let indices = got.argmax.as_ref().map(|array| Array {
        shape: array.shape.clone(),
        data: array.data.iter().map(|&index| index as f32).collect(),
        dtype: Dtype::F32,
    });
    // A reduction to the place of the largest has no other result.
    let is_place = got.loss.is_none() && !case.stats.argmax;
    add(
        "loss",
        Of::Loss,
        got.loss.as_ref().or(indices.as_ref().filter(|_| is_place)),
        &want.loss,
    );
    for (place, held) in case.signature.iter().enumerate() {
        let asked = case.mode.wants_grad() && (place == 0 || case.grads.contains(&held.role));
        if asked {
            let (grad, want) = match place {
                0 => (got.grad_input.as_ref(), want.grad_input.as_deref()),
                _ => (got.grad(held.role), want.grad(held.role)),
            };
            let name = format!("gradient of {}", held.role.name());
            add(&name, Of::Gradient, grad, want.unwrap_or_default());
        }
    }
    add("z_loss", Of::Statistic, got.z_loss.as_ref(), &want.z_loss);
    let stats = case.stats;
    if stats.lse {
        add("lse", Of::Statistic, got.lse.as_ref(), &want.lse);
    }
    if stats.entropy {
        add("entropy", Of::Statistic, got.entropy.as_ref(), &want.entropy);
    }
    if stats.argmax {
        let want: Vec<f64> = want.argmax.iter().map(|&class| f64::from(class)).collect();
        add("argmax", Of::Statistic, indices.as_ref(), &want);
    }
    if stats.accuracy {
        let correct = got.correct.map(|correct| Array {
            shape: Vec::new(),
            data: vec![correct as f32],
            dtype: Dtype::F32,
        });
        add("correct", Of::Statistic, correct.as_ref(), &[f64::from(want.correct)]);
    }
    list
}

pub fn describe(name: &str, miss: &Miss) -> String {
    match miss {
        Miss::Length { got, want } => format!("{name} has {got} elements, expected {want}"),
        Miss::Values {
            count,
            index,
            got,
            want,
            ulps,
        } => {
            format!("{name}[{index}] = {got:e}, expected {want:e} ({ulps:.1} ulps; {count} elements differ)")
        }
    }
}
