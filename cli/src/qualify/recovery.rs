//! What is left after memory ran out, or the device went away.

use std::ops::ControlFlow;
use std::sync::Arc;

use wgloss::{Call, CrossEntropy, Dtype, Engine, Error, Loss, Mode, Mse, Stream, Tensor};

use super::finding::{Fault, Finding, Test, Verdict};
use super::lab::Lab;

pub const MEMORY: &str = "out-of-memory";

/// What a process within little memory is asked with, and how many KiB it has.
pub const WITHIN: &str = "within-little-memory";
const LITTLE: u64 = 8 << 20;

pub const TESTS: [Test; 2] = [
    Test {
        name: MEMORY,
        what: "more memory than there is is an error that says so, and the engine computes on",
        run: out_of_memory,
    },
    Test {
        name: "device-loss",
        what: "a lost device is an error that says so, and an engine opened anew computes",
        run: device_loss,
    },
];

/// A small loss with a known value: two rows of equal scores.
fn computes(engine: &Engine) -> Result<(), String> {
    let words = |error: Error| error.to_string();
    let logits = Tensor::new(&[1f32; 8], &[2, 4]).map_err(words)?;
    let labels = Tensor::new(&[0i64, 3], &[2]).map_err(words)?;
    let output = CrossEntropy::default()
        .forward(engine, &[&logits, &labels])
        .map_err(words)?;
    let loss = output.read(engine).map_err(words)?.scalar().unwrap_or(f32::NAN);
    match (f64::from(loss) - 4f64.ln()).abs() < 1e-5 {
        true => Ok(()),
        false => Err(format!("a loss that should be {} is {loss}", 4f64.ln())),
    }
}

/// Zeros without end.
#[derive(Debug)]
struct Zeros;

impl wgloss::Pages for Zeros {
    fn read_at(&self, _: u64, out: &mut [u8]) -> std::io::Result<()> {
        out.fill(0);
        Ok(())
    }
}

fn out_of_memory(lab: &Lab, fault: Fault) -> Result<Finding, String> {
    // A software adapter's memory is the host's, which gives more than there is, and then ends the process.
    match lab.is_software() {
        true => elsewhere(lab, fault),
        false => here(lab, fault),
    }
}

/// Asks for a gradient of terabytes; with the fault, of a few bytes, which are there.
pub fn here(lab: &Lab, fault: Fault) -> Result<Finding, String> {
    let words = |error: Error| error.to_string();
    let (rows, what) = match (fault, lab.is_software()) {
        (Fault::Seeded, _) => (1, "16 KiB"),
        (Fault::None, true) => (1 << 22, "64 GiB"),
        (Fault::None, false) => (1 << 27, "2 TiB"),
    };
    let engine = lab.another()?;
    computes(&engine)?;
    let huge = Tensor::from_pages(Arc::new(Zeros), Dtype::F32, &[rows, 1 << 12]).map_err(words)?;
    // Where all that is granted nothing is computed with it.
    let mut stop = |_| ControlFlow::Break(());
    let mut stream = Stream::within(u64::MAX);
    stream.progress = Some(&mut stop);
    let call = Call::new(Mode::Fused, &[&huge, &huge]);
    let told = stream.run(&engine, &Mse::default(), &call);
    computes(&engine).map_err(|why| format!("after {what} were asked for: {why}"))?;
    Ok(match told {
        Err(error @ Error::OutOfMemory { .. }) => Finding::new(Verdict::Passed, error.to_string()),
        Err(Error::Interrupted) | Ok(_) if !fault.is_seeded() => {
            let seen = format!("{what} were granted: the driver promises more than there is");
            Finding::new(Verdict::Note, seen)
        }
        Err(Error::Interrupted) | Ok(_) => Finding::new(Verdict::Failed, format!("{what} were there")),
        Err(error) => Finding::new(Verdict::Failed, format!("another error: {error}")),
    })
}

/// The same in a process of this program that may have 8 GiB.
#[cfg(unix)]
fn elsewhere(lab: &Lab, fault: Fault) -> Result<Finding, String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let mut command = std::process::Command::new("sh");
    let script = format!("ulimit -v {LITTLE} && exec \"$0\" \"$@\"");
    command.args(["-c", &script]).arg(program);
    command.args(["qualify", MEMORY, "--adapter", &lab.adapter]);
    command.arg(format!("--{WITHIN}"));
    if fault.is_seeded() {
        command.args(["--seed-fault", MEMORY]);
    }
    let done = command.output().map_err(|error| format!("sh: {error}"))?;
    let seen = String::from_utf8_lossy(&done.stdout).trim().to_owned();
    let why = String::from_utf8_lossy(&done.stderr).trim().to_owned();
    Ok(match done.status.code() {
        Some(0) => Finding::new(Verdict::Passed, format!("within {} GiB: {seen}", LITTLE >> 20)),
        Some(_) => Finding::new(Verdict::Failed, format!("{seen}{why}")),
        None => return Err(format!("the process within little memory died: {why}")),
    })
}

#[cfg(not(unix))]
fn elsewhere(_: &Lab, _: Fault) -> Result<Finding, String> {
    let why = "the adapter's memory is the host's, and this system has no limit for one process";
    Ok(Finding::new(Verdict::Skipped, why))
}

fn device_loss(lab: &Lab, fault: Fault) -> Result<Finding, String> {
    let engine = lab.another()?;
    computes(&engine)?;
    let (device, _) = engine.wgpu().ok_or("the engine has no device")?;
    // With the fault nothing is lost.
    if !fault.is_seeded() {
        device.destroy();
    }
    let numbers = Tensor::new(&[0f32; 8], &[8]).map_err(|error| error.to_string())?;
    let told = engine.upload(&numbers);
    computes(&lab.another()?).map_err(|why| format!("on an engine opened anew: {why}"))?;
    Ok(match told {
        Err(error @ Error::DeviceLost(_)) => Finding::new(Verdict::Passed, error.to_string()),
        Err(error) => Finding::new(Verdict::Failed, format!("another error: {error}")),
        Ok(_) => Finding::new(Verdict::Failed, "the device went on"),
    })
}
