//! Kernels as they are often written, beside the read ceiling of as many bytes: how much there was to win.

use wgloss::{Engine, Result, Stopwatch, Tensor};

use super::ceilings::expect_sum;
use super::measure::{Samples, variant};
use super::record::Baseline;
use super::rows::REDUCED;

/// What adds up the first elements of a tensor.
type Make = for<'a> fn(&'a Engine, &Tensor, usize) -> Result<Stopwatch<'a>>;

/// The first is what the others are compared with.
const BASELINES: &[(&str, Make)] = &[
    ("read", |engine, tensor, len| engine.stopwatch_read(tensor, len)),
    ("tree of 256 lanes, 64 elements each", |engine, tensor, len| {
        engine.stopwatch_naive(tensor, len, 64)
    }),
    ("tree of 256 lanes, 1 element each", |engine, tensor, len| {
        engine.stopwatch_naive(tensor, len, 1)
    }),
];

/// Times all of them, one after the other in each round.
///
/// # Errors
/// Those of the engine; a sum that is wrong.
pub fn measure(engine: &Engine, runs: usize) -> Result<Vec<Baseline>> {
    let tensor = engine.upload(&Tensor::new(&vec![1f32; REDUCED], &[REDUCED])?)?;
    let make = |(name, make): &(&str, Make)| {
        let stopwatch = make(engine, &tensor, REDUCED)?;
        expect_sum(engine, name, &stopwatch, REDUCED)?;
        Ok((stopwatch, Samples::default()))
    };
    let mut all: Vec<(Stopwatch<'_>, Samples)> = BASELINES.iter().map(make).collect::<Result<_>>()?;
    for _ in 0..runs {
        for (stopwatch, samples) in &mut all {
            samples.push(&stopwatch.once()?);
        }
    }
    let Some((_, read)) = all.first() else {
        return Ok(Vec::new());
    };
    let bytes = 4 * REDUCED as u64;
    let baseline = |((name, _), (stopwatch, samples)): (&(&str, Make), &(Stopwatch<'_>, Samples))| Baseline {
        name: (*name).into(),
        elements: REDUCED,
        bytes,
        times: samples.times(bytes),
        slower: samples.over(read),
        variant: variant(stopwatch.plan()),
    };
    Ok(BASELINES.iter().zip(&all).map(baseline).collect())
}
