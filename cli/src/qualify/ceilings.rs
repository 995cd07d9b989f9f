//! How fast a kernel that only reads, or only copies, goes through memory: what all others are held against.

use wgloss::{Role, Stopwatch, Tensor};

use super::finding::{Fault, Finding, Test, Verdict};
use super::lab::Lab;

pub const TESTS: [Test; 2] = [
    Test {
        name: "read",
        what: "GB/s of a kernel that adds up what it reads",
        run: read,
    },
    Test {
        name: "copy",
        what: "GB/s of a kernel that copies, both ways counted",
        run: copy,
    },
];

/// Rounds; the first, which touches fresh memory, is dropped.
const ROUNDS: usize = 8;

/// Elements: beyond what the caches of a GPU hold.
fn len(lab: &Lab) -> usize {
    if lab.is_software() { 8 << 20 } else { 128 << 20 }
}

fn words(error: wgloss::Error) -> String {
    error.to_string()
}

fn ones(lab: &Lab, value: f32) -> Result<Tensor, String> {
    let numbers = Tensor::from_vec(vec![value; len(lab)], &[len(lab)]).map_err(words)?;
    lab.engine.upload(&numbers).map_err(words)
}

/// What the sum of a tensor of ones is.
fn sum(lab: &Lab, kernel: &Stopwatch<'_>) -> Result<f64, String> {
    kernel.once().map_err(words)?;
    let tensor = kernel.tensor(Role::Loss).ok_or("the kernel has no sum")?;
    let sum = tensor.read::<f32>(&lab.engine).map_err(words)?;
    Ok(sum.first().copied().unwrap_or(f32::NAN).into())
}

fn rate(kernel: &Stopwatch<'_>, bytes: usize) -> Result<[f64; 3], String> {
    let mut rates = Vec::new();
    for _ in 0..ROUNDS {
        let timing = kernel.once().map_err(words)?;
        rates.push(bytes as f64 / timing.device_ns.unwrap_or(timing.wall_ns).max(1.0));
    }
    rates.remove(0);
    rates.sort_by(f64::total_cmp);
    let last = rates.len() - 1;
    Ok([rates[last / 2], rates[0], rates[last]])
}

/// A sum that is not what it has to be, or how fast it came.
fn finding(rate: [f64; 3], sum: f64, want: f64) -> Finding {
    let [median, least, most] = rate;
    if (sum / want - 1.0).abs() > 1e-6 {
        return Finding::new(Verdict::Failed, format!("{want} ones add up to {sum}"));
    }
    Finding::new(Verdict::Note, format!("{median:.1} GB/s ({least:.1}–{most:.1})")).with("gb_per_s", median)
}

/// With the fault, what is read is not what is expected.
fn read(lab: &Lab, fault: Fault) -> Result<Finding, String> {
    let value = if fault.is_seeded() { 0.5 } else { 1.0 };
    let from = ones(lab, value)?;
    let kernel = lab.engine.stopwatch_read(&from, len(lab)).map_err(words)?;
    let sum = sum(lab, &kernel)?;
    let rate = if fault.is_seeded() {
        [0.0; 3]
    } else {
        rate(&kernel, 4 * len(lab))?
    };
    Ok(finding(rate, sum, len(lab) as f64))
}

/// With the fault, the copy ends before its end.
fn copy(lab: &Lab, fault: Fault) -> Result<Finding, String> {
    let (from, to) = (ones(lab, 1.0)?, ones(lab, 0.0)?);
    let short = if fault.is_seeded() { len(lab) - 1024 } else { len(lab) };
    let kernel = lab.engine.stopwatch_copy(&from, &to, short).map_err(words)?;
    kernel.once().map_err(words)?;
    let reading = lab.engine.stopwatch_read(&to, len(lab)).map_err(words)?;
    let sum = sum(lab, &reading)?;
    let rate = if fault.is_seeded() {
        [0.0; 3]
    } else {
        rate(&kernel, 8 * len(lab))?
    };
    Ok(finding(rate, sum, len(lab) as f64))
}
