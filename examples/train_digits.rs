//! Trains three models on 1,437 handwritten digits, and tests them on 360 more: a softmax regression, two layers, and a
//! small convolutional network. All stays on the device from the first step to the last, and a step is one submission:
//! its batch, the layers (kernels of ours, in `nn`), the loss with its gradient, and the optimizer's step.
//!
//! `cargo run --release --example train_digits -- --svg curve.svg`

pub mod nn;

use std::ffi::OsString;
use std::path::Path;
use std::time::Instant;

use clap::Command;
use nn::Done;
use nn::asked::{self, Asked};
use nn::digits::{Batches, CLASSES, Digits, IMAGE};
use nn::gpu::Gpu;
use nn::layers::{Layer, Network};
use nn::readings::Readings;
use nn::trained::{self, Trained};
use rand::SeedableRng;
use rand_pcg::Pcg64Mcg;
use wgloss::{CrossEntropy, Engine, Optimizer, Stats};
use wgloss_shell::progress;

const ROWS: usize = 64;
const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/data");

pub type Model = (&'static str, &'static [Layer]);
pub const MODELS: [Model; 3] = [
    ("softmax", &[Layer::Dense(CLASSES)]),
    ("layers", &[Layer::Dense(128), Layer::Relu, Layer::Dense(CLASSES)]),
    (
        "conv",
        &[
            Layer::Conv(8, 3),
            Layer::Relu,
            Layer::MaxPool,
            Layer::Conv(16, 3),
            Layer::Relu,
            Layer::Dense(CLASSES),
        ],
    ),
];

/// Trains a model for so many epochs. The seed decides its weights and its batches.
pub fn train(
    gpu: Gpu<'_>,
    digits: &Digits,
    (name, layers): Model,
    optimizer: &dyn Optimizer,
    (seed, epochs): (u64, usize),
) -> Done<Trained> {
    let start = Instant::now();
    let mut random = Pcg64Mcg::seed_from_u64(seed);
    let mut network = Network::new(gpu, IMAGE, layers, &mut random)?;
    let batches = Batches::new(gpu, digits, ROWS, epochs, &mut random)?;
    let pass = network.over(gpu, &batches.images)?;
    let loss = CrossEntropy::default()
        .input(&pass.y)
        .target(&batches.labels)
        .grad_into(&pass.grad_y);
    // The test is of the same weights, and counts the right answers in the pass of the loss.
    let (images, labels) = digits.test(gpu)?;
    let test_pass = network.over(gpu, &images)?;
    let stats = Stats {
        accuracy: true,
        ..Default::default()
    };
    let test = CrossEntropy::default().input(&test_pass.y).target(&labels).stats(stats);

    let bar = progress::bar(epochs * batches.per_epoch);
    let (mut losses, mut tests) = (Readings::default(), Readings::default());
    for step in 0..epochs * batches.per_epoch {
        let mut encoder = gpu.encoder();
        batches.gather(&mut encoder, step);
        pass.forward(&mut encoder);
        losses.push(loss.encode(gpu.engine, &mut encoder)?);
        pass.backward(&mut encoder);
        network.step(gpu, &mut encoder, optimizer)?;
        if (step + 1).is_multiple_of(batches.per_epoch) {
            test_pass.forward(&mut encoder);
            tests.push(test.encode(gpu.engine, &mut encoder)?);
        }
        gpu.submit(encoder);
        // Shows what the device has come to, which the loop never waits for.
        losses.show(gpu.engine, &bar, &format!("{name}, "))?;
    }
    let (losses, tests) = (losses.finish(gpu.engine)?, tests.finish(gpu.engine)?);
    bar.finish_and_clear();
    Ok(Trained {
        name: name.to_owned(),
        seconds: start.elapsed().as_secs_f64(),
        losses: losses.iter().filter_map(|values| values.scalar()).collect(),
        accuracies: tests.iter().filter_map(|values| values.accuracy()).collect(),
    })
}

/// The whole example, of arguments that begin with its name.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> Done {
    let models = asked::one_of(
        "model",
        MODELS.map(|(name, _)| name),
        "one of the models, rather than all",
    );
    let data = asked::path("data", "the folder of the digits").default_value(DATA);
    let epochs = asked::number("epochs", "15", "passes over the digits");
    let command = Command::new("train_digits").about("Trains three models on handwritten digits");
    let command = command.args([models, asked::optimizer(), epochs, asked::seed(), asked::svg(), data]);
    let asked = Asked::parse(command, arguments);
    let svg = asked.picture("svg")?;
    let digits = Digits::read(asked.path("data").unwrap_or(Path::new(DATA)))?;
    let optimizer = asked.optimizer()?;
    let engine = Engine::new()?;
    let gpu = Gpu::of(&engine)?;

    let chosen = |name| asked.word("model").is_none_or(|own| own == name);
    let models = MODELS.into_iter().filter(|(name, _)| chosen(*name));
    let how = (asked.seed(), asked.number("epochs"));
    let all: Vec<_> = models
        .map(|model| train(gpu, &digits, model, &*optimizer, how))
        .collect::<Done<_>>()?;
    let name = optimizer.info().name;
    trained::table(name, &all)?;
    let title = format!("Digits, {name}, seed {}, on {}", how.0, engine.name());
    svg.map_or(Ok(()), |place| trained::picture(&place, &title, &all))
}

#[allow(dead_code, reason = "tests call what it calls")]
fn main() -> std::process::ExitCode {
    nn::main(run)
}
