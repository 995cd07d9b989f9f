//! A step of an optimizer as a row: checked against the definition in f64 first, then timed as losses are.

use wgloss::optim::{self, State};
use wgloss::{Array, Dtype, Engine, Error, Optimizer, Result, Role, Stopwatch, Tensor, precision};

use super::ceilings::Ceilings;
use super::inputs::repeated;
use super::measure::{Lane, Subject, time};
use super::record::{Kind, Row};
use super::rows::{Settings, shape_text};
use super::truth::repeats;

/// The word of these rows where losses have that of their mode.
pub const MODE: &str = "step";

/// Elements that parameter and gradient repeat: odd, so that whatever is read or written in the wrong place meets
/// another part.
const BLOCK: usize = (1 << 20) + 1;

/// A step on a parameter of a shape and a dtype, which is that of the gradient, too.
#[derive(Clone)]
pub struct StepJob {
    pub info: &'static optim::Info,
    pub settings: Settings,
    pub shape: Vec<usize>,
    pub dtype: Dtype,
}

impl StepJob {
    /// `adamw amsgrad=true 16777216 f32`
    pub fn name(&self) -> String {
        let settings = self.settings.iter().map(|(name, value)| format!(" {name}={value}"));
        let settings: String = settings.collect();
        format!(
            "{}{settings} {} {}",
            self.info.name,
            shape_text(&self.shape),
            self.dtype
        )
    }

    fn optimizer(&self) -> Result<Box<dyn Optimizer>> {
        let mut optimizer = (self.info.new)();
        for &(name, value) in self.settings {
            optimizer.set(name, value)?;
        }
        Ok(optimizer)
    }
}

/// Checks and times a step.
pub fn measure(engine: &Engine, ceilings: &mut Ceilings, job: &StepJob, runs: usize) -> (Vec<Row>, Vec<String>) {
    let settings = job.settings.iter();
    let subject = Subject {
        name: job.info.name.into(),
        options: settings
            .map(|(name, value)| ((*name).into(), value.to_string()))
            .collect(),
        shape: job.shape.clone(),
        dtype: job.dtype,
    };
    let rows = lane(engine, job).and_then(|lane| {
        let rows = time(engine, ceilings, &subject, vec![lane], runs);
        rows.map_err(|error| error.to_string())
    });
    match rows {
        Ok(rows) => (rows, Vec::new()),
        Err(why) => (Vec::new(), vec![format!("{}: {why}", job.name())]),
    }
}

fn lane<'a>(engine: &'a Engine, job: &StepJob) -> std::result::Result<Lane<'a>, String> {
    let text = |error: Error| error.to_string();
    let optimizer = job.optimizer().map_err(text)?;
    let block = Block::new(optimizer.as_ref(), job.dtype);
    let upload = |block: &[f32]| {
        let numbers = repeated(block, job.shape.iter().product())?;
        engine.upload(&Tensor::from_vec(numbers, &job.shape)?.to_dtype(job.dtype)?)
    };
    let param = upload(&block.param).map_err(text)?;
    let grad = upload(&block.grad).map_err(text)?;
    let update = optimizer.update(param.view(), grad.view(), &State::default());
    let least = update.map_err(text)?.least_traffic();
    let stopwatch = engine.stopwatch_step(optimizer.as_ref(), (&param, &grad), None);
    let stopwatch = stopwatch.map_err(text)?;
    // Every run is the first step, of the tensors that the one before left: only the first is known.
    stopwatch.once().map_err(text)?;
    block.check(engine, &stopwatch)?;
    Ok(Lane::new((MODE, "none"), Kind::Copy, least, stopwatch))
}

/// What parameter and gradient repeat, and what has to become of them.
struct Block {
    param: Vec<f32>,
    grad: Vec<f32>,
    /// The new parameter, and the state that the step began.
    want: Vec<(Role, Vec<f64>)>,
}

impl Block {
    fn new(optimizer: &dyn Optimizer, dtype: Dtype) -> Self {
        let of = |factor: usize, most: usize, scale: f32| -> Vec<f32> {
            let number = |i: usize| ((i * factor) % most) as f32 / most as f32 - 0.5;
            let held = |x: f32| precision::rounded(dtype, x.into()) as f32;
            (0..BLOCK).map(|i| held(scale * number(i))).collect()
        };
        let (param, grad) = (of(7919, 8191, 2.0), of(104_729, 65_521, 0.25));
        let rule = optimizer.rule(&State::default());
        let roles = &optimizer.info().states[..rule.states];
        let mut want: Vec<(Role, Vec<f64>)> = std::iter::once(&Role::Param)
            .chain(roles)
            .map(|&role| (role, Vec::with_capacity(BLOCK)))
            .collect();
        for (&p, &g) in param.iter().zip(&grad) {
            let mut state = [0.0; 3];
            let new = optimizer.element(&rule, p.into(), g.into(), &mut state);
            let all = std::iter::once(new).chain(state);
            want.iter_mut().zip(all).for_each(|((_, list), x)| list.push(x));
        }
        Self { param, grad, want }
    }

    /// Holds what a step left against what it should have.
    fn check(&self, engine: &Engine, stopwatch: &Stopwatch<'_>) -> std::result::Result<(), String> {
        for (role, want) in &self.want {
            let tensor = stopwatch.tensor(*role);
            let tensor = tensor.ok_or_else(|| format!("the step has no {}", role.name()))?;
            let got: Array = tensor.numbers(engine).map_err(|error| error.to_string())?;
            repeats(&got, want).map_err(|why| format!("wrong {}, not timed: {why}", role.name()))?;
        }
        Ok(())
    }
}
