//! Claims of the crate, a module for each kind.

mod burns;
mod call;
mod common;
mod devices;
mod errors;
mod faults;
mod layouts;
mod registry;
mod training;
