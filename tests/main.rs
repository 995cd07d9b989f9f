//! The suite, by kind of claim. Everything that says GPU runs on a real adapter, a software one included; without any,
//! the run fails and says what to install.

#[cfg(feature = "approx")]
mod approx;
mod bits;
mod buffers;
mod catalogue;
mod checks;
mod common;
mod compare;
mod determinism;
mod deviations;
mod device;
mod differences;
mod digest;
mod dims;
mod discrete;
mod element_weights;
mod encoders;
mod examples;
mod extremes;
mod faults;
mod floors;
mod foreign;
mod functions;
mod golden;
mod gpu;
mod gradients;
mod hostile;
mod integers;
mod large;
mod linear;
mod messages;
#[cfg(feature = "ndarray")]
mod ndarray;
mod optimizer_states;
mod optimizers;
mod owned;
mod packs;
mod plans;
mod products;
mod properties;
mod reuse;
mod shaders;
mod shared;
mod signs;
mod staged;
mod statistics;
mod steady;
mod streams;
mod subgroups;
mod sums;
mod threads;
mod timing;
mod unwritten;
mod warm;
mod wide;
