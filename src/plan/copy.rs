//! The plan of the copy kernel, which `bench` measures kernels of one read and one write against.

use crate::error::{Error, Result};
use crate::layout::{ReduceParams, Slot};
use crate::limits::Limits;
use crate::plan::window::{Window, bindings, fit};
use crate::plan::{Dispatch, Plan, Source, Step, furthest, grid};
use crate::problem::Role;
use crate::shader::pieces::Put;
use crate::shader::{Const, Variant, piece, pieces};
use crate::tensor::{Dtype, View};
use crate::tuning::Tuning;

/// Plans a copy of [`Role::Input`] to [`Role::Grad`] 0, both contiguous: the ceiling that `bench` measures against.
///
/// # Errors
/// [`Error::Limit`] where a tile does not fit into one binding.
pub fn plan_copy(input: &View, limits: &Limits, tuning: &Tuning) -> Result<Plan> {
    let mut plan = Plan::default();
    let tile = u64::from(tuning.tile);
    let len = input.len();
    let (tiles, mut first) = (len.div_ceil(tile), 0);
    while first < tiles {
        let windows = |end: u64| {
            // Both begin at their first element.
            let window = |role| Window::scratch(Source::Tensor(role), 4, first * tile, len.min(end * tile));
            [
                (Slot::Input, false, window(Role::Input)),
                (Slot::GradInput, true, window(Role::Grad(0))),
            ]
        };
        let end = furthest(first, tiles, |end| fit(&windows(end), end - first, limits))
            .ok_or_else(|| Error::Limit("copy: a tile does not fit into one binding".into()))?;
        let groups = grid(end - first, limits);
        let params = ReduceParams {
            first_tile: first as u32,
            end_tile: end as u32,
            groups_x: groups[0],
            len: len as u32,
            first_item: (first * tile) as u32,
            ..Default::default()
        };
        let list = vec![
            piece!("driver/copy.wgsl"),
            piece!("piece/reduce_params.wgsl"),
            pieces::read(Slot::Input, Dtype::F32, true),
            pieces::write(Slot::GradInput, Dtype::F32, true, Put::Write),
        ];
        plan.steps.push(Step::Dispatch(Box::new(Dispatch {
            variant: Variant {
                label: format!("copy/f32x4/group{}/tile{}", tuning.width, tuning.tile),
                consts: vec![Const::U32("WIDTH", tuning.width), Const::U32("TILE", tuning.tile)],
                pieces: list,
            },
            params: bytemuck::bytes_of(&params).to_vec(),
            bindings: bindings(&windows(end), limits),
            groups,
            iterations: tile / u64::from(4 * tuning.width),
            tiles: (first, end),
        })));
        first = end;
    }
    Ok(plan)
}
