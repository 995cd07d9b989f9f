//! Losses on one buffer.

use wgloss::{
    Call, CrossEntropy, Dtype, Engine, Error, GradTo, Loss, LossTo, Mode, Mse, REGISTRY, Reduce, ReduceOp, Reduction,
    Role, Stats, Tensor, Tuning,
};

use super::pool::Layout;
use crate::common::cases::{Case, DTYPES, Setup, by_rows, make};
use crate::common::own::{activity, labels, tensor, values};
use crate::common::{bits, engine, is_long};

/// Where the gradient of the first tensor goes.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Grad {
    Into,
    AddTo,
    InPlace,
}

/// The results of a case by name, but for the gradient of its first tensor: role, dtype and shape.
fn results(case: &Case, mode: Mode) -> Vec<(Role, Dtype, Vec<usize>)> {
    let problem = case.loss.problem(&case.call(mode)).unwrap();
    let mut list: Vec<_> = problem
        .results()
        .filter(|(role, _)| !matches!(role, Role::Grad(_)))
        .map(|(role, view)| (role, view.dtype, view.shape))
        .collect();
    if problem.stats.accuracy {
        list.push((Role::Correct, Dtype::U32, Vec::new()));
    }
    if mode.wants_grad() {
        let grads = case.grads.iter().map(|role| (*role, case.operand(*role)));
        list.extend(grads.map(|(role, own)| (role, own.dtype(), own.shape().to_vec())));
    }
    list
}

/// A call in buffers of its own beside one with all tensors in one buffer; the bytes copied for the latter.
fn compare(engine: &Engine, case: &mut Case, mode: Mode, grad: Grad, align: u64) -> Option<u64> {
    let what = format!("{} {mode:?} {grad:?} at multiples of {align}", case.what);
    let first = case.tensors[0].clone();
    let adds = grad == Grad::AddTo && mode.wants_grad();
    let before = engine.upload(&first).unwrap(); // anything
    let over = engine.upload(&first).unwrap();
    let apart = {
        let mut call = case.call(mode);
        match grad {
            Grad::AddTo if adds => call.grad_input = GradTo::AddTo(&before),
            Grad::InPlace if mode.wants_grad() => {
                call.grad_input = GradTo::InPlace;
                call.tensors[0] = &over;
            }
            _ => {}
        }
        case.loss.problem(&call).ok()?;
        bits(&values(&case.loss.run(engine, &call).unwrap(), engine))
    };

    let mut layout = Layout::new(align);
    let mut written = Vec::new();
    // Results between operands, so that both have neighbours of either kind.
    let mut places = results(case, mode).into_iter();
    let mut rooms = Vec::new();
    let mut operands = Vec::new();
    let given: Vec<(Role, Tensor)> = case
        .loss
        .tensors()
        .iter()
        .map(|(role, own)| (*role, (*own).clone()))
        .collect();
    let upstream = case.upstream.clone();
    for tensor in case
        .tensors
        .iter()
        .chain(given.iter().map(|(_, own)| own))
        .chain([&upstream])
    {
        operands.push(layout.put(tensor));
        if operands.len() == 1 && grad == Grad::InPlace && mode.wants_grad() {
            layout.is_written();
        }
        if let Some((role, dtype, shape)) = places.next() {
            rooms.push((role, layout.room(dtype, &shape)));
        }
    }
    rooms.extend(places.map(|(role, dtype, shape)| (role, layout.room(dtype, &shape))));
    let into = match grad {
        _ if !mode.wants_grad() => None,
        Grad::InPlace => Some(operands[0]),
        Grad::Into => Some(layout.room(first.dtype(), first.shape())),
        Grad::AddTo => {
            layout.room(Dtype::U32, &[1]); // a word apart from results before it
            Some(layout.put(&first))
        }
    };
    written.extend(rooms.iter().map(|(_, nth)| *nth).chain(into));
    let pool = layout.build(engine);
    let at = |nth: usize| &pool.tensors[nth];
    for (nth, (role, _)) in given.iter().enumerate() {
        case.loss
            .attach(*role, at(operands[case.tensors.len() + nth]).clone())
            .unwrap();
    }
    let tensors: Vec<&Tensor> = operands[..case.tensors.len()].iter().map(|&nth| at(nth)).collect();
    let mut call = Call {
        grad_output: mode.wants_grad().then(|| at(operands[operands.len() - 1])),
        grads: case.call(mode).grads,
        stats: case.stats,
        ..Call::new(mode, &tensors)
    };
    for &(role, nth) in &rooms {
        match role {
            Role::Loss => call.loss = LossTo::Into(at(nth)),
            role => call.into.push((role, at(nth))),
        }
    }
    if let Some(into) = into {
        call.grad_input = match grad {
            Grad::Into => GradTo::Into(at(into)),
            Grad::AddTo => GradTo::AddTo(at(into)),
            Grad::InPlace => GradTo::InPlace,
        };
    }
    let copied = activity(engine).copied;
    let output = match case.loss.run(engine, &call) {
        // Strided halves that do not lie on whole words cannot be gathered, whatever they share.
        Err(Error::Limit(why)) if align < 4 && why.contains("whole words") => return None,
        other => other.unwrap_or_else(|error| panic!("{what}: {error}")),
    };
    let copied = activity(engine).copied - copied;
    let together = values(&output, engine);
    pool.expect_untouched(engine, &written, &what);
    assert!(
        bits(&together) == apart,
        "{what}: other bits than in buffers of their own"
    );
    // Nothing of it is read unless it is asked for.
    if let Ok(values) = output.read(engine) {
        assert!(bits(&values).is_empty(), "{what}");
    }
    for (role, tensor) in given {
        case.loss.attach(role, tensor).unwrap();
    }
    Some(copied)
}

/// Every loss, with all that it has in one buffer.
#[test]
fn everything_lies_in_one_buffer() {
    let (mut place, mut copied, mut runs) = (0usize, 0, 0);
    // Bytes copied are counted: of no other test's calls.
    let mut engine = engine::fresh();
    for info in REGISTRY {
        for shape in [&[6, 5][..], &[3, 33, 2]] {
            for (dtype, other) in DTYPES {
                for align in [1, 2, 4, 8, 32, 256] {
                    for grad in [Grad::Into, Grad::AddTo, Grad::InPlace] {
                        place += 1;
                        // Each takes pipelines of its own.
                        if !place.is_multiple_of(if is_long() { 17 } else { 53 }) {
                            continue;
                        }
                        let labels = [Dtype::I64, Dtype::U8, Dtype::I32][place % 3];
                        let setup = Setup {
                            dtype,
                            other,
                            labels,
                            given: place % 2 == 0,
                            full: place % 5 == 0,
                            reduction: info.reductions[place % info.reductions.len()],
                            setting: by_rows(info),
                            seed: place as u64,
                            ..Setup::new(shape)
                        };
                        let Some(mut case) = make(info, &setup) else { continue };
                        let has_classes = case.tensors.get(1).is_some_and(|own| !own.dtype().is_float());
                        if info.statistics {
                            case.stats = Stats {
                                lse: true,
                                argmax: true,
                                entropy: true,
                                accuracy: has_classes,
                                z_loss: false,
                            };
                        }
                        engine::make_room(&mut engine);
                        let mode = case.most();
                        if let Some(own) = compare(&engine, &mut case, mode, grad, align) {
                            runs += 1;
                            copied += own;
                            assert!(align < 256 || own == 0, "{}: {own} bytes copied", case.what);
                        }
                    }
                }
            }
        }
    }
    assert!(runs > 50 && copied > 0, "{runs} runs, {copied} bytes copied");
}

/// A case of these tensors.
fn case(what: &str, loss: Box<dyn Loss>, tensors: Vec<Tensor>, grads: &[Role]) -> Case {
    let blank = Tensor::new(&[0.0f32], &[]).unwrap();
    let mut case = Case {
        what: what.into(),
        loss,
        tensors,
        upstream: blank,
        of_stats: None,
        grads: grads.to_vec(),
        stats: Stats::default(),
        differentiable: true,
    };
    let problem = case
        .loss
        .problem(&Call::new(Mode::Forward, &case.tensors.iter().collect::<Vec<_>>()))
        .unwrap();
    let shape = problem.loss_shape().to_vec();
    case.upstream = tensor(9, &shape);
    case.differentiable = case.loss.problem(&case.call(Mode::Fused)).is_ok();
    case
}

/// Results that come about in ways of their own: the z-loss, gradients of operands that broadcast (over nothing, too),
/// reductions along dimensions with others between them, an extreme that is read again, indices of 64 bits.
#[test]
fn every_kind_of_result_has_its_place() {
    let mut cases = Vec::new();
    for reduction in [Reduction::None, Reduction::Mean] {
        let loss = CrossEntropy {
            z_loss: 0.01,
            reduction,
            ..Default::default()
        };
        let x = tensor(1, &[6, 5]);
        cases.push(case("z-loss", Box::new(loss), vec![x, labels(2, 6, 5)], &[]));
        for (first, second) in [
            (&[4usize, 5][..], &[5usize][..]),
            (&[5], &[4, 5]),
            (&[4, 5], &[4, 1]),
            (&[4, 1, 5], &[4, 5]),
            (&[1, 5], &[5]),
            (&[0, 3], &[3]),
            (&[3], &[2, 0, 3]),
        ] {
            let loss = Mse { reduction };
            let (x, t) = (tensor(3, first), tensor(4, second));
            let what = format!("mse {first:?} {second:?}");
            cases.push(case(&what, Box::new(loss), vec![x, t], &[Role::Target]));
        }
    }
    for op in ReduceOp::ALL {
        for dim in [vec![], vec![0, 2], vec![1]] {
            if op == ReduceOp::Argmax && dim.len() == 2 {
                continue;
            }
            let what = format!("reduce {op:?} {dim:?}");
            let loss = Reduce {
                op,
                dim,
                ..Default::default()
            };
            cases.push(case(&what, Box::new(loss), vec![tensor(5, &[3, 4, 5])], &[]));
        }
    }
    let engine = engine::passing();
    let (mut runs, mut copied) = (0, 0);
    for case in &mut cases {
        for align in [4, 256] {
            for grad in [Grad::Into, Grad::AddTo] {
                let mode = case.most();
                if let Some(own) = compare(&engine, case, mode, grad, align) {
                    (runs, copied) = (runs + 1, copied + own);
                }
            }
        }
    }
    assert!(runs > 80 && copied > 0, "{runs} runs, {copied} bytes copied");
}

/// Rows that are folded in tiles, their statistics among the results.
#[test]
fn wide_rows_lie_in_one_buffer() {
    let engine = engine::passing_tuned(Tuning {
        wide_cols: 64,
        ..engine::passing().tuning().unwrap()
    });
    for (dtype, align) in [(Dtype::F32, 4), (Dtype::F16, 2), (Dtype::Bf16, 256)] {
        let x = tensor(6, &[3, 301]).to_dtype(dtype).unwrap();
        let mut case = case(
            "wide",
            Box::new(CrossEntropy::default()),
            vec![x, labels(7, 3, 301)],
            &[],
        );
        (case.stats.lse, case.stats.argmax, case.stats.accuracy) = (true, true, true);
        for grad in [Grad::Into, Grad::InPlace] {
            assert!(compare(&engine, &mut case, Mode::Fused, grad, align).is_some());
        }
    }
}

/// Calls that are cut into chunks, and gathered ones.
#[test]
fn chunks_lie_in_one_buffer() {
    let engine = engine::cut(192 << 10);
    let (mut place, mut runs, mut copied) = (0, 0, 0);
    for (name, shape) in [
        ("cross_entropy", &[3000, 40][..]),
        ("cross_entropy", &[2, 40, 4100]),
        ("cross_entropy", &[4, 30_000]),
        ("softmax", &[2, 40, 4099]),
        ("bce_with_logits", &[100_001]),
        ("triplet_margin", &[2000, 61]),
        ("reduce", &[3, 50, 1000]),
    ] {
        let info = wgloss::find(name).unwrap();
        for (nth, (dtype, other)) in DTYPES.into_iter().enumerate() {
            for align in [2, 32] {
                place += 1;
                if place % if is_long() { 2 } else { 5 } != nth % 2 {
                    continue;
                }
                let setup = Setup {
                    dtype,
                    other,
                    given: place % 2 == 0,
                    reduction: info.reductions[place % info.reductions.len()],
                    setting: by_rows(info),
                    ..Setup::new(shape)
                };
                let Some(mut case) = make(info, &setup) else { continue };
                let mode = case.most();
                for grad in [Grad::Into, Grad::InPlace] {
                    if let Some(own) = compare(&engine, &mut case, mode, grad, align) {
                        (runs, copied) = (runs + 1, copied + own);
                    }
                }
            }
        }
    }
    assert!(runs > 12 && copied > 0, "{runs} runs, {copied} bytes copied");
}
