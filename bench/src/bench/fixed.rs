//! What a call costs however small it is, in the host's time.

use std::time::Instant;

use wgloss::{Engine, Loss, Mode, Result, Tensor};

use super::record::{Fixed, Median};
use crate::tuned::reopen;

/// Calls recorded into one submission.
const TOGETHER: usize = 1000;

/// Measurements of what takes microseconds, for each run that is asked for; and the most of them.
const OFTEN: usize = 20;
const MOST: usize = 400;

/// Measurements of what takes long: engines opened, and thousands of calls.
const FEW: usize = 5;

/// A small cross-entropy, loss and gradient, on operands that lie on a device.
struct Tiny {
    loss: wgloss::CrossEntropy,
    logits: Tensor,
    labels: Tensor,
}

const ROWS: usize = 64;
const CLASSES: usize = 10;

impl Tiny {
    fn new(engine: &Engine) -> Result<Self> {
        let numbers: Vec<f32> = (0..ROWS * CLASSES).map(|i| ((i * 7) % 11) as f32 * 0.5 - 2.0).collect();
        let labels: Vec<i64> = (0..ROWS).map(|i| (i % CLASSES) as i64).collect();
        Ok(Self {
            loss: wgloss::CrossEntropy::default(),
            logits: engine.upload(&Tensor::new(&numbers, &[ROWS, CLASSES])?)?,
            labels: engine.upload(&Tensor::new(&labels, &[ROWS])?)?,
        })
    }

    fn call(&self) -> wgloss::Call<'_> {
        wgloss::Call::new(Mode::Fused, &[&self.logits, &self.labels])
    }

    /// Submits and reads back, in microseconds.
    fn run(&self, engine: &Engine) -> Result<f64> {
        let start = Instant::now();
        self.loss.run(engine, &self.call())?.read(engine)?;
        Ok(since(start))
    }

    /// Records many calls, submits them together and waits: microseconds of the recording, and of everything.
    fn together(&self, engine: &Engine, device: &wgpu::Device, queue: &wgpu::Queue) -> Result<[f64; 2]> {
        let start = Instant::now();
        let mut encoder = device.create_command_encoder(&Default::default());
        let outputs: Result<Vec<_>> = (0..TOGETHER)
            .map(|_| self.loss.encode(engine, &mut encoder, &self.call()))
            .collect();
        let recorded = since(start);
        queue.submit([encoder.finish()]);
        // The last of them is there when all are.
        if let Some(last) = outputs?.last() {
            last.read(engine)?;
        }
        Ok([recorded, since(start)])
    }
}

/// Microseconds.
fn since(start: Instant) -> f64 {
    start.elapsed().as_nanos() as f64 / 1e3
}

/// Measures all fixed costs. `adapter` names that of the engine, for others like it.
///
/// # Errors
/// Those of the calls.
pub fn measure(engine: &Engine, adapter: &str, runs: usize) -> Result<Vec<Fixed>> {
    let Some((device, queue)) = engine.wgpu() else {
        return Ok(Vec::new());
    };
    let tiny = Tiny::new(engine)?;
    tiny.run(engine)?; // compiles
    let of = format!("cross_entropy {ROWS}x{CLASSES} f32, fused");
    let (often, few) = ((OFTEN * runs).min(MOST), runs.min(FEW));
    let mut list = Vec::new();
    let mut add = |name: &str, what: String, unit: &str, samples: Vec<f64>| {
        list.push(Fixed {
            name: name.into(),
            what,
            unit: unit.into(),
            spread: Median::of(&samples),
        });
    };

    let planned = repeat(often, || {
        let start = Instant::now();
        std::hint::black_box(engine.plan(&tiny.loss, &tiny.call())?);
        Ok(since(start))
    })?;
    add("plan", format!("validate and plan {of}"), "us", planned);

    let encoded = repeat(often, || {
        let mut encoder = device.create_command_encoder(&Default::default());
        let start = Instant::now();
        let output = tiny.loss.encode(engine, &mut encoder, &tiny.call())?;
        let took = since(start);
        drop((output, encoder));
        Ok(took)
    })?;
    add(
        "encode",
        format!("record {of}, planned before, into an encoder"),
        "us",
        encoded,
    );

    let empty = repeat(often, || {
        let start = Instant::now();
        let encoder = device.create_command_encoder(&Default::default());
        queue.submit([encoder.finish()]);
        device
            .poll(wgpu::PollType::wait_indefinitely())
            .map_err(|error| wgloss::Error::Device(error.to_string()))?;
        Ok(since(start))
    })?;
    add("empty", "submit nothing, and wait".into(), "us", empty);

    let latency = repeat(often, || tiny.run(engine))?;
    add(
        "latency",
        format!("{of}, from the call until its results are read"),
        "us",
        latency,
    );

    let first = repeat(few, || {
        let fresh = reopen(adapter, engine.tuning())?;
        let tiny = Tiny::new(&fresh)?;
        let first = tiny.run(&fresh)?;
        Ok(first - tiny.run(&fresh)?)
    })?;
    let what =
        format!("first {of} of an engine, less the second: its pipelines, from the driver's cache where it has one");
    add("first_call", what, "us", first);

    let together = repeat(few, || tiny.together(engine, device, queue))?;
    let rate = |nth: usize| {
        together
            .iter()
            .map(|us| 1e6 * TOGETHER as f64 / us[nth])
            .collect::<Vec<_>>()
    };
    let what = format!("calls of {of}, {TOGETHER} in one submission, until the last is read");
    add("calls", what, "per_s", rate(1));
    add(
        "encoded_calls",
        format!("{TOGETHER} of them recorded, not submitted"),
        "per_s",
        rate(0),
    );
    Ok(list)
}

/// So many measurements.
fn repeat<T>(times: usize, mut run: impl FnMut() -> Result<T>) -> Result<Vec<T>> {
    (0..times).map(|_| run()).collect()
}
