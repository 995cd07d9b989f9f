//! What lies between the row driver and its outputs: the records of rows, taken apart by column.

use crate::error::Result;
use crate::layout::Slot;
use crate::limits::Limits;
use crate::plan::monoid::Scale;
use crate::plan::pass::{Pass, Per};
use crate::plan::reduce::add_column_sum;
use crate::plan::{Origin, Plan};
use crate::problem::Problem;
use crate::shader::{Const, piece};
use crate::tuning::Tuning;
use crate::words::Role;

/// Bytes of `Record` of `shaders/outcome/row.wgsl`, whose fields the columns are.
pub(crate) const RECORD_BYTES: u64 = 32;
const LOSS: u32 = 0;
const Z_LOSS: u32 = 1;
const LSE: u32 = 2;
const ENTROPY: u32 = 3;
const CORRECT: u32 = 4;
const TOP: u32 = 5;

/// Adds the outputs that records hold: sums where the problem is reduced, columns elsewhere.
pub(super) fn add_outputs(
    plan: &mut Plan,
    problem: &Problem,
    records: Origin,
    rows: u64,
    limits: &Limits,
    tuning: &Tuning,
) -> Result<()> {
    let (stats, wants_loss) = (problem.stats, problem.mode.wants_loss());
    let column = |column| (records, column, rows);
    let place = |role| (role, problem.offset_of(role));
    for (wanted, own, into, z_loss) in [
        (wants_loss, LOSS, Role::Loss, false),
        (wants_loss && stats.z_loss, Z_LOSS, Role::ZLoss, true),
    ] {
        if wanted && problem.is_reduced() {
            let scale = Some(Scale::of(problem, z_loss));
            add_column_sum(plan, column(own), place(into), scale, limits, tuning)?;
        } else if wanted {
            add_column(plan, column(own), place(into), limits, tuning)?;
        }
    }
    for (wanted, own, into) in [
        (stats.lse, LSE, Role::Lse),
        (stats.entropy, ENTROPY, Role::Entropy),
        (stats.argmax, TOP, Role::Argmax),
    ] {
        if wanted {
            add_column(plan, column(own), place(into), limits, tuning)?;
        }
    }
    if stats.accuracy {
        add_column_sum(plan, column(CORRECT), place(Role::Correct), None, limits, tuning)?;
    }
    Ok(())
}

/// Adds the copy of a column into an output of its own.
fn add_column(
    plan: &mut Plan,
    (records, column, rows): (Origin, u32, u64),
    (into, at): (Role, u64),
    limits: &Limits,
    tuning: &Tuning,
) -> Result<()> {
    let tile = tuning.small_tile(rows, RECORD_BYTES) as u32;
    Pass {
        label: format!("column{column}"),
        pieces: vec![piece!("driver/column.wgsl")],
        consts: vec![Const::U32("COLUMN", column)],
        width: tuning.width,
        tile,
        iterations: u64::from(tile / tuning.width),
        from: (Slot::StatesIn, records, RECORD_BYTES),
        len: rows,
        into: (Slot::Result, (Origin::Tensor(into), at), Per::Item),
    }
    .add(plan, limits)
}
