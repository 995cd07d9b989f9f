//! The plan of a sum as textbooks write it, which `bench` times beside the reduce driver.

use crate::dtype::Dtype;
use crate::error::{Error, Result};
use crate::layout::Slot;
use crate::limits::{Limits, MAX_ITERATIONS};
use crate::plan::pass::{Pass, Per};
use crate::plan::{Origin, Plan};
use crate::shader::pieces::Put;
use crate::shader::{piece, pieces};
use crate::view::View;
use crate::words::Role;

/// Invocations of a workgroup, on any adapter.
const WIDTH: u32 = 256;

/// Plans a sum of [`Role::Input`], f32 without gaps, into [`Role::Loss`]: workgroups of 256 lanes that take `per_lane`
/// elements each, level by level down to one number.
///
/// # Errors
/// [`Error::Operand`] where lanes would have no element, or loop for too long; [`Error::Limit`] for 2^32 elements or
/// more, or a device without such workgroups.
pub fn plan_naive(input: &View, per_lane: u32, limits: &Limits) -> Result<Plan> {
    if per_lane == 0 || iterations(per_lane) >= MAX_ITERATIONS {
        let message = format!("{per_lane} given, expected at least 1, and loops below {MAX_ITERATIONS} iterations");
        return Err(Error::operand("per_lane", message));
    }
    if limits.max_width < WIDTH || input.len() >= 1 << 32 {
        return Err(Error::Limit(format!(
            "naive sum: {} elements by workgroups of {WIDTH}, at most 2^32 - 1 and {}",
            input.len(),
            limits.max_width
        )));
    }
    let tile = u64::from(WIDTH * per_lane);
    let mut plan = Plan::default();
    let (mut from, mut len) = (Origin::Tensor(Role::Input), input.len());
    loop {
        let tiles = len.div_ceil(tile).max(1);
        let into = match tiles {
            1 => Origin::Tensor(Role::Loss),
            _ => plan.add_scratch(4 * tiles),
        };
        Pass {
            label: "naive_sum/f32".into(),
            pieces: vec![
                piece!("driver/naive.wgsl"),
                pieces::read(Slot::Input, Dtype::F32, false),
                pieces::write(Slot::Loss, Dtype::F32, false, Put::Write),
            ],
            consts: vec![],
            width: WIDTH,
            tile: WIDTH * per_lane,
            iterations: iterations(per_lane),
            from: (Slot::Input, from, 4),
            len,
            into: (Slot::Loss, (into, 0), Per::Tile),
        }
        .add(&mut plan, limits)?;
        if tiles == 1 {
            return Ok(plan);
        }
        (from, len) = (into, tiles);
    }
}

/// The elements of a lane, and the levels of the tree.
fn iterations(per_lane: u32) -> u64 {
    u64::from(per_lane) + u64::from(WIDTH.ilog2())
}
