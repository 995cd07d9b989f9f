//! Segmentation as on PASCAL VOC: a class of 21 for each pixel, masks of u8 whose void borders, 255, are ignored. Two
//! convolutions learn to tell what noisy scenes show; loss, arg-max and accuracy come of one pass over the logits.
//!
//! `cargo run --release --example segmentation -- --scene scene.svg --svg curve.svg`

pub mod nn;

use std::ffi::OsString;

use clap::Command;
use nn::asked::{self, Asked};
use nn::curve::{self, Line, Panel};
use nn::gpu::Gpu;
use nn::layers::{Layer, Network};
use nn::readings::Readings;
use nn::scenes::{self, CLASSES, SIZE, Scenes, VOID};
use nn::{Done, maps};
use rand::SeedableRng;
use rand_pcg::Pcg64Mcg;
use wgloss::{CrossEntropy, Engine, Optimizer, Stats, Values};
use wgloss_shell::{fit, print, progress};

const LAYERS: [Layer; 3] = [Layer::Conv(24, 3), Layer::Relu, Layer::Conv(CLASSES, 1)];
/// The scenes that are not trained on are looked at after so many steps each time.
const EVERY: usize = 10;

pub struct Segmented {
    pub losses: Vec<f64>,
    /// Of scenes that were not trained on: loss, accuracy and the arg-max of each pixel.
    pub tests: Vec<Values>,
    pub scenes: Scenes,
}

pub fn train(gpu: Gpu<'_>, optimizer: &dyn Optimizer, seed: u64, steps: usize) -> Done<Segmented> {
    let steps = steps.next_multiple_of(EVERY);
    let mut random = Pcg64Mcg::seed_from_u64(seed);
    let (own, others) = (Scenes::new(&mut random), Scenes::new(&mut random));
    let mut network = Network::new(gpu, [3, SIZE, SIZE], &LAYERS, &mut random)?;
    let ignoring = || CrossEntropy {
        ignore_index: i64::from(VOID),
        ..Default::default()
    };
    let (images, masks) = own.upload(gpu)?;
    let pass = network.over(gpu, &images)?; // of (N, 21, H, W), and masks of (N, H, W)
    let loss = ignoring().input(&pass.y).target(&masks).grad_into(&pass.grad_y);
    let (images, masks) = others.upload(gpu)?;
    let test_pass = network.over(gpu, &images)?;
    let stats = Stats {
        argmax: true,
        accuracy: true,
        ..Default::default()
    };
    let test = ignoring().input(&test_pass.y).target(&masks).stats(stats);

    let bar = progress::bar(steps);
    let (mut losses, mut tests) = (Readings::default(), Readings::default());
    for step in 1..=steps {
        let mut encoder = gpu.encoder();
        pass.forward(&mut encoder);
        losses.push(loss.encode(gpu.engine, &mut encoder)?);
        pass.backward(&mut encoder);
        network.step(gpu, &mut encoder, optimizer)?;
        if step.is_multiple_of(EVERY) {
            test_pass.forward(&mut encoder);
            tests.push(test.encode(gpu.engine, &mut encoder)?);
        }
        gpu.submit(encoder);
        losses.show(gpu.engine, &bar, "")?;
    }
    let (losses, tests) = (losses.finish(gpu.engine)?, tests.finish(gpu.engine)?);
    bar.finish_and_clear();
    Ok(Segmented {
        losses: losses.iter().filter_map(Values::scalar).map(f64::from).collect(),
        tests,
        scenes: others,
    })
}

impl Segmented {
    /// The pixels of each class, and how many of them have it as the arg-max of the last test.
    pub fn classes(&self) -> [(usize, usize); CLASSES] {
        let mut counts = [(0, 0); CLASSES];
        let found = self.tests.last().and_then(|own| own.argmax.as_ref());
        for (class, found) in self.scenes.masks.iter().zip(found.iter().flat_map(|own| &own.data)) {
            if let Some((all, right)) = counts.get_mut(usize::from(*class)) {
                *all += 1;
                *right += usize::from(*found == i64::from(*class));
            }
        }
        counts
    }

    fn table(&self) -> String {
        let row = |(class, (all, right)): (usize, (usize, usize))| {
            let share = right as f64 / all as f64;
            vec![scenes::NAMES[class].into(), all.to_string(), format!("{share:.3}")]
        };
        let rows: Vec<_> = self.classes().into_iter().enumerate().map(row).collect();
        fit::table(&["class", "pixels", "accuracy"], &rows, 1)
    }
}

/// The whole example, of arguments that begin with its name.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> Done {
    let steps = asked::number("steps", "60", "steps of training, rounded up to tens");
    let scene = asked::path("scene", "where a picture of a scene, its mask and the arg-max goes");
    let command = Command::new("segmentation").about("Trains a network that tells the class of each pixel");
    let command = command.args([asked::optimizer(), steps, asked::seed(), asked::svg(), scene]);
    let asked = Asked::parse(command, arguments);
    let (svg, scene) = (asked.picture("svg")?, asked.picture("scene")?);
    let (optimizer, seed) = (asked.optimizer()?, asked.seed());
    let engine = Engine::new()?;
    let own = train(Gpu::of(&engine)?, &*optimizer, seed, asked.number("steps"))?;

    let accuracies: Vec<_> = own.tests.iter().filter_map(Values::accuracy).collect();
    let accuracy = accuracies.last().unwrap_or(&f64::NAN);
    print::line(&own.table())?;
    print::line(&format!("accuracy of all {accuracy:.4}"))?;
    if let Some(place) = svg {
        let title = format!("Segmentation, seed {seed}, on {}", engine.name());
        let names = [format!("{}: accuracy {accuracy:.3}", optimizer.info().name)];
        let panels = [
            Panel::new("loss of each step", "steps", [Line::of(0, &own.losses, 1)]).log(),
            Panel::new("accuracy on other scenes", "steps", [Line::of(0, &accuracies, EVERY)]),
        ];
        curve::save(&place, &title, &names, &panels)?;
    }
    let Some(place) = scene else { return Ok(()) };
    let found = own.tests.last().and_then(|own| own.argmax.as_ref());
    let found: Vec<u8> = found
        .iter()
        .flat_map(|own| &own.data)
        .map(|&class| class as u8)
        .collect();
    let maps = [
        ("a scene", own.scenes.colors()),
        ("its mask, void borders in white", scenes::palette(&own.scenes.masks)),
        ("the arg-max of its logits", scenes::palette(&found)),
    ];
    maps::save(&place, SIZE, &maps)
}

#[allow(dead_code, reason = "tests call what it calls")]
fn main() -> std::process::ExitCode {
    nn::main(run)
}
