//! Where parameters, gradients and states may lie.

use wgloss::optim::State;
use wgloss::{AdamW, Dtype, Engine, Optimizer, Sgd, Tensor};

use super::{bits, floats, on_host};
use crate::common::data::Data;
use crate::common::gpu;

/// Windows of the user's buffers, at odd places, updated in place: nothing around them changes. Two steps in one
/// encoder are two steps.
#[test]
fn windows_of_the_users_buffers_are_updated_in_place() {
    let engine = gpu();
    let (device, queue) = engine.wgpu().unwrap();
    let buffer = |bytes: &[u8]| {
        let buffer = device.create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size: bytes.len() as u64,
            usage: wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        queue.write_buffer(&buffer, 0, bytes);
        buffer
    };
    let mut data = Data::new(33);
    for (skip, len) in [(3usize, 1001usize), (1, 4), (8, 1000), (0, 3)] {
        let half = |data: Vec<f32>| data.into_iter().map(half::bf16::from_f32).collect::<Vec<_>>();
        let (start, grad) = (half(data.logits(len)), half(data.logits(len)));
        let sentinel = half::bf16::from_f32(-7.0);
        let mut padded = vec![sentinel; (skip + len + 5).next_multiple_of(2)];
        let all = padded.len();
        padded[skip..skip + len].copy_from_slice(&start);
        let whole = buffer(bytemuck::cast_slice(&padded));
        let window = Tensor::from_buffer(engine, whole.clone(), 2 * skip as u64, Dtype::Bf16, &[len], None).unwrap();
        let dense = engine.upload(&Tensor::new(&start, &[len]).unwrap()).unwrap();
        let grad = engine.upload(&Tensor::new(&grad, &[len]).unwrap()).unwrap();

        let optimizer = AdamW::default();
        let (mut state, mut recorded) = (State::default(), State::default());
        let mut encoder = device.create_command_encoder(&Default::default());
        for _ in 0..2 {
            optimizer.step(engine, &dense, &grad, &mut state).unwrap();
            let same = optimizer
                .encode(engine, &mut encoder, &window, &grad, &mut recorded)
                .unwrap();
            assert_eq!(same.buffer(), Some(&whole));
        }
        queue.submit([encoder.finish()]);
        assert_eq!(bits(&window, engine), bits(&dense, engine), "{skip} {len}");
        assert_ne!(dense.read::<half::bf16>(engine).unwrap(), start);
        assert_eq!((state.step(), recorded.step()), (2, 2));
        for (role, tensor) in state.tensors() {
            assert_eq!(bits(tensor, engine), bits(recorded.get(*role).unwrap(), engine));
        }
        let around = Tensor::from_buffer(engine, whole, 0, Dtype::Bf16, &[all], None).unwrap();
        let mut around = around.read::<half::bf16>(engine).unwrap();
        around.drain(skip..skip + len);
        assert!(around.iter().all(|&x| x == sentinel), "{skip} {len}");
    }
}

/// A host tensor stays as it is; no elements, one without dimensions and a state from the host are fine.
#[test]
fn host_tensors_and_small_shapes() {
    for engine in [gpu(), &Engine::cpu()] {
        for shape in [&[][..], &[0], &[2, 0, 3], &[1, 1]] {
            let len = shape.iter().product();
            let (param, grad) = (vec![1.0f32; len], vec![0.5f32; len]);
            let (param, grad) = (Tensor::new(&param, shape).unwrap(), Tensor::new(&grad, shape).unwrap());
            let sgd = Sgd {
                lr: 0.5,
                momentum: 0.5,
                dampening: 0.5,
                ..Default::default()
            };
            let mut state = State::default();
            let once = sgd.step(engine, &param, &grad, &mut state).unwrap();
            assert_eq!(
                floats(&once, engine),
                vec![0.75; len],
                "the buffer begins as the gradient"
            );
            let mut host = on_host(&state, engine);
            let twice = sgd.step(engine, &once, &grad, &mut host).unwrap();
            assert_eq!(floats(&twice, engine), vec![0.5; len]);
            assert_eq!((twice.shape(), host.step()), (shape, 2));
            assert_eq!(param.as_slice::<f32>().unwrap(), vec![1.0; len]);
        }
    }
}
