//! What is inspected of a call's values.

use crate::call::Call;
use crate::inspect::Check;
use crate::loss::{Loss, OperandKind};
use crate::problem::Operand;
use crate::tensor::Tensor;
use crate::words::{OnNan, Role, Rule};

/// The inspections of a call, by operand. What is always inspected, PyTorch refuses; there NaN goes its way, as
/// everywhere in this library.
pub(super) fn of(loss: &dyn Loss, call: &Call<'_>, operands: &[Operand]) -> Vec<Check> {
    let mut list = Vec::new();
    let mut add = |role, tensor: &Tensor, always: Option<Rule>, strict: Option<Rule>| {
        // Of classes no numbers are inspected.
        let taken = operands.iter().find(|own| own.role == role);
        if !taken.is_some_and(|own| own.view.dtype.is_float()) {
            return;
        }
        let mut check = |rule: Option<Rule>, refuses_nan| {
            list.extend(rule.map(|rule| Check {
                role,
                rule,
                refuses_nan,
                shape: tensor.shape().to_vec(),
            }));
        };
        check((call.checks.nan == OnNan::Error).then_some(Rule::Finite), true);
        check(always, false);
        check(strict.filter(|_| call.checks.strict), true);
    };
    for (own, tensor) in loss.info().operands.iter().zip(&call.tensors) {
        let (always, strict) = match (own.kind, own.role) {
            (OperandKind::UnitInterval, Role::Input) => (Some(Rule::UnitInterval), None),
            (OperandKind::Variance, _) => (Some(Rule::NonNegative), None),
            (OperandKind::Sign, _) => (None, Some(Rule::Sign)),
            (
                OperandKind::UnitInterval | OperandKind::MaybeLogProbability | OperandKind::IndexOrDistribution,
                Role::Target,
            ) => (None, Some(Rule::UnitInterval)),
            _ => (None, None),
        };
        add(own.role, tensor, always, strict);
    }
    for (role, tensor) in loss.tensors() {
        add(role, tensor, None, Some(Rule::NonNegative)); // each is a factor
    }
    list
}
