//! `wgloss shader` and `wgloss plan`: the kernels of a call and its dispatches, shown without any adapter.

mod arguments;
mod call;
mod compile;
mod device;
pub mod plan;
pub mod shader;
mod spec;
mod traffic;
mod used;
mod write;
