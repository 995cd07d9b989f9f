//! The shaders' own logarithms and exponentials (`shaders/math/math.wgsl`), through losses that are little else: right
//! relative to themselves, where a driver's own would not be.

use wgloss::{Array, Bce, Call, GaussianNll, KlDiv, Loss, Mode, PoissonNll, Reduction, Role, Tensor};

use crate::common::data::Data;
use crate::common::gpu;

/// Units of 2^-24 of a result: some roundings, and a division, which may be 2.5 ulps off but is not on a processor.
fn units() -> f64 {
    let is_processor = gpu()
        .adapter_info()
        .is_some_and(|info| info.device_type == wgpu::DeviceType::Cpu);
    if is_processor { 6.0 } else { 10.0 }
}

fn tensor(data: &[f32]) -> Tensor {
    Tensor::new(data, &[data.len()]).unwrap()
}

/// Losses and gradients without a reduction, of all elements.
fn run(loss: &dyn Loss, tensors: &[&Tensor]) -> (Vec<f32>, Vec<f32>) {
    let call = Call::new(Mode::Fused, tensors);
    let values = loss.run(gpu(), &call).unwrap().read(gpu()).unwrap();
    let f32s = |values: Option<Array>| values.unwrap().data;
    (f32s(values.loss), f32s(values.grad_input))
}

/// `got` is `want` but for so many units of 2^-24 of `scale`.
fn close(what: &str, x: &[f32], got: &[f32], want: impl Fn(usize) -> (f64, f64)) {
    assert_eq!(got.len(), x.len());
    let units = units();
    for (i, (&x, &got)) in x.iter().zip(got).enumerate() {
        let (want, scale) = want(i);
        let error = (f64::from(got) - want).abs() * f64::from(1 << 24);
        // Adapters may flush what is subnormal, also on the way: results this small may be 0.
        let tiny = 2.0 * f64::from(f32::MIN_POSITIVE);
        let are_tiny = f64::from(got).abs() <= tiny && want.abs() <= tiny;
        assert!(
            error <= units * scale || are_tiny || f64::from(got) == want,
            "{what} of {x:e}: {got:e} instead of {want:e}"
        );
    }
}

/// Numbers from the least subnormal to 1, near 1, and around where a number's exponent is taken to change.
fn probabilities(data: &mut Data) -> Vec<f32> {
    let mut x = vec![1e-45, 3e-42, 1e-40, 1.1754942e-38, f32::MIN_POSITIVE, 0.5, 0.25, 0.75];
    x.extend((1..126).map(|k| 0.5f32.powi(k)));
    x.extend((1..24).map(|k| 1.0 - 0.5f32.powi(k)));
    for edge in [0.5f32.sqrt(), 1.0 - 0.5f32.sqrt(), 0.5] {
        x.extend((-3..4).map(|k| edge * (1.0 + k as f32 * f32::EPSILON)));
    }
    x.extend(data.uniform(2000, 1e-6, 1.0));
    x
}

#[test]
fn logarithms_of_probabilities() {
    let mut x = probabilities(&mut Data::new(1));
    x.extend([0.0, 1.0]);
    let bce = Bce {
        reduction: Reduction::None,
        ..Default::default()
    };
    let input = tensor(&x);
    for (t, log) in [(1f32, f64::ln as fn(f64) -> f64), (0.0, |p| (-p).ln_1p())] {
        let (loss, _) = run(&bce, &[&input, &tensor(&vec![t; x.len()])]);
        close(&format!("bce by {t}"), &x, &loss, |i| {
            let want = -log(f64::from(x[i])).max(-100.0);
            (want, want)
        });
    }
}

#[test]
fn logarithms_of_variances() {
    let mut x = probabilities(&mut Data::new(2));
    x.retain(|x| !x.is_subnormal()); // by which the loss divides
    x.extend([f32::MAX, 1e30, 2.0, 1.9999999, 2f32.sqrt(), 1.4142137]);
    x.extend(Data::new(3).uniform(2000, 1.0, 50.0));
    let (mean, variance) = (tensor(&vec![0.0; x.len()]), tensor(&x));
    let gaussian = GaussianNll {
        reduction: Reduction::None,
        eps: 0.0,
        ..Default::default()
    };
    let (loss, _) = run(&gaussian, &[&mean, &mean, &variance]);
    close("gaussian_nll", &x, &loss, |i| {
        let want = 0.5 * f64::from(x[i]).ln();
        (want, want.abs())
    });
}

/// exp(x) - t and log(t) - x where they nearly cancel, and where they do not.
#[test]
fn differences_of_exponentials_and_logarithms() {
    let mut data = Data::new(4);
    let mut x: Vec<f32> = data.uniform(4000, -60.0, 60.0);
    x.extend((0..400).map(|i| [79.9, -70.0][i % 2])); // nearly the last that are computed in parts; below, parts are subnormal
    let away = data.uniform(x.len(), -8.0, 0.0);
    let t: Vec<f32> = (0..x.len())
        .map(|i| {
            let off = 10f64.powf(away[i].into()) * [1.0, -0.9][i / 2 % 2];
            (f64::from(x[i]).exp() * (1.0 + off)) as f32
        })
        .collect();
    let (input, target) = (tensor(&x), tensor(&t));
    let poisson = PoissonNll {
        reduction: Reduction::None,
        ..Default::default()
    };
    let (_, grad) = run(&poisson, &[&input, &target]);
    close("poisson_nll's gradient", &x, &grad, |i| {
        let rate = f64::from(x[i]).exp();
        let want = rate - f64::from(t[i]);
        (want, want.abs() + 0.1 * rate)
    });
    let kl = KlDiv {
        reduction: Reduction::None,
        ..Default::default()
    };
    let (loss, _) = run(&kl, &[&input, &target]);
    close("kl_div", &x, &loss, |i| {
        let (x, t) = (f64::from(x[i]), f64::from(t[i]));
        let lag = t.ln() - x;
        // Where they are not near, the logarithm is rounded to an ulp of x.
        (t * lag, t * (lag.abs() + if lag.abs() < 0.45 { 0.1 } else { x.abs() }))
    });
}

/// From |x| = 80 on, exp(x) - t and log(t) - x are the plain differences.
#[test]
fn far_exponentials_and_logarithms() {
    let x = [
        80f32,
        -80.0,
        88.0,
        -88.0,
        100.0,
        -100.0,
        f32::INFINITY,
        f32::NEG_INFINITY,
    ];
    let (input, ones) = (tensor(&x), tensor(&[1.0; 8]));
    let poisson = PoissonNll {
        reduction: Reduction::None,
        ..Default::default()
    };
    let (_, grad) = run(&poisson, &[&input, &ones]);
    for (&x, got) in x.iter().zip(grad) {
        let want = f64::from(x).exp() - 1.0;
        let error = (f64::from(got) - want).abs() / want.abs();
        let allowed = (3.0 + 2.0 * f64::from(x.abs())) * f64::from(f32::EPSILON); // of WGSL's exp
        assert!(
            error <= allowed || got == want as f32,
            "{x}: {got:e} instead of {want:e}"
        );
    }
    let kl = KlDiv {
        reduction: Reduction::None,
        ..Default::default()
    };
    let (loss, _) = run(&kl, &[&input, &ones]);
    assert_eq!(loss, x.map(|x| -x));
}

/// What has no logarithm: below 0, however little, and NaN.
#[test]
fn logarithms_of_nothing() {
    let t = [-1f32, -1e-45, -f32::MIN_POSITIVE, f32::NEG_INFINITY, f32::NAN];
    let kl = KlDiv {
        reduction: Reduction::None,
        ..Default::default()
    };
    let (input, target) = (tensor(&[-1.0; 5]), tensor(&t));
    let call = Call {
        grads: vec![Role::Target],
        ..Call::new(Mode::Backward, &[&input, &target])
    };
    let values = kl.run(gpu(), &call).unwrap().read(gpu()).unwrap();
    assert!(
        values.grads[0].1.data.iter().all(|g| g.is_nan()),
        "{:?}",
        values.grads[0].1
    );
}
