//! A row made ready: its operands on the device, and what its results have to be.

use wgloss::plan::{Plan, plan};
use wgloss::problem::Problem;
use wgloss::{Engine, Loss, Mode, Result, Stopwatch, Tuning};

use super::inputs::{self, Inputs, Operands};
use super::measure::Job;
use super::truth::Truth;

pub struct Ready<'a> {
    engine: &'a Engine,
    loss: Box<dyn Loss>,
    operands: Operands,
    truth: Truth,
}

impl<'a> Ready<'a> {
    /// # Errors
    /// Those of the loss and of the device.
    pub fn new(engine: &'a Engine, job: &Job, modes: &[Mode]) -> Result<Self> {
        let loss = inputs::make(job.info, job.options, job.dtype)?;
        let inputs = Inputs::new(loss.as_ref(), &job.shape, job.dtype)?;
        let truth = Truth::new(inputs::make(job.info, job.options, job.dtype)?, &inputs, modes)?;
        let Inputs { whole, .. } = inputs; // the block goes
        let upload = |(role, tensor)| Ok((role, engine.upload(&tensor)?));
        let operands = whole.into_iter().map(upload).collect::<Result<_>>()?;
        Ok(Self {
            engine,
            loss,
            operands,
            truth,
        })
    }

    pub fn problem(&self, mode: Mode) -> Result<Problem> {
        self.loss.problem(&inputs::call(&self.operands, mode))
    }

    /// What a mode would run under a tuning.
    pub fn plan(&self, mode: Mode, tuning: &Tuning) -> Result<Plan> {
        let limits = self.engine.plan_limits();
        let limits = limits.ok_or_else(|| wgloss::Error::Device("the engine has no device".into()))?;
        plan(&self.problem(mode)?, &limits, tuning)
    }

    /// A mode under a stopwatch, cut as the engine does or by a tuning. It ran once and was right: what is fast and
    /// wrong is not timed.
    pub fn stopwatch(&self, mode: Mode, tuning: Option<Tuning>) -> std::result::Result<Stopwatch<'a>, String> {
        let text = |error: wgloss::Error| error.to_string();
        let call = inputs::call(&self.operands, mode);
        let stopwatch = match tuning {
            Some(tuning) => self.engine.stopwatch_tuned(self.loss.as_ref(), &call, tuning),
            None => self.engine.stopwatch(self.loss.as_ref(), &call),
        };
        let stopwatch = stopwatch.map_err(text)?;
        stopwatch.once().map_err(text)?;
        if let Some(output) = stopwatch.output() {
            self.truth.check(output.read(self.engine).map_err(text)?)?;
        }
        Ok(stopwatch)
    }
}
