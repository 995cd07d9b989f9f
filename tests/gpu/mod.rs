//! The GPU against the reference on data that hurts: every loss in every dtype, then what is particular to some.

mod axes;
mod cross_entropy;
mod elementwise;
mod registry;
mod rows;
mod sixteen;

use wgloss::{Reduction, Tensor};

use crate::common::data::Data;

const REDUCTIONS: [Reduction; 3] = [Reduction::None, Reduction::Mean, Reduction::Sum];

fn floats(data: &mut Data, shape: &[usize]) -> Tensor {
    Tensor::new(&data.logits(shape.iter().product()), shape).unwrap()
}
