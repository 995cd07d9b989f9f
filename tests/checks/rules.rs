//! Which numbers break which rule, of every operand of every loss.

use std::collections::BTreeSet;

use wgloss::{Bce, Checks, Dtype, Engine, GaussianNll, KlDiv, Loss, Mode, OperandKind, REGISTRY, Role, Tensor};

use super::{Found, INF, NAN, NO_NAN, STRICT, checked, engines, found, look, tensor};
use crate::common::cases::{Case, Setup, make};
use crate::common::{bits, engine};

/// The ends of an interval are in it, and the next number of the dtype is not, however small the step.
#[test]
fn the_ends_of_rules() {
    let step = |dtype: Dtype| match dtype {
        Dtype::F16 => (5.960_464_5e-8, 1.000_976_6), // 2^-24, 1 + 2^-10
        Dtype::Bf16 => (9.183_55e-41, 1.007_812_5),  // 2^-133, 1 + 2^-7
        _ => (f32::from_bits(1), 1.0 + f32::EPSILON),
    };
    let find = |engine: &Engine, loss: &dyn Loss, tensors: &[&Tensor], checks| {
        look(engine, loss, &checked(Mode::Forward, tensors, checks)).0
    };
    for dtype in Dtype::FLOATS {
        let (least, above) = step(dtype);
        let half = tensor(&[0.5; 9], &[9], dtype);
        let one = |x: f32, at: usize| {
            let mut all = [0.5; 9];
            all[at] = x;
            (tensor(&all, &[9], dtype), x)
        };
        for engine in engines() {
            let check = |x: f32, unit: bool, at_least_0: bool| {
                for at in [0, 3, 8] {
                    let (x, value) = one(x, at);
                    let what = format!("{value} at {at} in {dtype}, {}", engine.name());
                    let says = |name, bad: bool| if bad { found(name, (1, 9), &[at], value) } else { None };
                    let bce = Bce::default();
                    let nan = value.is_nan();
                    assert_eq!(
                        find(engine, &bce, &[&x, &half], Checks::default()),
                        says("input", unit && !nan),
                        "{what}"
                    );
                    assert_eq!(find(engine, &bce, &[&half, &x], STRICT), says("target", unit), "{what}");
                    assert_eq!(
                        find(engine, &bce, &[&half, &x], NO_NAN),
                        says("target", !value.is_finite()),
                        "{what}"
                    );
                    let weighted = Bce {
                        weight: Some(x.clone()),
                        ..Default::default()
                    };
                    assert_eq!(
                        find(engine, &weighted, &[&half, &half], STRICT),
                        says("weight", at_least_0),
                        "{what}"
                    );
                    assert_eq!(
                        find(engine, &weighted, &[&half, &half], Checks::default()),
                        None,
                        "{what}"
                    );
                    let nll = GaussianNll::default();
                    let variance = find(engine, &nll, &[&half, &half, &x], Checks::default());
                    assert_eq!(variance, says("var", at_least_0 && !nan), "{what}");
                }
            };
            for x in [0.0, -0.0, least, 0.25, 1.0] {
                check(x, false, false);
            }
            check(above, true, false);
            check(INF, true, false);
            for x in [-least, -1.0, -INF, NAN] {
                check(x, true, true);
            }
        }
    }
}

fn replace(case: &mut Case, role: Role, tensor: Tensor) {
    let place = case.loss.info().operands.iter().position(|own| own.role == role);
    match place {
        Some(place) => case.tensors[place] = tensor,
        None => case.loss.attach(role, tensor).unwrap(),
    }
}

/// The same tensor with other numbers at the end and before.
fn with(own: &Tensor, value: f32) -> (Tensor, Found) {
    let mut array = own.numbers(&Engine::cpu()).unwrap();
    let len = array.data.len();
    let places = [len / 2, len - 1];
    places.iter().for_each(|&at| array.data[at] = value);
    let mut rest = places[0];
    let mut first: Vec<usize> = array.shape.iter().rev().map(|&n| (rest % n, rest /= n).0).collect();
    first.reverse();
    let count = if places[0] == places[1] { 1 } else { 2 };
    let found = found("", (count, len as u64), &first, value).unwrap();
    (tensor(&array.data, &array.shape, own.dtype()), found)
}

/// Every float that a loss takes, on both engines: `values` break a check; what is computed is what is computed without
/// it.
fn sweep(device: &Engine, checks: Checks, values: &[f32], full: bool) -> BTreeSet<(&'static str, &'static str)> {
    let mut seen = BTreeSet::new();
    for (n, info) in REGISTRY.iter().enumerate() {
        let setup = Setup {
            dtype: Dtype::FLOATS[n % 3],
            other: Dtype::FLOATS[n % 3],
            full,
            given: true,
            reduction: info.reductions[n % info.reductions.len()],
            ..Setup::new(&[6, 5])
        };
        let mut case = make(info, &setup).unwrap();
        let optional: Vec<Role> = case.loss.tensors().iter().map(|(role, _)| *role).collect();
        let roles: Vec<Role> = info.operands.iter().map(|own| own.role).chain(optional).collect();
        for role in roles {
            let own = case.operand(role).clone();
            if !own.dtype().is_float() {
                continue;
            }
            for &value in values {
                let (bad, want) = with(&own, value);
                replace(&mut case, role, bad);
                for engine in [device, &Engine::cpu()] {
                    let mut call = case.call(case.most());
                    let (without, plain) = look(engine, case.loss.as_ref(), &call);
                    call.checks = checks;
                    let (got, values) = look(engine, case.loss.as_ref(), &call);
                    assert!(bits(&plain) == bits(&values), "bits of {}: {}", info.name, role.name());
                    let Some(got) = got else {
                        assert_eq!(without, None, "{}: {}", info.name, role.name());
                        continue;
                    };
                    assert_eq!(
                        got,
                        Found {
                            name: role.name(),
                            ..want.clone()
                        },
                        "{}",
                        info.name
                    );
                    if without.is_none() {
                        seen.insert((info.name, role.name()));
                    }
                }
            }
            replace(&mut case, role, own);
        }
    }
    seen
}

/// Nothing is reported of the cases that all other tests compute, and what is asked for is reported of all operands.
#[test]
fn what_strict_looks_at() {
    // An engine of its own, whose pipelines go with it.
    let own = engine::fresh();
    let probabilities = [
        "bce",
        "bce_with_logits",
        "cross_entropy",
        "kl_div",
        "linear_cross_entropy",
        "multilabel_soft_margin",
        "sigmoid_focal",
    ];
    let signs = ["cosine_embedding", "hinge_embedding", "margin_ranking", "soft_margin"];
    let targets = |names: &[&'static str]| names.iter().map(|&name| (name, "target")).collect::<BTreeSet<_>>();
    assert_eq!(sweep(&own, STRICT, &[0.5], true), targets(&signs));
    let unit = sweep(&own, STRICT, &[1.5], true);
    assert_eq!(unit, targets(&[&probabilities[..], &signs].concat()));
    for value in [-0.5, NAN] {
        let all = sweep(&own, STRICT, &[value], true);
        let factors = all.difference(&unit).copied().collect::<BTreeSet<_>>();
        let listed = REGISTRY
            .iter()
            .flat_map(|info| info.tensors.iter().map(|own| (info.name, own.role.name())));
        // With full targets; what goes with class targets alone comes below.
        let listed: BTreeSet<_> = listed.collect();
        assert!(factors.is_subset(&listed), "{factors:?}");
        let classes: BTreeSet<_> = sweep(&own, STRICT, &[value], false);
        let both: BTreeSet<_> = factors
            .union(&classes)
            .copied()
            .filter(|own| listed.contains(own))
            .collect();
        assert_eq!(both, listed);
    }
    // Logarithms are in no interval.
    let (x, log_p) = (
        tensor(&[-1.0, -2.0], &[2], Dtype::F32),
        tensor(&[-0.5, -3.0], &[2], Dtype::F32),
    );
    let loss = KlDiv {
        log_target: true,
        ..Default::default()
    };
    for engine in engines() {
        assert_eq!(
            look(engine, &loss, &checked(Mode::Fused, &[&x, &log_p], STRICT)).0,
            None
        );
        let plain = KlDiv::default();
        let (got, _) = look(engine, &plain, &checked(Mode::Fused, &[&x, &log_p], STRICT));
        assert_eq!(got, found("target", (2, 2), &[0], -0.5));
    }
}

#[test]
fn what_is_no_finite_number_is_reported_of_every_operand() {
    // An engine of its own, whose pipelines go with it.
    let own = engine::fresh();
    for full in [false, true] {
        let seen = sweep(&own, NO_NAN, &[NAN], full);
        let wanted: BTreeSet<_> = REGISTRY
            .iter()
            .flat_map(|info| {
                let floats = info.operands.iter().filter(|own| match own.kind {
                    OperandKind::Index | OperandKind::IndexList => false,
                    OperandKind::IndexOrDistribution => full,
                    _ => true,
                });
                let optional = info.tensors.iter().map(|own| own.role);
                floats
                    .map(|own| own.role)
                    .chain(optional)
                    .map(|role| (info.name, role.name()))
            })
            .collect();
        // A tensor that does not go with full targets, or with classes, is in no case.
        let missing: Vec<_> = wanted.difference(&seen).collect();
        assert!(
            missing.iter().all(|own| own.1 != "input" && own.1 != "target"),
            "{missing:?}"
        );
        assert!(seen.is_subset(&wanted) && missing.len() <= 1, "{missing:?}");
        for value in [INF, -INF] {
            let more = sweep(&own, NO_NAN, &[value], full);
            assert!(
                more.is_subset(&seen) && more.len() + 2 >= seen.len(),
                "{:?}",
                seen.difference(&more)
            );
        }
    }
}
