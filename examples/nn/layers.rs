//! Networks of a few layers, one after the other, whose kernels are the WGSL beside this file.

use rand::Rng;
use rand_pcg::Pcg64Mcg;
use wgloss::optim::{Parameter, State};
use wgloss::{Optimizer, Result, Tensor};

use super::gpu::{Gpu, Kernel, record};

/// Channels, height and width of what a layer is given for each row.
type Shape = [usize; 3];

#[derive(Clone, Copy, Debug)]
pub enum Layer {
    /// So many outputs, each of all inputs.
    Dense(usize),
    /// So many channels, with windows of that (odd) size; height and width stay.
    Conv(usize, usize),
    Relu,
    /// The largest of 2 × 2 pixels each.
    MaxPool,
}

/// A layer with its pipelines, which passes over any number of rows share.
struct Stage {
    output: Shape,
    forward: wgpu::ComputePipeline,
    /// Where its weights and biases stand among those of the network, and the pipelines of their gradients.
    parameters: Option<(usize, [wgpu::ComputePipeline; 2])>,
    grad_input: wgpu::ComputePipeline,
}

/// Layers one after the other, with what they learn.
pub struct Network {
    stages: Vec<Stage>,
    /// Weights and biases of each layer that has them.
    parameters: Vec<[Learned; 2]>,
}

/// A parameter, its gradient, and what the optimizer remembers of it.
struct Learned(Tensor, Tensor, State);

impl Network {
    /// A network for inputs of this shape, with weights drawn from `random`.
    pub fn new(gpu: Gpu<'_>, input: Shape, layers: &[Layer], random: &mut Pcg64Mcg) -> Result<Self> {
        let (mut stages, mut parameters) = (Vec::new(), Vec::new());
        let mut shape = input;
        for layer in layers {
            let stage = Stage::new(gpu, shape, *layer, parameters.len());
            if let Some([weights, biases]) = layer.parameters(shape) {
                // PyTorch's bound.
                let bound = 1.0 / (weights[1..].iter().product::<usize>() as f32).sqrt();
                let drawn: Vec<f32> = (0..weights.iter().product())
                    .map(|_| random.random_range(-bound..bound))
                    .collect();
                parameters.push([
                    Learned(gpu.floats(&weights, &drawn)?, gpu.zeros(&weights)?, State::default()),
                    Learned(gpu.zeros(&biases)?, gpu.zeros(&biases)?, State::default()),
                ]);
            }
            shape = stage.output;
            stages.push(stage);
        }
        Ok(Self { stages, parameters })
    }

    /// The kernels that take the rows of `x` through the network, and gradients back to its parameters.
    pub fn over(&self, gpu: Gpu<'_>, x: &Tensor) -> Result<Pass> {
        let (mut forward, mut backward) = (Vec::new(), Vec::new());
        let (mut x, mut grad_x) = (x.clone(), None);
        for stage in &self.stages {
            let shape = stage.shape(x.shape()[0]);
            let (y, grad_y) = (gpu.zeros(&shape)?, gpu.zeros(&shape)?);
            let mut own = Vec::new();
            // The input of the first layer has no gradient.
            match &stage.parameters {
                Some((at, [grad_weights, grad_biases])) => {
                    let [Learned(w, grad_w, _), Learned(b, grad_b, _)] = &self.parameters[*at];
                    forward.push(gpu.kernel(&stage.forward, &[(0, &x), (1, w), (2, b), (4, &y)]));
                    own.push(gpu.kernel(grad_weights, &[(0, &x), (3, &grad_y), (4, grad_w)]));
                    own.push(gpu.kernel(grad_biases, &[(3, &grad_y), (4, grad_b)]));
                    let to_x = |to| gpu.kernel(&stage.grad_input, &[(1, w), (3, &grad_y), (4, to)]);
                    own.extend(grad_x.as_ref().map(to_x));
                }
                None => {
                    forward.push(gpu.kernel(&stage.forward, &[(0, &x), (4, &y)]));
                    let to_x = |to| gpu.kernel(&stage.grad_input, &[(0, &x), (3, &grad_y), (4, to)]);
                    own.extend(grad_x.as_ref().map(to_x));
                }
            }
            backward.push(own);
            (x, grad_x) = (y, Some(grad_y));
        }
        Ok(Pass {
            grad_y: grad_x.unwrap_or_else(|| x.clone()),
            y: x,
            forward,
            backward: backward.into_iter().rev().flatten().collect(),
        })
    }

    /// Parameters with their gradients, in the order of the layers.
    pub fn learned(&self) -> impl Iterator<Item = (&Tensor, &Tensor)> {
        self.parameters
            .iter()
            .flatten()
            .map(|Learned(own, grad, _)| (own, grad))
    }

    /// Records a step of all parameters.
    pub fn step(&mut self, gpu: Gpu<'_>, encoder: &mut wgpu::CommandEncoder, optimizer: &dyn Optimizer) -> Result<()> {
        let all = self.parameters.iter_mut().flatten();
        let mut all: Vec<_> = all
            .map(|Learned(own, grad, state)| Parameter::new(own, grad, state))
            .collect();
        optimizer.encode_all(gpu.engine, encoder, &mut all)
    }
}

impl Layer {
    fn output(self, [channels, height, width]: Shape) -> Shape {
        match self {
            Self::Dense(outputs) => [outputs, 1, 1],
            Self::Conv(outputs, _) => [outputs, height, width],
            Self::Relu => [channels, height, width],
            Self::MaxPool => [channels, height / 2, width / 2],
        }
    }

    /// The shapes of weights and biases.
    fn parameters(self, input: Shape) -> Option<[Vec<usize>; 2]> {
        match self {
            Self::Dense(outputs) => Some([vec![outputs, input.iter().product()], vec![outputs]]),
            Self::Conv(outputs, size) => Some([vec![outputs, input[0], size, size], vec![outputs]]),
            Self::Relu | Self::MaxPool => None,
        }
    }
}

impl Stage {
    fn new(gpu: Gpu<'_>, input: Shape, layer: Layer, parameters: usize) -> Self {
        let [channels, height, width] = input;
        let module = match layer {
            Layer::Dense(outputs) => {
                let constants = [("inputs", channels * height * width), ("outputs", outputs)];
                gpu.module(&constants, include_str!("dense.wgsl"))
            }
            Layer::Conv(outputs, size) => {
                let of_image = [("channels", channels), ("height", height), ("width", width)];
                let constants = [&of_image[..], &[("outputs", outputs), ("size", size)]].concat();
                gpu.module(&constants, include_str!("conv.wgsl"))
            }
            Layer::Relu => gpu.module(&[], include_str!("relu.wgsl")),
            Layer::MaxPool => gpu.module(&[("height", height), ("width", width)], include_str!("max_pool.wgsl")),
        };
        let grads = || ["grad_weights", "grad_biases"].map(|name| gpu.pipeline(&module, name));
        Self {
            output: layer.output(input),
            forward: gpu.pipeline(&module, "forward"),
            parameters: layer.parameters(input).map(|_| (parameters, grads())),
            grad_input: gpu.pipeline(&module, "grad_input"),
        }
    }

    /// Of what the layer makes of so many rows: classes of single pixels are (rows, classes), as losses take them.
    fn shape(&self, rows: usize) -> Vec<usize> {
        match self.output {
            [channels, 1, 1] => vec![rows, channels],
            [channels, height, width] => vec![rows, channels, height, width],
        }
    }
}

/// A network over rows of a batch: `y` is what it makes of them, and `grad_y` where a loss puts the gradient of that.
pub struct Pass {
    pub y: Tensor,
    pub grad_y: Tensor,
    forward: Vec<Kernel>,
    backward: Vec<Kernel>,
}

impl Pass {
    pub fn forward(&self, encoder: &mut wgpu::CommandEncoder) {
        record(encoder, &self.forward);
    }

    pub fn backward(&self, encoder: &mut wgpu::CommandEncoder) {
        record(encoder, &self.backward);
    }
}
