//! The perplexity of a language model, of a file of logits larger than the memory that is allowed: they are streamed
//! through the device, and the loss of each token streamed out. Without a file, one is made: 4,096 tokens of 8,192
//! words, 128 MiB.
//!
//! `cargo run --release --example perplexity -- --out losses.npy`

pub mod nn;

use std::ffi::OsString;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use clap::Command;
use nn::Done;
use nn::asked::{self, Asked};
use nn::tokens;
use wgloss::{Call, CrossEntropy, Engine, Mode, Progress, Reduction, Role, Stream, Streamed, Tensor, Values};
use wgloss_shell::draft::{self, Draft};
use wgloss_shell::numbers::Dtype;
use wgloss_shell::{Failure, files, npy, place, print, progress};

/// Streams the logits (tokens, words) of a file within so many bytes, and the losses of all tokens into another.
pub fn losses(engine: &Engine, [logits, targets]: [&Path; 2], out: &Path, memory: u64) -> Done<(Values, Streamed)> {
    let open = |path: &Path| files::open(path.as_os_str()).map_err(Failure::Failed);
    let (logits, targets) = (open(logits)?, open(targets)?);
    logits.pageable().map_err(Failure::Failed)?;
    let &[tokens, _] = logits.shape() else {
        let message = format!(
            "{}: is of {:?}, expected (tokens, words)",
            logits.name(),
            logits.shape()
        );
        return Err(Failure::Failed(message));
    };
    let targets = targets.read_whole().map_err(Failure::Failed)?;
    let (dtype, shape) = (logits.dtype(), logits.shape().to_vec());
    let logits = Tensor::from_pages(Arc::new(logits), dtype, &shape)?;
    let loss = CrossEntropy {
        reduction: Reduction::None,
        ..Default::default()
    };
    let header = npy::header(Dtype::F32, &[tokens]).map_err(Failure::Failed)?;
    let mut draft = Draft::new(out.display().to_string(), out, &header, 4 * tokens as u64).map_err(Failure::Failed)?;

    let bar = progress::bar(0);
    let mut watch = |progress: Progress| {
        bar.set_length(progress.of_bytes >> 20);
        bar.set_position(progress.bytes >> 20);
        bar.set_message("MiB");
        ControlFlow::Continue(())
    };
    let mut stream = Stream::within(memory);
    stream.sinks = vec![(Role::Loss, &mut draft)];
    stream.progress = Some(&mut watch);
    let streamed = stream.run(engine, &loss, &Call::new(Mode::Forward, &[&logits, &targets]))?;
    bar.finish_and_clear();
    draft::publish(vec![draft])?; // not before: until here there is no file
    Ok(streamed)
}

/// What the losses of a file come to: exp of their mean. Tokens that were ignored have a loss of 0.
pub fn perplexity(losses: &Path, ignored: u64) -> Done<f64> {
    let losses = files::open(losses.as_os_str())
        .and_then(|file| file.read_whole())
        .map_err(Failure::Failed)?;
    let losses = losses.as_slice::<f32>().unwrap_or_default();
    let sum: f64 = losses.iter().map(|&loss| f64::from(loss)).sum();
    Ok((sum / (losses.len() as u64 - ignored) as f64).exp())
}

/// The whole example, of arguments that begin with its name.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> Done {
    let command = Command::new("perplexity")
        .about("Computes the perplexity of a file of logits")
        .args([
            asked::path("logits", "a .npy file of (tokens, words)").requires("targets"),
            asked::path(
                "targets",
                "a .npy file of the words that come next, -100 where none does",
            )
            .requires("logits"),
            asked::path("out", "where the loss of each token goes, as .npy"),
            asked::number("memory", "16", "MiB that the stream may use"),
            asked::seed(),
        ]);
    let asked = Asked::parse(command, arguments);
    let out = asked
        .path("out")
        .map(|own| place::place("out", own.as_os_str()))
        .transpose()?;
    let engine = Engine::new().unwrap_or_else(|_| Engine::cpu());
    let folder = tempfile::tempdir().map_err(|error| Failure::Failed(error.to_string()))?;
    let [made, next] = ["logits.npy", "targets.npy"].map(|name| folder.path().join(name));
    if asked.path("logits").is_none() {
        tokens::make(folder.path(), asked.seed(), 4096, 8192)?;
    }
    let given = [("logits", &made), ("targets", &next)].map(|(name, made)| asked.path(name).unwrap_or(made));
    let out = out.unwrap_or_else(|| folder.path().join("losses.npy"));
    let (values, streamed) = losses(&engine, given, &out, (asked.number("memory") as u64) << 20)?;

    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    print::line(&format!(
        "perplexity {:.3} of {} tokens",
        perplexity(&out, values.ignored)?,
        values.terms - values.ignored
    ))?;
    print::line(&format!(
        "{:.1} MiB in {} parts, within {:.1} MiB, {:.2} s on {}",
        mib(streamed.read_bytes),
        streamed.parts,
        mib(streamed.memory),
        streamed.wall_ns / 1e9,
        engine.name()
    ))
}

#[allow(dead_code, reason = "tests call what it calls")]
fn main() -> std::process::ExitCode {
    nn::main(run)
}
