//! Optimizer steps: the golden cases, 16-bit parameters, cutting, the user's buffers and what is refused.

mod clip;
mod cutting;
mod golden;
mod refusals;
mod rounding;
mod scaler;
mod tensors;

use wgloss::optim::{State, Update};
use wgloss::{Adagrad, Adam, AdamW, Dtype, Engine, Optimizer, Sgd, Tensor, View};

/// Every option that changes code.
fn optimizers() -> Vec<Box<dyn Optimizer>> {
    let mut list: Vec<Box<dyn Optimizer>> = Vec::new();
    for bits in 0..8 {
        let [maximize, decays, more] = [1, 2, 4].map(|bit| bits & bit != 0);
        let weight_decay = if decays { 0.05 } else { 0.0 };
        for momentum in [0.0, 0.9] {
            list.push(Box::new(Sgd {
                lr: 0.1,
                momentum,
                weight_decay,
                nesterov: more && momentum > 0.0,
                dampening: if more { 0.0 } else { 0.3 },
                maximize,
            }));
        }
        list.push(Box::new(Adam {
            weight_decay,
            amsgrad: more,
            maximize,
            ..Default::default()
        }));
        list.push(Box::new(Adagrad {
            lr_decay: if more { 0.1 } else { 0.0 },
            weight_decay,
            initial_accumulator_value: if more { 0.5 } else { 0.0 },
            maximize,
            ..Default::default()
        }));
        list.push(Box::new(AdamW {
            weight_decay,
            amsgrad: more,
            maximize,
            ..Default::default()
        }));
    }
    list
}

const DTYPES: [(Dtype, Dtype); 5] = [
    (Dtype::F32, Dtype::F32),
    (Dtype::F16, Dtype::F16),
    (Dtype::F16, Dtype::F32),
    (Dtype::Bf16, Dtype::Bf16),
    (Dtype::Bf16, Dtype::F32),
];

/// Steps that bring up every shader.
fn updates() -> Vec<Update> {
    let mut list = Vec::new();
    for optimizer in optimizers() {
        for (dtype, grad) in DTYPES {
            for len in [70_000, 70_001] {
                let view = |dtype| View::contiguous(dtype, &[len]);
                list.push(optimizer.update(&view(dtype), &view(grad), &State::default()).unwrap());
            }
        }
    }
    list
}

fn floats(tensor: &Tensor, engine: &Engine) -> Vec<f32> {
    tensor.numbers(engine).unwrap().data
}

fn bits(tensor: &Tensor, engine: &Engine) -> Vec<u32> {
    floats(tensor, engine).iter().map(|x| x.to_bits()).collect()
}

/// A state with its tensors on the host.
fn on_host(state: &State, engine: &Engine) -> State {
    let mut host = State::after(state.step());
    for (role, tensor) in state.tensors() {
        host.attach(*role, Tensor::new(&floats(tensor, engine), tensor.shape()).unwrap());
    }
    host
}
