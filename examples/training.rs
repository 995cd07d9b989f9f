//! Trains two dense layers on three spirals. Device, buffers and the kernels of the layers are one's own; the loss with
//! its gradient and the optimizer's steps are wgloss's. Each step is one command encoder and one submission, and the
//! host looks at a loss now and then without holding the device up.
//!
//! `cargo run --release --example training`

use wgloss::optim::{Parameter, State};
use wgloss::{AdamW, CrossEntropy, Dtype, Engine, Optimizer, Output, Result, Stats, Tensor, Values};
use wgpu::util::DeviceExt;

const ROWS: usize = 512;
const HIDDEN: usize = 32;
const CLASSES: usize = 3;
const STEPS: usize = 400;

/// y = x wᵀ + b, in row-major order, w of (outputs, inputs); one thread for each element of `result`. Constants of the
/// layer go before it: rows, inputs, outputs, relu.
const LAYERS: &str = "
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> w: array<f32>;
@group(0) @binding(2) var<storage, read> b: array<f32>;
@group(0) @binding(3) var<storage, read> grad_y: array<f32>;
@group(0) @binding(4) var<storage, read_write> result: array<f32>;

@compute @workgroup_size(64)
fn forward(@builtin(global_invocation_id) id: vec3u) {
    if id.x >= arrayLength(&result) { return; }
    let row = id.x / outputs;
    let out = id.x % outputs;
    var y = b[out];
    for (var i = 0u; i < inputs; i++) { y += x[row * inputs + i] * w[out * inputs + i]; }
    result[id.x] = select(y, max(y, 0.0), relu);
}

@compute @workgroup_size(64)
fn grad_weights(@builtin(global_invocation_id) id: vec3u) {
    if id.x >= arrayLength(&result) { return; }
    let out = id.x / inputs;
    let i = id.x % inputs;
    var sum = 0.0;
    for (var row = 0u; row < rows; row++) { sum += grad_y[row * outputs + out] * x[row * inputs + i]; }
    result[id.x] = sum;
}

@compute @workgroup_size(64)
fn grad_biases(@builtin(global_invocation_id) id: vec3u) {
    if id.x >= arrayLength(&result) { return; }
    var sum = 0.0;
    for (var at = id.x; at < arrayLength(&grad_y); at += outputs) { sum += grad_y[at]; }
    result[id.x] = sum;
}

// x is what a ReLU has left: where it is 0, no gradient goes through.
@compute @workgroup_size(64)
fn grad_hidden(@builtin(global_invocation_id) id: vec3u) {
    if id.x >= arrayLength(&result) { return; }
    let row = id.x / inputs;
    let i = id.x % inputs;
    var sum = 0.0;
    for (var out = 0u; out < outputs; out++) { sum += grad_y[row * outputs + out] * w[out * inputs + i]; }
    result[id.x] = select(0.0, sum, x[id.x] > 0.0);
}
";

/// A dispatch with what it is bound to. No tensor ever moves, so each is made once and recorded at every step.
struct Kernel(wgpu::ComputePipeline, wgpu::BindGroup, u32);

/// wgpu orders dispatches that share a buffer, ours and wgloss's alike.
fn record<'a>(encoder: &mut wgpu::CommandEncoder, kernels: impl IntoIterator<Item = &'a Kernel>) {
    let mut pass = encoder.begin_compute_pass(&Default::default());
    for Kernel(pipeline, group, workgroups) in kernels {
        pass.set_pipeline(pipeline);
        pass.set_bind_group(0, group, &[]);
        pass.dispatch_workgroups(*workgroups, 1, 1);
    }
}

struct Gpu {
    engine: Engine,
    device: wgpu::Device,
}

impl Gpu {
    /// A buffer of ours, as wgloss takes it.
    fn tensor(&self, shape: &[usize], data: &[f32]) -> Result<Tensor> {
        let buffer = self.device.create_buffer_init(&wgpu::util::BufferInitDescriptor {
            label: None,
            contents: bytemuck::cast_slice(data),
            usage: wgpu::BufferUsages::STORAGE,
        });
        Tensor::from_buffer(&self.engine, buffer, 0, Dtype::F32, shape, None)
    }

    fn zeros(&self, shape: &[usize]) -> Result<Tensor> {
        self.tensor(shape, &vec![0.0; shape.iter().product()])
    }

    /// An entry point with the tensors of its bindings, of which the last is the result.
    fn kernel(&self, module: &wgpu::ShaderModule, name: &str, tensors: &[(u32, &Tensor)]) -> Kernel {
        let pipeline = self.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(name),
            layout: None, // derived from what the entry point uses
            module,
            entry_point: Some(name),
            compilation_options: Default::default(),
            cache: None,
        });
        let mut entries = Vec::new();
        for &(binding, tensor) in tensors {
            let resource = tensor.buffers()[0].as_entire_binding(); // the one that `from_buffer` took
            entries.push(wgpu::BindGroupEntry { binding, resource });
        }
        let group = self.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some(name),
            layout: &pipeline.get_bind_group_layout(0),
            entries: &entries,
        });
        let threads: usize = tensors[tensors.len() - 1].1.shape().iter().product();
        Kernel(pipeline, group, threads.div_ceil(64) as u32)
    }
}

struct Dense {
    y: Tensor,
    grad_y: Tensor,
    /// Weights and biases, with their gradients and what the optimizer remembers of them.
    parameters: [(Tensor, Tensor, State); 2],
    forward: Kernel,
    backward: Vec<Kernel>,
}

impl Dense {
    /// `grad_x`: where the gradient of x goes, if x is of a layer that has one.
    fn new(gpu: &Gpu, x: &Tensor, grad_x: Option<&Tensor>, outputs: usize, relu: bool) -> Result<Self> {
        let inputs = x.shape()[1];
        // Kaiming's bound, and numbers that are the same in every run.
        let scale = (6.0 / inputs as f32).sqrt() / (1u32 << 31) as f32;
        let next = |seed: &u32| Some(seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223));
        let random = std::iter::successors(next(&1), next).map(|n| n.cast_signed() as f32 * scale);
        // A parameter and its gradient in a buffer each: a dispatch may not bind one again that it writes.
        let w = gpu.tensor(&[outputs, inputs], &random.take(outputs * inputs).collect::<Vec<_>>())?;
        let (b, grad_w, grad_b) = (gpu.zeros(&[outputs])?, gpu.zeros(w.shape())?, gpu.zeros(&[outputs])?);
        let (y, grad_y) = (gpu.zeros(&[ROWS, outputs])?, gpu.zeros(&[ROWS, outputs])?);

        let constants = format!("const rows = {ROWS}u; const inputs = {inputs}u; const outputs = {outputs}u;");
        let module = gpu.device.create_shader_module(wgpu::ShaderModuleDescriptor {
            label: Some("layer"),
            source: wgpu::ShaderSource::Wgsl(format!("{constants} const relu = {relu};{LAYERS}").into()),
        });
        let kernel = |name: &str, tensors: &[(u32, &Tensor)]| gpu.kernel(&module, name, tensors);
        let forward = kernel("forward", &[(0, x), (1, &w), (2, &b), (4, &y)]);
        let mut backward = vec![
            kernel("grad_weights", &[(0, x), (3, &grad_y), (4, &grad_w)]),
            kernel("grad_biases", &[(3, &grad_y), (4, &grad_b)]),
        ];
        backward.extend(grad_x.map(|to| kernel("grad_hidden", &[(0, x), (1, &w), (3, &grad_y), (4, to)])));
        let parameters = [(w, grad_w, State::default()), (b, grad_b, State::default())];
        Ok(Self {
            y,
            grad_y,
            parameters,
            forward,
            backward,
        })
    }
}

/// Point i, of spiral i % 3.
fn point(i: usize) -> [f32; 2] {
    let radius = (i + 1) as f32 / ROWS as f32;
    let angle = 4.0 * radius + std::f32::consts::TAU * (i % CLASSES) as f32 / CLASSES as f32;
    [radius * angle.cos(), radius * angle.sin()]
}

fn report(step: usize, values: &Values) -> f32 {
    let loss = values.scalar().unwrap_or(f32::NAN);
    println!("step {step:3}: loss {loss:.4}");
    loss
}

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle());
    let adapter = pollster::block_on(instance.request_adapter(&Default::default()))?;
    let (device, queue) = pollster::block_on(adapter.request_device(&wgpu::DeviceDescriptor {
        required_features: Engine::features(&adapter),
        required_limits: Engine::limits(&adapter),
        ..Default::default()
    }))?;
    let engine = Engine::from_wgpu(device.clone(), queue.clone());
    let gpu = Gpu { engine, device };

    let points = gpu.tensor(&[ROWS, 2], &(0..ROWS).flat_map(point).collect::<Vec<_>>())?;
    let labels: Vec<u32> = (0..ROWS).map(|i| (i % CLASSES) as u32).collect();
    let labels = gpu.engine.upload(&Tensor::new(&labels, &[ROWS])?)?; // a host tensor would go up at each step
    let mut first = Dense::new(&gpu, &points, None, HIDDEN, true)?;
    let mut second = Dense::new(&gpu, &first.y, Some(&first.grad_y), CLASSES, false)?;
    // Loss, gradient and the count of right answers, in one pass over the logits.
    let stats = Stats {
        accuracy: true,
        ..Default::default()
    };
    let call = CrossEntropy::default().input(&second.y).target(&labels);
    let call = call.grad_into(&second.grad_y).stats(stats);
    let adamw = AdamW {
        lr: 0.02,
        ..Default::default()
    };

    let mut losses = Vec::new();
    let mut pending: Option<(usize, Output)> = None;
    for step in 0..=STEPS {
        let mut encoder = gpu.device.create_command_encoder(&Default::default());
        record(&mut encoder, [&first.forward, &second.forward]);
        let output = call.encode(&gpu.engine, &mut encoder)?;
        record(&mut encoder, second.backward.iter().chain(&first.backward));
        let all = first.parameters.iter_mut().chain(&mut second.parameters);
        let mut all: Vec<_> = all.map(|(w, grad, state)| Parameter::new(w, grad, state)).collect();
        adamw.encode_all(&gpu.engine, &mut encoder, &mut all)?;
        queue.submit([encoder.finish()]);

        // A loss is read 50 steps late: that waits for its own submission alone, with 50 more for the device to do.
        if step % 50 == 0
            && let Some((at, earlier)) = pending.replace((step, output))
        {
            losses.push(report(at, &earlier.read(&gpu.engine)?));
        }
    }

    let (at, last) = pending.ok_or("the last step is none of those that are looked at")?;
    let values = last.read(&gpu.engine)?;
    let (before, after, accuracy) = (losses[0], report(at, &values), values.accuracy().unwrap_or(0.0));
    println!("accuracy {:.1} %", 100.0 * accuracy);
    assert!(after < before / 5.0, "the loss went from {before} to {after}");
    assert!(accuracy > 0.9, "{accuracy} of the points have their class");
    Ok(())
}
