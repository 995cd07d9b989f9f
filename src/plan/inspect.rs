//! Plans of inspections: a pass of the reduce driver over each operand whose values have to keep a rule.

use crate::error::Result;
use crate::limits::Limits;
use crate::plan::{Plan, reduce};
use crate::problem::Problem;
use crate::tuning::Tuning;

/// Adds all inspections but the one that the elementwise driver makes on its way. They come before the kernels, which
/// may write over what is inspected.
pub(super) fn add_passes(plan: &mut Plan, problem: &Problem, limits: &Limits, tuning: &Tuning) -> Result<()> {
    let on_the_way = problem.check_on_the_way().map(|(nth, _)| nth);
    for (nth, check) in problem.checks.iter().enumerate() {
        let operand = problem.operands.iter().find(|own| own.role == check.role);
        if let Some(operand) = operand.filter(|_| on_the_way != Some(nth)) {
            reduce::add_inspection(plan, (nth, check), &operand.view, limits, tuning)?;
        }
    }
    Ok(())
}
