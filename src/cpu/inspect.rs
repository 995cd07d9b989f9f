//! Values that break a rule.

use rayon::prelude::*;

use super::{ByRole, Floats};
use crate::error::Result;
use crate::inspect::Check;
use crate::layout::{Fault, words};
use crate::problem::Problem;

/// Elements looked at by a thread at a time.
const BLOCK: usize = 4096;

/// What each check of a problem finds.
pub(super) fn faults(problem: &Problem, operands: &ByRole<'_>) -> Result<Vec<Fault>> {
    let of = |check: &Check| -> Result<Fault> {
        let Some(own) = problem.operands.iter().find(|own| own.role == check.role) else {
            return Ok(Fault::NONE);
        };
        let floats = Floats::new(operands, check.role, &own.view)?;
        let len = own.view.len() as usize;
        let look = |block: usize| {
            let (start, mut values) = (block * BLOCK, [0.0; BLOCK]);
            let values = &mut values[..BLOCK.min(len - start)];
            floats.read(start, 1, values);
            let mut bad = values.iter().enumerate().filter(|(_, x)| check.breaks(**x));
            let (first, _) = bad.next()?;
            Some((start + first, 1 + bad.count()))
        };
        let join = |a: (usize, usize), b: (usize, usize)| (a.0.min(b.0), a.1 + b.1);
        let found = (0..len.div_ceil(BLOCK))
            .into_par_iter()
            .filter_map(look)
            .reduce_with(join);
        Ok(found.map_or(Fault::NONE, |(first, count)| Fault {
            count: u32::try_from(count).unwrap_or(u32::MAX),
            first: words(first as i64),
            bits: (floats.at(first) as f32).to_bits(),
        }))
    };
    problem.checks.iter().map(of).collect()
}
