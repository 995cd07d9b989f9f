//! Values that break a rule.

use rayon::prelude::*;

use super::{Floats, Operands};
use crate::error::Result;
use crate::inspect::Check;
use crate::layout::{Fault, words};
use crate::problem::Problem;

/// What each check of a problem finds.
pub(super) fn faults(problem: &Problem, operands: &Operands<'_>) -> Result<Vec<Fault>> {
    let of = |check: &Check| -> Result<Fault> {
        let Some(own) = problem.operands.iter().find(|own| own.role == check.role) else {
            return Ok(Fault::NONE);
        };
        let floats = Floats::new(operands, check.role, &own.view)?;
        let bad = |i: &usize| check.breaks(floats.at(*i));
        let all = 0..own.view.len() as usize;
        Ok(match all.clone().into_par_iter().find_first(bad) {
            None => Fault::NONE,
            Some(first) => Fault {
                count: u32::try_from(all.into_par_iter().filter(bad).count()).unwrap_or(u32::MAX),
                first: words(first as i64),
                bits: (floats.at(first) as f32).to_bits(),
            },
        })
    };
    problem.checks.iter().map(of).collect()
}
