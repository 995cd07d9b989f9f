//! A network trained with burn's own loss and with ours has the same curve.

use burn::module::Module;
use burn::nn::loss::CrossEntropyLossConfig;
use burn::nn::{Linear, LinearConfig};
use burn::optim::{AdamConfig, GradientsParams};
use burn::tensor::{Device, Int, Tensor, activation};
use wgloss_burn::{CrossEntropy, cross_entropy};

use crate::common::{Numbers, device, near};

#[derive(Module, Debug)]
struct Network {
    hidden: Linear,
    output: Linear,
}

impl Network {
    fn new(device: &Device) -> Self {
        Self {
            hidden: LinearConfig::new(8, 32).init(device),
            output: LinearConfig::new(32, 5).init(device),
        }
    }

    fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        self.output.forward(activation::relu(self.hidden.forward(x)))
    }
}

#[test]
fn the_curve_is_burns() {
    let device = device().autodiff();
    let mut random = Numbers::new(59);
    let x = random.tensor([64, 8], &device);
    let labels: Tensor<1, Int> = x.clone().slice([0..64, 0..5]).argmax(1).reshape([64]);
    let start = Network::new(&device);
    let train = |ours: bool| {
        let (mut network, mut optimizer) = (start.clone(), AdamConfig::new().init());
        let mut curve = Vec::new();
        for _ in 0..60 {
            let logits = network.forward(x.clone());
            let loss = match ours {
                true => cross_entropy(logits, &labels, &CrossEntropy::default()).unwrap(),
                false => CrossEntropyLossConfig::new()
                    .init(&device)
                    .forward(logits, labels.clone()),
            };
            curve.push(loss.clone());
            let grads = GradientsParams::from_grads(loss.backward(), &network);
            network = optimizer.step(1e-2, network, grads);
        }
        curve
            .into_iter()
            .map(|loss: Tensor<1>| f64::from(loss.into_scalar::<f32>()))
            .collect::<Vec<_>>()
    };
    let (own, theirs) = (train(true), train(false));
    near("curve", &own, &theirs, 1e-4);
    assert!(own[59] < 0.5 * own[0], "it learns: {own:?}");
}
