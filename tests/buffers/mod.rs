//! The user's own buffers, device and encoder, and the function forms.

mod calls;
mod padding;
mod sums;
mod windows;

use half::{bf16, f16};
use wgloss::{Dtype, Engine, Tensor, Values};

/// A buffer of 16-bit or 32-bit floats, with `canary` wherever `data` does not lie.
fn memory(engine: &Engine, dtype: Dtype, words: &[u16]) -> wgpu::Buffer {
    let (device, queue) = engine.wgpu().unwrap();
    let bytes: &[u8] = bytemuck::cast_slice(words);
    let buffer = device.create_buffer(&wgpu::BufferDescriptor {
        label: Some(dtype.name()),
        size: bytes.len() as u64,
        usage: wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST,
        mapped_at_creation: false,
    });
    queue.write_buffer(&buffer, 0, bytes);
    buffer
}

/// The halves of the words of all elements, in order.
fn halves(tensor: &Tensor, engine: &Engine) -> Vec<u16> {
    match tensor.dtype() {
        Dtype::F16 => bytemuck::cast_slice(&tensor.read::<f16>(engine).unwrap()).to_vec(),
        Dtype::Bf16 => bytemuck::cast_slice(&tensor.read::<bf16>(engine).unwrap()).to_vec(),
        _ => bytemuck::cast_slice(&tensor.read::<f32>(engine).unwrap()).to_vec(),
    }
}

/// The gradient of another reading of the same numbers: f32's tolerance, or the next 16-bit float where that crosses a
/// rounding boundary.
fn within_an_ulp(what: &str, dtype: Dtype, got: &Values, want: &[f64]) -> Option<String> {
    let grad = got.grad_input.as_ref().unwrap();
    let step = match dtype {
        Dtype::F16 => 1.0 / 1024.0,
        Dtype::Bf16 => 1.0 / 128.0,
        _ => 0.0,
    };
    let largest = want.iter().fold(0.0f64, |m, w| m.max(w.abs())).min(1.0);
    let near = |(g, w): (&f32, &f64)| (f64::from(*g) - w).abs() <= step * w.abs() + 1e-5 * (w.abs() + largest);
    let same = |(g, w): (&f32, &f64)| near((g, w)) || f64::from(*g) == *w || g.is_nan() && w.is_nan();
    let wrong = grad.data.iter().zip(want).position(|pair| !same(pair));
    wrong.map(|i| format!("{what} [{i}]: {} instead of {}", grad.data[i], want[i]))
}
