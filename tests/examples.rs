//! What the examples show holds, on the device and on the processor.

#![allow(clippy::duplicate_mod, reason = "examples are crates")]

use std::ffi::OsString;
use std::path::Path;

use wgloss::{CrossEntropy, Engine, Tensor};

use crate::common::gpu;

#[path = "../examples/detection.rs"]
mod detection;
#[path = "../examples/perplexity.rs"]
mod perplexity;
#[path = "../examples/preferences.rs"]
mod preferences;
#[path = "../examples/segmentation.rs"]
mod segmentation;
#[path = "../examples/train_digits.rs"]
mod train_digits;
#[path = "../examples/tutorials.rs"]
mod tutorials;

#[test]
fn tutorials_print_the_same() {
    for engine in [gpu(), &Engine::cpu()] {
        tutorials::listings(engine).unwrap();
    }
}

const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/data");

/// Trains one of the models on the digits.
fn trained(model: usize, optimizer: &str, how: (u64, usize)) -> train_digits::nn::trained::Trained {
    use train_digits::nn::{asked::optimizer_of, digits::Digits, gpu::Gpu};
    let digits = Digits::read(Path::new(DATA)).unwrap();
    let optimizer = optimizer_of(optimizer).unwrap();
    let gpu = Gpu::of(gpu()).unwrap();
    train_digits::train(gpu, &digits, train_digits::MODELS[model], &*optimizer, how).unwrap()
}

#[test]
fn three_models_learn_the_digits() {
    for (model, least) in [0.88, 0.90, 0.93].into_iter().enumerate() {
        let own = trained(model, "adam", (0, 15));
        assert!(own.accuracy() >= least, "{}: {}", own.name, own.accuracy());
        assert_eq!(own.accuracies.len(), 15);
        assert!(
            own.loss() < f64::from(own.losses[0]) / 10.0,
            "{}: {}",
            own.name,
            own.loss()
        );
    }
}

#[test]
fn every_optimizer_learns_the_digits() {
    for info in wgloss::optim::OPTIMIZERS {
        let own = trained(0, info.name, (0, 15));
        assert!(own.accuracy() >= 0.88, "{}: {}", info.name, own.accuracy());
    }
}

#[test]
fn a_seed_has_one_curve() {
    for model in 0..3 {
        let bits = |seed| {
            let own = trained(model, "adam", (seed, 1));
            let losses = own.losses.iter().map(|loss| u64::from(loss.to_bits()));
            losses
                .chain(own.accuracies.iter().map(|own| own.to_bits()))
                .collect::<Vec<_>>()
        };
        let first = bits(0);
        assert_eq!(first, bits(0), "model {model}");
        assert_ne!(first, bits(1), "model {model}");
    }
}

#[test]
fn layers_have_the_gradients_that_differences_tell() {
    use rand::{Rng, SeedableRng};
    use train_digits::nn::{gpu::Gpu, layers::Layer, layers::Network};
    let gpu = Gpu::of(gpu()).unwrap();
    let mut random = rand_pcg::Pcg64Mcg::seed_from_u64(3);
    let layers = [
        Layer::Conv(3, 3),
        Layer::Relu,
        Layer::MaxPool,
        Layer::Conv(2, 1),
        Layer::Conv(2, 3),
        Layer::Relu,
        Layer::Dense(5),
    ];
    // Height and width that differ, so that none is taken for the other.
    let network = Network::new(gpu, [2, 4, 6], &layers, &mut random).unwrap();
    let x: Vec<f32> = (0..3 * 48).map(|_| random.random_range(-1.0..1.0)).collect();
    let pass = network.over(gpu, &gpu.floats(&[3, 48], &x).unwrap()).unwrap();
    let labels = Tensor::new(&[4u32, 0, 2], &[3]).unwrap();
    let call = CrossEntropy::default()
        .input(&pass.y)
        .target(&labels)
        .grad_into(&pass.grad_y);
    let loss = || {
        let mut encoder = gpu.encoder();
        pass.forward(&mut encoder);
        let output = call.encode(gpu.engine, &mut encoder).unwrap();
        pass.backward(&mut encoder);
        gpu.submit(encoder);
        f64::from(output.read(gpu.engine).unwrap().scalar().unwrap())
    };
    loss();
    let read = |tensor: &Tensor| tensor.read::<f32>(gpu.engine).unwrap();
    let grads: Vec<_> = network.learned().map(|(_, grad)| read(grad)).collect();
    for ((own, _), grads) in network.learned().zip(grads) {
        let numbers = read(own);
        for (at, grad) in grads.into_iter().enumerate() {
            let with = |change: f32| {
                let bytes = (numbers[at] + change).to_le_bytes();
                gpu.queue.write_buffer(&own.buffers()[0], 4 * at as u64, &bytes);
                loss()
            };
            // At a kink, of ReLU or of the largest pixel, the slopes of both sides differ.
            let (before, here, behind) = (with(-5e-4), with(0.0), with(5e-4));
            let slopes = [(here - before) / 5e-4, (behind - here) / 5e-4];
            let (least, most) = (slopes[0].min(slopes[1]) - 1e-3, slopes[0].max(slopes[1]) + 1e-3);
            let is_between = (least..most).contains(&f64::from(grad));
            assert!(
                is_between,
                "{:?} [{at}]: {grad}, by differences {slopes:?}",
                own.shape()
            );
            with(0.0);
        }
    }
}

/// What an example ends with, of its arguments.
fn run(example: impl Fn(Vec<OsString>) -> Result<(), wgloss_shell::Failure>, arguments: &[&str]) -> Result<(), String> {
    let arguments = ["example"].iter().chain(arguments).map(OsString::from).collect();
    example(arguments).map_err(|failure| failure.to_string())
}

#[test]
fn a_learning_curve_is_a_picture() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("curve.svg");
    let arguments = ["--model", "softmax", "--epochs", "2", "--svg", place.to_str().unwrap()];
    run(train_digits::run, &arguments).unwrap();
    let picture = std::fs::read_to_string(&place).unwrap();
    assert!(picture.starts_with("<svg") && picture.trim_end().ends_with("</svg>"));
    assert!(picture.contains("softmax: test accuracy"), "{picture}");
}

/// The bytes of a .npy file.
fn npy(dtype: wgloss_shell::numbers::Dtype, shape: &[usize], data: &[u8]) -> Vec<u8> {
    [&wgloss_shell::npy::header(dtype, shape).unwrap(), data].concat()
}

#[test]
fn digits_that_are_not_there_are_named() {
    use wgloss_shell::numbers::Dtype;
    let folder = tempfile::tempdir().unwrap();
    let (images, labels) = ("digits_images.npy", "digits_labels.npy");
    let write = |name: &str, bytes: &[u8]| std::fs::write(folder.path().join(name), bytes).unwrap();
    let data = folder.path().to_str().unwrap();
    let picture = folder.path().join("curve.svg");
    let refused = |file: &str, why: &str| {
        let message = run(train_digits::run, &["--data", data, "--svg", picture.to_str().unwrap()]).unwrap_err();
        assert!(message.contains(file) && message.contains(why), "{message}");
        assert!(!picture.exists());
    };
    refused(images, "expected u8 of [1797, 64]");
    write(images, &npy(Dtype::U8, &[7, 64], &[0; 7 * 64]));
    refused(images, "is u8 of [7, 64], expected u8 of [1797, 64]");
    write(images, &npy(Dtype::F32, &[1797, 64], &[0; 4 * 1797 * 64]));
    refused(images, "is f32 of [1797, 64], expected u8");
    write(images, &npy(Dtype::U8, &[1797, 64], &[0; 1797 * 63]));
    refused(images, "it is cut off");
    write(images, &npy(Dtype::U8, &[1797, 64], &[17; 1797 * 64]));
    refused(labels, "expected i64 of [1797]");
    let bytes: Vec<u8> = (0..1797i64).flat_map(|own| (own % 11).to_le_bytes()).collect();
    write(labels, &npy(Dtype::I64, &[1797], &bytes));
    refused(images, "holds 17 at 0, expected 0 to 16");
    write(images, &npy(Dtype::U8, &[1797, 64], &[16; 1797 * 64]));
    refused(labels, "holds 10 at 10, expected 0 to 9");
}

#[test]
fn a_folder_for_the_picture_that_is_not_there_is_found_first() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("none/curve.svg");
    // Before the digits, which are not there either.
    let arguments = ["--data", "none", "--svg", place.to_str().unwrap()];
    let message = run(train_digits::run, &arguments).unwrap_err();
    assert!(
        message.contains("--svg") && message.contains("does not exist"),
        "{message}"
    );
}

#[test]
fn every_class_of_a_scene_is_found() {
    use segmentation::nn::{asked::optimizer_of, gpu::Gpu};
    let gpu = Gpu::of(gpu()).unwrap();
    let own = segmentation::train(gpu, &*optimizer_of("adam").unwrap(), 0, 60).unwrap();
    for (class, (all, right)) in own.classes().into_iter().enumerate() {
        assert!(
            all > 20 && right as f64 / all as f64 > 0.8,
            "class {class}: {right} of {all}"
        );
    }
    // Arg-max and accuracy are of one pass, and leave out the same borders.
    let last = own.tests.last().unwrap();
    let borders = own.scenes.masks.iter().filter(|&&class| class == 255).count();
    assert_eq!(last.ignored, borders as u64);
    let right: usize = own.classes().iter().map(|(_, right)| right).sum();
    assert_eq!(last.correct, Some(right as u64));
    let again = segmentation::train(gpu, &*optimizer_of("adam").unwrap(), 0, 10).unwrap();
    let bits = |losses: &[f64]| losses.iter().map(|loss| loss.to_bits()).collect::<Vec<_>>();
    assert_eq!(bits(&again.losses), bits(&own.losses[..10]));
}

#[test]
fn a_scene_is_a_picture() {
    let folder = tempfile::tempdir().unwrap();
    let [svg, scene] = ["curve.svg", "scene.svg"].map(|name| folder.path().join(name).to_str().unwrap().to_owned());
    run(segmentation::run, &["--steps", "10", "--svg", &svg, "--scene", &scene]).unwrap();
    for place in [svg, scene] {
        let picture = std::fs::read_to_string(place).unwrap();
        assert!(picture.starts_with("<svg") && picture.trim_end().ends_with("</svg>"));
    }
    let message = run(segmentation::run, &["--scene", "none/scene.svg"]).unwrap_err();
    assert!(
        message.contains("--scene") && message.contains("does not exist"),
        "{message}"
    );
}

#[test]
fn things_are_detected() {
    let gpu = detection::nn::gpu::Gpu::of(gpu()).unwrap();
    let own = detection::train(gpu, 0, 40).unwrap();
    let (first, last) = (own.losses[0], own.losses[39]);
    assert!(last < first / 5.0, "the loss went from {first} to {last}");
    assert!(own.comparison.is_close(), "{}", own.comparison);
    let [things, found, wrong] = own.test;
    assert!(
        found > things / 2 && wrong < things,
        "{found} of {things} things, {wrong} that are not there"
    );
    assert_eq!(detection::train(gpu, 0, 5).unwrap().losses, own.losses[..5]);
}

#[test]
fn perplexity_is_that_of_the_whole_in_memory() {
    use perplexity::nn::tokens;
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name);
    let [logits, targets, out] = ["logits.npy", "targets.npy", "losses.npy"].map(place);
    tokens::make(folder.path(), 0, 300, 1000).unwrap();
    let read = |path: &Path| {
        let file = wgloss_shell::files::open(path.as_os_str()).unwrap();
        file.read_whole().unwrap()
    };
    let mean = CrossEntropy::default();
    let (input, classes) = (read(&logits), read(&targets));
    let call = wgloss::Call::new(wgloss::Mode::Forward, &[&input, &classes]);
    let want = wgloss::reference::run(&mean, &call).unwrap().loss[0].exp();
    for engine in [gpu(), &Engine::cpu()] {
        let files = [logits.as_path(), targets.as_path()];
        let (values, streamed) = perplexity::losses(engine, files, &out, 600_000).unwrap();
        assert!(streamed.parts > 1 && streamed.memory <= 600_000, "{streamed:?}");
        let got = perplexity::perplexity(&out, values.ignored).unwrap();
        assert!((got / want - 1.0).abs() < 1e-5, "{got} for {want} on {}", engine.name());
    }
    // A word out of range: an error, and the losses before are still there.
    let before = std::fs::read(&out).unwrap();
    let bytes: Vec<u8> = (0..300i64).flat_map(|own| (5 * own).to_le_bytes()).collect();
    std::fs::write(&targets, npy(wgloss_shell::numbers::Dtype::I64, &[300], &bytes)).unwrap();
    let arguments = ["--logits", "--targets", "--out"]
        .into_iter()
        .zip([&logits, &targets, &out]);
    let arguments: Vec<_> = arguments
        .flat_map(|(name, path)| [name, path.to_str().unwrap()])
        .collect();
    let message = run(perplexity::run, &arguments).unwrap_err();
    assert!(message.contains("1000"), "{message}");
    assert!(std::fs::read(&out).unwrap() == before);
    std::fs::write(&logits, npy(wgloss_shell::numbers::Dtype::F32, &[2], &[0; 8])).unwrap();
    let message = run(perplexity::run, &arguments).unwrap_err();
    assert!(message.contains("is of [2], expected (tokens, words)"), "{message}");
}

/// Values and gradients of DPO's and GRPO's losses, against differences of the losses in f64.
#[test]
fn preferences_have_the_slopes_of_their_losses() {
    use preferences::{Grpo, Slopes, Taken, Tokens, advantages, dpo, gradient, grpo, tokens};
    const WORDS: usize = 11;
    const LEN: usize = 3;
    let logits: Vec<f32> = (0..4 * LEN * WORDS)
        .map(|i| ((i * 37 + i / 5) % 64) as f32 / 16.0)
        .collect();
    let mut taken: Vec<i64> = (0..4 * LEN).map(|i| (i * 7 % WORDS) as i64).collect();
    taken[5] = -100;
    // By the definition, in f64.
    let truth = |x: &[f64]| -> Tokens {
        let rows = x.chunks(WORDS).zip(&taken);
        let row = |(x, &word): (&[f64], &i64)| {
            let lse = x.iter().map(|x| x.exp()).sum::<f64>().ln();
            let entropy = x.iter().map(|x| (x - lse).exp() * (lse - x)).sum::<f64>();
            (if word < 0 { 0.0 } else { x[word as usize] - lse }, entropy)
        };
        let (log_p, entropy) = rows.map(row).unzip();
        Tokens { log_p, entropy }
    };
    let x: Vec<f64> = logits.iter().map(|&x| x.into()).collect();
    let first = truth(&x);
    let reference: Vec<f64> = (0..4).map(|i| -7.0 - f64::from(i)).collect();
    // Ratios within what they are clamped to and beyond, on either side of either sign.
    let old = (0..4 * LEN)
        .map(|i| first.log_p[i] + [0.05, -0.5, 0.4][i % 3])
        .collect();
    let how = Taken {
        old,
        reference: first.log_p.iter().map(|own| own + 0.3).collect(),
        advantage: advantages(&[1.0, 0.0, 0.5, 0.0])
            .into_iter()
            .flat_map(|own| [own; LEN])
            .collect(),
        counts: taken.iter().map(|&word| word >= 0).collect(),
    };
    let settings = Grpo {
        clip: 0.2,
        beta: 0.5,
        entropy: 0.3,
    };
    type Made<'a> = (&'a str, &'a dyn Fn(&Tokens) -> Slopes);
    let losses: [Made<'_>; 2] = [
        ("dpo", &|own| dpo(own, LEN, &reference, 0.7)),
        ("grpo", &|own| grpo(own, &how, settings)),
    ];
    for engine in [gpu(), &Engine::cpu()] {
        let place = |own: &[f32]| engine.upload(&Tensor::new(own, &[4 * LEN, WORDS]).unwrap()).unwrap();
        let (device, words) = (place(&logits), Tensor::new(&taken, &[4 * LEN]).unwrap());
        for (name, loss) in losses {
            let slopes = loss(&tokens(engine, &device, &words).unwrap());
            assert!(
                (slopes.loss - loss(&first).loss).abs() < 1e-5,
                "{name}: {}",
                slopes.loss
            );
            let got = gradient(engine, &device, &words, &slopes.by).unwrap();
            let mut largest = 0.0f64;
            for i in 0..x.len() {
                let at = |step: f64| {
                    let mut moved = x.clone();
                    moved[i] += step;
                    loss(&truth(&moved)).loss
                };
                let slope = (at(1e-5) - at(-1e-5)) / 2e-5;
                assert!(
                    (f64::from(got[i]) - slope).abs() < 1e-6,
                    "{name} [{i}]: {} by {slope}",
                    got[i]
                );
                largest = largest.max(slope.abs());
            }
            assert!(largest > 1e-2, "{name}");
        }
    }
}
