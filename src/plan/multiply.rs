//! Multiply-adds between registers alone, which products are measured against.

use super::product::LARGE;
use super::window::{Window, bindings};
use super::{Dispatch, MULTIPLY_ADDS_PER_BYTE, Origin, Plan, Step};
use crate::dtype::Dtype;
use crate::error::{Error, Result};
use crate::layout::{MultiplyParams, Slot};
use crate::limits::{Limits, MAX_ITERATIONS};
use crate::shader::pieces::Put;
use crate::shader::{Const, Variant, piece, pieces};
use crate::words::Role;

/// Sums of a lane in the kernel of multiply-adds, as vectors of four.
const SUMS: u32 = 16;

/// Plans multiply-adds between registers alone, and tells how many they are: the ceiling of products. What the last of
/// its dispatches comes to goes to [`Role::Loss`], a number for each of the lanes of `groups` workgroups.
///
/// # Errors
/// [`Error::Operand`] for more workgroups than a dispatch can have.
pub fn plan_multiply(groups: u32, turns: u32, limits: &Limits) -> Result<(Plan, u64)> {
    let width = LARGE.width.min(limits.max_width);
    if groups > limits.max_groups {
        let message = format!("{groups} given, expected at most {}", limits.max_groups);
        return Err(Error::operand("groups", message));
    }
    let lanes = u64::from(groups) * u64::from(width);
    let of_a_turn = lanes * 4 * 4 * u64::from(SUMS);
    let most = limits.max_dispatch_bytes * MULTIPLY_ADDS_PER_BYTE / of_a_turn.max(1);
    let most = most.clamp(1, MAX_ITERATIONS - 1) as u32;
    let mut plan = Plan::default();
    let mut left = turns;
    while left > 0 {
        let own = left.min(most);
        plan.steps
            .push(Step::Dispatch(Box::new(multiply(groups, width, own, limits))));
        left -= own;
    }
    Ok((plan, of_a_turn * u64::from(turns)))
}

fn multiply(groups: u32, width: u32, turns: u32, limits: &Limits) -> Dispatch {
    let lanes = u64::from(groups) * u64::from(width);
    let into = Window::scratch(Origin::Tensor(Role::Loss), 4, 0, lanes);
    let params = MultiplyParams {
        turns,
        factor: 0.999,
        term: 0.001,
        pad0: 0,
    };
    Dispatch {
        variant: Variant {
            shared: Vec::new(),
            label: format!("multiply/group{width}"),
            consts: vec![
                Const::U32("WIDTH", width),
                Const::U32("SUMS", SUMS),
                Const::U32("QUAD", 4),
            ],
            pieces: vec![
                piece!("driver/multiply.wgsl"),
                pieces::write(Slot::Result, Dtype::F32, false, Put::Write),
                pieces::PARAMS,
            ],
        },
        params: bytemuck::bytes_of(&params).to_vec(),
        bindings: bindings(&[(Slot::Result, true, into)], limits),
        groups: [groups, 1],
        iterations: turns.into(),
        tiles: (0, groups.into()),
        multiply_adds: lanes * u64::from(turns) * 4 * 4 * u64::from(SUMS),
    }
}
