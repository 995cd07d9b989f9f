//! Losses on one buffer.

use wgloss::{Call, Dtype, Engine, Error, GradTo, Loss, LossTo, Mode, REGISTRY, Role, Stats, Tensor};

use super::pool::Layout;
use crate::common::cases::{Case, DTYPES, Setup, by_rows, make};
use crate::common::own::{activity, values};
use crate::common::{bits, engine, is_long, takes};

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
        let grads = case.grads.iter().map(|role| {
            let place = case
                .loss
                .info()
                .operands
                .iter()
                .position(|own| own.role == *role)
                .unwrap();
            (*role, case.tensors[place].dtype(), case.tensors[place].shape().to_vec())
        });
        list.extend(grads);
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
    let (mut place, mut copied, mut runs) = (0, 0, 0);
    for info in REGISTRY {
        for shape in [&[6, 5][..], &[3, 33, 2]] {
            for (dtype, other) in DTYPES {
                for align in [1, 2, 4, 8, 32, 256] {
                    for grad in [Grad::Into, Grad::AddTo, Grad::InPlace] {
                        place += 1;
                        if !takes(place, 53) {
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
                        let engine = engine::passing();
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

/// Calls that are cut into chunks, and gathered ones.
#[test]
fn chunks_lie_in_one_buffer() {
    let engine = engine::cut(192 << 10);
    let mut place = 0;
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
                if !is_long() && place % 5 != nth % 5 {
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
                    compare(&engine, &mut case, mode, grad, align);
                }
            }
        }
    }
}
