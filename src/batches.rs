//! Batches that belong together: running totals of their losses.
//!
//! A mean over batches is the sum of all partial sums over the sum of all denominators, both merged in f64 in the order
//! given. So the same totals serve a loop over micro-batches and processes that each hold a part of the data.

use std::collections::VecDeque;
use std::hash::Hash;
use std::sync::Arc;

use crate::call::{Asked, Call, GradTo, Key, LossTo, operands};
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::gpu::{Waiting, block_on};
use crate::layout::Slot;
use crate::loss::Loss;
use crate::output::Output;
use crate::problem::{Divisor, Problem};
use crate::values::Values;
use crate::words::{Mode, Reduction, Role};

/// What batches come to so far.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Totals {
    /// The sum of the losses.
    pub sum: f64,
    /// What `mean` divides that by: the losses, or the weights of the rows kept.
    pub denominator: f64,
    /// Losses: rows, or elements.
    pub terms: u64,
    /// Rows left out by `ignore_index`.
    pub ignored: u64,
    /// Rows kept whose class is the arg-max, where that was asked for.
    pub correct: Option<u64>,
}

impl Totals {
    /// The mean of all batches; NaN of none, as PyTorch has it.
    pub fn mean(&self) -> f64 {
        self.sum / self.denominator
    }

    /// Adds what another process, or a later batch, came to.
    pub fn merge(&mut self, next: &Self) {
        self.sum += next.sum;
        self.denominator += next.denominator;
        self.terms += next.terms;
        self.ignored += next.ignored;
        self.correct = match (self.correct, next.correct) {
            (None, None) => None,
            (own, next) => Some(own.unwrap_or_default() + next.unwrap_or_default()),
        };
    }
}

/// A loop over batches of one loss, whose reduction is `mean`, `batchmean` or `sum`.
///
/// ```
/// use wgloss::{Batches, Call, CrossEntropy, Engine, Mode, Tensor};
///
/// # fn main() -> wgloss::Result<()> {
/// let (engine, loss) = (Engine::cpu(), CrossEntropy::default());
/// let batches = [([2.0f32, 0.0], [0i64]), ([0.0, 1.0], [-100]), ([0.0, 3.0], [1])];
/// let mut all = Batches::new(&engine, &loss);
/// for (logits, label) in &batches {
///     let (logits, label) = (Tensor::new(logits, &[1, 2])?, Tensor::new(label, &[1])?);
///     all.push(&Call::new(Mode::Forward, &[&logits, &label]))?;
/// }
/// let totals = all.finish()?;
/// assert_eq!((totals.denominator, totals.ignored), (2.0, 1));
/// assert!((totals.mean() - 0.08776).abs() < 1e-4);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Batches<'a> {
    engine: &'a Engine,
    loss: &'a dyn Loss,
    denominator: Option<f64>,
    totals: Totals,
    /// Batches that were submitted and not read yet.
    pending: VecDeque<Pending>,
    fault: Option<BadRows>,
}

#[derive(Debug)]
struct Pending {
    output: Output,
    /// What its loss was divided by.
    divided_by: f64,
    /// What `mean` divides by.
    divisor: Divisor,
}

/// Class targets out of range, counted over all batches.
#[derive(Clone, Copy, Debug)]
struct BadRows {
    count: u64,
    first_row: u64,
    value: i64,
    classes: u64,
    ignore_index: Option<i64>,
}

/// Batches under way at a time: the device computes one while the caller makes the next.
const PENDING: usize = 2;

impl<'a> Batches<'a> {
    pub fn new(engine: &'a Engine, loss: &'a dyn Loss) -> Self {
        Self {
            engine,
            loss,
            denominator: None,
            totals: Totals::default(),
            pending: VecDeque::new(),
            fault: None,
        }
    }

    /// What the mean of all batches divides by, for gradients: from [`denominator`] of each batch's targets, in a pass
    /// over them before, or from whoever knows.
    #[must_use]
    pub fn with_denominator(mut self, denominator: f64) -> Self {
        self.denominator = Some(denominator);
        self
    }

    /// Computes a batch, and returns its results where they are: a loss and gradients that are divided by the
    /// denominator of all batches. Waits for the batch before the last.
    ///
    /// # Errors
    /// As [`Loss::run`] and, of the batch that is waited for, [`Output::read`]; [`Error::Option`] for the gradient of a
    /// mean whose denominator is not known, or for a loss that has its own. Labels out of range are reported by
    /// [`Batches::finish`].
    pub fn push(&mut self, call: &Call<'_>) -> Result<Output> {
        let engine = self.engine;
        let output = self.add(call, |asked, identify, problem| {
            block_on(engine.run(asked, Waiting::Blocks, identify, || Ok(problem)))
        })?;
        if self.pending.len() >= PENDING {
            self.settle()?;
        }
        Ok(output)
    }

    /// Records a batch into the caller's encoder, and takes in what batches before have come to, as far as that is
    /// there: waits for nothing.
    ///
    /// # Errors
    /// As [`Batches::push`]. Of a batch that was never submitted [`Batches::finish`] tells, or a later batch:
    /// [`Error::NotSubmitted`].
    pub fn encode(&mut self, encoder: &mut wgpu::CommandEncoder, call: &Call<'_>) -> Result<Output> {
        while let Some(oldest) = self.pending.front() {
            match oldest.output.try_read(self.engine) {
                Ok(None) | Err(Error::NotSubmitted { dropped: false, .. }) => break,
                Ok(Some(values)) => self.take_in(Ok(values))?,
                Err(error) => self.take_in(Err(error))?,
            }
        }
        let engine = self.engine;
        self.add(call, |asked, identify, problem| {
            engine.encode(encoder, asked, identify, || Ok(problem))
        })
    }

    /// Computes a batch in a way of its own, and remembers it.
    fn add(
        &mut self,
        call: &Call<'_>,
        compute: impl FnOnce(&Asked<'_>, &dyn Fn(&mut Key) -> bool, Problem) -> Result<Output>,
    ) -> Result<Output> {
        let mut problem = self.loss.problem(call)?;
        let mut places = call.result_places().map(|(role, _)| problem.result_role(role));
        if let Some(role) = places.find(|role| !matches!(role, Role::Grad(_))) {
            let message = "has a place of the caller's, whom nobody asks before the running totals take it in";
            return Err(Error::operand(problem.place_name(role), message));
        }
        let divisor = problem.divisor;
        let divided_by = self.divided_by(&problem)?;
        problem.divisor = Divisor::Known(divided_by);
        let given = self.loss.tensors();
        let asked = Asked { call, given: &given };
        // The same call by itself has another divisor.
        let identify = |mut key: &mut Key| {
            ("batches", divided_by.to_bits()).hash(&mut key);
            self.loss.identify(key)
        };
        let output = compute(&asked, &identify, problem)?;
        let kept = Output {
            grad_input: None,
            grads: Vec::new(),
            under_way: Arc::default(), // the caller may ask for other results
            ..output.clone()
        };
        self.pending.push_back(Pending {
            output: kept,
            divided_by,
            divisor,
        });
        Ok(output)
    }

    /// What all batches come to.
    ///
    /// # Errors
    /// Those of reading the last batches; [`Error::BadLabels`] with the row counted over all batches.
    pub fn finish(mut self) -> Result<Totals> {
        while !self.pending.is_empty() {
            self.settle()?;
        }
        match self.fault {
            None => Ok(self.totals),
            Some(fault) => Err(Error::BadLabels {
                count: fault.count,
                rows: self.totals.terms,
                first_row: fault.first_row,
                value: fault.value,
                classes: fault.classes,
                ignore_index: fault.ignore_index,
                values: Box::default(),
            }),
        }
    }

    fn divided_by(&self, problem: &Problem) -> Result<f64> {
        if let Divisor::Given(denominator) = problem.divisor {
            return Err(Error::option(
                "denominator",
                format!(
                    "{denominator} given for each call of the loss; batches add up what they divide by, or take the
                    number for \
                     all of them from Batches::with_denominator"
                ),
            ));
        }
        match problem.reduction {
            Reduction::None => Err(Error::option(
                "reduction",
                "none has nothing to add up over batches; mean, sum or batchmean do",
            )),
            Reduction::Sum => Ok(1.0),
            Reduction::Mean | Reduction::BatchMean => match self.denominator {
                Some(denominator) => Ok(denominator),
                None if problem.mode.wants_grad() => Err(Error::option(
                    "denominator",
                    "the gradient of a mean over batches needs the denominator of all of them first: add up \
                     wgloss::denominator of each batch's targets where they can be read twice, or give a number",
                )),
                None => Ok(1.0),
            },
        }
    }

    /// Waits for the oldest batch.
    fn settle(&mut self) -> Result<()> {
        match self.pending.front() {
            Some(oldest) => self.take_in(oldest.output.read(self.engine)),
            None => Ok(()),
        }
    }

    /// Takes in what the oldest batch has come to.
    fn take_in(&mut self, read: Result<Values>) -> Result<()> {
        let Some(oldest) = self.pending.pop_front() else {
            return Ok(());
        };
        let values = match read {
            Ok(values) => values,
            Err(Error::BadLabels {
                count,
                first_row,
                value,
                classes,
                ignore_index,
                values,
                ..
            }) => {
                let first = self.fault.get_or_insert(BadRows {
                    count: 0,
                    first_row: self.totals.terms + first_row,
                    value,
                    classes,
                    ignore_index,
                });
                first.count += count;
                *values
            }
            Err(error) => return Err(error),
        };
        self.totals.merge(&Totals {
            sum: values.scalar().map_or(0.0, f64::from) * oldest.divided_by,
            denominator: total(oldest.divisor, &values),
            terms: values.terms,
            ignored: values.ignored,
            correct: values.correct,
        });
        Ok(())
    }
}

fn total(divisor: Divisor, values: &Values) -> f64 {
    match divisor {
        Divisor::Known(divisor) | Divisor::Given(divisor) => divisor,
        Divisor::Counted => values.weight.unwrap_or_default(),
    }
}

/// What `mean` would divide the losses of a call by: counted from class targets and the weights of rows alone, where it
/// depends on them. The first tensor is looked at for its shape and dtype only.
///
/// # Errors
/// As [`Loss::problem`]; [`Error::BadLabels`]; [`Error::Device`].
pub fn denominator(engine: &Engine, loss: &dyn Loss, call: &Call<'_>) -> Result<f64> {
    let mut call = call.clone();
    (call.mode, call.grad_output, call.grad_input) = (Mode::Forward, None, GradTo::New);
    (call.grad_lse, call.grad_entropy) = (None, None);
    (call.loss, call.into) = (LossTo::New, Vec::new());
    let problem = loss.problem(&call)?;
    match problem.divisor {
        Divisor::Known(divisor) | Divisor::Given(divisor) => Ok(divisor),
        Divisor::Counted => {
            let given = loss.tensors();
            let all = operands(&problem, &call, &given);
            let counted = [Slot::Target, Slot::Weight, Slot::SampleWeight].into_iter();
            let roles: Vec<Role> = counted.filter_map(|slot| Some(problem.operand(slot)?.role)).collect();
            let seen: Vec<_> = all.into_iter().filter(|(role, _)| roles.contains(role)).collect();
            let values = engine.count(&problem, &seen)?.read(engine)?;
            Ok(values.weight.unwrap_or_default())
        }
    }
}
