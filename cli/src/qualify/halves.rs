//! 16-bit floats: as the engine reads and writes them, whichever way it converts them; and WGSL's own conversions,
//! which drivers do as they like.

use half::{bf16, f16};
use wgloss::optim::State;
use wgloss::{Dtype, Optimizer, Role, Sgd, Tensor};

use super::finding::{Fault, Finding, Test, Verdict};
use super::lab::{Kernel, Lab, kernel};

const KERNEL: Kernel = kernel!("halves", "main");

pub const TESTS: [Test; 4] = [
    Test {
        name: "reads-16-bit",
        what: "the engine reads all 65,536 numbers of f16 and of bf16 exactly",
        run: reads,
    },
    Test {
        name: "writes-16-bit",
        what: "the engine rounds to the nearest, ties to even, to f16 and bf16, from subnormals to overflow",
        run: writes,
    },
    Test {
        name: "unpack2x16float",
        what: "WGSL's own reading: all 65,536 numbers",
        run: unpacked,
    },
    Test {
        name: "pack2x16float",
        what: "WGSL's own rounding to f16",
        run: packed,
    },
];

/// A number of a dtype by its bits.
fn number(dtype: Dtype, bits: u16) -> f32 {
    match dtype {
        Dtype::F16 => f16::from_bits(bits).to_f32(),
        _ => bf16::from_bits(bits).to_f32(),
    }
}

fn rounded(dtype: Dtype, x: f32) -> f32 {
    match dtype {
        Dtype::F16 => f16::from_f32(x).to_f32(),
        _ => bf16::from_f32(x).to_f32(),
    }
}

fn patterns() -> impl Iterator<Item = u16> {
    0..=u16::MAX
}

fn stored(dtype: Dtype) -> Result<Tensor, String> {
    let shape = [1 << 16];
    let tensor = match dtype {
        Dtype::F16 => Tensor::from_vec(patterns().map(f16::from_bits).collect(), &shape),
        _ => Tensor::from_vec(patterns().map(bf16::from_bits).collect(), &shape),
    };
    tensor.map_err(|error| error.to_string())
}

/// The first number that is another one. NaN is as good as any NaN, and zeros have lost their sign on the way (0 + -0
/// is 0); a subnormal f32, which some of bf16 are, may have been flushed.
fn other(got: &[f32], want: impl Iterator<Item = f32>) -> Option<String> {
    let is_same =
        |got: f32, want: f32| got == want || got.is_nan() && want.is_nan() || want.is_subnormal() && got == 0.0;
    let mut all = got.iter().zip(want).enumerate();
    all.find(|(_, (got, want))| !is_same(**got, *want))
        .map(|(at, (got, want))| format!("number {at} is {got:e}, expected {want:e}"))
}

/// The first step with momentum keeps the gradient as it is, in f32.
fn reads(lab: &Lab, fault: Fault) -> Result<Finding, String> {
    let words = |error: wgloss::Error| error.to_string();
    let sgd = Sgd {
        momentum: 0.9,
        ..Default::default()
    };
    for dtype in [Dtype::F16, Dtype::Bf16] {
        let grad = stored(dtype)?;
        let zeros = Tensor::new(&vec![0f32; 1 << 16], &[1 << 16]).and_then(|own| own.to_dtype(dtype));
        let mut state = State::default();
        let param = lab.engine.upload(&zeros.map_err(words)?).map_err(words)?;
        sgd.step(&lab.engine, &param, &grad, &mut state).map_err(words)?;
        let kept = state.get(Role::MomentumBuffer).ok_or("the step has left no state")?;
        let got = kept.read::<f32>(&lab.engine).map_err(words)?;
        let want = patterns().map(|bits| match (fault.is_seeded(), bits) {
            // What a reader that takes subnormals for zeros would make of one.
            (true, 3) => 0.0,
            _ => number(dtype, bits),
        });
        if let Some(wrong) = other(&got, want) {
            return Ok(Finding::new(Verdict::Failed, format!("{dtype}: {wrong}")));
        }
    }
    Ok(Finding::new(Verdict::Passed, "exactly"))
}

/// Numbers on, and just beside, the middle between neighbours: where a rounding is decided.
fn edges(dtype: Dtype) -> Vec<f32> {
    let mut list = Vec::new();
    for bits in 0..0x7fffu16 {
        let (low, high) = (number(dtype, bits), number(dtype, bits + 1));
        if !low.is_finite() {
            break;
        }
        // Beyond the largest, what would be its neighbour.
        let high = match high.is_finite() {
            true => f64::from(high),
            false => f64::from(low) + (f64::from(low) - f64::from(number(dtype, bits - 1))),
        };
        let middle = f64::midpoint(low.into(), high) as f32;
        // Of bf16 every fifth, so that they are as many as of f16.
        if dtype == Dtype::Bf16 && bits % 5 != 0 && high.is_finite() && bits < 0x7f70 {
            continue;
        }
        let sign = if bits & 1 == 0 { 1.0 } else { -1.0 };
        for x in [middle, middle.next_down(), middle.next_up(), low] {
            // Subnormal f32 may come in as zero.
            if x.is_finite() && (x == 0.0 || x.is_normal()) {
                list.push(sign * x);
            }
        }
    }
    list.extend([
        f32::INFINITY,
        f32::NEG_INFINITY,
        f32::NAN,
        f32::MAX,
        65_519.0,
        65_520.0,
        1e-8,
    ]);
    list
}

/// A step upwards, of the whole gradient, from zero comes to the gradient, rounded to the parameter's dtype.
fn writes(lab: &Lab, fault: Fault) -> Result<Finding, String> {
    let words = |error: wgloss::Error| error.to_string();
    let sgd = Sgd {
        lr: 1.0,
        maximize: true,
        ..Default::default()
    };
    let mut count = 0;
    for dtype in [Dtype::F16, Dtype::Bf16] {
        let numbers = edges(dtype);
        let shape = [numbers.len()];
        let zeros = Tensor::new(&vec![0f32; numbers.len()], &shape).and_then(|own| own.to_dtype(dtype));
        let grad = Tensor::new(&numbers, &shape).map_err(words)?;
        let param = lab.engine.upload(&zeros.map_err(words)?).map_err(words)?;
        let mut state = State::default();
        let new = sgd.step(&lab.engine, &param, &grad, &mut state).map_err(words)?;
        let got = new.numbers(&lab.engine).map_err(words)?.data;
        let want = numbers.iter().map(|&x| match fault.is_seeded() && x.is_normal() {
            // Towards zero.
            true => truncated(dtype, x),
            false => rounded(dtype, x),
        });
        if let Some(wrong) = other(&got, want) {
            return Ok(Finding::new(Verdict::Failed, format!("{dtype}: {wrong}")));
        }
        count += numbers.len();
    }
    Ok(Finding::new(Verdict::Passed, format!("all of {count} numbers")))
}

/// The number of a dtype next to `x` towards zero.
fn truncated(dtype: Dtype, x: f32) -> f32 {
    let near = rounded(dtype, x);
    if near.abs() <= x.abs() {
        return near;
    }
    match dtype {
        Dtype::F16 => f16::from_bits(f16::from_f32(x).to_bits() - 1).to_f32(),
        _ => bf16::from_bits(bf16::from_f32(x).to_bits() - 1).to_f32(),
    }
}

/// `at`: of a number that every device converts alike, neither subnormal nor halfway between two.
fn converted(lab: &Lab, op: u32, words: &[u32], at: u32, fault: Fault) -> Result<Vec<u32>, String> {
    let params = [op, words.len() as u32, at, fault.bits(1 << 9)];
    let groups = [words.len().div_ceil(64) as u32, 1, 1];
    lab.run(KERNEL, params, &[words], words.len(), groups)
}

/// Downlevel backends need not have these functions, as wgpu says when it sees them.
fn absent(why: String) -> Result<Finding, String> {
    match why.contains("SHADER_FLOAT16_IN_FLOAT32") {
        true => Ok(Finding::new(Verdict::Skipped, "the adapter has no such function")),
        false => Err(why),
    }
}

fn told(others: usize, of: usize, subnormal: usize, example: Option<String>) -> Finding {
    let seen = match (others, example) {
        (0, _) | (_, None) => format!("exact, all of {of}"),
        (_, Some(example)) => format!("{others} of {of} otherwise, {subnormal} of them subnormal: {example}"),
    };
    Finding::new(Verdict::Note, seen).with("otherwise", others as f64)
}

fn unpacked(lab: &Lab, fault: Fault) -> Result<Finding, String> {
    let words: Vec<u32> = patterns().map(u32::from).collect();
    let got = match converted(lab, 0, &words, 0x400, fault) {
        Ok(got) => got,
        Err(why) => return absent(why),
    };
    let (mut others, mut subnormal, mut example) = (0, 0, None);
    for (bits, got) in patterns().zip(got) {
        let (got, want) = (f32::from_bits(got), number(Dtype::F16, bits));
        if got.to_bits() != want.to_bits() && !(got.is_nan() && want.is_nan()) {
            others += 1;
            subnormal += usize::from(!f16::from_bits(bits).is_normal() && want.is_finite());
            example.get_or_insert_with(|| format!("{bits:#06x} is {got:e}, not {want:e}"));
        }
    }
    Ok(told(others, 1 << 16, subnormal, example))
}

fn packed(lab: &Lab, fault: Fault) -> Result<Finding, String> {
    let numbers: Vec<f32> = edges(Dtype::F16);
    let words: Vec<u32> = numbers.iter().map(|x| x.to_bits()).collect();
    let one = words
        .iter()
        .position(|word| *word == 1f32.to_bits())
        .unwrap_or_default();
    let got = match converted(lab, 1, &words, one as u32, fault) {
        Ok(got) => got,
        Err(why) => return absent(why),
    };
    let (mut others, mut subnormal, mut example) = (0, 0, None);
    for (&x, got) in numbers.iter().zip(got) {
        let (got, want) = (f16::from_bits(got as u16), f16::from_f32(x));
        if got.to_bits() != want.to_bits() && !(got.is_nan() && want.is_nan()) {
            others += 1;
            subnormal += usize::from(!want.is_normal() && want.is_finite());
            example.get_or_insert_with(|| format!("{x:e} becomes {got:e}, not {want:e}"));
        }
    }
    Ok(told(others, numbers.len(), subnormal, example))
}
