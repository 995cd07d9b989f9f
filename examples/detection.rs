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
use wgloss::{Adam, Call, Dtype, Engine, Mode, Reduction, SigmoidFocal, Tensor, Values, half};
use wgloss_shell::{print, progress};

/// What gradients are multiplied by while they are f16, where the small ones would be 0.
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
    /// Of another image: things, those that are found, and the anchors that find a class that is not there.
    pub test: [usize; 3],
    /// The last loss and its gradient beside the reference in f64.
    pub comparison: Comparison,
}

pub fn train(gpu: Gpu<'_>, seed: u64, steps: usize) -> Done<Detected> {
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
    let loss = LOSS
        .input(&logits)
        .target(&on_device)
        .grad_output(&scaled)
        .grad_into(&grad);

    let bar = progress::bar(steps);
    let mut losses = Readings::default();
    let adam = Adam {
        lr: 0.03,
        ..Default::default()
    };
    for _ in 0..steps {
        let mut encoder = gpu.encoder();
        pass.forward(&mut encoder);
        record(&mut encoder, [&to_halves]);
        losses.push(loss.encode(engine, &mut encoder)?);
        record(&mut encoder, [&from_halves]);
        pass.backward(&mut encoder);
        network.step(gpu, &mut encoder, &adam)?;
        gpu.submit(encoder);
        losses.show(engine, &bar, "all anchors, ")?;
    }
    let mut encoder = gpu.encoder();
    test_pass.forward(&mut encoder);
    record(&mut encoder, [&found_halves]);
    gpu.submit(encoder);
    let losses = losses.finish(engine)?;
    bar.finish_and_clear();

    let last = Values {
        grad_input: Some(grad.numbers(engine)?),
        ..losses.last().cloned().unwrap_or_default()
    };
    let logits = Tensor::from_vec(logits.read::<half::f16>(engine)?, logits.shape())?;
    let mut call = Call::new(Mode::Fused, &[&logits, &targets]);
    call.grad_output = Some(&upstream);
    Ok(Detected {
        losses: losses
            .iter()
            .filter_map(Values::scalar)
            .map(|own| f64::from(own) / positive as f64)
            .collect(),
        positive,
        test: other.judge(&found.numbers(engine)?.data),
        comparison: compare(&LOSS, &call, &last)?,
    })
}

/// The whole example, of arguments that begin with its name.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> Done {
    let steps = asked::number("steps", "60", "steps of training");
    let command = Command::new("detection").about("Trains a head that finds things at anchors");
    let command = command.args([steps, asked::seed(), asked::svg()]);
    let asked = Asked::parse(command, arguments);
    let svg = asked.picture("svg")?;
    let seed = asked.seed();
    let engine = Engine::new()?;
    let own = train(Gpu::of(&engine)?, seed, asked.number("steps"))?;

    let [first, last] = [own.losses.first(), own.losses.last()].map(|own| own.copied().unwrap_or(f64::NAN));
    let [things, found, wrong] = own.test;
    print::line(&format!(
        "loss of each of {} anchors with a thing: {first:.4} to {last:.4}",
        own.positive
    ))?;
    print::line(&format!(
        "another image: {found} of {things} things found; {wrong} anchors find what is not there"
    ))?;
    print::line(&own.comparison.to_string())?;
    let Some(place) = svg else { return Ok(()) };
    let title = format!("Detection, seed {seed}, on {}", engine.name());
    let names = [format!("{found} of {things} things of another image found")];
    let panel = Panel::new(
        "focal loss, over the anchors with a thing",
        "steps",
        [Line::of(0, &own.losses, 1)],
    );
    curve::save(&place, &title, &names, &[panel.log()])
}

#[allow(dead_code, reason = "tests call what it calls")]
fn main() -> std::process::ExitCode {
    nn::main(run)
}
