//! Trains a small network with burn's own cross-entropy and with ours, prints both curves, and times both losses in one
//! run: `cargo run --release --example train -- [ROWS CLASSES]`.

use std::time::{Duration, Instant};

use burn::module::Module;
use burn::nn::loss::CrossEntropyLossConfig;
use burn::nn::{Linear, LinearConfig};
use burn::optim::{AdamConfig, GradientsParams};
use burn::tensor::{Device, Distribution, Int, Tensor, activation};
use wgloss_burn::{CrossEntropy, cross_entropy};

#[derive(Module, Debug)]
struct Network {
    hidden: Linear,
    output: Linear,
}

impl Network {
    fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        self.output.forward(activation::relu(self.hidden.forward(x)))
    }
}

/// The loss of each step.
fn train(start: &Network, x: &Tensor<2>, labels: &Tensor<1, Int>, ours: bool) -> wgloss_burn::Result<Vec<f32>> {
    let (mut network, mut optimizer) = (start.clone(), AdamConfig::new().init());
    let mut curve = Vec::new();
    for _ in 0..50 {
        let logits = network.forward(x.clone());
        let loss = loss(logits, labels, ours)?;
        curve.push(loss.clone());
        let grads = GradientsParams::from_grads(loss.backward(), &network);
        network = optimizer.step(1e-2, network, grads);
    }
    Ok(curve.into_iter().map(|loss| loss.into_scalar::<f32>()).collect())
}

fn loss(logits: Tensor<2>, labels: &Tensor<1, Int>, ours: bool) -> wgloss_burn::Result<Tensor<1>> {
    match ours {
        true => cross_entropy(logits, labels, &CrossEntropy::default()),
        false => Ok(CrossEntropyLossConfig::new()
            .init(&logits.device())
            .forward(logits, labels.clone())),
    }
}

/// The time of a loss with its gradient, the two of them in turns.
fn times(device: &Device, rows: usize, classes: usize) -> Result<[Duration; 2], Box<dyn std::error::Error>> {
    let logits = Tensor::<2>::random([rows, classes], Distribution::Normal(0.0, 2.0), device).require_grad();
    let labels = Tensor::<1, Int>::arange(0..rows as i64, device).remainder_scalar(classes as i64);
    let mut best = [Duration::MAX; 2];
    for round in 0..20 {
        for (ours, best) in [true, false].into_iter().zip(&mut best) {
            device.sync()?;
            let begun = Instant::now();
            let grads = loss(logits.clone(), &labels, ours)?.backward();
            let _grad = logits.grad(&grads);
            device.sync()?;
            if round > 2 {
                *best = begun.elapsed().min(*best);
            }
        }
    }
    Ok(best)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let device = wgloss_burn::device()?.autodiff();
    let x = Tensor::<2>::random([256, 16], Distribution::Normal(0.0, 1.0), &device);
    let labels = x.clone().slice([0..256, 0..10]).argmax(1).reshape([256]);
    let start = Network {
        hidden: LinearConfig::new(16, 64).init(&device),
        output: LinearConfig::new(64, 10).init(&device),
    };
    let (ours, burns) = (train(&start, &x, &labels, true)?, train(&start, &x, &labels, false)?);
    println!("step    ours   burn's");
    for step in (0..50).step_by(7) {
        println!("{step:4}  {:.4}   {:.4}", ours[step], burns[step]);
    }

    let sizes: Vec<usize> = std::env::args()
        .skip(1)
        .map(|word| word.parse())
        .collect::<Result<_, _>>()?;
    let shapes = match sizes[..] {
        [rows, classes] => vec![(rows, classes)],
        _ => vec![(256, 10), (1024, 1000), (512, 32768)],
    };
    println!("\n  rows  classes      ours    burn's  (loss and gradient, the best of 17)");
    for (rows, classes) in shapes {
        let [ours, burns] = times(&device, rows, classes)?;
        println!("{rows:6}  {classes:7}  {:>8.2?}  {:>8.2?}", ours, burns);
    }
    Ok(())
}
