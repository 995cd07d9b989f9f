//! The plan of a sum as textbooks write it, which `bench` times beside the reduce driver.

use crate::error::{Error, Result};
use crate::layout::{ReduceParams, Slot};
use crate::limits::{Limits, MAX_ITERATIONS};
use crate::plan::window::{Window, base_of, bindings, fit};
use crate::plan::{Dispatch, Plan, Source, Step, furthest, grid};
use crate::problem::Role;
use crate::shader::pieces::Put;
use crate::shader::{Const, Variant, piece, pieces};
use crate::tensor::{Dtype, View};

/// Invocations of a workgroup, on any adapter.
const WIDTH: u32 = 256;

/// Plans a sum of [`Role::Input`], f32 without gaps, into [`Role::Loss`]: workgroups of 256 lanes that take `per_lane`
/// elements each, level by level down to one number.
///
/// # Errors
/// [`Error::Operand`] where lanes would have no element, or loop for too long; [`Error::Limit`] for 2^32 elements or more, or
/// a device without such workgroups.
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
    let (mut from, mut len) = (Source::Tensor(Role::Input), input.len());
    loop {
        let tiles = len.div_ceil(tile).max(1);
        let into = match tiles {
            1 => Source::Tensor(Role::Loss),
            _ => plan.add_scratch(4 * tiles),
        };
        level(&mut plan, (from, len), (into, tiles), per_lane, limits)?;
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

/// Adds the sums of all tiles of one level.
fn level(
    plan: &mut Plan,
    (from, len): (Source, u64),
    (into, tiles): (Source, u64),
    per_lane: u32,
    limits: &Limits,
) -> Result<()> {
    let tile = u64::from(WIDTH * per_lane);
    let mut first = 0;
    while first < tiles {
        // All begin at their first element.
        let windows = |end: u64| {
            [
                (
                    Slot::Input,
                    false,
                    Window::scratch(from, 4, first * tile, len.min(end * tile)),
                ),
                (Slot::Loss, true, Window::scratch(into, 4, first, end)),
            ]
        };
        let end = furthest(first, tiles, |end| fit(&windows(end), end - first, limits))
            .ok_or_else(|| Error::Limit("naive sum: a tile does not fit into one binding".into()))?;
        let groups = grid(end - first, limits);
        let params = ReduceParams {
            first_tile: first as u32,
            end_tile: end as u32,
            groups_x: groups[0],
            len: len as u32,
            first_item: (first * tile) as u32,
            base: base_of(&windows(end), Slot::Input, limits),
            states_base: base_of(&windows(end), Slot::Loss, limits),
            ..Default::default()
        };
        plan.steps.push(Step::Dispatch(Box::new(Dispatch {
            variant: Variant {
                label: format!("naive_sum/f32/group{WIDTH}/tile{tile}"),
                consts: vec![Const::U32("WIDTH", WIDTH), Const::U32("TILE", tile as u32)],
                pieces: vec![
                    piece!("driver/naive.wgsl"),
                    piece!("piece/reduce_params.wgsl"),
                    pieces::read(Slot::Input, Dtype::F32, false),
                    pieces::write(Slot::Loss, Dtype::F32, false, Put::Write),
                ],
            },
            params: bytemuck::bytes_of(&params).to_vec(),
            bindings: bindings(&windows(end), limits),
            groups,
            iterations: iterations(per_lane),
            tiles: (first, end),
        })));
        first = end;
    }
    Ok(())
}
