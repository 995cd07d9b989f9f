//! Tests a kernel of one's own: a smooth L1 loss with its gradient, in WGSL, on data that reaches both of its branches.
//! Where `beta` is right the results are as near to the f64 reference as arithmetic in f32 can be asked to be; where it
//! is 1 % off, the comparison says which elements are wrong, and by how much.
//!
//! `cargo run --release --example own_kernel`

use wgloss::reference::{Comparison, assert_close, compare};
use wgloss::{Call, Dtype, Engine, Mode, Reduction, Result, SmoothL1, Tensor};
use wgpu::util::DeviceExt;

/// The kernel under test: loss and gradient by x of each element.
const SMOOTH_L1: &str = "
override beta: f32;
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> t: array<f32>;
@group(0) @binding(2) var<storage, read_write> loss: array<f32>;
@group(0) @binding(3) var<storage, read_write> grad: array<f32>;

@compute @workgroup_size(64)
fn smooth_l1(@builtin(global_invocation_id) id: vec3u) {
    if id.x >= arrayLength(&x) { return; }
    let d = x[id.x] - t[id.x];
    let is_near = abs(d) < beta;
    loss[id.x] = select(abs(d) - 0.5 * beta, 0.5 * d * d / beta, is_near);
    grad[id.x] = select(sign(d), d / beta, is_near);
}
";

/// Predictions and targets, (rows, columns).
const SHAPE: [usize; 2] = [64, 100];
const BETA: f64 = 0.7;

fn data() -> (Vec<f32>, Vec<f32>) {
    let number = |i: usize, step: f32| (i as f32 * step).sin() * 2.0;
    let of = |step| (0..SHAPE.iter().product()).map(|i| number(i, step)).collect();
    (of(0.37), of(0.61))
}

/// Runs the kernel: what one has before one knows of wgloss.
fn run_kernel(device: &wgpu::Device, queue: &wgpu::Queue, x: &[f32], t: &[f32], beta: f64) -> [wgpu::Buffer; 2] {
    let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC;
    let [x, t] = [x, t].map(|numbers| {
        device.create_buffer_init(&wgpu::util::BufferInitDescriptor {
            label: None,
            contents: bytemuck::cast_slice(numbers),
            usage,
        })
    });
    let results = [(); 2].map(|()| {
        device.create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size: x.size(),
            usage,
            mapped_at_creation: false,
        })
    });
    let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
        label: None,
        source: wgpu::ShaderSource::Wgsl(SMOOTH_L1.into()),
    });
    let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
        label: None,
        layout: None,
        module: &module,
        entry_point: Some("smooth_l1"),
        compilation_options: wgpu::PipelineCompilationOptions {
            constants: &[("beta", beta)],
            ..Default::default()
        },
        cache: None,
    });
    let bound = [&x, &t, &results[0], &results[1]].into_iter().zip(0..);
    let entries: Vec<_> = bound
        .map(|(buffer, binding)| wgpu::BindGroupEntry {
            binding,
            resource: buffer.as_entire_binding(),
        })
        .collect();
    let group = device.create_bind_group(&wgpu::BindGroupDescriptor {
        label: None,
        layout: &pipeline.get_bind_group_layout(0),
        entries: &entries,
    });
    let mut encoder = device.create_command_encoder(&Default::default());
    let mut pass = encoder.begin_compute_pass(&Default::default());
    pass.set_pipeline(&pipeline);
    pass.set_bind_group(0, &group, &[]);
    pass.dispatch_workgroups((x.size() / 4).div_ceil(64) as u32, 1, 1);
    drop(pass);
    queue.submit([encoder.finish()]);
    results
}

/// What a kernel with this beta computes, beside what a beta of [`BETA`] asks for; a test of one's own would assert it.
pub fn test_kernel(engine: &Engine, beta: f64, asserts: bool) -> Result<Option<Comparison>> {
    let Some((device, queue)) = engine.wgpu() else {
        return Ok(None);
    };
    let (x, t) = data();
    let [loss, grad] = run_kernel(device, queue, &x, &t, beta)
        .map(|buffer| Tensor::from_buffer(engine, buffer, 0, Dtype::F32, &SHAPE, None)?.read::<f32>(engine));
    let mine = (&loss?, &grad?);

    let smooth_l1 = SmoothL1 {
        beta: BETA,
        reduction: Reduction::None,
    };
    let (x, t) = (Tensor::from_vec(x, &SHAPE)?, Tensor::from_vec(t, &SHAPE)?);
    let call = Call::new(Mode::Fused, &[&x, &t]);
    if asserts {
        assert_close(&smooth_l1, &call, mine);
    }
    compare(&smooth_l1, &call, mine).map(Some)
}

fn main() -> Result<()> {
    let engine = Engine::new()?;
    if let Some(comparison) = test_kernel(&engine, BETA, true)? {
        println!("beta {BETA}: {comparison}");
    }
    let off = 1.01 * BETA;
    if let Some(comparison) = test_kernel(&engine, off, false)? {
        println!("\nbeta {off}: {comparison}");
        assert!(!comparison.is_close(), "a beta 1 % off has to be found");
    }
    Ok(())
}
