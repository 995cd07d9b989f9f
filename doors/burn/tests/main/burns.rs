//! Where burn has the loss, ours is burn's: the value, and the gradient through autodiff after an upstream factor.

use burn::nn::loss::*;
use burn::tensor::activation;
use burn::tensor::{Bool, Int, Tensor, TensorData};
use wgloss_burn::{CrossEntropy, Mse, wgloss};

use crate::common::{Numbers, device, farthest, near, numbers};

const SHAPE: [usize; 2] = [16, 12];

type Ours = Box<dyn Fn(&Tensor<2>) -> wgloss::Result<Tensor<1>>>;
type Burns = Box<dyn Fn(Tensor<2>) -> Tensor<1>>;

#[test]
fn losses_are_burns_own() {
    let device = device().autodiff();
    let mut random = Numbers::new(3);
    let other = random.tensor(SHAPE, &device);
    let labels = Tensor::<1, Int>::from_data(TensorData::from(&random.classes(16, 12)[..]), &device);
    let signs = other.clone().greater_elem(0.0).int() * 2 - 1;
    let row_signs = signs.clone().slice([0..16, 0..1]).reshape([16]);
    let mask: Tensor<2, Bool> = other.clone().greater_elem(0.3);
    let probabilities = activation::softmax(other.clone(), 1);
    let variance = other.clone().abs() + 0.1;

    // Each with clones of its own: burn's losses take what they are given.
    let mut cases: Vec<(&str, Ours, Burns)> = Vec::new();
    macro_rules! case {
        ($name:literal, [$($own:ident),*], $ours:expr, $burns:expr) => {{
            let ours: Ours = {
                $(let $own = $own.clone();)*
                Box::new(move |x| $ours(x, $(&$own),*))
            };
            let burns: Burns = {
                $(let $own = $own.clone();)*
                Box::new(move |x| $burns(x, $($own.clone()),*))
            };
            cases.push(($name, ours, burns));
        }};
    }
    case!(
        "l1",
        [other],
        |x: &Tensor<2>, t| wgloss_burn::l1(x, t, &Default::default()),
        |x, t| LpLossConfig::l1().forward(x, t, Reduction::Mean)
    );
    case!(
        "mse",
        [other],
        |x: &Tensor<2>, t| wgloss_burn::mse(x, t, &Default::default()),
        |x, t| MseLoss::new().forward(x, t, Reduction::Mean)
    );
    case!(
        "huber",
        [other],
        |x: &Tensor<2>, t| wgloss_burn::huber(
            x,
            t,
            &wgloss_burn::Huber {
                delta: 0.5,
                ..Default::default()
            }
        ),
        |x, t| HuberLossConfig::new(0.5).init().forward(x, t, Reduction::Mean)
    );
    case!(
        "smooth_l1",
        [other],
        |x: &Tensor<2>, t| wgloss_burn::smooth_l1(x, t, &Default::default()),
        |x, t| SmoothL1LossConfig::new()
            .init()
            .forward_with_reduction(x, t, Reduction::Mean)
    );
    case!(
        "gaussian_nll",
        [other, variance],
        |x: &Tensor<2>, t, v| wgloss_burn::gaussian_nll(x, t, v, &Default::default()),
        |x, t, v| GaussianNLLLossConfig::new().init().forward(x, t, v, Reduction::Mean)
    );
    case!(
        "poisson_nll",
        [variance],
        |x: &Tensor<2>, t| wgloss_burn::poisson_nll(x, t, &Default::default()),
        |x, t| PoissonNllLossConfig::new().init().forward(x, t, Reduction::Mean)
    );
    case!(
        "kl_div",
        [probabilities],
        |x: &Tensor<2>, t| wgloss_burn::kl_div(
            x,
            t,
            &wgloss_burn::KlDiv {
                reduction: wgloss::Reduction::BatchMean,
                ..Default::default()
            }
        ),
        |x, t| KLDivLossConfig::new().init().forward(x, t, Reduction::BatchMean)
    );
    case!(
        "bce_with_logits",
        [mask],
        |x: &Tensor<2>, t| wgloss_burn::bce_with_logits(x, t, &Default::default()),
        |x: Tensor<2>, t: Tensor<2, Bool>| BinaryCrossEntropyLossConfig::new()
            .with_logits(true)
            .init(&x.device())
            .forward(x, t.int())
    );
    case!(
        "cross_entropy",
        [labels],
        |x: &Tensor<2>, t| wgloss_burn::cross_entropy(x, t, &Default::default()),
        |x: Tensor<2>, t| CrossEntropyLossConfig::new().init(&x.device()).forward(x, t)
    );
    case!(
        "cross_entropy, smoothed",
        [labels],
        |x: &Tensor<2>, t| wgloss_burn::cross_entropy(
            x,
            t,
            &CrossEntropy {
                label_smoothing: 0.1,
                ..Default::default()
            }
        ),
        |x: Tensor<2>, t| CrossEntropyLossConfig::new()
            .with_smoothing(Some(0.1))
            .init(&x.device())
            .forward(x, t)
    );
    case!(
        "hinge_embedding",
        [signs],
        |x: &Tensor<2>, t| wgloss_burn::hinge_embedding(x, t, &Default::default()),
        |x, t: Tensor<2, Int>| HingeEmbeddingLossConfig::new()
            .init()
            .forward(x, t.float(), Reduction::Mean)
    );
    case!(
        "soft_margin",
        [signs],
        |x: &Tensor<2>, t| wgloss_burn::soft_margin(x, t, &Default::default()),
        |x, t: Tensor<2, Int>| SoftMarginLoss::new().forward(x, t.float(), Reduction::Mean)
    );
    case!(
        "margin_ranking",
        [other, signs],
        |x: &Tensor<2>, o, t| wgloss_burn::margin_ranking(
            x,
            o,
            t,
            &wgloss_burn::MarginRanking {
                margin: 0.2,
                ..Default::default()
            }
        ),
        |x, o, t: Tensor<2, Int>| MarginRankingLossConfig::new().with_margin(0.2).init().forward(
            x,
            o,
            t.float(),
            Reduction::Mean
        )
    );
    case!(
        "multi_margin",
        [labels],
        |x: &Tensor<2>, t| wgloss_burn::multi_margin(x, t, &Default::default()),
        |x, t| MultiMarginLossConfig::new().init().forward(x, t, Reduction::Mean)
    );
    case!(
        "cosine_embedding",
        [other, row_signs],
        |x: &Tensor<2>, o, t| wgloss_burn::cosine_embedding(x, o, t, &Default::default()),
        |x, o, t| CosineEmbeddingLossConfig::new().init().forward(x, o, t)
    );
    case!(
        "triplet_margin",
        [other, variance],
        |x: &Tensor<2>, p, n| wgloss_burn::triplet_margin(x, p, n, &Default::default()),
        |x, p, n| TripletMarginLossConfig::new().init().forward(x, p, n, Reduction::Mean)
    );

    for (name, ours, burns) in cases {
        let input = random.tensor(SHAPE, &device).require_grad();
        let (own, theirs) = (ours(&input).unwrap(), burns(input.clone()));
        let (a, b) = (numbers(own.clone()), numbers(theirs.clone()));
        near(name, &a, &b, 1e-5);
        let grad = |loss: Tensor<1>| numbers(input.grad(&(loss * 3.0).backward()).unwrap());
        let (a, b) = (grad(own), grad(theirs));
        println!("{name}: gradients differ by {:e}", farthest(&a, &b));
        near(name, &a, &b, 1e-5);
    }
}

#[test]
fn functions_are_burns_own() {
    let device = device().autodiff();
    let mut random = Numbers::new(5);
    type Function = fn(Tensor<2>) -> Tensor<2>;
    let cases: [(&str, Function, Function); 4] = [
        (
            "softmax",
            |x| wgloss_burn::softmax(x, &Default::default()).unwrap(),
            |x| activation::softmax(x, 1),
        ),
        (
            "log_softmax",
            |x| wgloss_burn::log_softmax(x, &Default::default()).unwrap(),
            |x| activation::log_softmax(x, 1),
        ),
        (
            "sigmoid",
            |x| wgloss_burn::sigmoid(x, &Default::default()).unwrap(),
            activation::sigmoid,
        ),
        (
            "log_sigmoid",
            |x| wgloss_burn::log_sigmoid(x, &Default::default()).unwrap(),
            activation::log_sigmoid,
        ),
    ];
    for (name, ours, burns) in cases {
        let input = random.tensor(SHAPE, &device).require_grad();
        let weights = random.tensor(SHAPE, &device);
        let (own, theirs) = (ours(input.clone()), burns(input.clone()));
        near(name, &numbers(own.clone()), &numbers(theirs.clone()), 1e-5);
        // An upstream gradient for each element.
        let grad = |x: Tensor<2>| numbers(input.grad(&(x * weights.clone()).sum().backward()).unwrap());
        near(name, &grad(own), &grad(theirs), 1e-5);
    }
}

#[test]
fn both_tensors_of_a_loss_get_their_gradient() {
    let device = device().autodiff();
    let mut random = Numbers::new(9);
    let a = random.tensor(SHAPE, &device).require_grad();
    let b = random.tensor([1, 12], &device).require_grad();
    let own = wgloss_burn::mse::<1>(&a, &b, &Mse::default()).unwrap().backward();
    let theirs = (a.clone() - b.clone()).square().mean().backward();
    for tensor in [&a, &b] {
        let grads = [&own, &theirs].map(|grads| numbers(tensor.grad(grads).unwrap()));
        near("mse", &grads[0], &grads[1], 1e-6);
    }
    // One tensor in two places has the sum of both.
    let loss = wgloss_burn::bce_with_logits::<1>(&a, &a, &Default::default()).unwrap();
    let x = a.clone();
    let theirs = ((x.clone().exp() + 1.0).log() - x.square()).mean();
    let grads = [loss, theirs].map(|loss| numbers(a.grad(&loss.backward()).unwrap()));
    near("bce", &grads[0], &grads[1], 1e-5);
    // One of them alone, and neither.
    let constant = random.tensor(SHAPE, &device);
    let own = wgloss_burn::mse::<1>(&constant, &b, &Mse::default())
        .unwrap()
        .backward();
    let theirs = (constant.clone() - b.clone()).square().mean().backward();
    near(
        "mse",
        &numbers(b.grad(&own).unwrap()),
        &numbers(b.grad(&theirs).unwrap()),
        1e-6,
    );
    assert!(
        !wgloss_burn::mse::<1>(&constant, &constant, &Mse::default())
            .unwrap()
            .is_require_grad()
    );
}
