//! Values that break a rule: counted, the first named, the result beside that; on the GPU and on the processor.

use std::collections::BTreeSet;

use wgloss::layout::{ElementParams, Fault, ReduceParams, Slot};
use wgloss::optim::{OPTIMIZERS, Setting};
use wgloss::plan::plan;
use wgloss::problem::Problem;
use wgloss::{
    Bce, Call, Checks, CrossEntropy, Dtype, Engine, Error, GaussianNll, GradTo, KlDiv, Limits, Loss, Mode, OnNan,
    OperandKind, REGISTRY, Reduction, Role, Scalar, ScalarKind, Tensor, Tuning, Values, View,
};

use crate::common::cases::{Case, Setup, label_tensor, make};
use crate::common::data::Data;
use crate::common::{bits, engine, gpu, hardware};
use crate::plans::{DEFAULT_LIMITS, SMALL, TINY};

const NAN: f32 = f32::NAN;
const INF: f32 = f32::INFINITY;
const STRICT: Checks = Checks {
    strict: true,
    nan: OnNan::Propagate,
};
const NO_NAN: Checks = Checks {
    strict: false,
    nan: OnNan::Error,
};

/// Everything here is claimed of all of these. The last cuts small data into many dispatches.
fn engines() -> &'static [Engine] {
    static ENGINES: std::sync::OnceLock<Vec<Engine>> = std::sync::OnceLock::new();
    ENGINES.get_or_init(|| {
        let mut tiny = engine::fresh();
        tiny.set_tuning(SMALL).unwrap();
        let own = tiny.plan_limits().unwrap();
        tiny.set_plan_limits(Limits {
            max_binding_bytes: TINY.max_binding_bytes,
            max_groups: TINY.max_groups,
            ..own
        })
        .unwrap();
        vec![engine::fresh(), Engine::cpu(), tiny]
    })
}

fn tensor(data: &[f32], shape: &[usize], dtype: Dtype) -> Tensor {
    Tensor::new(data, shape).unwrap().to_dtype(dtype).unwrap()
}

/// An error of values without the values.
#[derive(Clone, Debug, PartialEq)]
struct Found {
    name: &'static str,
    count: u64,
    of: u64,
    first: Vec<usize>,
    bits: u32,
}

fn found(name: &'static str, (count, of): (u64, u64), first: &[usize], value: f32) -> Option<Found> {
    Some(Found {
        name,
        count,
        of,
        first: first.to_vec(),
        bits: value.to_bits(),
    })
}

/// What a call finds, and its values in any case.
fn look(engine: &Engine, loss: &dyn Loss, call: &Call<'_>) -> (Option<Found>, Values) {
    match loss.run(engine, call).unwrap().read(engine) {
        Ok(values) => (None, values),
        Err(Error::BadValues {
            name,
            count,
            of,
            first,
            value,
            values,
            ..
        }) => (found(name, (count, of), &first, value), *values),
        Err(error) => panic!("{error}"),
    }
}

fn checked<'a>(mode: Mode, tensors: &[&'a Tensor], checks: Checks) -> Call<'a> {
    Call {
        checks,
        ..Call::new(mode, tensors)
    }
}

/// Across tiles and the seams of the tiny engine's dispatches; all else is as it would be without.
#[test]
fn probabilities_outside_are_reported_and_not_followed() {
    let (rows, cols) = (3, 7001);
    let len = rows * cols;
    let mut data = Data::new(11);
    let (x, t) = (data.uniform(len, 0.0, 1.0), data.targets(len));
    for (n, dtype) in Dtype::FLOATS.into_iter().enumerate() {
        for places in [
            &[8191, 8192, 16_383, len - 1][..],
            &[511, 512, 513],
            &[6144, 12_288],
            &[0],
            &[len - 1],
        ] {
            let values = [1.5, -0.25, INF, -INF];
            let mut bad = x.clone();
            for (k, &at) in places.iter().enumerate() {
                bad[at] = values[(k + n) % 4];
            }
            let (good, bad) = (tensor(&x, &[rows, cols], dtype), tensor(&bad, &[rows, cols], dtype));
            let target = tensor(&t, &[rows, cols], dtype);
            let first = places[0];
            let count = (places.len() as u64, len as u64);
            let want = found("input", count, &[first / cols, first % cols], values[n % 4]);
            for engine in engines().iter().chain([hardware()]) {
                for (mode, reduction) in [
                    (Mode::Fused, Reduction::None),
                    (Mode::Forward, Reduction::Mean),
                    (Mode::Backward, Reduction::Sum),
                ] {
                    let loss = Bce {
                        reduction,
                        ..Default::default()
                    };
                    let run = |input: &Tensor| {
                        let call = Call {
                            grads: vec![Role::Target],
                            ..Call::new(mode, &[input, &target])
                        };
                        look(engine, &loss, &call)
                    };
                    let (none, before) = run(&good);
                    assert_eq!(none, None);
                    let (got, after) = run(&bad);
                    let what = format!("{dtype} {places:?} {} {}", mode.name(), engine.name());
                    assert_eq!(got, want, "{what}");
                    let arrays = |values: &Values| {
                        let grads = [values.grad_input.clone(), values.grad(Role::Target).cloned()];
                        (values.loss.clone(), grads)
                    };
                    let ((loss_before, grads_before), (loss_after, grads_after)) = (arrays(&before), arrays(&after));
                    if let (Some(before), Some(after)) = (loss_before, loss_after) {
                        if reduction == Reduction::None {
                            for (i, (a, b)) in before.data.iter().zip(&after.data).enumerate() {
                                assert!(
                                    if places.contains(&i) { b.is_nan() } else { a == b },
                                    "{what}: loss {i}"
                                );
                            }
                        } else {
                            assert!(after.data[0].is_nan(), "{what}");
                        }
                    }
                    for (before, after) in grads_before.into_iter().zip(grads_after) {
                        let (Some(before), Some(after)) = (before, after) else {
                            assert_eq!(mode, Mode::Forward);
                            continue;
                        };
                        for (i, (a, b)) in before.data.iter().zip(&after.data).enumerate() {
                            let fits = if places.contains(&i) {
                                *b == 0.0
                            } else {
                                a.to_bits() == b.to_bits()
                            };
                            assert!(fits, "{what}: gradient {i} is {b}, was {a}");
                        }
                    }
                }
            }
        }
    }
}

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

/// A variance is named in its own shape, wherever it broadcasts; the loss takes it for less than eps, as ever.
#[test]
fn negative_variances_are_reported_in_their_own_shape() {
    let mut data = Data::new(3);
    let x = tensor(&data.logits(24), &[2, 3, 4], Dtype::F32);
    let loss = GaussianNll::default();
    for (shape, at, first) in [
        (&[2, 3, 4][..], 17, &[1, 1, 1][..]),
        (&[2, 3, 1], 4, &[1, 1, 0]),
        (&[2, 3], 4, &[1, 1]),
        (&[2, 1, 4], 6, &[1, 0, 2]),
    ] {
        let len: usize = shape.iter().product();
        let mut var = data.uniform(len, 0.2, 2.0);
        (var[at], var[len - 1]) = (-3.0, -1.0);
        let bad = tensor(&var, shape, Dtype::F32);
        (var[at], var[len - 1]) = (0.0, 0.0);
        let zero = tensor(&var, shape, Dtype::F32);
        for engine in engines() {
            let run = |var| look(engine, &loss, &Call::new(Mode::Fused, &[&x, &x, var]));
            let (none, want) = run(&zero);
            assert_eq!(none, None);
            // Where they lie makes no difference.
            for placed in [&bad, &engine.upload(&bad).unwrap()] {
                let (got, values) = run(placed);
                assert_eq!(got, found("var", (2, len as u64), first, -3.0), "{shape:?}");
                assert_eq!(bits(&want), bits(&values), "{shape:?}");
            }
        }
    }
}

/// The numbers of an operand or optional tensor of a case.
fn given(case: &Case, role: Role) -> Tensor {
    let place = case.loss.info().operands.iter().position(|own| own.role == role);
    match place {
        Some(place) => case.tensors[place].clone(),
        None => case
            .loss
            .tensors()
            .iter()
            .find(|(own, _)| *own == role)
            .unwrap()
            .1
            .clone(),
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

/// Every float that a loss takes, on both engines: `values` break a check; what is computed is what is computed without it.
fn sweep(checks: Checks, values: &[f32], full: bool) -> BTreeSet<(&'static str, &'static str)> {
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
            let own = given(&case, role);
            if !own.dtype().is_float() {
                continue;
            }
            for &value in values {
                let (bad, want) = with(&own, value);
                replace(&mut case, role, bad);
                for engine in [gpu(), &Engine::cpu()] {
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
    let probabilities = [
        "bce",
        "bce_with_logits",
        "cross_entropy",
        "kl_div",
        "multilabel_soft_margin",
        "sigmoid_focal",
    ];
    let signs = ["cosine_embedding", "hinge_embedding", "margin_ranking", "soft_margin"];
    let targets = |names: &[&'static str]| names.iter().map(|&name| (name, "target")).collect::<BTreeSet<_>>();
    assert_eq!(sweep(STRICT, &[0.5], true), targets(&signs));
    let unit = sweep(STRICT, &[1.5], true);
    assert_eq!(unit, targets(&[&probabilities[..], &signs].concat()));
    for value in [-0.5, NAN] {
        let all = sweep(STRICT, &[value], true);
        let factors = all.difference(&unit).copied().collect::<BTreeSet<_>>();
        let listed = REGISTRY
            .iter()
            .flat_map(|info| info.tensors.iter().map(|own| (info.name, own.role.name())));
        // With full targets; what goes with class targets alone comes below.
        let listed: BTreeSet<_> = listed.collect();
        assert!(factors.is_subset(&listed), "{factors:?}");
        let classes: BTreeSet<_> = sweep(STRICT, &[value], false);
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
    for full in [false, true] {
        let seen = sweep(NO_NAN, &[NAN], full);
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
            let more = sweep(NO_NAN, &[value], full);
            assert!(
                more.is_subset(&seen) && more.len() + 2 >= seen.len(),
                "{:?}",
                seen.difference(&more)
            );
        }
    }
}

/// Labels before values, an operand before the next, what is not finite before what is out of range.
#[test]
fn of_several_the_first_is_reported() {
    let x = tensor(&[0.5, 2.0, NAN, 0.5], &[2, 2], Dtype::F32);
    let t = tensor(&[0.5, 0.5, -1.0, NAN], &[2, 2], Dtype::F32);
    let all = Checks {
        strict: true,
        nan: OnNan::Error,
    };
    let labels = Tensor::new(&[0i64, 2], &[2]).unwrap();
    for engine in engines() {
        let find = |checks| look(engine, &Bce::default(), &checked(Mode::Fused, &[&x, &t], checks)).0;
        assert_eq!(find(Checks::default()), found("input", (1, 4), &[0, 1], 2.0));
        assert_eq!(find(STRICT), found("input", (1, 4), &[0, 1], 2.0));
        assert_eq!(find(all), found("input", (1, 4), &[1, 0], NAN));
        let good = tensor(&[0.5; 4], &[2, 2], Dtype::F32);
        let target = |checks| look(engine, &Bce::default(), &checked(Mode::Fused, &[&good, &t], checks)).0;
        assert_eq!(target(STRICT), found("target", (2, 4), &[1, 0], -1.0));
        assert_eq!(target(all), found("target", (1, 4), &[1, 1], NAN));
        let call = checked(Mode::Fused, &[&x, &labels], all);
        let error = CrossEntropy::default()
            .run(engine, &call)
            .unwrap()
            .read(engine)
            .unwrap_err();
        assert!(
            matches!(
                &error,
                Error::BadLabels {
                    count: 1,
                    first_row: 1,
                    ..
                }
            ),
            "{error}"
        );
        let text = Bce::default()
            .forward(engine, &[&x, &t])
            .unwrap()
            .read(engine)
            .unwrap_err();
        let wanted = "input: 1 of 4 elements out of range: the first is 2 at [0, 1], expected a number in [0, 1]";
        assert_eq!(text.to_string(), wanted);
        // Of nothing, nothing.
        let none = tensor(&[], &[0, 2], Dtype::F32);
        assert_eq!(
            look(engine, &Bce::default(), &checked(Mode::Fused, &[&none, &none], all)).0,
            None
        );
    }
}

/// Windows of the user's buffers: what lies between rows is in nobody's way, and a gradient over the input neither.
#[test]
fn padded_rows_and_gradients_in_place() {
    let (rows, cols) = (40, 300);
    let mut data = Data::new(9);
    let x = data.uniform(rows * cols, 0.0, 1.0);
    let places = [5 * cols + 299, 6 * cols, 39 * cols + 299];
    for engine in [gpu(), &engines()[2], hardware()] {
        let (device, queue) = engine.wgpu().unwrap();
        for (dtype, stride, skip) in [
            (Dtype::F32, 304, 4),
            (Dtype::F32, 301, 1),
            (Dtype::F16, 302, 2),
            (Dtype::Bf16, 301, 3),
        ] {
            let window = |numbers: &[f32], fill: f32| {
                let mut padded = vec![fill; skip + rows * stride + 1];
                for (row, own) in numbers.chunks(cols).enumerate() {
                    padded[skip + row * stride..][..cols].copy_from_slice(own);
                }
                let bytes: Vec<u8> = match dtype {
                    Dtype::F16 => padded
                        .iter()
                        .flat_map(|&v| half::f16::from_f32(v).to_le_bytes())
                        .collect(),
                    Dtype::Bf16 => padded
                        .iter()
                        .flat_map(|&v| half::bf16::from_f32(v).to_le_bytes())
                        .collect(),
                    _ => padded.iter().flat_map(|v| v.to_le_bytes()).collect(),
                };
                let buffer = device.create_buffer(&wgpu::BufferDescriptor {
                    label: None,
                    size: (bytes.len() as u64).next_multiple_of(16),
                    usage: wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST,
                    mapped_at_creation: false,
                });
                let whole = bytes.len() / 4 * 4;
                queue.write_buffer(&buffer, 0, &bytes[..whole]);
                let offset = skip as u64 * dtype.bytes();
                Tensor::from_buffer(buffer, offset, dtype, &[rows, cols], Some(stride)).unwrap()
            };
            let mut bad = x.clone();
            places.iter().for_each(|&at| bad[at] = 1.5);
            let good = window(&x, -7.0);
            let all = Checks {
                strict: true,
                nan: OnNan::Error,
            };
            let what = format!("{dtype} in rows of {stride}, {}", engine.name());
            for grad_input in [GradTo::New, GradTo::InPlace] {
                let run = |input: &Tensor, target: &Tensor, checks| {
                    let call = Call {
                        grad_input,
                        checks,
                        ..Call::new(Mode::Fused, &[input, target])
                    };
                    look(engine, &Bce::default(), &call)
                };
                let want = |name| found(name, (3, 12_000), &[5, 299], 1.5);
                assert_eq!(run(&window(&x, 9.0), &good, all).0, None, "{what}");
                let (got, values) = run(&window(&bad, NAN), &good, Checks::default());
                assert_eq!(got, want("input"), "{what}");
                let grad = values.grad_input.unwrap().data;
                let zeros: Vec<usize> = (0..grad.len()).filter(|&i| grad[i] == 0.0).collect();
                assert!(
                    places.iter().all(|at| zeros.contains(at)) && grad.iter().all(|g| g.is_finite()),
                    "{what}"
                );
                assert_eq!(
                    run(&window(&x, 9.0), &window(&bad, NAN), STRICT).0,
                    want("target"),
                    "{what}"
                );
                assert_eq!(run(&window(&x, 9.0), &window(&bad, INF), NO_NAN).0, None, "{what}");
            }
        }
    }
}

/// A tiny engine's dispatches find what one dispatch finds, and change no bit of the results.
#[test]
fn cutting_finds_the_same() {
    let mut whole = engine::fresh();
    whole.set_tuning(SMALL).unwrap();
    let cut = &engines()[2];
    let len = 30_011;
    let mut data = Data::new(21);
    let (mut x, t) = (data.uniform(len, 0.0, 1.0), data.targets(len));
    for at in [29_000, 20_000, 12_288, 12_287, 6143] {
        x[at] = -1.0;
        let (x, t) = (tensor(&x, &[len], Dtype::F32), tensor(&t, &[len], Dtype::F32));
        for (input, target, checks) in [(&x, &t, Checks::default()), (&t, &x, STRICT)] {
            let call = checked(Mode::Fused, &[input, target], checks);
            let steps = |engine: &Engine| {
                let problem = Bce::default().problem(&call).unwrap();
                plan(&problem, &engine.plan_limits().unwrap(), &SMALL)
                    .unwrap()
                    .dispatches()
                    .count()
            };
            assert!(steps(cut) > steps(&whole) + 2);
            let (ours, theirs) = (look(cut, &Bce::default(), &call), look(&whole, &Bce::default(), &call));
            assert_eq!(ours.0, theirs.0);
            assert!(bits(&ours.1) == bits(&theirs.1), "bits");
            assert_eq!(ours.0.unwrap().first, [at]);
        }
    }
}

/// Elements beyond 2^32 have their places: those that dispatches begin at are of 64 bits, in one run and in tiles of rows.
#[test]
fn places_have_64_bits() {
    let roomy = Limits {
        max_binding_bytes: 1 << 30,
        max_buffer_bytes: 1 << 40,
        ..DEFAULT_LIMITS
    };
    let huge = |loss: &dyn Loss, tensors: &[&Tensor], shape: &[usize]| -> Problem {
        let mut problem = loss.problem(&checked(Mode::Forward, tensors, STRICT)).unwrap();
        problem.terms = shape.to_vec();
        for operand in &mut problem.operands {
            operand.view = View::contiguous(Dtype::F16, shape);
        }
        problem
    };
    let small = tensor(&[0.5; 4], &[2, 2], Dtype::F16);
    for shape in [&[3, 1 << 31][..], &[1 << 33]] {
        let len: u64 = shape.iter().map(|&n| n as u64).product();
        let problem = huge(&Bce::default(), &[&small, &small], shape);
        let plan = plan(&problem, &roomy, &Tuning::HARDWARE).unwrap();
        let (mut elements, mut items) = (0, 0);
        for dispatch in plan.dispatches() {
            let label = &dispatch.variant.label;
            let input = dispatch.bindings.iter().find(|own| own.slot == Slot::Input);
            let bytes = input.map_or(0, |own| own.offset);
            let place = |words: [u32; 2]| u64::from(words[0]) | u64::from(words[1]) << 32;
            if label.starts_with("bce/") {
                let params: ElementParams = bytemuck::pod_read_unaligned(&dispatch.params);
                assert_eq!(place(params.first_place), bytes / 2 + u64::from(params.base[0]));
                elements += u64::from(place(params.first_place) >= 1 << 32);
            } else if label.starts_with("inspect_unit_no_nan/f16") {
                let params: ReduceParams = bytemuck::pod_read_unaligned(&dispatch.params);
                let first = place(params.first_place);
                assert_eq!(
                    (first as u32, bytes / 2 + u64::from(params.base)),
                    (params.first_item, first)
                );
                assert_eq!(params.first_item, params.first_tile.wrapping_mul(16_384));
                let end = (dispatch.tiles.1 * 16_384).min(len);
                assert_eq!(
                    params.len, end as u32,
                    "items up to the end of the dispatch, modulo 2^32"
                );
                items += u64::from(first >= 1 << 32);
            }
        }
        assert!(elements > 1 && items > 1, "{elements} {items}");
    }
}

/// And are carried over in the shader: a dispatch of a plan, told that it begins elsewhere.
#[test]
fn places_carry() {
    let (device, queue) = gpu().wgpu().unwrap();
    let mut x = vec![0.5f32; 300];
    (x[201], x[255]) = (-1.0, 2.0);
    let target = tensor(&x, &[300], Dtype::F32);
    let input = tensor(&[0.5; 300], &[300], Dtype::F32);
    let problem = Bce::default()
        .problem(&checked(Mode::Forward, &[&input, &target], STRICT))
        .unwrap();
    let plan = plan(&problem, &DEFAULT_LIMITS, &Tuning::SOFTWARE).unwrap();
    let dispatch = plan
        .dispatches()
        .find(|own| own.variant.label.starts_with("inspect_"))
        .unwrap();
    for first in [0u64, (1 << 32) - 201, (1 << 32) - 200, (7 << 32) - 202, 5 << 32] {
        let mut params: ReduceParams = bytemuck::pod_read_unaligned(&dispatch.params);
        params.first_place = [first as u32, (first >> 32) as u32];
        let buffer = |bytes: &[u8], usage| {
            let buffer = device.create_buffer(&wgpu::BufferDescriptor {
                label: None,
                size: bytes.len() as u64,
                usage: usage | wgpu::BufferUsages::COPY_DST,
                mapped_at_creation: false,
            });
            queue.write_buffer(&buffer, 0, bytes);
            buffer
        };
        let storage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC;
        let buffers = [
            (
                Slot::Params,
                buffer(bytemuck::bytes_of(&params), wgpu::BufferUsages::UNIFORM),
            ),
            (Slot::Input, buffer(bytemuck::cast_slice(&x), storage)),
            (Slot::Result, buffer(&[0; 16], storage)),
        ];
        let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
            label: None,
            source: wgpu::ShaderSource::Wgsl(dispatch.variant.compose().text.into()),
        });
        let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: None,
            layout: None,
            module: &module,
            entry_point: Some("main"),
            compilation_options: Default::default(),
            cache: None,
        });
        let entries: Vec<_> = buffers
            .iter()
            .map(|(slot, buffer)| wgpu::BindGroupEntry {
                binding: *slot as u32,
                resource: buffer.as_entire_binding(),
            })
            .collect();
        let group = device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: None,
            layout: &pipeline.get_bind_group_layout(0),
            entries: &entries,
        });
        let mut encoder = device.create_command_encoder(&Default::default());
        let mut pass = encoder.begin_compute_pass(&Default::default());
        pass.set_pipeline(&pipeline);
        pass.set_bind_group(0, &group, &[]);
        pass.dispatch_workgroups(1, 1, 1);
        drop(pass);
        queue.submit([encoder.finish()]);
        let words = Tensor::from_buffer(buffers[2].1.clone(), 0, Dtype::U32, &[4], None).unwrap();
        let words = words.read::<u32>(gpu()).unwrap();
        let fault: Fault = bytemuck::pod_read_unaligned(bytemuck::cast_slice(&words));
        assert_eq!(
            (fault.count, fault.place(), f32::from_bits(fault.bits)),
            (2, first + 201, -1.0)
        );
    }
}

/// Every loss with class targets: several bad labels, of which the first row is named, in every place of a batch.
#[test]
fn every_loss_with_class_targets_reports_bad_labels() {
    let mut seen = BTreeSet::new();
    let kinds = [
        OperandKind::Index,
        OperandKind::IndexOrDistribution,
        OperandKind::IndexList,
    ];
    for info in REGISTRY {
        let Some(place) = info.operands.iter().position(|own| kinds.contains(&own.kind)) else {
            continue;
        };
        for (n, shape) in [[300, 7], [300, 100]].into_iter().enumerate() {
            for reduction in info.reductions {
                let setup = Setup {
                    dtype: Dtype::FLOATS[n],
                    other: Dtype::FLOATS[n],
                    reduction: *reduction,
                    ..Setup::new(&shape)
                };
                let mut case = make(info, &setup).unwrap();
                let (rows, cols) = (shape[0], shape[1]);
                let mut labels = case.tensors[place].as_slice::<i64>().unwrap().to_vec();
                let per_row = labels.len() / rows;
                let bad = [(17, cols as i64), (18, -2), (250, 1 << 40), (299, i64::MIN)];
                for (row, label) in bad {
                    labels[row * per_row] = label;
                }
                case.tensors[place] = label_tensor(&labels, Dtype::I64, case.tensors[place].shape());
                for engine in engines() {
                    let read = case.loss.run(engine, &case.call(Mode::Fused)).unwrap().read(engine);
                    let what = format!("{} {}", case.what, engine.name());
                    let Err(Error::BadLabels {
                        count,
                        rows: of,
                        first_row,
                        value,
                        values,
                        ..
                    }) = read
                    else {
                        panic!("{what}: {read:?}");
                    };
                    assert_eq!((count, of, first_row, value), (4, 300, 17, cols as i64), "{what}");
                    let (grad, loss) = (values.grad_input.unwrap().data, values.loss.unwrap().data);
                    assert!(
                        grad.iter().any(|&g| g != 0.0) && grad.iter().all(|g| g.is_finite()),
                        "{what}"
                    );
                    seen.insert(info.name);
                    // An entry of a list that is no class names none; the row is that of the others.
                    if info.takes(OperandKind::IndexList) {
                        continue;
                    }
                    for (row, _) in bad {
                        let own = &grad[row * cols..(row + 1) * cols];
                        assert!(loss.len() == 1 || loss[row].is_nan(), "{what}");
                        assert!(own.iter().all(|&g| g == 0.0), "{what}: row {row}");
                    }
                    assert!(loss.len() > 1 || loss[0].is_nan(), "{what}");
                }
            }
        }
    }
    let wanted = [
        "cross_entropy",
        "multi_margin",
        "multilabel_margin",
        "nll",
        "softmax_focal",
    ];
    assert_eq!(seen, wanted.into());
}

/// Every option that is a number has to be finite, but for the norm of triplet_margin, which may be the largest.
#[test]
fn options_that_are_not_finite_are_refused() {
    let mut refused = 0;
    for info in REGISTRY {
        for option in info.options.iter().filter(|own| own.kind == ScalarKind::Float) {
            for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
                let mut loss = (info.new)();
                loss.set(option.name, &Scalar::Float(value)).unwrap();
                let what = format!("{} {} {value}", info.name, option.name);
                if (info.name, option.name, value) == ("triplet_margin", "p", f64::INFINITY) {
                    loss.check().unwrap();
                    continue;
                }
                let error = loss.check().unwrap_err();
                assert!(
                    matches!(error, Error::Option { name, .. } if name == option.name),
                    "{what}: {error}"
                );
                refused += 1;
            }
        }
    }
    for info in OPTIMIZERS {
        for option in info.options {
            let settings = |value: f64| match (option.default)() {
                Setting::Float(_) => vec![Setting::Float(value)],
                Setting::Pair(a, b) => vec![Setting::Pair(value, b), Setting::Pair(a, value)],
                Setting::Bool(_) => Vec::new(),
            };
            for setting in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY]
                .into_iter()
                .flat_map(settings)
            {
                let mut optimizer = (info.new)();
                let done = optimizer.set(option.name, setting).and_then(|()| optimizer.check());
                let error = done.unwrap_err();
                assert!(
                    matches!(error, Error::Option { name, .. } if name == option.name),
                    "{}: {error}",
                    option.name
                );
                refused += 1;
            }
        }
    }
    assert!(refused > 60, "{refused}");
}
