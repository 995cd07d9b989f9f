//! Steps of optimizers, and what stands before them, beside the copy of as many bytes.

use wgloss::optim::{OPTIMIZERS, State};
use wgloss::{ClipGrad, Engine, GradScaler, Optimizer, Result, Stopwatch, Tensor};

use super::measure::{Samples, variant};
use super::record::Step;
use super::rows::STEPPED as ELEMENTS;

/// One of the rows.
struct Own<'a> {
    name: String,
    /// The least that has to be read and written.
    bytes: u64,
    stopwatch: Stopwatch<'a>,
    copy: Stopwatch<'a>,
    samples: [Samples; 2],
}

/// Times all of them, each beside its copy in each round.
///
/// # Errors
/// Those of the engine.
pub fn measure(engine: &Engine, runs: usize) -> Result<Vec<Step>> {
    let tensor = |value: f32| engine.upload(&Tensor::from_vec(vec![value; ELEMENTS], &[ELEMENTS])?);
    let (param, grad) = (tensor(1.0)?, tensor(0.5)?);
    // A copy reads and writes: twice the bytes of its tensors, of which the largest row has seven.
    let most = 4 * ELEMENTS;
    let (from, to) = (
        engine.upload(&Tensor::from_vec(vec![0f32; most], &[most])?)?,
        engine.upload(&Tensor::from_vec(vec![0f32; most], &[most])?)?,
    );
    let row = |name: String, bytes: u64, stopwatch| {
        Ok(Own {
            name,
            bytes,
            stopwatch,
            copy: engine.stopwatch_copy(&from, &to, (bytes / 8) as usize)?,
            samples: Default::default(),
        })
    };
    // Of a norm, a gradient is read once more.
    let read = 4 * ELEMENTS as u64;
    let moved = |optimizer: &dyn Optimizer| -> Result<u64> {
        let update = optimizer.update(param.view(), grad.view(), &State::default())?;
        Ok(update.least_traffic().iter().map(|part| part.read + part.written).sum())
    };
    let mut all: Vec<Own<'_>> = Vec::new();
    for info in OPTIMIZERS {
        let optimizer = (info.new)();
        let stopwatch = engine.stopwatch_step(&*optimizer, (&param, &grad), None)?;
        all.push(row(info.name.into(), moved(&*optimizer)?, stopwatch)?);
    }
    let adam = wgloss::Adam::default();
    for (name, clip) in [
        ("adam behind a scaler", None),
        ("adam behind a scaler, norm clipped", Some(ClipGrad::norm(1.0))),
    ] {
        let scaler = GradScaler::default();
        let stopwatch = engine.stopwatch_step(&adam, (&param, &grad), Some((&scaler, clip)))?;
        all.push(row(name.into(), moved(&adam)? + read, stopwatch)?);
    }
    for (name, clip, times) in [
        ("norm clipped", ClipGrad::norm(1.0), 3),
        ("values clipped", ClipGrad::value(1.0), 2),
    ] {
        let stopwatch = engine.stopwatch_clip(clip, &grad)?;
        all.push(row(name.into(), times * read, stopwatch)?);
    }
    for own in &all {
        own.stopwatch.once()?;
        own.copy.once()?;
    }
    for _ in 0..runs {
        for own in &mut all {
            own.samples[0].push(&own.stopwatch.once()?);
            own.samples[1].push(&own.copy.once()?);
        }
    }
    let step = |own: Own<'_>| Step {
        times: own.samples[0].times(own.bytes),
        share: own.samples[1].over(&own.samples[0]),
        variant: variant(own.stopwatch.plan()),
        name: own.name,
        elements: ELEMENTS,
        bytes: own.bytes,
    };
    Ok(all.into_iter().map(step).collect())
}
