//! Rows measured: each is checked first, then timed in rounds in which its ceilings run, too.

use std::collections::BTreeMap;

use wgloss::plan::{Moved, Plan};
use wgloss::{Dtype, Engine, Info, Mode, Stopwatch, Timing};

use super::ceilings::{Beside, Ceilings};
use super::ready::Ready;
use super::record::{Against, Kind, Median, Part, Row, Times, is_close};
use super::rows::{Options, shape_text};

/// A loss on a shape, in all the modes that are asked for.
#[derive(Clone)]
pub struct Job {
    pub info: &'static Info,
    pub options: Options,
    pub shape: Vec<usize>,
    pub dtype: Dtype,
}

impl Job {
    /// `reduce op=max 33554432 f32`
    pub fn name(&self) -> String {
        let options = self.options.iter().map(|(name, word)| format!(" {name}={word}"));
        let options: String = options.collect();
        format!("{}{options} {} {}", self.info.name, shape_text(&self.shape), self.dtype)
    }
}

/// What was measured of one kernel.
#[derive(Clone, Debug, Default)]
pub struct Samples {
    device_ms: Vec<f64>,
    wall_ms: Vec<f64>,
}

impl Samples {
    pub fn push(&mut self, timing: &Timing) {
        self.device_ms.extend(timing.device_ns.map(|ns| ns / 1e6));
        self.wall_ms.push(timing.wall_ns / 1e6);
    }

    pub fn extend(&mut self, other: &Self) {
        self.device_ms.extend(&other.device_ms);
        self.wall_ms.extend(&other.wall_ms);
    }

    /// By the device's clock, where it has one.
    pub fn best(&self) -> &[f64] {
        if self.device_ms.is_empty() {
            &self.wall_ms
        } else {
            &self.device_ms
        }
    }

    pub fn times(&self, bytes: u64) -> Times {
        let device_ms = (!self.device_ms.is_empty()).then(|| Median::of(&self.device_ms));
        Times::new(device_ms, Median::of(&self.wall_ms), bytes)
    }

    /// These times over others of the same rounds.
    pub fn ratios(&self, other: &Self) -> Vec<f64> {
        let rounds = self.best().iter().zip(other.best());
        rounds.map(|(&own, &other)| ratio(own, other)).collect()
    }

    /// The same as a spread: of the medians, between those of single rounds.
    pub fn over(&self, other: &Self) -> Median {
        Median {
            median: ratio(Median::of(self.best()).median, Median::of(other.best()).median),
            ..Median::of(&self.ratios(other))
        }
    }
}

/// A clock may be too coarse for a small kernel, and say 0.
fn ratio(own: f64, other: f64) -> f64 {
    own.max(1e-9) / other.max(1e-9)
}

/// What the rows of a job share.
pub struct Subject {
    pub name: String,
    pub options: BTreeMap<String, String>,
    pub shape: Vec<usize>,
    pub dtype: Dtype,
}

/// A mode of a job, or a step, ready to be timed.
pub struct Lane<'a> {
    mode: &'static str,
    reduction: &'static str,
    /// What it is held against.
    kind: Kind,
    traffic: Vec<Part>,
    bytes: u64,
    stopwatch: Stopwatch<'a>,
    samples: Samples,
}

impl<'a> Lane<'a> {
    pub fn new(
        (mode, reduction): (&'static str, &'static str),
        kind: Kind,
        least: Vec<Moved>,
        stopwatch: Stopwatch<'a>,
    ) -> Self {
        let part = |own: Moved| Part {
            name: own.name,
            bytes: own.read + own.written,
        };
        let traffic: Vec<Part> = least.into_iter().map(part).collect();
        Self {
            mode,
            reduction,
            kind,
            bytes: traffic.iter().map(|part| part.bytes).sum(),
            traffic,
            stopwatch,
            samples: Samples::default(),
        }
    }
}

/// Checks and times a job in some modes. A mode that fails does not keep the others from being measured.
pub fn measure(
    engine: &Engine,
    ceilings: &mut Ceilings,
    job: &Job,
    modes: &[Mode],
    runs: usize,
) -> (Vec<Row>, Vec<String>) {
    let mut failed = Vec::new();
    let options = job.options.iter();
    let subject = Subject {
        name: job.info.name.into(),
        options: options.map(|&(name, word)| (name.into(), word.into())).collect(),
        shape: job.shape.clone(),
        dtype: job.dtype,
    };
    let rows = lanes(engine, job, modes, &mut failed).and_then(|lanes| time(engine, ceilings, &subject, lanes, runs));
    let rows = rows.unwrap_or_else(|error| {
        failed.push(format!("{}: {error}", job.name()));
        Vec::new()
    });
    (rows, failed)
}

/// The modes of a job whose results are right.
fn lanes<'a>(engine: &'a Engine, job: &Job, modes: &[Mode], failed: &mut Vec<String>) -> wgloss::Result<Vec<Lane<'a>>> {
    let ready = Ready::new(engine, job, modes)?;
    let mut list = Vec::new();
    for &mode in modes {
        match lane(&ready, mode) {
            Ok(lane) => list.push(lane),
            Err(why) => failed.push(format!("{} {}: {why}", job.name(), mode.name())),
        }
    }
    Ok(list)
}

fn lane<'a>(ready: &Ready<'a>, mode: Mode) -> Result<Lane<'a>, String> {
    let problem = ready.problem(mode).map_err(|error| error.to_string())?;
    Ok(Lane::new(
        (mode.name(), problem.reduction.name()),
        ceiling_of(mode),
        problem.least_traffic(),
        ready.stopwatch(mode, None)?,
    ))
}

/// What a mode is held against.
fn ceiling_of(mode: Mode) -> Kind {
    if mode.wants_grad() { Kind::Copy } else { Kind::Read }
}

/// Rounds in which all ceilings and all modes run once, in turn, so that what slows the machine down slows all of them.
/// The first, which touches fresh memory, is dropped.
pub fn time(
    engine: &Engine,
    ceilings: &mut Ceilings,
    subject: &Subject,
    mut lanes: Vec<Lane<'_>>,
    runs: usize,
) -> wgloss::Result<Vec<Row>> {
    let wanted: Vec<(Kind, u64)> = lanes.iter().map(|lane| (lane.kind, lane.bytes)).collect();
    let mut beside = ceilings.beside(engine, &wanted)?;
    for round in 0..=runs {
        let keep = |samples: &mut Samples, timing: Timing| {
            if round > 0 {
                samples.push(&timing);
            }
        };
        for own in &mut beside {
            keep(&mut own.samples, own.kernel.once()?);
        }
        for lane in &mut lanes {
            keep(&mut lane.samples, lane.stopwatch.once()?);
        }
        for own in &beside {
            ceilings.outside(own, round > 0)?;
        }
    }
    beside.iter().for_each(|own| ceilings.keep(own));
    let rows = lanes.into_iter().filter_map(|lane| row(subject, lane, &beside));
    Ok(rows.collect())
}

fn row(subject: &Subject, lane: Lane<'_>, beside: &[Beside<'_>]) -> Option<Row> {
    let kind = lane.kind;
    let ceiling = beside
        .iter()
        .find(|own| own.kind == kind && is_close(own.bytes, lane.bytes));
    let ceiling = ceiling.or(beside.iter().find(|own| own.kind == kind))?;
    // Bytes over time, over bytes over time.
    let factor = lane.bytes as f64 / ceiling.bytes as f64;
    let share = ceiling.samples.over(&lane.samples);
    Some(Row {
        loss: subject.name.clone(),
        options: subject.options.clone(),
        shape: subject.shape.clone(),
        dtype: subject.dtype.name().into(),
        reduction: lane.reduction.into(),
        mode: lane.mode.into(),
        bytes: lane.bytes,
        traffic: lane.traffic,
        times: lane.samples.times(lane.bytes),
        ceiling: Against {
            kind,
            bytes: ceiling.bytes,
            times: ceiling.samples.times(ceiling.bytes),
        },
        share: Median {
            median: share.median * factor,
            min: share.min * factor,
            max: share.max * factor,
        },
        over_f32: None,
        variant: variant(lane.stopwatch.plan()),
        dispatches: lane.stopwatch.plan().dispatches().count(),
    })
}

/// The labels of the pipelines of a plan, each once.
pub fn variant(plan: &Plan) -> Vec<String> {
    let mut labels: Vec<String> = Vec::new();
    for dispatch in plan.dispatches() {
        if !labels.contains(&dispatch.variant.label) {
            labels.push(dispatch.variant.label.clone());
        }
    }
    labels
}
