//! Steps of optimizers, on the GPU and by their definition in f64: several after one another, with every set of options
//! that makes other code, on numbers that hurt.

use std::collections::HashSet;

use wgloss::optim::{self, Setting, State, UpdateRule};
use wgloss::plan::plan_update;
use wgloss::shader::Variant;
use wgloss::{Dtype, Engine, Error, Optimizer, Result, Role, Tensor, precision};
use wgloss_bench::errors::{Worst, compare};

use super::data::Data;
use super::run::{Effort, Outcome, describe};

/// What errors are of.
const PARAMETER: &str = "parameter";
const STATE: &str = "state";

/// Steps of each case: the first begins the state, the others go on with it.
const STEPS: usize = 3;

/// Around quads and tiles, and nothing at all.
const SIZES: [usize; 9] = [0, 1, 3, 4, 8, 257, 1025, 16_384, 100_003];

/// Of how many sizes each set of options has the step, where not all are asked for.
const QUICK: usize = 3;

/// Which numbers a case has.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Numbers {
    Usual,
    /// Gradients of all sizes whose squares f32 holds, zeros among them.
    Spread,
    /// NaN and infinities among others.
    Broken,
}

const ALL: [Numbers; 3] = [Numbers::Usual, Numbers::Spread, Numbers::Broken];

/// A case: an optimizer with its options, on a parameter of a size.
struct Case {
    optimizer: Box<dyn Optimizer>,
    settings: Vec<(&'static str, Setting)>,
    dtype: Dtype,
    grad: Dtype,
    size: usize,
    numbers: Numbers,
}

impl Case {
    fn text(&self) -> String {
        let settings = self.settings.iter().map(|(name, value)| format!(" {name}={value}"));
        format!(
            "{} gradient {} [{}] {:?}{}",
            self.dtype,
            self.grad,
            self.size,
            self.numbers,
            settings.collect::<String>()
        )
    }
}

/// Runs the cases of an optimizer with parameters of a dtype: as many as are quick, or, in so many rounds, all.
pub fn job(
    engine: &Engine,
    info: &'static optim::Info,
    dtype: Dtype,
    effort: Effort,
    mut done: impl FnMut(&Outcome),
) -> Outcome {
    let mut outcome = Outcome::new(info.name, dtype, &[PARAMETER, STATE]);
    let mut compiled = HashSet::new();
    for seed in effort.seeds() {
        for (nth, settings) in settings(info).into_iter().enumerate() {
            let sizes = (0..SIZES.len()).filter(|at| effort.rounds.is_some() || (at + nth) % SIZES.len() < QUICK);
            for at in sizes {
                let turn = nth + at + seed as usize;
                let case = Case {
                    optimizer: (info.new)(),
                    settings: settings.clone(),
                    dtype,
                    grad: if turn.is_multiple_of(2) { dtype } else { Dtype::F32 },
                    size: SIZES[at],
                    numbers: ALL[turn % ALL.len()],
                };
                outcome.cases += 1;
                let text = case.text();
                let data = Data::new(seed, turn as u64);
                if let Err(why) = run(engine, case, data, (&mut compiled, &mut outcome)) {
                    outcome.failures.push(format!("{text}: {why}, seed {seed}"));
                }
            }
        }
        done(&outcome);
    }
    outcome.pipelines = compiled.len();
    outcome
}

/// Every set of options that makes other code, with numbers that are no defaults. What an optimizer refuses is none.
fn settings(info: &'static optim::Info) -> Vec<Vec<(&'static str, Setting)>> {
    let mut list: Vec<Vec<(&'static str, Setting)>> = vec![Vec::new()];
    for option in info.options {
        let values = match ((option.default)(), option.name) {
            (Setting::Bool(_), _) => vec![Setting::Bool(false), Setting::Bool(true)],
            (_, "momentum" | "weight_decay") => vec![Setting::Float(0.0), Setting::Float(0.3)],
            (_, "lr") => vec![Setting::Float(0.05)],
            (_, "dampening") => vec![Setting::Float(0.0), Setting::Float(0.4)],
            (_, "lr_decay") => vec![Setting::Float(0.1)],
            (_, "initial_accumulator_value") => vec![Setting::Float(0.5)],
            // As they are.
            (own @ (Setting::Float(_) | Setting::Pair(..)), _) => vec![own],
        };
        let with = |own: &Vec<_>| -> Vec<Vec<_>> {
            let each = values
                .iter()
                .map(|&value| [own.as_slice(), &[(option.name, value)]].concat());
            each.collect()
        };
        list = list.iter().flat_map(with).collect();
    }
    list.retain(|settings| set(info, settings).is_ok_and(|own| own.check().is_ok()));
    list
}

fn set(info: &'static optim::Info, settings: &[(&'static str, Setting)]) -> Result<Box<dyn Optimizer>> {
    let mut optimizer = (info.new)();
    for &(name, value) in settings {
        optimizer.set(name, value)?;
    }
    Ok(optimizer)
}

fn run(
    engine: &Engine,
    mut case: Case,
    mut data: Data,
    (compiled, outcome): (&mut HashSet<Variant>, &mut Outcome),
) -> std::result::Result<(), String> {
    let words = |error: Error| error.to_string();
    for &(name, value) in &case.settings {
        case.optimizer.set(name, value).map_err(words)?;
    }
    let normals = data.normals(case.size);
    let mut param = tensor(engine, &normals, case.dtype).map_err(words)?;
    let mut state = State::default();
    for step in 0..STEPS {
        let grad = gradient(&case, &mut data);
        let grad = tensor(engine, &grad, case.grad).map_err(words)?;
        let update = case
            .optimizer
            .update(param.view(), grad.view(), &state)
            .map_err(words)?;
        if let (Some(limits), Some(tuning)) = (engine.plan_limits(), engine.tuning()) {
            let plan = plan_update(&update, &limits, &tuning).map_err(words)?;
            compiled.extend(plan.dispatches().map(|own| own.variant.clone()));
        }
        // Each step is judged by itself: it goes on from what the one before left on the device.
        let roles: Vec<Role> = update.states.iter().map(|(role, _)| *role).collect();
        let inputs = Inputs::new(engine, &case, (&param, &grad), (&state, &roles)).map_err(words)?;
        let want = inputs.stepped(&case, None);
        param = case.optimizer.step(engine, &param, &grad, &mut state).map_err(words)?;
        let mut slack = None;
        for (place, want) in want.iter().enumerate() {
            let (of, role, tensor) = match place.checked_sub(1) {
                None => (PARAMETER, Role::Param, Some(&param)),
                Some(nth) => (STATE, roles[nth], state.get(roles[nth])),
            };
            let name = format!("{} of step {step}", role.name());
            let tensor = tensor.ok_or_else(|| format!("there is no {name}"))?;
            let got = tensor.numbers(engine).map_err(words)?;
            let at = || format!("{}: {name}", case.text());
            let Some(miss) = outcome.compare(of, (&got.data, got.dtype), want, at) else {
                continue;
            };
            // Where the last digits of the inputs decide as much, f32 cannot know better: sums that cancel.
            let slack = slack.get_or_insert_with(|| inputs.slack(&case));
            let worst = &mut Worst::default();
            if compare(&got.data, got.dtype, want, Some(&slack[place]), worst).is_some() {
                return Err(describe(&name, &miss));
            }
            outcome.ill_conditioned += 1;
        }
    }
    Ok(())
}

fn tensor(engine: &Engine, numbers: &[f32], dtype: Dtype) -> Result<Tensor> {
    engine.upload(&Tensor::new(numbers, &[numbers.len()])?.to_dtype(dtype)?)
}

fn gradient(case: &Case, data: &mut Data) -> Vec<f32> {
    let number = |_| {
        let usual = data.normal();
        match (case.numbers, data.below(8)) {
            (Numbers::Usual, _) => usual,
            (_, 0) => 0.0,
            (Numbers::Spread, _) => usual * 10f32.powf(16.0 * data.uniform() - 10.0),
            (Numbers::Broken, 1) => f32::NAN,
            (Numbers::Broken, 2) => f32::INFINITY,
            (Numbers::Broken, 3) => f32::NEG_INFINITY,
            (Numbers::Broken, _) => usual,
        }
    };
    (0..case.size).map(number).collect()
}

/// What a step reads, as numbers.
struct Inputs {
    rule: UpdateRule,
    param: Vec<f32>,
    grad: Vec<f32>,
    /// Nothing of a state that the step begins.
    states: Vec<Option<Vec<f32>>>,
}

impl Inputs {
    fn new(
        engine: &Engine,
        case: &Case,
        (param, grad): (&Tensor, &Tensor),
        (state, roles): (&State, &[Role]),
    ) -> Result<Self> {
        let numbers = |tensor: &Tensor| tensor.numbers(engine).map(|array| array.data);
        let states = roles.iter().map(|&role| state.get(role).map(numbers).transpose());
        Ok(Self {
            rule: case.optimizer.rule(state),
            param: numbers(param)?,
            grad: numbers(grad)?,
            states: states.collect::<Result<_>>()?,
        })
    }

    /// The new parameter and the new states, by the definition in f64. `nudged`: each input is off by two ulps of f32,
    /// outwards where its bit says so.
    fn stepped(&self, case: &Case, nudged: Option<u32>) -> Vec<Vec<f64>> {
        let input = |x: f32, place: usize| match nudged {
            None => x.into(),
            Some(bits) => f64::from(precision::moved(x, bits >> place & 1 == 1)),
        };
        let mut all = vec![Vec::with_capacity(self.param.len()); 1 + self.states.len()];
        for (at, (&p, &g)) in self.param.iter().zip(&self.grad).enumerate() {
            let mut own = [0.0; 3];
            for (nth, (x, held)) in own.iter_mut().zip(&self.states).enumerate() {
                *x = held.as_ref().map_or(0.0, |held| input(held[at], 2 + nth));
            }
            let new = case.optimizer.element(&self.rule, input(p, 0), input(g, 1), &mut own);
            let results = std::iter::once(new).chain(own);
            all.iter_mut().zip(results).for_each(|(list, x)| list.push(x));
        }
        all
    }

    /// Twice what each result changes by, at most, where all inputs are off.
    fn slack(&self, case: &Case) -> Vec<Vec<f64>> {
        let want = self.stepped(case, None);
        let mut slack: Vec<Vec<f64>> = want.iter().map(|list| vec![0.0; list.len()]).collect();
        for bits in 0..1 << (2 + self.states.len()) {
            for (slack, (want, other)) in slack.iter_mut().zip(want.iter().zip(self.stepped(case, Some(bits)))) {
                for (slack, (want, other)) in slack.iter_mut().zip(want.iter().zip(other)) {
                    *slack = slack.max(2.0 * (want - other).abs());
                }
            }
        }
        slack
    }
}
