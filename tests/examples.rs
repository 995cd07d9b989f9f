//! What the examples show holds on the device and on the processor.

use wgloss::Engine;

use crate::common::gpu;

#[path = "../examples/tutorials.rs"]
mod tutorials;

#[test]
fn tutorials_print_the_same() {
    for engine in [gpu(), &Engine::cpu()] {
        tutorials::listings(engine).unwrap();
    }
}
