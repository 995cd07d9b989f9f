//! Options where burn has none, statistics, and calls without autodiff.

use burn::tensor::{Int, Tensor, TensorData, activation};
use wgloss_burn::{
    CrossEntropy, GaussianNll, LossCall, OnEmpty, Reduce, ReduceOp, Reduction, Role, Stats, cross_entropy,
};

use crate::common::{Numbers, device, near, numbers};

#[test]
fn options_that_burn_has_not() {
    let device = device().autodiff();
    let mut random = Numbers::new(23);
    let logits = random.tensor([6, 4], &device).require_grad();
    let classes = [0, 3, -100, 1, 2, 3];
    let targets = Tensor::<1, Int>::from_data(TensorData::from(classes), &device);
    let weight = random.tensor([4], &device).abs() + 0.5;
    let sample_weight = random.tensor([6], &device).abs();
    let options = CrossEntropy {
        weight: Some(weight.clone().into()),
        sample_weight: Some(sample_weight.clone().into()),
        label_smoothing: 0.2,
        z_loss: 1e-2,
        softcap: 3.0,
        ..Default::default()
    };
    let own = cross_entropy::<1>(&logits, &targets, &options).unwrap();

    // By hand, of burn's operations.
    let x = (logits.clone() / 3.0).tanh() * 3.0;
    let log_p = activation::log_softmax(x.clone(), 1);
    let lse = (x - log_p.clone()).slice([0..6, 0..1]).reshape([6]);
    let kept = Tensor::<1>::from_data([1.0, 1.0, 0.0, 1.0, 1.0, 1.0], &device);
    let class = targets.clone().clamp(0, 3);
    let hot = class.clone().one_hot::<2>(4).float();
    let rows = kept * sample_weight;
    let weights = weight.clone().reshape([1, 4]);
    let b = (hot.clone() * 0.8 + 0.05) * weights.clone();
    let losses = -(b * log_p).sum_dim(1).reshape([6]) * rows.clone();
    let of_class = (hot * weights).sum_dim(1).reshape([6]);
    let z_loss = (lse.square() * rows.clone()).sum() / rows.clone().sum() * 1e-2;
    let theirs = losses.sum() / (rows * of_class).sum() + z_loss;
    near("all options", &numbers(own.clone()), &numbers(theirs.clone()), 1e-5);
    let grads = [own, theirs].map(|loss| numbers(logits.grad(&loss.backward()).unwrap()));
    near("all options", &grads[0], &grads[1], 1e-5);
}

#[test]
fn soft_targets_have_a_gradient_too() {
    let device = device().autodiff();
    let mut random = Numbers::new(29);
    let logits = random.tensor([5, 4], &device).require_grad();
    let target = activation::softmax(random.tensor([5, 4], &device), 1).require_grad();
    let own = cross_entropy::<1>(&logits, &target, &CrossEntropy::default())
        .unwrap()
        .backward();
    let theirs = -(target.clone() * activation::log_softmax(logits.clone(), 1)).sum() / 5.0;
    let theirs = theirs.backward();
    for tensor in [&logits, &target] {
        let grads = [&own, &theirs].map(|grads| numbers(tensor.grad(grads).unwrap()));
        near("soft targets", &grads[0], &grads[1], 1e-6);
    }
}

#[test]
fn statistics_come_with_the_loss() {
    let device = device().autodiff();
    let mut random = Numbers::new(31);
    let logits = random.tensor([6, 4], &device).require_grad();
    let classes = random.classes(6, 4);
    let targets = Tensor::<1, Int>::from_data(TensorData::from(&classes[..]), &device);
    let stats = Stats {
        lse: true,
        argmax: true,
        entropy: true,
        accuracy: true,
        z_loss: true,
    };
    let options = CrossEntropy {
        z_loss: 1e-3,
        ..Default::default()
    };
    let outputs = LossCall::of(&options)
        .input(&logits)
        .target(&targets)
        .stats(stats)
        .run()
        .unwrap();
    let log_p = activation::log_softmax(logits.clone(), 1);
    let lse = (logits.clone() - log_p.clone()).slice([0..6, 0..1]).reshape([6]);
    near(
        "lse",
        &numbers(outputs.lse::<1>().unwrap()),
        &numbers(lse.clone()),
        1e-5,
    );
    let entropy = -(log_p.clone().exp() * log_p).sum_dim(1).reshape::<1, _>([6]);
    near(
        "entropy",
        &numbers(outputs.entropy::<1>().unwrap()),
        &numbers(entropy),
        1e-5,
    );
    let z_loss = lse.square().mean() * 1e-3;
    near(
        "z_loss",
        &numbers(outputs.z_loss::<1>().unwrap()),
        &numbers(z_loss),
        1e-6,
    );
    let argmax: Vec<i64> = outputs.argmax::<1>().unwrap().into_data().iter().collect();
    let burns: Vec<i64> = logits.clone().argmax(1).into_data().iter().collect();
    assert_eq!(argmax, burns);
    let correct: Vec<i64> = outputs.correct().unwrap().into_data().iter().collect();
    let right = argmax
        .iter()
        .zip(&classes)
        .filter(|(a, b)| **a == i64::from(**b))
        .count();
    assert_eq!(correct, [right as i64]);
    let loss = outputs.loss::<1>().unwrap();
    assert!(
        logits.grad(&loss.backward()).is_some(),
        "the loss is tracked beside its statistics"
    );
    assert!(
        outputs
            .loss::<2>()
            .unwrap_err()
            .to_string()
            .contains("rank 2 is asked for")
    );
}

#[test]
fn loss_and_gradients_in_one_pass() {
    let device = device();
    let mut random = Numbers::new(37);
    let [input, target, variance] = [(); 3].map(|()| random.tensor([4, 5], &device));
    let variance = variance.abs() + 0.2;
    let upstream = Tensor::<1>::from_data([2.0], &device);
    let outputs = LossCall::of(&GaussianNll::default())
        .input(&input)
        .target(&target)
        .var(&variance)
        .fused()
        .grad_of(Role::Target)
        .grad_of(Role::Var)
        .grad_output(&upstream)
        .run()
        .unwrap();

    let tracked = [input, target, variance].map(|own| Tensor::<2>::from_inner(own).require_grad());
    let [input, target, variance] = &tracked;
    let loss = wgloss_burn::gaussian_nll::<1>(input, target, variance, &GaussianNll::default()).unwrap();
    near(
        "loss",
        &numbers(outputs.loss::<1>().unwrap()),
        &numbers(loss.clone()),
        0.0,
    );
    let grads = (loss * 2.0).backward();
    for (role, tensor) in [Role::Input, Role::Target, Role::Var].into_iter().zip(&tracked) {
        let own = numbers(outputs.grad::<2>(role).unwrap());
        near(role.name(), &own, &numbers(tensor.grad(&grads).unwrap()), 1e-6);
    }
    assert!(outputs.lse::<1>().is_err(), "not asked for");

    // One number for the losses of all rows.
    let each = GaussianNll {
        reduction: Reduction::Sum,
        ..Default::default()
    };
    let none = GaussianNll {
        reduction: Reduction::None,
        ..Default::default()
    };
    let grads = [each, none].map(|options| {
        let call = LossCall::of(&options)
            .input(input.clone().inner())
            .target(target.clone().inner());
        let call = call.var(variance.clone().inner()).backward().grad_output(&upstream);
        numbers(call.run().unwrap().grad::<2>(Role::Input).unwrap())
    });
    near("one upstream gradient", &grads[0], &grads[1], 0.0);
}

#[test]
fn reductions() {
    let device = device().autodiff();
    let mut random = Numbers::new(41);
    let x = random.tensor([4, 3, 5], &device).require_grad();
    let options = Reduce {
        op: ReduceOp::LogSumExp,
        dim: vec![1],
        ..Default::default()
    };
    let own: Tensor<2> = wgloss_burn::reduce(&x, &options).unwrap();
    let theirs = x.clone().exp().sum_dim(1).log().squeeze_dim::<2>(1);
    near("logsumexp", &numbers(own.clone()), &numbers(theirs.clone()), 1e-5);
    let grads = [own, theirs].map(|y| numbers(x.grad(&y.square().sum().backward()).unwrap()));
    near("logsumexp", &grads[0], &grads[1], 1e-5);

    let places: Tensor<2, Int> = wgloss_burn::argmax(
        &x,
        &Reduce {
            dim: vec![2],
            ..Default::default()
        },
    )
    .unwrap();
    let places: Vec<i64> = places.into_data().iter().collect();
    let burns: Vec<i64> = x.clone().argmax(2).into_data().iter().collect();
    assert_eq!(places, burns);
    let sum: Tensor<1> = wgloss_burn::reduce(&x, &Reduce::default()).unwrap();
    near("sum", &numbers(sum), &numbers(x.sum()), 1e-5);
}

#[test]
fn the_mean_of_nothing() {
    let device = device();
    let logits = Tensor::<2>::ones([3, 4], &device);
    let ignored = Tensor::<1, Int>::from_data([-100, -100, -100], &device);
    let zero = CrossEntropy {
        on_empty: OnEmpty::Zero,
        ..Default::default()
    };
    assert_eq!(numbers(cross_entropy::<1>(&logits, &ignored, &zero).unwrap()), [0.0]);
    let sum = CrossEntropy {
        reduction: Reduction::Sum,
        ..Default::default()
    };
    assert_eq!(numbers(cross_entropy::<1>(&logits, &ignored, &sum).unwrap()), [0.0]);
}
