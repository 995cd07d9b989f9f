//! `wgloss shader` and `wgloss plan`: the kernels of a call and its dispatches, shown without any adapter but for
//! `--sectors`.

mod arguments;
mod call;
mod compile;
mod courses;
mod device;
pub mod plan;
mod sectors;
pub mod shader;
mod spec;
mod traffic;
mod used;
mod write;
