//! Rows measured: each is checked first, then timed in rounds in which its ceilings run, too.

use std::collections::BTreeMap;

use wgloss::plan::Plan;
use wgloss::problem::Problem;
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

/// A mode of a job, ready to be timed.
struct Lane<'a> {
    mode: Mode,
    problem: Problem,
    traffic: Vec<Part>,
    bytes: u64,
    stopwatch: Stopwatch<'a>,
    samples: Samples,
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
    let rows = lanes(engine, job, modes, &mut failed).and_then(|lanes| time(engine, ceilings, job, lanes, runs));
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
    let traffic = traffic(&problem);
    Ok(Lane {
        mode,
        bytes: traffic.iter().map(|part| part.bytes).sum(),
        traffic,
        problem,
        stopwatch: ready.stopwatch(mode, None)?,
        samples: Samples::default(),
    })
}

/// What a mode is held against.
fn ceiling_of(mode: Mode) -> Kind {
    if mode.wants_grad() { Kind::Copy } else { Kind::Read }
}

/// Rounds in which all ceilings and all modes run once, in turn, so that what slows the machine down slows all of them.
/// The first, which touches fresh memory, is dropped.
fn time(
    engine: &Engine,
    ceilings: &mut Ceilings,
    job: &Job,
    mut lanes: Vec<Lane<'_>>,
    runs: usize,
) -> wgloss::Result<Vec<Row>> {
    let wanted: Vec<(Kind, u64)> = lanes.iter().map(|lane| (ceiling_of(lane.mode), lane.bytes)).collect();
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
    Ok(lanes.into_iter().filter_map(|lane| row(job, lane, &beside)).collect())
}

fn row(job: &Job, lane: Lane<'_>, beside: &[Beside<'_>]) -> Option<Row> {
    let kind = ceiling_of(lane.mode);
    let ceiling = beside
        .iter()
        .find(|own| own.kind == kind && is_close(own.bytes, lane.bytes));
    let ceiling = ceiling.or(beside.iter().find(|own| own.kind == kind))?;
    // Bytes over time, over bytes over time.
    let factor = lane.bytes as f64 / ceiling.bytes as f64;
    let share = ceiling.samples.over(&lane.samples);
    let options = job.options.iter();
    Some(Row {
        loss: job.info.name.into(),
        options: options
            .map(|&(name, word)| (name.into(), word.into()))
            .collect::<BTreeMap<_, _>>(),
        shape: job.shape.clone(),
        dtype: job.dtype.name().into(),
        reduction: lane.problem.reduction.name().into(),
        mode: lane.mode.name().into(),
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

/// The bytes that cannot be avoided: each operand once, and each result.
fn traffic(problem: &Problem) -> Vec<Part> {
    let least = problem.least_traffic().into_iter();
    least
        .map(|own| Part {
            name: own.name,
            bytes: own.read + own.written,
        })
        .collect()
}
