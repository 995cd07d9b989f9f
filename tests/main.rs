//! The suite, by kind of claim. Everything that says GPU runs on a real adapter, a software one included; without any,
//! the run fails and says what to install.

mod bits;
mod buffers;
mod catalogue;
mod checks;
mod common;
mod determinism;
mod deviations;
mod device;
mod differences;
mod dims;
mod extremes;
mod faults;
mod functions;
mod golden;
mod gpu;
mod gradients;
mod large;
mod messages;
mod optimizer_states;
mod optimizers;
mod packs;
mod plans;
mod properties;
mod reuse;
mod shaders;
mod signs;
mod steady;
mod streams;
mod subgroups;
mod sums;
mod threads;
mod timing;
mod warm;
mod wide;
