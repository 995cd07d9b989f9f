//! The plan of the copy kernel, which `bench` measures kernels of one read and one write against.

use crate::dtype::Dtype;
use crate::error::Result;
use crate::layout::Slot;
use crate::limits::Limits;
use crate::plan::pass::{Pass, Per};
use crate::plan::{Origin, Plan};
use crate::shader::pieces::Put;
use crate::shader::{piece, pieces};
use crate::tuning::Tuning;
use crate::view::View;
use crate::words::Role;

/// Plans a copy of [`Role::Input`] to [`Role::Grad`] 0, both contiguous: the ceiling that `bench` measures against.
///
/// # Errors
/// [`Error::Limit`](crate::Error::Limit) where a tile does not fit into one binding.
pub fn plan_copy(input: &View, limits: &Limits, tuning: &Tuning) -> Result<Plan> {
    let mut plan = Plan::default();
    let tile = tuning.small_tile(input.len(), 8) as u32;
    Pass {
        label: "copy/f32x4".into(),
        pieces: vec![
            piece!("driver/copy.wgsl"),
            pieces::read(Slot::Input, Dtype::F32, true),
            pieces::write(Slot::GradInput, Dtype::F32, true, Put::Write),
        ],
        consts: vec![],
        width: tuning.width,
        tile,
        iterations: u64::from(tile / (4 * tuning.width)),
        from: (Slot::Input, Origin::Tensor(Role::Input), 4),
        len: input.len(),
        into: (Slot::GradInput, (Origin::Tensor(Role::Grad(0)), 0), Per::Item),
    }
    .add(&mut plan, limits)?;
    Ok(plan)
}
