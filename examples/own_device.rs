//! On a device, buffers and an encoder of one's own: logits in rows padded to a multiple of 64, the gradient written
//! over them, and one submission for everything.
//!
//! `cargo run --release --example own_device`

use wgloss::{Call, CrossEntropy, Dtype, Engine, GradTo, Loss, Mode, Tensor};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
    descriptor.backends = wgpu::Backends::PRIMARY;
    let instance = wgpu::Instance::new(descriptor);
    let adapter = pollster::block_on(instance.request_adapter(&Default::default()))?;
    let (device, queue) = pollster::block_on(adapter.request_device(&wgpu::DeviceDescriptor {
        required_features: Engine::features(&adapter),
        required_limits: Engine::limits(&adapter),
        ..Default::default()
    }))?;
    let engine = Engine::from_wgpu(device.clone(), queue.clone());

    // A buffer that some other part of the program fills: 4 rows of 50 classes, each row 64 floats long.
    let (rows, classes, stride) = (4, 50, 64);
    let logits: Vec<f32> = (0..rows * stride).map(|i| (i % 7) as f32).collect();
    let buffer = device.create_buffer(&wgpu::BufferDescriptor {
        label: Some("logits"),
        size: 4 * logits.len() as u64,
        usage: wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST,
        mapped_at_creation: false,
    });
    queue.write_buffer(&buffer, 0, bytemuck::cast_slice(&logits));

    let input = Tensor::from_buffer(&engine, buffer, 0, Dtype::F32, &[rows, classes], Some(stride))?;
    let labels = Tensor::new(&[3i32, 49, -100, 7], &[rows])?;
    let call = Call {
        grad_input: GradTo::InPlace,
        ..Call::new(Mode::Fused, &[&input, &labels])
    };

    let mut encoder = device.create_command_encoder(&Default::default());
    let output = CrossEntropy::default().encode(&engine, &mut encoder, &call)?;
    queue.submit([encoder.finish()]); // yours to submit, with whatever else is in it

    let values = output.read(&engine)?;
    println!("loss {:?}, {} of {rows} rows ignored", values.scalar(), values.ignored);
    Ok(())
}
