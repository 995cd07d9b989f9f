//! Plans under tiny invented limits: every tile once, windows within limits and aligned, loops short. No device.

mod coverage;
mod iterations;
mod slabs;
mod workgroups;

use wgloss::problem::Problem;
use wgloss::{Call, CrossEntropy, Loss, Mode, Reduction, Role, Tensor, Tuning};

use crate::common::data::row_shape;

const SMALL_HARDWARE: Tuning = Tuning {
    tile: 512,
    width: 8,
    subgroup_cols: 128,
    // Else small tensors would be in passes over tiles of columns.
    workgroups: 0,
    ..Tuning::HARDWARE
};

fn class_problem(shape: &[usize], reduction: Reduction, mode: Mode, full: bool) -> Problem {
    let input = Tensor::new(&vec![0.0f32; shape.iter().product()], shape).unwrap();
    let rows = row_shape(shape);
    let labels = Tensor::new(&vec![0i64; rows.iter().product()], &rows).unwrap();
    let loss = CrossEntropy {
        reduction,
        ..Default::default()
    };
    let target = if full { &input } else { &labels };
    let call = Call {
        grads: if full && mode.wants_grad() {
            vec![Role::Target]
        } else {
            Vec::new()
        },
        ..Call::new(mode, &[&input, target])
    };
    loss.problem(&call).unwrap()
}

/// Bytes of the tensors of a problem; buffers are a little longer.
fn sizes(problem: &Problem) -> impl Fn(Role) -> u64 {
    move |role| {
        let operand = problem
            .operands
            .iter()
            .find(|own| own.role == role)
            .map(|own| &own.view);
        let grad = problem
            .grads()
            .find(|(_, own, _)| *own == role)
            .map(|(_, _, view)| view);
        let bytes = match role {
            Role::Loss => problem.loss_shape().iter().product::<usize>() as u64 * problem.loss_dtype().bytes(),
            Role::GradOutput => problem.grad_output.as_ref().unwrap().end(),
            Role::ZLoss | Role::Lse | Role::Argmax | Role::Entropy => problem.term_count() * 4,
            Role::Correct => 4,
            Role::Control => 40,
            Role::Fault(_) => 16,
            _ => operand.or(grad).unwrap().end(),
        };
        bytes.next_multiple_of(16)
    }
}
