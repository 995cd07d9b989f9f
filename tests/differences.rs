//! The differences from PyTorch that no case of the corpus shows, on the GPU and on the reference;
//! `tests/golden/deviations.json` lists them.

use wgloss::{
    Call, CrossEntropy, Engine, HingeEmbedding, KlDiv, Loss, Mode, MultiMargin, PoissonNll, Reduction, Role,
    SoftMargin, Tensor, Values,
};

use crate::common::gpu;

fn tensor(data: &[f32]) -> Tensor {
    Tensor::new(data, &[data.len()]).unwrap()
}

/// Loss and gradients, that of the target where `grads` says so, on both engines, which must agree on what is finite.
fn both(loss: &dyn Loss, tensors: &[&Tensor], grads: &[Role], look: impl Fn(&Values)) {
    for engine in [gpu(), &Engine::cpu()] {
        let call = Call {
            grads: grads.to_vec(),
            ..Call::new(Mode::Fused, tensors)
        };
        look(&loss.run(engine, &call).unwrap().read(engine).unwrap());
    }
}

fn loss_of(values: &Values) -> &[f32] {
    &values.loss.as_ref().unwrap().data
}

fn grad_of(values: &Values) -> &[f32] {
    &values.grad_input.as_ref().unwrap().data
}

#[test]
fn kl_div_of_nothing_is_nothing() {
    let reduction = Reduction::None;
    let loss = KlDiv {
        reduction,
        ..Default::default()
    };
    let (x, p) = (tensor(&[f32::NEG_INFINITY, -1.0]), tensor(&[0.0, 0.0]));
    both(&loss, &[&x, &p], &[Role::Target], |values| {
        assert_eq!(loss_of(values), [0.0, 0.0]);
        assert_eq!(values.grad(Role::Target).unwrap().data[1], f32::NEG_INFINITY);
    });
    let loss = KlDiv {
        log_target: true,
        reduction,
    };
    let log_p = tensor(&[f32::NEG_INFINITY, f32::NEG_INFINITY]);
    both(&loss, &[&tensor(&[-1.0, -2.0]), &log_p], &[], |values| {
        assert_eq!(loss_of(values), [0.0, 0.0]);
        assert!(grad_of(values).iter().all(|&g| g == 0.0));
    });
}

#[test]
fn poisson_full_has_a_gradient_at_a_target_of_0() {
    let loss = PoissonNll {
        full: true,
        reduction: Reduction::None,
        ..Default::default()
    };
    both(&loss, &[&tensor(&[0.5]), &tensor(&[0.0])], &[Role::Target], |values| {
        assert_eq!(values.grad(Role::Target).unwrap().data, [-0.5]);
    });
}

#[test]
fn soft_margin_does_not_overflow() {
    let loss = SoftMargin {
        reduction: Reduction::None,
    };
    both(
        &loss,
        &[&tensor(&[-200.0, -1e4]), &tensor(&[1.0, 1.0])],
        &[],
        |values| {
            assert_eq!(loss_of(values), [200.0, 1e4]);
            assert_eq!(grad_of(values), [-1.0, -1.0]);
        },
    );
}

#[test]
fn nan_in_is_nan_out() {
    let hinge = HingeEmbedding {
        reduction: Reduction::None,
        ..Default::default()
    };
    both(&hinge, &[&tensor(&[1.0]), &tensor(&[f32::NAN])], &[], |values| {
        assert!(loss_of(values)[0].is_nan());
    });
    let margin = MultiMargin {
        reduction: Reduction::Sum,
        ..Default::default()
    };
    let (x, t) = (
        Tensor::new(&[0.0, f32::NAN], &[1, 2]).unwrap(),
        Tensor::new(&[0i64], &[1]).unwrap(),
    );
    both(&margin, &[&x, &t], &[], |values| {
        assert!(loss_of(values)[0].is_nan() && grad_of(values).iter().all(|g| g.is_nan()));
    });
}

/// It has a probability there.
#[test]
fn a_soft_cap_takes_a_logit_of_minus_infinity_to_the_cap() {
    let loss = CrossEntropy {
        softcap: 2.0,
        ..Default::default()
    };
    let x = Tensor::new(&[0.0, f32::NEG_INFINITY], &[1, 2]).unwrap();
    both(&loss, &[&x, &Tensor::new(&[1i64], &[1]).unwrap()], &[], |values| {
        assert!((loss_of(values)[0] - 2.126_928).abs() < 1e-5);
    });
}
