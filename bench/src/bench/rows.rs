//! Which rows `wgloss bench` has when nothing else is asked for: one table, which `benches/losses.rs` shares.

use wgloss::optim::{self, Setting};
use wgloss::{Info, OperandKind};

use crate::fit;

/// The words of options that differ from the defaults.
pub type Options = &'static [(&'static str, &'static str)];

/// The forms of a loss that have rows of their own.
pub fn forms(info: &Info) -> &'static [Options] {
    match info.name {
        "reduce" => &[&[("op", "sum")], &[("op", "mean")], &[("op", "max")]],
        _ => &[&[]],
    }
}

/// The options of an optimizer that differ from the defaults.
pub type Settings = &'static [(&'static str, Setting)];

/// The forms of an optimizer that have rows of their own: those that keep another state.
pub fn steps(info: &optim::Info) -> &'static [Settings] {
    const MOMENTUM: (&str, Setting) = ("momentum", Setting::Float(0.9));
    match info.name {
        "sgd" => &[&[], &[MOMENTUM], &[MOMENTUM, ("nesterov", Setting::Bool(true))]],
        "adam" | "adamw" => &[&[], &[("amsgrad", Setting::Bool(true))]],
        _ => &[&[]],
    }
}

/// The elements of a parameter: 64 MiB in f32.
pub const STEPPED: usize = 16_777_216;

/// The elements of a tensor of 128 MiB in f32, which a 256-wide workgroup tree is timed beside, too.
pub const REDUCED: usize = 33_554_432;

/// The shapes of the first tensor.
pub fn shapes(info: &Info) -> Vec<Vec<usize>> {
    let list: &[&[usize]] = match info.name {
        // A batch of tokens, of images, of records, of pixels (classes in dim 1) of few kinds and of many, of tokens
        // again in that order, and a row for a crowd.
        "cross_entropy" => &[
            &[1024, 32_000],
            &[512, 64_000],
            &[8192, 1000],
            &[3_276_800, 10],
            &[8, 21, 512, 512],
            &[2, 150, 256, 256],
            &[8, 32_000, 128],
            &[4, 1_000_000],
        ],
        "bce_with_logits" | "sigmoid_focal" | "mse" | "l1" | "huber" => &[&[16_777_216], &[33_554_432]],
        "reduce" => &[&[REDUCED]],
        // Bound by its products: `--products` holds it against these.
        _ if fit::is_layer(info) => &[&[1024, 256, 8192]],
        _ if fit::is_elementwise(info) => &[&[4_194_304]],
        // Each of its classes meets all others.
        _ if info.takes(OperandKind::IndexList) => &[&[65_536, 64]],
        _ => &[&[8192, 1000]],
    };
    list.iter().map(|shape| shape.to_vec()).collect()
}

/// `1024x32000`
pub fn shape_text(shape: &[usize]) -> String {
    let sizes: Vec<String> = shape.iter().map(usize::to_string).collect();
    sizes.join("x")
}
