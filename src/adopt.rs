//! Buffers of the user's as tensors.

use crate::dtype::Dtype;
use crate::engine::Engine;
use crate::error::Result;
use crate::tensor::Tensor;

impl Tensor {
    /// A window of the user's own buffer, read (or written) in place. `row_stride` is the number of elements from one
    /// index of the first dimension to the next: for logits (N, C) whose rows are padded to C' columns, C'.
    /// `offset` counts bytes. The buffer needs `STORAGE` usage, and `COPY_SRC` to be read back.
    ///
    /// The buffer has to be of the engine's device. One of another device of the same [`wgpu::Instance`] is refused;
    /// buffers of another instance wgpu cannot tell from its own: it may panic, or take another buffer for it. So keep
    /// to one instance: adopt a device with [`Engine::from_wgpu`] where you have buffers, or make them on
    /// [`Engine::wgpu`]'s.
    ///
    /// # Errors
    /// [`Error::Operand`](crate::Error::Operand) for a buffer of another device or a destroyed one, where rows would
    /// overlap, the offset is not a multiple of the element size, or the window does not lie within the buffer;
    /// [`Error::Device`](crate::Error::Device) on an engine without a device.
    pub fn from_buffer(
        engine: &Engine,
        buffer: wgpu::Buffer,
        offset: u64,
        dtype: Dtype,
        shape: &[usize],
        row_stride: Option<usize>,
    ) -> Result<Self> {
        let gpu = engine.device()?;
        gpu.expect_usable("buffer", std::slice::from_ref(&buffer))?;
        Self::window_of(&gpu.device, buffer, offset, dtype, shape, row_stride)
    }
}
