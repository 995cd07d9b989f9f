//! The caller's own command encoder: what is recorded there is as good as what the engine submits.

mod fate;
mod reuse;
mod waits;

use wgloss::{CrossEntropy, Engine, Loss, Tensor};

use crate::common::own::{labels, tensor};

fn encoder(engine: &Engine) -> wgpu::CommandEncoder {
    engine.wgpu().unwrap().0.create_command_encoder(&Default::default())
}

fn submit(engine: &Engine, encoder: wgpu::CommandEncoder) {
    engine.wgpu().unwrap().1.submit([encoder.finish()]);
}

/// Logits and labels on the device.
fn operands(engine: &Engine, rows: usize, cols: usize) -> (Tensor, Tensor) {
    let x = engine.upload(&tensor(7, &[rows, cols])).unwrap();
    let t = engine.upload(&labels(7, rows, cols)).unwrap();
    (x, t)
}

fn is_idle(engine: &Engine) -> bool {
    let (device, _) = engine.wgpu().unwrap();
    device.poll(wgpu::PollType::Poll).unwrap().is_queue_empty()
}

/// Work that keeps the device busy for a good part of a second, whatever it is.
struct Load {
    x: Tensor,
    t: Tensor,
    times: usize,
}

impl Load {
    fn new(engine: &Engine) -> Self {
        let (x, t) = operands(engine, 4096, 1000);
        let mut own = Self { x, t, times: 4 };
        own.submit(engine);
        wait(engine);
        while own.times < 1 << 14 {
            let start = std::time::Instant::now();
            own.submit(engine);
            wait(engine);
            if start.elapsed().as_millis() > 300 {
                break;
            }
            own.times *= 2;
        }
        own
    }

    fn submit(&self, engine: &Engine) {
        for _ in 0..self.times {
            let _ = CrossEntropy::default().forward(engine, &[&self.x, &self.t]).unwrap();
        }
    }
}

fn wait(engine: &Engine) {
    let (device, _) = engine.wgpu().unwrap();
    device.poll(wgpu::PollType::wait_indefinitely()).unwrap();
}
