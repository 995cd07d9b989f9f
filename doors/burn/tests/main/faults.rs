//! Labels and values out of range: NaN in their rows, and told afterwards or by those who wait.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use burn::tensor::{Int, Tensor, TensorData};
use wgloss_burn::{
    Bce, Checks, CrossEntropy, Error, LossCall, OnNan, Options, Reduction, checked, cross_entropy, wgloss,
};

use crate::common::{Numbers, device, numbers, other_device};

#[test]
fn a_bad_label_is_nan_in_its_row_and_told_afterwards() {
    // A device that no other test computes on, so that calls can be counted.
    let Some(plain) = other_device() else { return };
    let device = plain.clone().autodiff();
    wgloss_burn::clear_faults(&device).unwrap();
    let mut random = Numbers::new(43);
    let logits = random.tensor([4, 3], &device).require_grad();
    let each = CrossEntropy {
        reduction: Reduction::None,
        ..Default::default()
    };
    for label in [1, 99, 2, -7] {
        let targets = Tensor::<1, Int>::from_data(TensorData::from([0, 2, label, 1]), &device);
        let losses = cross_entropy::<1>(&logits, &targets, &each).unwrap();
        let is_bad = !(0..3).contains(&label);
        let found = numbers(losses.clone());
        assert_eq!(
            found.iter().map(|x| x.is_nan()).collect::<Vec<_>>(),
            [false, false, is_bad, false]
        );
        let grad = numbers(logits.grad(&losses.sum().backward()).unwrap());
        assert_eq!(grad[6..9].iter().all(|x| *x == 0.0), is_bad);
        assert!(grad[..6].iter().chain(&grad[9..]).all(|x| x.is_finite() && *x != 0.0));
    }
    let found = wgloss_burn::faults(&device).unwrap().expect("99 and -7 are no classes");
    assert_eq!((found.calls, found.count, found.first_call), (2, 2, 1));
    let Error::BadLabels { first_row, value, .. } = found.first else {
        panic!("{}", found.first)
    };
    assert_eq!((first_row, value), (2, 99));
    // The device is the same with and without autodiff, and forgets when asked to.
    assert!(wgloss_burn::faults(&plain).unwrap().is_some());
    wgloss_burn::clear_faults(&plain).unwrap();
    assert!(wgloss_burn::faults(&plain).unwrap().is_none());
}

#[test]
fn checked_forms_wait_and_tell() {
    let device = device().autodiff();
    let logits = Tensor::<2>::ones([4, 3], &device).require_grad();
    let targets = Tensor::<1, Int>::from_data([0, 2, 1, 3], &device);
    let error = checked::cross_entropy::<1>(&logits, &targets, &CrossEntropy::default()).unwrap_err();
    let wanted = "target: 1 of 4 class indices out of range: the first is 3 in row 3, expected 0 to 2";
    assert!(error.to_string().starts_with(wanted), "{error}");

    let good = Tensor::<1, Int>::from_data([0, 2, 1, 1], &device);
    let loss = checked::cross_entropy::<1>(&logits, &good, &CrossEntropy::default()).unwrap();
    assert!(logits.grad(&loss.backward()).is_some());

    let probabilities = Tensor::<1>::from_data([0.5, 1.5], &device);
    let error = checked::bce::<1>(&probabilities, &probabilities, &Bce::default()).unwrap_err();
    assert!(error.to_string().contains("the first is 1.5 at [1]"), "{error}");

    let holed = Tensor::<1>::from_data([0.5, f32::NAN], &device);
    let checks = Checks {
        nan: OnNan::Error,
        ..Default::default()
    };
    let call = LossCall::of(&Bce::default())
        .input(&holed)
        .target(&probabilities)
        .checks(checks);
    let error = call.checked().run().unwrap_err();
    assert!(error.to_string().starts_with("input:"), "{error}");
}

/// Options that are right when they are looked at, and wrong when they are used: as a device that fails between.
struct Failing(Arc<AtomicU32>);

impl Options for Failing {
    fn info(&self) -> &'static wgloss::Info {
        wgloss::find("mse").unwrap()
    }

    fn make(&self) -> Arc<dyn Fn() -> Box<dyn wgloss::Loss> + Send + Sync> {
        let made = Arc::clone(&self.0);
        Arc::new(move || match made.fetch_add(1, Ordering::Relaxed) {
            0 => Box::new(wgloss::Mse::default()),
            _ => Box::new(wgloss::Huber {
                delta: -1.0,
                ..Default::default()
            }),
        })
    }

    fn tensors(&self) -> Vec<(wgloss_burn::Role, wgloss_burn::Operand)> {
        Vec::new()
    }
}

#[test]
fn what_fails_later_is_nan_and_told() {
    let device = device();
    let x = Tensor::<1>::ones([3], &device);
    let call = || LossCall::of(&Failing(Arc::default())).input(&x).target(&x);
    let loss = call().run().unwrap().loss::<1>().unwrap();
    assert!(numbers(loss)[0].is_nan());
    let error = wgloss_burn::faults(&device).unwrap_err();
    assert!(error.to_string().starts_with("delta: -1 given"), "{error}");
    let error = call().checked().run().unwrap_err();
    assert!(error.to_string().starts_with("delta: -1 given"), "{error}");
    // The device is as good as before.
    let loss = wgloss_burn::mse::<1>(&x, x.clone() * 3, &Default::default()).unwrap();
    assert_eq!(numbers(loss), [4.0]);
}
