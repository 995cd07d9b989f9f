//! The loss of a layer beside the bare product of its logits, and beside the way with logits in memory.

use wgloss::{
    Call, CrossEntropy, Dtype, Engine, Error, GradTo, LinearCrossEntropy, Loss, Mode, Result, Role, Stopwatch, Tensor,
    reference,
};

use super::measure::{Samples, variant};
use super::products::operand;
use super::record::{Layer, Median};
use super::rows::shape_text;

/// Rows of the fewest that a scratch has all logits of, if it has.
const LEAST_ROWS: u64 = 128;

/// Rows whose gradients of the input are held against f64.
const CHECKED: usize = 8;

/// A way to compute: its kernels one after the other, and the bytes that it takes beside operands and gradients.
struct Way<'a> {
    name: &'static str,
    stopwatches: Vec<Stopwatch<'a>>,
    samples: Vec<Samples>,
    /// Logits in memory.
    logits: u64,
}

impl Way<'_> {
    fn round(&mut self) -> Result<()> {
        for (stopwatch, samples) in self.stopwatches.iter().zip(&mut self.samples) {
            samples.push(&stopwatch.once()?);
        }
        Ok(())
    }

    /// Its times, kernel by kernel of each round together.
    fn times(&self) -> Vec<f64> {
        let rounds = self.samples.first().map_or(0, |own| own.best().len());
        let of = |round: usize| self.samples.iter().filter_map(move |own| own.best().get(round)).sum();
        (0..rounds).map(of).collect()
    }
}

/// Times the loss of a layer, forward and with all gradients, beside the bare product.
///
/// # Errors
/// Those of the engine; a result that is wrong.
pub fn measure(
    engine: &Engine,
    sizes: [usize; 3],
    dtype: Dtype,
    runs: usize,
) -> std::result::Result<Vec<Layer>, String> {
    let text = |error: Error| format!("layer of {}: {error}", shape_text(&sizes));
    all(engine, sizes, dtype, runs).map_err(text)?
}

fn all(
    engine: &Engine,
    sizes: [usize; 3],
    dtype: Dtype,
    runs: usize,
) -> Result<std::result::Result<Vec<Layer>, String>> {
    let [rows, features, classes] = sizes;
    let host = [
        operand(7919, &[rows, features], dtype)?,
        operand(104_729, &[classes, features], dtype)?,
    ];
    let labels: Vec<i64> = (0..rows).map(|n| ((n * 7919) % classes) as i64).collect();
    let labels = Tensor::from_vec(labels, &[rows])?;
    let on = |tensor: &Tensor| engine.upload(tensor);
    let ([x, w], t) = ([on(&host[0])?, on(&host[1])?], on(&labels)?);
    let loss = LinearCrossEntropy::default();
    let call = |mode: Mode| Call {
        grads: if mode.wants_grad() {
            vec![Role::LinearWeight]
        } else {
            Vec::new()
        },
        ..Call::new(mode, &[&x, &w, &t])
    };
    if let Err(why) = check(engine, &loss, &call(Mode::Fused), &host, &labels)? {
        return Ok(Err(format!("layer of {}, not timed: {why}", shape_text(&sizes))));
    }
    let bytes = 4 * (rows * classes) as u64;
    let zeros = |shape: &[usize]| on(&Tensor::from_vec(vec![0f32; shape.iter().product()], shape)?);
    let logits = zeros(&[rows, classes])?;
    let (by_input, by_matrix) = (zeros(&[rows, features])?, zeros(&[classes, features])?);
    let product = || engine.stopwatch_product([&x, &w], [false, true], &logits);
    let plain = CrossEntropy::default();
    let over = |mode: Mode| Call {
        grad_input: if mode.wants_grad() {
            GradTo::InPlace
        } else {
            GradTo::New
        },
        ..Call::new(mode, &[&logits, &t])
    };
    let scratch = engine.plan_limits().map_or(0, |limits| limits.scratch_bytes);
    let small = (4 * LEAST_ROWS * classes as u64).saturating_sub(4);
    let mut ways = Vec::new();
    for (name, stopwatches, logits) in [
        ("product alone", vec![product()?], bytes),
        (
            "forward",
            vec![engine.stopwatch_scratch(&loss, &call(Mode::Forward), scratch)?],
            0,
        ),
        (
            "forward, logits in memory",
            vec![product()?, engine.stopwatch(&plain, &over(Mode::Forward))?],
            bytes,
        ),
        (
            "fused",
            vec![engine.stopwatch_scratch(&loss, &call(Mode::Fused), scratch)?],
            0,
        ),
        (
            "fused, logits computed twice",
            vec![engine.stopwatch_scratch(&loss, &call(Mode::Fused), small)?],
            0,
        ),
        (
            "fused, logits in memory",
            vec![
                product()?,
                engine.stopwatch(&plain, &over(Mode::Fused))?,
                engine.stopwatch_product([&logits, &w], [false, false], &by_input)?,
                engine.stopwatch_product([&logits, &x], [true, false], &by_matrix)?,
            ],
            bytes,
        ),
    ] {
        let samples = vec![Samples::default(); stopwatches.len()];
        ways.push(Way {
            name,
            stopwatches,
            samples,
            logits,
        });
    }
    ways.iter_mut().try_for_each(|way| way.round())?;
    ways.iter_mut().for_each(|way| way.samples.fill(Samples::default()));
    for _ in 0..runs {
        ways.iter_mut().try_for_each(Way::round)?;
    }
    let alone = ways.first().map(Way::times).unwrap_or_default();
    let layer = |way: &Way<'_>| {
        let times = way.times();
        let ratios: Vec<f64> = times
            .iter()
            .zip(&alone)
            .map(|(own, alone)| own / alone.max(1e-9))
            .collect();
        let scratch = way.stopwatches.iter().flat_map(|own| &own.plan().scratch).sum::<u64>();
        Layer {
            name: way.name.into(),
            shape: sizes.to_vec(),
            dtype: dtype.name().into(),
            ms: Median::of(&times),
            over_product: Median {
                median: Median::of(&times).median / Median::of(&alone).median.max(1e-9),
                ..Median::of(&ratios)
            },
            bytes: way.logits + scratch,
            dispatches: way.stopwatches.iter().map(|own| own.plan().dispatches().count()).sum(),
            variant: way.stopwatches.iter().flat_map(|own| variant(own.plan())).collect(),
        }
    };
    Ok(Ok(ways.iter().map(layer).collect()))
}

/// Holds the gradients of some rows of the input against f64.
fn check(
    engine: &Engine,
    loss: &LinearCrossEntropy,
    call: &Call<'_>,
    host: &[Tensor; 2],
    labels: &Tensor,
) -> Result<std::result::Result<(), String>> {
    let got = loss.run(engine, call)?.read(engine)?;
    let (rows, features) = (host[0].shape()[0], host[0].shape()[1]);
    let few = CHECKED.min(rows);
    let numbers = host[0].numbers(&Engine::cpu())?.data;
    let input = Tensor::from_vec(numbers[..few * features].to_vec(), &[few, features])?;
    let own = labels
        .as_slice::<i64>()
        .map(|all| all[..few].to_vec())
        .unwrap_or_default();
    let target = Tensor::from_vec(own, &[few])?;
    let want = reference::run(loss, &Call::new(Mode::Fused, &[&input, &host[1], &target]))?;
    let (Some(grad), Some(want)) = (got.grad_input, want.grad_input) else {
        return Ok(Err("there is no gradient".into()));
    };
    // The mean is over all rows there, over few here.
    let scale = few as f64 / rows as f64;
    let largest = want.iter().fold(0.0, |most: f64, g| most.max(g.abs())) * scale;
    for (n, (got, want)) in grad.data.iter().zip(&want).enumerate() {
        let (got, want) = (f64::from(*got), want * scale);
        let allowed = (1e-4 + f64::from(u8::from(grad.dtype != Dtype::F32)) * 1e-2) * largest;
        // Which NaN is not.
        let is_near = (got - want).abs() <= allowed;
        if !is_near {
            return Ok(Err(format!("gradient {n} of the input is {got}, expected {want}")));
        }
    }
    Ok(Ok(()))
}
