//! Detection as RetinaNet learns it: the sigmoid focal loss of (anchors, classes) logits in f16, of which all but a few
//! are background, summed and divided by the anchors that are to find something. A linear head learns which; the
//! gradients of f16 are computed larger than they are and divided again in f32, or the small ones would be 0.
//!
//! `cargo run --release --example detection -- --svg curve.svg`

pub mod nn;

use std::ffi::OsString;

use clap::Command;
use nn::Done;
use nn::anchors::{Anchors, CLASSES, FEATURES, Looks};
use nn::asked::{self, Asked};
use nn::curve::{self, Line, Panel};
use nn::gpu::{Gpu, record};
use nn::layers::{Layer, Network};
use nn::readings::Readings;
use rand::SeedableRng;
use rand_pcg::Pcg64Mcg;
use wgloss::reference::{Comparison, compare};
use wgloss::{Call, Dtype, Engine, Mode, Optimizer, Reduction, SigmoidFocal, Tensor, Values, half};
use wgloss_shell::print;

/// What gradients are multiplied by while they are f16.
const SCALE: usize = 1024;
const LOSS: SigmoidFocal = SigmoidFocal {
    alpha: 0.25,
    gamma: 2.0,
    reduction: Reduction::Sum,
};

pub struct Detected {
    /// Of each step, over the anchors that are to find something.
    pub losses: Vec<f64>,
    pub positive: usize,
    /// Of another image: how many anchors are to find something, how many of them do, and how many find what is not
    /// there.
    pub test: [usize; 3],
    /// The last loss and its gradient beside the reference in f64.
    pub comparison: Comparison,
}

pub fn train(gpu: Gpu<'_>, optimizer: &dyn Optimizer, seed: u64, steps: usize) -> Done<Detected> {
    let engine = gpu.engine;
    let mut random = Pcg64Mcg::seed_from_u64(seed);
    let looks = Looks::new(&mut random);
    let (own, other) = (Anchors::new(&looks, &mut random), Anchors::new(&looks, &mut random));
    let mut network = Network::new(gpu, [FEATURES, 1, 1], &[Layer::Dense(CLASSES)], &mut random)?;
    let pass = network.over(gpu, &gpu.floats(&[own.count(), FEATURES], &own.features)?)?;
    let test_pass = network.over(gpu, &gpu.floats(&[other.count(), FEATURES], &other.features)?)?;

    let positive = own.positive().max(1);
    let module = gpu.module(&[("scale", SCALE)], include_str!("nn/halves.wgsl"));
    let (to, from) = (gpu.pipeline(&module, "to_halves"), gpu.pipeline(&module, "from_halves"));
    let halves = |rows: usize| gpu.tensor(Dtype::F16, &[rows, CLASSES], &vec![half::f16::ZERO; rows * CLASSES]);
    let (logits, grad, found) = (halves(own.count())?, halves(own.count())?, halves(other.count())?);
    let to_halves = gpu.kernel(&to, &[(0, &pass.y), (1, &logits)]);
    let from_halves = gpu.kernel(&from, &[(2, &grad), (4, &pass.grad_y)]);
    let found_halves = gpu.kernel(&to, &[(0, &test_pass.y), (1, &found)]);
    let targets: Vec<_> = own.targets.iter().map(|&own| half::f16::from_f32(own)).collect();
    let targets = Tensor::from_vec(targets, &[own.count(), CLASSES])?;
    let upstream = Tensor::new(&[SCALE as f32 / positive as f32], &[])?;
    let (on_device, scaled) = (engine.upload(&targets)?, engine.upload(&upstream)?);
    let loss = LOSS.input(&logits).target(&on_device).grad_output(&scaled).grad_into(&grad);

    let bar = print::progress(steps);
    let mut losses = Readings::default();
    for _ in 0..steps {
        let mut encoder = gpu.encoder();
        pass.forward(&mut encoder);
        record(&mut encoder, [&to_halves]);
        losses.push(loss.encode(engine, &mut encoder)?);
        record(&mut encoder, [&from_halves]);
        pass.backward(&mut encoder);
        network.step(gpu, &mut encoder, optimizer)?;
        gpu.submit(encoder);
        losses.show(engine, &bar, "all anchors, ")?;
    }
    let mut encoder = gpu.encoder();
    test_pass.forward(&mut encoder);
    record(&mut encoder, [&found_halves]);
    gpu.submit(encoder);
    let losses = losses.finish(engine)?;
    bar.finish_and_clear();

    let last = losses.last().cloned().unwrap_or_default();
    let logits = Tensor::from_vec(logits.read::<half::f16>(engine)?, logits.shape())?;
    let mut call = Call::new(Mode::Fused, &[&logits, &targets]);
    call.grad_output = Some(&upstream);
    let mine = (last.loss.map_or(Vec::new(), |own| own.data), grad.read::<half::f16>(engine)?);
    Ok(Detected {
        losses: losses.iter().filter_map(Values::scalar).map(|own| f64::from(own) / positive as f64).collect(),
        positive,
        test: judge(&other, &found.numbers(engine)?.data),
        comparison: compare(&LOSS, &call, (&mine.0, &mine.1))?,
    })
}

/// A class is found where its probability is above a half: the logit above 0.
fn judge(anchors: &Anchors, logits: &[f32]) -> [usize; 3] {
    let all = || anchors.targets.iter().zip(logits);
    let right = all().filter(|(target, logit)| **target > 0.0 && **logit > 0.0).count();
    let wrong = all().filter(|(target, logit)| **target == 0.0 && **logit > 0.0).count();
    [anchors.positive(), right, wrong]
}

/// The whole example, of arguments that begin with its name.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> Done {
    let steps = asked::number("steps", "60", "steps of training");
    let command = Command::new("detection").about("Trains a head that finds things at anchors");
    let command = command.args([asked::optimizer(), steps, asked::seed(), asked::svg()]);
    let asked = Asked::parse(command, arguments);
    let svg = asked.picture("svg")?;
    let (optimizer, seed) = (asked.optimizer()?, asked.seed());
    let engine = Engine::new()?;
    let own = train(Gpu::of(&engine)?, &*optimizer, seed, asked.number("steps"))?;

    let (first, last) = (own.losses.first().unwrap_or(&f64::NAN), own.losses.last().unwrap_or(&f64::NAN));
    let [positive, right, wrong] = own.test;
    print::line(&format!("loss of each of {} anchors with a thing: {first:.4} to {last:.4}", own.positive))?;
    print::line(&format!("another image: {right} of {positive} found, and {wrong} that are not there"))?;
    print::line(&own.comparison.to_string())?;
    let Some(place) = svg else { return Ok(()) };
    let title = format!("Detection, seed {seed}, on {}", engine.name());
    let names = [format!("{}: {right} of {positive} found", optimizer.info().name)];
    let panel = Panel::new("focal loss, over the anchors with a thing", "steps", [Line::of(0, &own.losses, 1)]);
    curve::save(&place, &title, &names, &[panel.log()])
}

#[allow(dead_code, reason = "tests call what it calls")]
fn main() -> std::process::ExitCode {
    nn::exit(run(std::env::args_os()))
}
