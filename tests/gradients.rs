//! The reference's gradients against central differences of its own loss, in f64.

use wgloss::{BceWithLogits, Call, CrossEntropy, Loss, Mode, Reduction, SigmoidFocal, Tensor, reference};

use crate::common::data::Data;

const STEP: f32 = 1.0 / 128.0;

/// Moves one element of `data` by ±STEP and compares the slope of `loss` with `gradient`. The inputs are multiples of
/// 1/64, so that moved ones are exact in f32; the error of the difference is the third derivative's.
fn check(what: &str, data: &[f32], gradient: &[f64], mut loss: impl FnMut(&[f32]) -> f64) {
    let largest = gradient.iter().fold(0.0f64, |m, g| m.max(g.abs()));
    assert!(largest > 1e-3, "{what}: gradients of nothing");
    for i in 0..data.len() {
        let mut moved = data.to_vec();
        moved[i] = data[i] + STEP;
        let above = loss(&moved);
        moved[i] = data[i] - STEP;
        let slope = (above - loss(&moved)) / (2.0 * f64::from(STEP));
        assert!(
            (slope - gradient[i]).abs() < 1e-4 * largest,
            "{what} [{i}]: {slope} by difference, {}",
            gradient[i]
        );
    }
}

fn coarse(data: Vec<f32>) -> Vec<f32> {
    data.iter()
        .map(|x| (x.clamp(-4.0, 4.0) * 64.0).round() / 64.0)
        .collect()
}

/// Checks the gradient of the input, and of the target where it has one.
fn check_loss(loss: &dyn Loss, input: (&[f32], &[usize]), target: &Tensor, grad_target: bool) {
    let what = format!("{loss:?}").chars().take(120).collect::<String>();
    let run = |x: &[f32], target: &Tensor, mode| {
        let x = Tensor::new(x, input.1).unwrap();
        let call = Call {
            grad_target: grad_target && mode == Mode::Fused,
            ..Call::new(mode, &x, target)
        };
        reference::run(loss, &call).unwrap()
    };
    let results = run(input.0, target, Mode::Fused);
    // A sum over the losses of reduction none has the gradient of an upstream of ones.
    let total = |loss: &[f64]| loss.iter().sum::<f64>();
    check(&what, input.0, &results.grad_input, |x| {
        total(&run(x, target, Mode::Forward).loss)
    });
    if grad_target {
        let p = target.as_slice::<f32>().unwrap();
        check(&what, p, &results.grad_target, |p| {
            total(&run(input.0, &Tensor::new(p, target.shape()).unwrap(), Mode::Forward).loss)
        });
    }
}

#[test]
fn cross_entropy() {
    let mut data = Data::new(1);
    let (x, shape) = (coarse(data.logits(30)), [3, 5, 2]);
    let classes = Tensor::new(&data.labels(6, 5, Some(-100)), &[3, 2]).unwrap();
    let p = Tensor::new(&coarse(data.uniform(30, 0.0, 1.0)), &shape).unwrap();
    let weight = Tensor::new(&data.uniform(5, 0.2, 2.0), &[5]).unwrap();
    for reduction in Reduction::ALL {
        for label_smoothing in [0.0, 0.25] {
            for weight in [None, Some(weight.clone())] {
                let loss = CrossEntropy {
                    weight,
                    label_smoothing,
                    reduction,
                    ..Default::default()
                };
                check_loss(&loss, (&x, &shape), &classes, false);
                check_loss(&loss, (&x, &shape), &p, true);
            }
        }
    }
}

#[test]
fn bce_with_logits() {
    let mut data = Data::new(2);
    let (x, t) = (
        coarse(data.logits(12)),
        Tensor::new(&data.targets(12), &[4, 3]).unwrap(),
    );
    let factor = |data: &mut Data, shape: &[usize]| Tensor::new(&data.uniform(3, 0.2, 2.0), shape).unwrap();
    for reduction in Reduction::ALL {
        let loss = BceWithLogits {
            weight: Some(factor(&mut data, &[1, 3])),
            pos_weight: Some(factor(&mut data, &[3])),
            reduction,
        };
        check_loss(&loss, (&x, &[4, 3]), &t, false);
    }
}

#[test]
fn sigmoid_focal() {
    let mut data = Data::new(3);
    let (x, t) = (coarse(data.logits(12)), Tensor::new(&data.targets(12), &[12]).unwrap());
    for alpha in [-1.0, 0.25] {
        for gamma in [0.0, 0.5, 1.0, 2.0, 5.0] {
            check_loss(
                &SigmoidFocal {
                    alpha,
                    gamma,
                    reduction: Reduction::Sum,
                },
                (&x, &[12]),
                &t,
                false,
            );
        }
    }
}

/// The check notices a wrong gradient.
#[test]
#[should_panic(expected = "by difference")]
fn a_wrong_gradient_is_noticed() {
    check("square", &[1.0], &[2.1], |x| f64::from(x[0]).powi(2));
}
