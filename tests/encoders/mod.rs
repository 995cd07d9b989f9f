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

/// Work that keeps the device busy for a while, whatever it is.
struct Load {
    x: Tensor,
    t: Tensor,
    times: usize,
}

impl Load {
    fn new(engine: &Engine) -> Self {
        let (x, t) = operands(engine, 4096, 1000);
        let own = Self { x, t, times: 16 };
        let _ = CrossEntropy::default().forward(engine, &[&own.x, &own.t]).unwrap();
        wait(engine);
        own
    }

    fn submit(&self, engine: &Engine) {
        for _ in 0..self.times {
            let _ = CrossEntropy::default().forward(engine, &[&self.x, &self.t]).unwrap();
        }
    }

    /// The device is still busy with the load after `work`, which is done behind it: with more load, should the machine
    /// have been slow just then.
    fn outlasts<T>(&mut self, engine: &Engine, mut before: impl FnMut() -> T, mut work: impl FnMut(&T)) -> bool {
        for _ in 0..7 {
            wait(engine);
            let own = before();
            self.submit(engine);
            work(&own);
            if !is_idle(engine) {
                return true;
            }
            self.times *= 2;
        }
        false
    }
}

fn wait(engine: &Engine) {
    let (device, _) = engine.wgpu().unwrap();
    device.poll(wgpu::PollType::wait_indefinitely()).unwrap();
}
