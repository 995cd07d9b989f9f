//! Losses of single elements.

use wgloss::precision::UNIT;
use wgloss::{
    BceWithLogits, Call, GaussianNll, HingeEmbedding, Huber, KlDiv, L1, Loss, Mode, PoissonNll, Role, SigmoidFocal,
    SmoothL1,
};

use super::{INF, MAX, NAN, NONE, Trial, against, closely, column};

pub fn elements() -> Vec<Trial> {
    let mut list = Vec::new();
    // What NaN is hidden by: a maximum, a sign.
    let hinge = HingeEmbedding {
        reduction: NONE,
        ..Default::default()
    };
    let (x, t) = (
        column(&[NAN, 1.0, 0.5, 0.25, 2.0]),
        column(&[0.0, NAN, 1.0, -1.0, -1.0]),
    );
    list.push(against("hinge_embedding", hinge, vec![x, t]).trial());
    let gaussian = GaussianNll {
        reduction: NONE,
        ..Default::default()
    };
    let (x, t, v) = (column(&[0.5, 1.0]), column(&[0.25, 2.0]), column(&[NAN, 1.0]));
    list.push(against("gaussian_nll of NaN", gaussian.clone(), vec![x, t, v]).trial());
    // d^2 beyond f32, and below it.
    let (x, t, v) = (
        column(&[1e30, 1.0, 3e19]),
        column(&[0.0, 0.0, -3e19]),
        column(&[1e35, 1.0, 1e38]),
    );
    list.push(
        against("gaussian_nll, large", gaussian.clone(), vec![x, t, v])
            .grads(&[Role::Var])
            .trial(),
    );
    list.push(near_variance());
    let smooth = SmoothL1 {
        beta: 1e31,
        reduction: NONE,
    };
    let (x, t) = (column(&[1e30, INF, -5e30]), column(&[0.0, INF, 0.0]));
    list.push(against("smooth_l1", smooth, vec![x, t]).trial());
    let huber = Huber {
        reduction: NONE,
        ..Default::default()
    };
    list.push(against("huber", huber, vec![column(&[INF, 1.0]), column(&[INF, 0.5])]).trial());
    let l1 = L1 { reduction: NONE };
    list.push(against("l1", l1, vec![column(&[NAN, 1.0]), column(&[0.0, NAN])]).trial());
    let kl = |log_target| KlDiv {
        log_target,
        reduction: NONE,
    };
    let (x, t) = (column(&[-1.0, -INF, -2.0, -0.5]), column(&[-INF, -INF, -1.0, -0.25]));
    list.push(
        against("kl_div of logarithms", kl(true), vec![x, t])
            .grads(&[Role::Target])
            .trial(),
    );
    let (x, t) = (column(&[-1.0, -2.0, -INF]), column(&[0.0, 0.5, 0.0]));
    list.push(against("kl_div", kl(false), vec![x, t]).trial());
    for log_input in [false, true] {
        let poisson = PoissonNll {
            log_input,
            full: true,
            reduction: NONE,
            ..Default::default()
        };
        let x = column(&[INF, -INF, 1.0, 2.0]);
        list.push(against("poisson_nll", poisson, vec![x, column(&[2.0, 3.0, 0.0, 5.0])]).trial());
    }
    list.push(near_counts());
    list.push(large_counts());
    list.push(near_rates());
    for gamma in [2.0, 0.5] {
        let focal = SigmoidFocal {
            gamma,
            reduction: NONE,
            ..Default::default()
        };
        let (x, t) = (
            column(&[INF, -INF, INF, -INF, MAX, -MAX, 1.0, INF]),
            column(&[0.0, 1.0, 1.0, 0.0, 1.0, 0.0, 0.5, 0.5]),
        );
        list.push(
            against("sigmoid_focal", focal, vec![x, t])
                .grads(&[Role::Target])
                .trial(),
        );
    }
    // Weights and upstream gradients of 0, over what is beyond f32 of finite numbers and what is infinite.
    let (x, t) = (
        column(&[-3e38, INF, 1.0, -3e38, -INF]),
        column(&[1.0, 0.0, INF, 0.5, 1.0]),
    );
    let bce = BceWithLogits {
        pos_weight: Some(column(&[8.0])),
        reduction: NONE,
        ..Default::default()
    };
    let weighted = BceWithLogits {
        weight: Some(column(&[0.0, 0.0, 0.0, 1.0, 1.0])),
        ..bce.clone()
    };
    list.push(
        against("bce_with_logits weighted", weighted, vec![x.clone(), t.clone()])
            .grads(&[Role::Target])
            .trial(),
    );
    let upstream = column(&[0.0, 0.0, 0.0, 1.0, 0.0]);
    let of_upstream = against("bce_with_logits upstream", bce.clone(), vec![x, t]).upstream(upstream);
    list.push(of_upstream.grads(&[Role::Target]).trial());
    let infinite = BceWithLogits {
        pos_weight: Some(column(&[INF])),
        weight: Some(column(&[0.0])),
        ..bce
    };
    list.push(
        against(
            "bce_with_logits of inf",
            infinite,
            vec![column(&[1.0, -2.0]), column(&[1.0, 0.5])],
        )
        .trial(),
    );
    let (x, t, v) = (column(&[1.0, 1.0]), column(&[0.5, 0.5]), column(&[INF, 1.0]));
    let third = against("gaussian_nll upstream", gaussian, vec![x, t, v]).grads(&[Role::Var]);
    list.push(third.upstream(column(&[0.0, 0.0])).trial());
    list
}

/// Where d^2 is the variance but for its last digits, the gradient of the variance is their difference.
fn near_variance() -> Trial {
    let d: Vec<f32> = (1..40).map(|i| 1.0 + i as f32 * 0.037).collect();
    let v: Vec<f32> = d.iter().map(|d| d * d).collect();
    Trial {
        name: "gaussian_nll near the variance",
        run: Box::new(move |engine| {
            let loss = GaussianNll {
                reduction: NONE,
                ..Default::default()
            };
            let tensors = [column(&d), column(&vec![0.0; d.len()]), column(&v)];
            let call = Call {
                grads: vec![Role::Var],
                ..Call::new(Mode::Fused, &tensors.iter().collect::<Vec<_>>())
            };
            let got = loss.run(engine, &call).unwrap().read(engine).unwrap();
            let got = &got.grad(Role::Var).unwrap().data;
            let want = |(&d, &v): (&f32, &f32)| {
                let (d, v) = (f64::from(d), f64::from(v));
                0.5 * (v - d * d) / v / v
            };
            closely("gradient of the variance", 0.05, got, d.iter().zip(&v).map(want))
        }),
    }
}

/// Where the rate is the count but for its last digits, exp(x) - t is what f32 has of it.
fn near_rates() -> Trial {
    let x: Vec<f32> = (0..40).map(|i| 0.3 + i as f32 * 0.171).collect();
    let t: Vec<f32> = x.iter().map(|x| f64::from(*x).exp() as f32).collect();
    Trial {
        name: "poisson_nll near the rate",
        run: Box::new(move |engine| {
            let (x_in, t_in) = (column(&x), column(&t));
            let loss = PoissonNll {
                reduction: NONE,
                ..Default::default()
            };
            let call = Call::new(Mode::Fused, &[&x_in, &t_in]);
            let got = loss.run(engine, &call).unwrap().read(engine).unwrap();
            let want = x.iter().zip(&t).map(|(&x, &t)| f64::from(x).exp() - f64::from(t));
            // By an ulp of the rate, rounding it once would be half of one off.
            let got = got.grad_input.unwrap().data;
            let apart = |((&got, want), &t): ((&f32, f64), &f32)| {
                let off = (f64::from(got) - want).abs() / (UNIT * f64::from(t));
                (off > 0.5).then(|| format!("exp(x) - {t}: {got:e} instead of {want:e}"))
            };
            got.iter().zip(want).zip(&t).filter_map(apart).collect()
        }),
    }
}

/// Large counts near their rate, with Stirling's term.
fn near_counts() -> Trial {
    let t: Vec<f32> = (1..9).map(|i| 1e6 * i as f32 + 1.0).collect();
    let x: Vec<f32> = t.iter().map(|t| t + 0.5).collect();
    counts("poisson_nll near large counts", x, t, 0.3)
}

/// Halves of counts and rates whose sum is beyond f32.
fn large_counts() -> Trial {
    counts(
        "poisson_nll of the largest counts",
        vec![2.5e38, 3e38],
        vec![3e38, 2.6e38],
        1e-8,
    )
}

fn counts(name: &'static str, x: Vec<f32>, t: Vec<f32>, eps: f32) -> Trial {
    Trial {
        name,
        run: Box::new(move |engine| {
            let loss = PoissonNll {
                log_input: false,
                full: true,
                eps: eps.into(),
                reduction: NONE,
            };
            let tensors = [column(&x), column(&t)];
            let call = Call {
                grads: vec![Role::Target],
                ..Call::new(Mode::Fused, &tensors.iter().collect::<Vec<_>>())
            };
            let got = loss.run(engine, &call).unwrap().read(engine).unwrap();
            let pairs = || {
                x.iter()
                    .zip(&t)
                    .map(|(&x, &t)| (f64::from(x) + f64::from(eps), f64::from(t)))
            };
            let slopes = pairs().map(|(x, t)| (t / x).ln() + 0.5 / t);
            let slopes = closely(
                "gradient of the count",
                1e-4,
                &got.grad(Role::Target).unwrap().data,
                slopes,
            );
            let eps = f64::from(eps);
            let losses =
                pairs().map(move |(x, t)| (x - eps - t) + t * (t / x).ln() + 0.5 * (std::f64::consts::TAU * t).ln());
            slopes
                .into_iter()
                .chain(closely("loss", 1e-4, &got.loss.unwrap().data, losses))
                .collect()
        }),
    }
}
