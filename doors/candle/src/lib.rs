//! The losses of [wgloss] as operations of [candle](candle_core)'s tensors, with gradients: every loss of its
//! registry, all options, f32, f16 and bf16.
//!
//! ```
//! use candle_core::{Device, Tensor, Var};
//! use wgloss::CrossEntropy;
//!
//! # fn main() -> candle_core::Result<()> {
//! let logits = Var::from_tensor(&Tensor::new(&[[2f32, 0.0, 0.0], [0.0, 1.0, 0.0]], &Device::Cpu)?)?;
//! let labels = Tensor::new(&[0i64, 1], &Device::Cpu)?;
//! let options = CrossEntropy { label_smoothing: 0.1, ..Default::default() };
//! let loss = wgloss_candle::cross_entropy(&logits, &labels, &options)?;
//! let grads = loss.backward()?;
//! assert_eq!(grads.get(&logits).unwrap().dims(), [2, 3]);
//! # Ok(())
//! # }
//! ```
//!
//! **What it costs.** candle has no wgpu backend: its tensors lie in the processor's memory, so each call brings its
//! tensors to the device and its result back, and waits for it: forward moves the operands there and the loss back,
//! backward the operands and the upstream gradient there and the gradients back. Over PCIe that is some 10 GB/s, far
//! below what the kernels go at; what is gained are the options, the accuracy (sums of f32 in a fixed order, half
//! operands computed in f32) and errors instead of silent garbage. Where there is no adapter, the f64 reference on the
//! processor computes ([`engine`] says which).
//!
//! **Errors.** Shapes, dtypes and options are refused by the names of PyTorch's arguments. A class target out of range
//! is an error that names row and value, forward and backward.

mod convert;
mod losses;
mod op;

pub use convert::tensor;
pub use losses::*;
pub use op::{apply, engine, statistics};
