//! Functions and operations held against WGSL's bounds, and what becomes of numbers that are none or hardly any.
//!
//! The bounds are those of "Floating Point Accuracy" in <https://www.w3.org/TR/WGSL/#floating-point-accuracy>.

use wgloss::{Dtype, precision};

use super::finding::{Fault, Finding, Test, Verdict};
use super::lab::{Kernel, Lab, kernel};

const KERNEL: Kernel = kernel!("functions", "main");

/// The operations, by the numbers that the kernel has for them.
const EXP: u32 = 0;
const LOG: u32 = 1;
const TANH: u32 = 2;
const ADD: u32 = 3;
const MULTIPLY: u32 = 4;
const DIVIDE: u32 = 5;
const ROOT: u32 = 6;
const MAX: u32 = 7;
const MIN: u32 = 8;
const SUBTRACT: u32 = 9;
const LESS: u32 = 10;
const CHOOSE: u32 = 11;
const ITSELF: u32 = 12;

pub const TESTS: [Test; 7] = [
    Test {
        name: "exp",
        what: "within 3 + 2 |x| ulps",
        run: |lab, fault| {
            let at = [0.5];
            let inputs: Vec<f32> = at.into_iter().chain(line(-87.3, 88.0)).chain(sizes(-20, 6)).collect();
            let signed: Vec<f32> = inputs.into_iter().filter(|x| (-87.3..88.0).contains(x)).collect();
            let bound = |x: f64, want: f64| Bound::Ulps((3.0 + 2.0 * x.abs()) * ulp(want));
            accuracy(lab, fault, EXP, &signed, f64::exp, bound)
        },
    },
    Test {
        name: "log",
        what: "within 3 ulps; in [0.5, 2] within 2^-21",
        run: |lab, fault| {
            let inputs: Vec<f32> = [1000.0]
                .into_iter()
                .chain(line(0.25, 4.0))
                .chain(sizes(-126, 127))
                .collect();
            let inputs: Vec<f32> = inputs.into_iter().filter(|&x| x > 0.0).collect();
            let bound = |x: f64, want: f64| match (0.5..=2.0).contains(&x) {
                true => Bound::Absolute(2f64.powi(-21)),
                false => Bound::Ulps(3.0 * ulp(want)),
            };
            accuracy(lab, fault, LOG, &inputs, f64::ln, bound)
        },
    },
    Test {
        name: "tanh",
        what: "within 1e-5, or what exp allows sinh / cosh, to |x| = 88",
        run: |lab, fault| {
            let inputs: Vec<f32> = [0.75]
                .into_iter()
                .chain(line(-88.0, 88.0))
                .chain(sizes(-40, 5))
                .collect();
            // Either exponential is off by so much of itself, then the quotient by 2.5 ulps.
            let bound = |x: f64, want: f64| {
                let inherited = 2.0 * (3.0 + 2.0 * x.abs()) * 2f64.powi(-23);
                Bound::Absolute(1e-5f64.max((inherited + 2.5 * 2f64.powi(-23)) * want.abs()))
            };
            accuracy(lab, fault, TANH, &inputs, f64::tanh, bound)
        },
    },
    Test {
        name: "arithmetic",
        what: "+ - * rounded either way; / within 2.5 ulps; sqrt within 6.5",
        run: arithmetic,
    },
    Test {
        name: "infinities",
        what: "infinities and NaN that come in go on, as masked scores and the promises on NaN need",
        run: infinities,
    },
    Test {
        name: "ieee",
        what: "what WGSL lets a compiler assume away: inf - inf, 0 inf, 1 / 0, log(0)",
        run: ieee,
    },
    Test {
        name: "subnormals",
        what: "kept, or flushed to zero, which WGSL allows",
        run: subnormals,
    },
];

/// The error that an operation may have.
enum Bound {
    /// Stated in ulps of the result.
    Ulps(f64),
    Absolute(f64),
}

fn ulp(x: f64) -> f64 {
    precision::ulp(Dtype::F32, x)
}

/// Numbers with the same distance between them.
fn line(from: f32, to: f32) -> impl Iterator<Item = f32> {
    const COUNT: u32 = 1 << 16;
    (0..=COUNT).map(move |i| from + (to - from) * (i as f32 / COUNT as f32))
}

/// Numbers of either sign between powers of two, a thousand to each, with digits in no order.
fn sizes(from: i32, to: i32) -> impl Iterator<Item = f32> {
    (from..=to).flat_map(|power| {
        (0..512u32).map(move |i| {
            let digits = i.wrapping_mul(2_654_435_761) >> 9;
            let sign = (i & 1) << 31;
            f32::from_bits(sign | ((power + 127) as u32) << 23 | digits)
        })
    })
}

/// Results of an operation on pairs. The fault turns bits of the first over.
fn results(lab: &Lab, fault: u32, op: u32, a: &[f32], b: &[f32]) -> Result<Vec<f32>, String> {
    let (a, b): (&[u32], &[u32]) = (bytemuck::cast_slice(a), bytemuck::cast_slice(b));
    let params = [op, a.len() as u32, 0, fault];
    let got = lab.run(KERNEL, params, &[a, b], a.len(), [a.len().div_ceil(64) as u32, 1, 1])?;
    Ok(got.into_iter().map(f32::from_bits).collect())
}

/// The largest errors of an operation beside those allowed.
#[derive(Default)]
struct Worst {
    share: f64,
    ulps: f64,
    at: String,
}

impl Worst {
    fn add(&mut self, got: f32, want: f64, bound: Bound, at: impl FnOnce() -> String) {
        let error = (f64::from(got) - want).abs();
        // Subnormal results may be flushed.
        let floor = f64::from(f32::MIN_POSITIVE);
        let flushed = if want.abs() < floor { floor } else { 0.0 };
        let allowed = flushed
            + match bound {
                Bound::Ulps(allowed) => {
                    self.ulps = self.ulps.max(error / ulp(want).max(flushed));
                    allowed
                }
                Bound::Absolute(allowed) => allowed,
            };
        let share = if error.is_nan() { f64::INFINITY } else { error / allowed };
        if share > self.share {
            self.share = share;
            self.at = format!("{} = {got:e}, expected {want:e}", at());
        }
    }

    fn finding(self, count: usize) -> Finding {
        let ulps = match self.ulps > 0.0 {
            true => format!(", {:.1} ulps", self.ulps),
            false => String::new(),
        };
        let told = format!("{:.2} of the error allowed{ulps}", self.share);
        Finding::judged(
            format!("{told}, of {count} numbers"),
            (self.share > 1.0).then(|| format!("{told}: {}", self.at)),
        )
        .with("share", self.share)
        .and(self.ulps > 0.0, "ulps", self.ulps)
    }
}

fn accuracy(
    lab: &Lab,
    fault: Fault,
    op: u32,
    inputs: &[f32],
    truth: fn(f64) -> f64,
    bound: impl Fn(f64, f64) -> Bound,
) -> Result<Finding, String> {
    // The first is where an ulp is fine: of exp and log sixteen are too many, of tanh a thousand.
    let flip = if op == TANH { 1 << 10 } else { 1 << 4 };
    let got = results(lab, fault.bits(flip), op, inputs, inputs)?;
    let mut worst = Worst::default();
    for (&x, &got) in inputs.iter().zip(&got) {
        let want = truth(x.into());
        worst.add(got, want, bound(x.into(), want), || format!("of {x:e}"));
    }
    Ok(worst.finding(inputs.len()))
}

fn arithmetic(lab: &Lab, fault: Fault) -> Result<Finding, String> {
    let a: Vec<f32> = [1.5].into_iter().chain(sizes(-30, 30)).collect();
    // Each meets another one of about its size, or of any.
    let mut b: Vec<f32> = a.iter().rev().copied().collect();
    b.iter_mut()
        .step_by(2)
        .zip(a.iter().step_by(2))
        .for_each(|(b, a)| *b = a * 1.000_12);
    let mut worst = Worst::default();
    let name = ["+", "-", "*", "/", "sqrt"];
    for (nth, (op, truth, ulps)) in [
        (ADD, (|x, y| x + y) as fn(f64, f64) -> f64, 1.0),
        (SUBTRACT, |x, y| x - y, 1.0),
        (MULTIPLY, |x, y| x * y, 1.0),
        (DIVIDE, |x, y| x / y, 2.5),
        // Inherited from 1 / inverseSqrt: 2 ulps of one, each up to 2 of the other, and 2.5.
        (ROOT, |x, _| x.abs().sqrt(), 6.5),
    ]
    .into_iter()
    .enumerate()
    {
        let first: Vec<f32> = match op {
            ROOT => a.iter().map(|x| x.abs()).collect(),
            _ => a.clone(),
        };
        let got = results(lab, fault.bits(16), op, &first, &b)?;
        for ((&x, &y), &got) in first.iter().zip(&b).zip(&got) {
            let want = truth(x.into(), y.into());
            worst.add(got, want, Bound::Ulps(ulps * ulp(want)), || {
                format!("{} of {x:e} and {y:e}", name[nth])
            });
        }
    }
    Ok(worst.finding(5 * a.len()))
}

/// An operation on two numbers, and what it has to come to.
type Case = (u32, f32, f32, f32);

const INF: f32 = f32::INFINITY;
const NAN: f32 = f32::NAN;

/// What the promises on masks and NaN rest on.
const NEEDED: &[Case] = &[
    (ITSELF, 2.5, 0.0, 2.5),
    (ITSELF, INF, 0.0, INF),
    (ITSELF, -INF, 0.0, -INF),
    (ITSELF, NAN, 0.0, NAN),
    (CHOOSE, INF, 1.0, 1.0),
    (CHOOSE, NAN, 1.0, 1.0),
    (CHOOSE, -INF, 2.0, -INF),
    (EXP, -INF, 0.0, 0.0),
    (EXP, -200.0, 0.0, 0.0),
    (ADD, INF, 1.0, INF),
    (ADD, -INF, 1.0, -INF),
    (ADD, NAN, 1.0, NAN),
    (MULTIPLY, NAN, 2.0, NAN),
    (MULTIPLY, INF, 2.0, INF),
    (MULTIPLY, -INF, 2.0, -INF),
    (MAX, -INF, 1.0, 1.0),
    (MAX, -INF, -1e38, -1e38),
    (MAX, INF, 1.0, INF),
    (MIN, INF, 1.0, 1.0),
    (LESS, -INF, -3e38, 1.0),
    (LESS, 3e38, INF, 1.0),
    (LESS, INF, 3e38, 0.0),
];

/// What IEEE 754 says and WGSL leaves open.
const OPEN: &[Case] = &[
    (SUBTRACT, INF, INF, NAN),
    (SUBTRACT, -INF, -INF, NAN),
    (MULTIPLY, 0.0, INF, NAN),
    (DIVIDE, 1.0, 0.0, INF),
    (DIVIDE, 0.0, 0.0, NAN),
    (DIVIDE, 1.0, INF, 0.0),
    (LOG, 0.0, 0.0, -INF),
    (LOG, INF, 0.0, INF),
    (LOG, -1.0, 0.0, NAN),
    (EXP, INF, 0.0, INF),
    (EXP, 100.0, 0.0, INF),
    (EXP, NAN, 0.0, NAN),
    (ROOT, -1.0, 0.0, NAN),
    (ROOT, INF, 0.0, INF),
    (TANH, 100.0, 0.0, 1.0),
    (TANH, -INF, 0.0, -1.0),
    (MAX, NAN, 1.0, 1.0),
    (MIN, NAN, 1.0, 1.0),
    (LESS, NAN, 1.0, 0.0),
    (ADD, 3e38, 3e38, INF),
];

/// The cases that come to something else, each in words. One operation is one dispatch: the fault is in each of them.
fn others(lab: &Lab, fault: Fault, cases: &[Case]) -> Result<Vec<String>, String> {
    let name = |op| {
        let names = [
            "exp", "log", "tanh", "+", "*", "/", "sqrt", "max", "min", "-", "<", "select",
        ];
        names.get(op as usize).copied().unwrap_or("load")
    };
    let mut wrong = Vec::new();
    for op in EXP..=ITSELF {
        let own: Vec<&Case> = cases.iter().filter(|case| case.0 == op).collect();
        let of = |part: fn(&Case) -> f32| -> Vec<f32> { own.iter().map(|case| part(case)).collect() };
        if own.is_empty() {
            continue;
        }
        let got = results(lab, fault.bits(1 << 30), op, &of(|case| case.1), &of(|case| case.2))?;
        for (case, got) in own.iter().zip(got) {
            let want = case.3;
            if !(got == want || got.is_nan() && want.is_nan()) {
                let (x, y) = (case.1, case.2);
                wrong.push(format!("{} of {x:e}, {y:e} = {got:e}, not {want:e}", name(op)));
            }
        }
    }
    Ok(wrong)
}

fn infinities(lab: &Lab, fault: Fault) -> Result<Finding, String> {
    let wrong = others(lab, fault, NEEDED)?;
    Ok(Finding::judged(
        format!("all of {} cases", NEEDED.len()),
        (!wrong.is_empty()).then(|| wrong.join("; ")),
    ))
}

fn ieee(lab: &Lab, fault: Fault) -> Result<Finding, String> {
    let wrong = others(lab, fault, OPEN)?;
    let seen = match wrong.is_empty() {
        true => format!("as IEEE 754 has all of {} cases", OPEN.len()),
        false => format!("{} of {} otherwise: {}", wrong.len(), OPEN.len(), wrong.join("; ")),
    };
    Ok(Finding::new(Verdict::Note, seen).with("otherwise", wrong.len() as f64))
}

fn subnormals(lab: &Lab, fault: Fault) -> Result<Finding, String> {
    let numbers: Vec<f32> = (0..1000u32)
        .map(|i| f32::from_bits((i * 8389 % 0x80_0000).max(1) | (i & 1) << 31))
        .collect();
    let one = vec![1.0; numbers.len()];
    let zero = vec![0.0; numbers.len()];
    let (mut kept, mut flushed) = (Vec::new(), Vec::new());
    for (name, op, other) in [("loads", ITSELF, &zero), ("*", MULTIPLY, &one), ("+", ADD, &zero)] {
        // As large as the smallest normal number.
        let got = results(lab, fault.bits(0x0080_0000), op, &numbers, other)?;
        let is_kept = got.iter().zip(&numbers).all(|(got, x)| got.to_bits() == x.to_bits());
        for (&got, &x) in got.iter().zip(&numbers) {
            if got != x && got != 0.0 {
                let seen = format!("{name} of {x:e} gives {got:e}, expected the same or 0");
                return Ok(Finding::new(Verdict::Failed, seen));
            }
        }
        if is_kept { &mut kept } else { &mut flushed }.push(name);
    }
    let told = |what: &str, list: &[&str]| format!("{what} by {}", list.join(", "));
    let seen = match (kept.is_empty(), flushed.is_empty()) {
        (false, true) => told("kept", &kept),
        (true, _) => told("flushed", &flushed),
        (false, false) => format!("{}, {}", told("kept", &kept), told("flushed", &flushed)),
    };
    Ok(Finding::new(Verdict::Note, seen).with("flushing", flushed.len() as f64))
}
