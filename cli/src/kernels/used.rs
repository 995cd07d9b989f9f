//! What a shader does with what it binds, once its constants have decided: branches that no constant lets it take are
//! left out, as compilers leave them out, and the rest is looked at.

use std::collections::HashMap;

use naga::{AtomicFunction, BinaryOperator, Block, Constant, Expression, Function, Handle, Literal, Module, Statement};

/// The module without branches that are never taken, and without what only these use. Atomics that keep the other half
/// of a word count as the store of a half.
pub fn taken(module: &Module) -> Module {
    let mut module = module.clone();
    let is_true = |init| match module.global_expressions[init] {
        Expression::Literal(Literal::Bool(value)) => Some(value),
        _ => None,
    };
    let all = module.constants.iter();
    let constants: HashMap<Handle<Constant>, bool> = all
        .filter_map(|(handle, own)| Some((handle, is_true(own.init)?)))
        .collect();
    let functions = module.functions.iter_mut().map(|(_, own)| own);
    let entries = module.entry_points.iter_mut().map(|own| &mut own.function);
    for function in functions.chain(entries) {
        let body = std::mem::take(&mut function.body);
        function.body = pruned(body, function, &constants);
        function.named_expressions.clear(); // else whatever has a name counts as used
    }
    naga::compact::compact(&mut module, naga::compact::KeepUnused::No);
    module
}

fn pruned(block: Block, function: &Function, constants: &HashMap<Handle<Constant>, bool>) -> Block {
    let inner = |block| pruned(block, function, constants);
    let mut kept = Block::new();
    for (statement, span) in block.span_into_iter() {
        let statement = match statement {
            Statement::Block(own) => Statement::Block(inner(own)),
            Statement::If {
                condition,
                accept,
                reject,
            } => match truth(condition, function, constants) {
                Some(true) => Statement::Block(inner(accept)),
                Some(false) => Statement::Block(inner(reject)),
                None => Statement::If {
                    condition,
                    accept: inner(accept),
                    reject: inner(reject),
                },
            },
            Statement::Switch { selector, mut cases } => {
                for case in &mut cases {
                    case.body = inner(std::mem::take(&mut case.body));
                }
                Statement::Switch { selector, cases }
            }
            Statement::Loop {
                body,
                continuing,
                break_if,
            } => Statement::Loop {
                body: inner(body),
                continuing: inner(continuing),
                break_if,
            },
            Statement::Atomic {
                pointer,
                fun: AtomicFunction::And | AtomicFunction::InclusiveOr,
                value,
                ..
            } => Statement::Store { pointer, value },
            other => other,
        };
        let ends = ends(&statement);
        kept.push(statement, span);
        if ends {
            break; // nothing may follow
        }
    }
    kept
}

fn ends(statement: &Statement) -> bool {
    match statement {
        Statement::Return { .. } | Statement::Break | Statement::Continue | Statement::Kill => true,
        Statement::Block(own) => own.last().is_some_and(ends),
        _ => false,
    }
}

/// What a condition is, where the constants say it.
fn truth(
    condition: Handle<Expression>,
    function: &Function,
    constants: &HashMap<Handle<Constant>, bool>,
) -> Option<bool> {
    let of = |own| truth(own, function, constants);
    match function.expressions[condition] {
        Expression::Literal(Literal::Bool(value)) => Some(value),
        Expression::Constant(own) => constants.get(&own).copied(),
        Expression::Unary {
            op: naga::UnaryOperator::LogicalNot,
            expr,
        } => of(expr).map(|own| !own),
        Expression::Binary { op, left, right } => {
            let both = [of(left), of(right)];
            let decides = |value| both.contains(&Some(value));
            match op {
                BinaryOperator::And | BinaryOperator::LogicalAnd if decides(false) => Some(false),
                BinaryOperator::InclusiveOr | BinaryOperator::LogicalOr if decides(true) => Some(true),
                BinaryOperator::And | BinaryOperator::LogicalAnd => both[0].and(both[1]),
                BinaryOperator::InclusiveOr | BinaryOperator::LogicalOr => both[0].and(both[1]),
                _ => None,
            }
        }
        _ => None,
    }
}
