//! The losses of [wgloss] on tensors of [burn]'s wgpu backend: on burn's memory as it lies, on burn's
//! queue, with autodiff and with fusion.
//!
//! ```
//! use burn::tensor::{Distribution, Int, Tensor};
//! use wgloss_burn::{CrossEntropy, cross_entropy};
//!
//! # fn main() -> wgloss_burn::Result<()> {
//! # if wgloss_burn::wgloss::Engine::adapters().is_empty() { return Ok(()); }
//! let device = wgloss_burn::device()?.autodiff(); // Device::default(), set up so that our losses compute on it
//! let x = Tensor::<2>::random([64, 8], Distribution::Default, &device);
//! let labels: Tensor<1, Int> = x.clone().slice([0..64, 0..4]).argmax(1).reshape([64]);
//! let mut weight = Tensor::<2>::zeros([8, 4], &device).require_grad();
//! for _ in 0..20 {
//!     let loss: Tensor<1> = cross_entropy(x.clone().matmul(weight.clone()), &labels, &CrossEntropy::default())?;
//!     let grad = weight.grad(&loss.backward()).expect("tracked");
//!     weight = Tensor::from_inner(weight.inner() - grad * 2.0).require_grad();
//! }
//! # let last: Tensor<1> = cross_entropy(x.matmul(weight), &labels, &CrossEntropy::default())?;
//! # assert!(last.into_scalar::<f32>() < 1.2, "it begins with log 4");
//! # Ok(())
//! # }
//! ```
//!
//! | to … | see |
//! |---|---|
//! | have burn's device for it | [`device`], [`init`], [`open`], [`adopt`] |
//! | call a loss | its function: [`cross_entropy()`], [`mse()`], … |
//! | give options, and tensors among them | [`CrossEntropy`], [`Mse`], …; [`Operand`] |
//! | have statistics beside the loss, or gradients without autodiff | [`LossCall`] |
//! | hear of labels out of range | [`faults()`] afterwards, or the functions of [`checked`], which wait |
//!
//! # What happens
//!
//! A function looks at shapes, dtypes, options and devices and returns what is wrong with them as an [`Error`] that
//! names the argument. Then it queues one operation of burn's and returns. When burn executes that, at once or, with
//! fusion, when it comes to it, the kernels are bound to the windows of burn's buffers in which the tensors lie, the
//! loss to a new one, and go to burn's queue in one submission. Nothing is waited for and nothing is copied, but:
//!
//! - what is not contiguous is made so by burn, unless there are only gaps between rows and the loss takes these;
//! - integers and truth values become floats in the same submission, where a loss expects numbers: a mask as the
//!   target of [`bce()`], say.
//!   Class indices stay what they are, u8, i32, u32, i64 or bool.
//!
//! burn's autodiff keeps the operands, no gradient. Its backward pass hands us the upstream gradient, and one pass of
//! ours makes the gradients of all operands that are tracked, by which the loss has them; optional tensors (weights)
//! are constants.
//!
//! A label out of range makes its row's loss NaN and its gradient 0.

mod autodiff;
mod call;
mod check;
mod compute;
mod convert;
mod faults;
mod losses;
mod op;
#[cfg(not(target_family = "wasm"))]
mod open;
mod operand;
mod outputs;
mod room;
mod spec;
mod value;

pub use call::LossCall;
pub use faults::{clear_faults, faults};
pub use losses::*;
#[cfg(not(target_family = "wasm"))]
pub use open::{device, init, open};
pub use operand::Operand;
pub use outputs::Outputs;
pub use room::{adopt, with_engine};
#[doc(hidden)]
pub use spec::Trace;

/// The library, whose options, errors and words are taken.
pub use wgloss;
pub use wgloss::{Checks, Error, Found, OnEmpty, OnNan, ReduceOp, Reduction, Result, Role, Stats};
