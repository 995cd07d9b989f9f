use burn::nn::loss::CrossEntropyLossConfig;
use burn::tensor::{Distribution, Int, Tensor};
use wgloss_burn::{CrossEntropy, cross_entropy};

#[test]
fn first() {
    let device = wgloss_burn::device().unwrap().autodiff();
    let logits = Tensor::<2>::random([8, 10], Distribution::Normal(0.0, 2.0), &device).require_grad();
    let labels = Tensor::<1, Int>::from_data([0, 7, 4, 1, 8, 5, 2, 9], &device);
    let own = CrossEntropyLossConfig::new().init(&device).forward(logits.clone(), labels.clone());
    let grads = own.backward();
    let theirs = logits.grad(&grads).unwrap();
    let loss = cross_entropy::<1>(&logits, &labels, &CrossEntropy::default()).unwrap();
    println!("{loss} {own}");
    let ours = logits.grad(&(loss * 3.0).backward()).unwrap();
    println!("{}", (ours - theirs * 3.0).abs().max());
    println!("{:?}", wgloss_burn::faults(&device).unwrap());
}
