//! Sums that are split exactly, in f32: as the shaders have them, and as a compiler may regroup what no guard keeps.
//! What is left is within what `precision` promises; what the guards keep apart would not be.

use wgloss::precision::{TERM, UNIT};

const LOG_2: f32 = 355.0 / 512.0;
const LOG_2_EXCESS: f32 = 2.121_944_4e-4;

/// How products and sums are joined.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Form {
    Written,
    /// A product and a sum are rounded once.
    Contracted,
    /// The parts of the exponential are added before they meet the difference.
    PartsFirst,
    /// What the guard prevents: t is subtracted from the rounded exponential.
    Collapsed,
}

fn fused(form: Form, a: f32, b: f32, c: f32) -> f32 {
    match form {
        Form::Contracted => a.mul_add(b, c),
        _ => a * b + c,
    }
}

/// `exp_minus_near` of shaders/math/math.wgsl.
fn exp_minus_near(form: Form, x: f32, t: f32) -> f32 {
    let k = (std::f32::consts::LOG2_E * x).round_ties_even();
    let head = fused(form, -k, LOG_2, x);
    let rest = k * LOG_2_EXCESS;
    let r = head + rest;
    let coefficients = [
        1.0 / 40320.0,
        1.0 / 5040.0,
        1.0 / 720.0,
        1.0 / 120.0,
        1.0 / 24.0,
        1.0 / 6.0,
        0.5,
    ];
    let series = coefficients
        .into_iter()
        .reduce(|sum, c| fused(form, sum, r, c))
        .unwrap();
    let tail = fused(form, r * r, series, rest);
    let scale = f32::from_bits(((k as i32 + 127) as u32) << 23);
    match form {
        Form::Written | Form::Contracted => fused(form, scale, tail, fused(form, scale, head, scale - t)),
        Form::PartsFirst => (scale - t) + scale * (head + tail),
        Form::Collapsed => ((scale + scale * head) - t) + scale * tail,
    }
}

/// The largest error of exp(x) - t, in units of 2^-24 of t, where t is exp(x) or near it.
fn off(form: Form) -> f64 {
    let mut most = 0.0f64;
    for i in 0..20_000 {
        let x = (i as f32 - 10_000.0) * 0.0061 + 0.003;
        for near in [1.0, 1.0 + 3e-7, 0.999, 1.3, 0.8] {
            let t = (f64::from(x).exp() * near) as f32;
            if x.abs() < 60.0 {
                let want = f64::from(x).exp() - f64::from(t);
                let error = (f64::from(exp_minus_near(form, x, t)) - want).abs();
                // What is left is rounded, too.
                let rounded = want.abs() * UNIT;
                most = most.max((error - rounded) / (UNIT * f64::from(t)));
            }
        }
    }
    most
}

#[test]
fn exponentials_less_a_number_keep_what_is_promised_in_any_order() {
    let all = [Form::Written, Form::Contracted, Form::PartsFirst, Form::Collapsed].map(|form| (form, off(form)));
    println!("{all:?}");
    for (form, off) in all {
        match form {
            Form::Collapsed => assert!(off > 0.9, "{form:?}: only {off} units, and the guard is not needed"),
            _ => assert!(off < 0.6, "{form:?}: {off} units"),
        }
    }
}

/// 2 atanh(z) as the shaders have it.
fn twice_atanh(z: f32) -> f32 {
    let v = z * z;
    2.0 * z * (1.0 + v * (0.333_332_1 + v * (0.200_107_63 + v * (0.140_009_02 + v * 0.140_059_96))))
}

/// `ln` of what is above 0 and normal.
fn ln(x: f32, collapsed: bool) -> f32 {
    let bits = x.to_bits() as i32;
    let k = (bits - 0x3f35_04f3) >> 23;
    let rest = f32::from_bits((bits - (k << 23)) as u32) - 1.0;
    let (k, part) = (k as f32, twice_atanh(rest / (2.0 + rest)));
    match collapsed {
        true => k * (LOG_2 - LOG_2_EXCESS) + part,
        false => k * LOG_2 + (part - k * LOG_2_EXCESS),
    }
}

#[test]
fn logarithms_keep_what_is_promised_if_their_parts_are_joined() {
    let mut most = [0.0f64; 2];
    for i in 0..390_000u32 {
        let x = f32::from_bits(0x0080_0000 + i * 5347);
        let want = f64::from(x).ln();
        if want == 0.0 {
            continue;
        }
        for (most, collapsed) in most.iter_mut().zip([false, true]) {
            *most = most.max((f64::from(ln(x, collapsed)) - want).abs() / want.abs() / UNIT);
        }
    }
    println!("units of 2^-24: {most:?}");
    // Three ulps, which are six units at most; joined, an ulp of the multiple of log 2 more.
    assert!(most[0] < 6.0 && most[1] < 8.0, "{most:?}");
    assert!(most[1] < TERM);
}
