//! Bad input: clear errors with the numbers, outputs still there, and an engine that goes on.

mod labels;
mod log;
mod nothing;
mod numbers;
mod refusals;

use wgloss::{Engine, Reduction};

use crate::common::gpu;

const REDUCTIONS: [Reduction; 3] = [Reduction::None, Reduction::Mean, Reduction::Sum];

fn both(claim: impl Fn(&Engine)) {
    claim(gpu());
    claim(&Engine::cpu());
}

fn message<T: std::fmt::Debug>(result: wgloss::Result<T>) -> String {
    result.unwrap_err().to_string()
}
