//! What many calls found of labels and values out of range, read whenever the caller likes.

use std::sync::{Arc, Mutex};

use crate::dtype::Dtype;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::gpu::{Gpu, Places, Steps};
use crate::inspect::Check;
use crate::layout::{Control, Fault, LOG_WORDS, Log, from_words};
use crate::memory::lock;
use crate::output::{Facts, Output};
use crate::plan::plan_gather;
use crate::tensor::Tensor;
use crate::values::Values;
use crate::words::Role;

/// A log of what calls find of class targets out of range, and of values that break a rule, for a loop that does not
/// read each call's results: kept on the device, and read now and then, or once at the end. Calls count from 0, in the
/// order in which they were added.
///
/// ```
/// use wgloss::{CrossEntropy, Engine, Faults, Loss, Tensor};
///
/// # fn main() -> wgloss::Result<()> {
/// let engine = Engine::new().unwrap_or_else(|_| Engine::cpu());
/// let faults = Faults::new(&engine)?;
/// let logits = engine.upload(&Tensor::new(&[2.0f32, 0.0, 0.0, 1.0], &[2, 2])?)?;
/// for label in [0i64, 1, 7, 1] {
///     let labels = engine.upload(&Tensor::new(&[0, label], &[2])?)?;
///     let output = CrossEntropy::default().forward(&engine, &[&logits, &labels])?;
///     faults.add(&engine, &output)?; // nothing is waited for
/// }
/// let found = faults.read(&engine)?.expect("7 is no class");
/// assert_eq!((found.calls, found.count, found.first_call), (1, 1, 2));
/// assert!(found.first.to_string().contains("the first is 7 in row 1"));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Faults {
    /// On a device.
    log: Option<Tensor>,
    places: Arc<Places>,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// Calls added.
    calls: u32,
    /// What there is to know of calls, each kind of call once: the log has its place here.
    known: Vec<Known>,
    /// On the processor.
    log: Log,
}

/// What a report needs to know of a call.
#[derive(Clone, Debug, PartialEq)]
struct Known {
    facts: Facts,
    checks: Vec<Check>,
}

/// What calls have found so far.
#[derive(Debug)]
pub struct Found {
    /// Calls that found something, of those added.
    pub calls: u64,
    /// Rows and elements concerned, in all; stops at 2^32 - 1.
    pub count: u64,
    /// The number of the first of those calls.
    pub first_call: u64,
    /// What reading that call's results would have told: [`Error::BadLabels`] or [`Error::BadValues`], without values.
    pub first: Error,
}

impl Faults {
    /// An empty log where the engine computes.
    ///
    /// # Errors
    /// [`Error::Device`].
    pub fn new(engine: &Engine) -> Result<Self> {
        let log = engine.gpu().map(|gpu| gpu.allocate(Dtype::U32, &[LOG_WORDS]));
        Ok(Self {
            log: log.transpose()?,
            places: Arc::default(),
            inner: Mutex::default(),
        })
    }

    /// Adds what a call finds, which was submitted; returns the call's number. Submits, and waits for nothing.
    ///
    /// # Errors
    /// [`Error::NotSubmitted`]; [`Error::Operand`] for the results of another engine; [`Error::Device`].
    pub fn add(&self, engine: &Engine, output: &Output) -> Result<u64> {
        self.join(engine, output, false, |gpu, steps| {
            gpu.step(steps, &self.places, |_| {})
        })
    }

    /// Records the same into the caller's encoder, behind the call in it or after its submission.
    ///
    /// # Errors
    /// As [`Faults::add`].
    pub fn encode(&self, engine: &Engine, encoder: &mut wgpu::CommandEncoder, output: &Output) -> Result<u64> {
        self.join(engine, output, true, |gpu, steps| {
            gpu.encode_step(encoder, steps, &self.places).map(|_| ())
        })
    }

    fn join(
        &self,
        engine: &Engine,
        output: &Output,
        or_recorded: bool,
        send: impl FnOnce(&Gpu, &Steps) -> Result<()>,
    ) -> Result<u64> {
        let control = output.control.iter().map(|tensor| (Role::Control, tensor));
        let faults = output
            .faults
            .iter()
            .zip(0..)
            .map(|((_, tensor), nth)| (Role::Fault(nth), tensor));
        let records: Vec<(Role, &Tensor)> = control.chain(faults).collect();
        let known = Known {
            facts: output.facts,
            checks: output.faults.iter().map(|(check, _)| check.clone()).collect(),
        };
        // One after the other: the numbers of calls are their order.
        let mut inner = lock(&self.inner);
        let call = inner.calls;
        let place = inner.known.iter().position(|own| *own == known);
        let kind = place.unwrap_or(inner.known.len()) as u32;
        match (engine.gpu(), &self.log) {
            (Some(gpu), Some(log)) => {
                gpu.expect_own("faults", log)?;
                let mut steps = Steps::new();
                for (role, record) in records {
                    if record.memory().is_none() {
                        return Err(Error::operand("output", "is of an engine on the processor"));
                    }
                    gpu.expect_own("output", record)?;
                    gpu.expect_submitted("output", record.memory(), or_recorded)?;
                    let plan = plan_gather(role, call, kind, &gpu.limits);
                    steps.push((plan, vec![(role, record.clone()), (Role::Log, log.clone())]));
                }
                if !steps.is_empty() {
                    send(gpu, &steps)?;
                }
            }
            (None, None) => inner.log.read(call, kind, &records)?,
            _ => return Err(Error::operand("faults", "the log is of another engine")),
        }
        inner.calls = call.wrapping_add(1);
        if place.is_none() {
            inner.known.push(known);
        }
        Ok(u64::from(call))
    }

    /// Waits for what was submitted, and tells what was found by then, if anything.
    ///
    /// # Errors
    /// [`Error::Device`]; [`Error::Operand`] on another engine.
    pub fn read(&self, engine: &Engine) -> Result<Option<Found>> {
        let log = match &self.log {
            Some(log) => bytemuck::pod_read_unaligned(bytemuck::cast_slice(&log.read::<u32>(engine)?)),
            None => lock(&self.inner).log,
        };
        Ok(self.found(&log))
    }

    /// Forgets what was found. Calls count from 0 again.
    ///
    /// # Errors
    /// [`Error::Device`].
    pub fn clear(&mut self, engine: &Engine) -> Result<()> {
        *self = Self::new(engine)?;
        Ok(())
    }

    fn found(&self, log: &Log) -> Option<Found> {
        let inner = lock(&self.inner);
        let (kind, inspection) = Log::told(log.source);
        let known = inner.known.get(kind).filter(|_| log.count > 0)?;
        let place = from_words(log.place[0], log.place[1]) as u64;
        let first = match inspection.checked_sub(1) {
            None => known.facts.bad_labels(
                u64::from(log.first_count),
                place,
                from_words(log.value[0], log.value[1]),
                Values::default(),
            ),
            Some(nth) => {
                let fault = Fault {
                    count: log.first_count,
                    first: log.place,
                    bits: log.value[0],
                };
                known.checks.get(nth)?.error(&fault, &Values::default())?
            }
        };
        Some(Found {
            calls: u64::from(log.calls),
            count: u64::from(log.count),
            first_call: u64::from(log.first_call),
            first,
        })
    }
}

impl Log {
    /// Takes in the records of a call on the host.
    fn read(&mut self, call: u32, kind: u32, records: &[(Role, &Tensor)]) -> Result<()> {
        for (role, record) in records {
            let Some(bytes) = record.host_bytes() else {
                return Err(Error::operand(
                    "output",
                    format!("is {}, not on the host", record.whereabouts()),
                ));
            };
            let source = Self::source(kind, *role);
            match role {
                Role::Control => {
                    let own: Control = bytemuck::pod_read_unaligned(bytes);
                    self.join(call, source, own.bad, [own.first_bad, 0], [own.bad_low, own.bad_high]);
                }
                Role::Fault(_) => {
                    let own: Fault = bytemuck::pod_read_unaligned(bytes);
                    self.join(call, source, own.count, own.first, [own.bits, 0]);
                }
                _ => {} // no record
            }
        }
        Ok(())
    }
}
