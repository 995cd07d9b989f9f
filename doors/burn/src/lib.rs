//! The losses of [wgloss](wgloss) on tensors of burn's wgpu backend: on burn's memory as it is, on burn's queue, with
//! autodiff and with fusion.

mod autodiff;
mod call;
mod compute;
mod faults;
mod losses;
mod op;
mod operand;
mod room;
mod spec;
mod value;

pub use call::{LossCall, Outputs};
pub use faults::{clear_faults, faults};
pub use losses::*;
pub use operand::Operand;
pub use room::{adopt, device, init, open, with_engine};
#[doc(hidden)]
pub use spec::Trace;
pub use wgloss::{self, Checks, Error, Found, OnEmpty, OnNan, ReduceOp, Reduction, Result, Role, Stats};
