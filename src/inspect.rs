//! Inspections: operands whose values break a rule are counted and the first is named. The result stands beside that.

use crate::error::Error;
use crate::layout::Fault;
use crate::values::Values;
use crate::words::{Role, Rule};

/// One inspection of a problem.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    pub role: Role,
    pub rule: Rule,
    /// NaN breaks the rule, too; else it goes its way into the result.
    pub refuses_nan: bool,
    /// Of the operand, as the call has it.
    pub shape: Vec<usize>,
}

impl Check {
    /// The same in f64. The shaders tell by bits, since adapters may flush the smallest numbers to 0.
    pub(crate) fn breaks(&self, x: f64) -> bool {
        if x.is_nan() {
            return self.refuses_nan;
        }
        match self.rule {
            Rule::Finite => !x.is_finite(),
            Rule::UnitInterval => !(0.0..=1.0).contains(&x),
            Rule::NonNegative => x < 0.0,
            Rule::Sign => x.abs() != 1.0,
        }
    }

    /// What an inspection found, where it found something.
    pub(crate) fn error(&self, fault: &Fault, values: &Values) -> Option<Error> {
        (fault.count > 0).then(|| Error::BadValues {
            name: self.role.name(),
            count: u64::from(fault.count),
            of: self.shape.iter().map(|&n| n as u64).product(),
            first: coordinates(&self.shape, fault.place()),
            value: f32::from_bits(fault.bits),
            expected: self.rule.expected(),
            values: Box::new(values.clone()),
        })
    }
}

/// Where an element lies in a shape.
fn coordinates(shape: &[usize], element: u64) -> Vec<usize> {
    let mut rest = element;
    let mut place: Vec<usize> = shape
        .iter()
        .rev()
        .map(|&size| {
            let at = rest % size.max(1) as u64;
            rest /= size.max(1) as u64;
            at as usize
        })
        .collect();
    place.reverse();
    place
}
