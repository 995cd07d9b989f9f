//! Upstream gradients of rows' log-sum-exp and entropy, beside that of the loss: in every way through a row, however
//! the work is cut, and from and to wherever tensors lie.

mod rows;

use wgloss::{
    BceWithLogits, Call, CrossEntropy, Dtype, Engine, GradTo, Loss, Mode, Nll, Reduction, Role, Scalar, Softmax, Stats,
    Tensor, Tuning, reference,
};

use crate::common::against::{on_gpu, on_hardware};
use crate::common::cases::{Case, DTYPES, Setup, make};
use crate::common::data::Data;
use crate::common::elsewhere::{streamed, streamed_within};
use crate::common::own::values;
use crate::common::{bits, engine, gpu, hardware, is_long, report, takes};

fn case(setup: &Setup) -> Case {
    let info = wgloss::find("cross_entropy").unwrap();
    let setup = Setup {
        of_stats: true,
        ..setup.clone()
    };
    make(info, &setup).unwrap_or_else(|| panic!("{setup:?}"))
}

const REDUCTIONS: [Reduction; 3] = [Reduction::None, Reduction::Mean, Reduction::Sum];

/// Options that the gradient goes through.
fn settings() -> Vec<Vec<(&'static str, Scalar)>> {
    let float = Scalar::Float;
    vec![
        vec![],
        vec![("label_smoothing", float(0.1))],
        vec![("softcap", float(5.0)), ("z_loss", float(0.1))],
        vec![("softcap", float(5.0)), ("label_smoothing", float(0.1))],
        vec![("z_loss", float(0.1))],
    ]
}

/// One lane to a row, several, all; held, streamed and staged; packs and strips; wide rows, and such as lie across.
const SHAPES: &[&[usize]] = &[
    &[9],
    &[1, 1],
    &[3, 2],
    &[65, 3],
    &[64, 10],
    &[63, 63],
    &[5, 64],
    &[5, 129],
    &[3, 1024],
    &[3, 1025],
    &[2, 32_003],
    &[1, 200_003],
    &[2, 5, 7],
    &[300, 3, 2],
    &[3, 21, 33],
    &[1, 9, 1156],
    &[2, 40, 1100],
    &[1, 4097, 17],
    &[1, 2052, 16],
];

#[test]
fn every_way_through_a_row_has_them() {
    let (mut failures, mut total) = (Vec::new(), 0);
    for (n, shape) in SHAPES.iter().enumerate() {
        for (k, &(dtype, other)) in DTYPES.iter().enumerate() {
            for (s, setting) in settings().into_iter().enumerate() {
                let lot = n + 2 * k + 3 * s;
                // Numbers of lots that have any remainder below; of a long run one in seven, which takes minutes.
                if !takes(lot, 17) || is_long() && !lot.is_multiple_of(7) {
                    continue;
                }
                let case = case(&Setup {
                    dtype,
                    other,
                    full: lot % 3 == 1 && shape.len() < 3,
                    given: lot % 2 == 0,
                    reduction: REDUCTIONS[(n + s) % 3],
                    setting,
                    seed: lot as u64,
                    ..Setup::new(shape)
                });
                let mut call = case.call([Mode::Fused, Mode::Backward][(n + k) % 2]);
                match lot % 4 {
                    1 => call.grad_lse = None,
                    2 => call.grad_entropy = None,
                    _ => {}
                }
                if lot % 3 == 0 {
                    call.grad_output = None;
                }
                call.stats.entropy = lot % 5 == 0;
                total += 1;
                failures.extend(on_gpu(&case.what, &*case.loss, &call));
                failures.extend(on_hardware(&case.what, &*case.loss, &call));
            }
        }
    }
    report(failures, total);
}

/// What is asked for twice comes once: the gradients of a call are those of its parts, added up.
#[test]
fn the_gradient_is_a_sum() {
    for (n, engine) in [gpu(), hardware(), &Engine::cpu()].into_iter().enumerate() {
        for shape in [&[7usize, 33][..], &[2, 5, 300]] {
            let case = case(&Setup {
                reduction: Reduction::Mean,
                ..Setup::new(shape)
            });
            let whole = case.call(Mode::Backward);
            let zero = Tensor::new(&[0.0f32], &[]).unwrap();
            let grad = |call: &Call<'_>| {
                let output = case.loss.run(engine, call).unwrap();
                output.read(engine).unwrap().grad_input.unwrap().data
            };
            let nothing = Call {
                grad_output: Some(&zero),
                grad_lse: None,
                grad_entropy: None,
                ..whole.clone()
            };
            assert!(grad(&nothing).iter().all(|g| *g == 0.0));
            let parts = [
                Call {
                    grad_lse: None,
                    grad_entropy: None,
                    ..whole.clone()
                },
                Call {
                    grad_lse: whole.grad_lse,
                    ..nothing.clone()
                },
                Call {
                    grad_entropy: whole.grad_entropy,
                    ..nothing.clone()
                },
            ];
            let parts = parts.each_ref().map(grad);
            for (i, own) in grad(&whole).into_iter().enumerate() {
                let size: f32 = parts.iter().map(|part| part[i].abs()).sum();
                let sum: f32 = parts.iter().map(|part| part[i]).sum();
                assert!(
                    (own - sum).abs() <= 1e-6 * (size + 1.0),
                    "engine {n} {shape:?} [{i}]: {own}, {sum}"
                );
            }
        }
    }
}

/// Their gradients go by no weight, no denominator and no label: of ignored rows they are what they are, and a loss
/// that is ignored adds nothing.
#[test]
fn nothing_else_scales_them() {
    let (rows, cols) = (6, 5);
    let mut data = Data::new(3);
    let x = Tensor::new(&data.logits(rows * cols), &[rows, cols]).unwrap();
    let t = Tensor::new(&[0i64, 1, -100, 3, -100, 4], &[rows]).unwrap();
    let ignored = Tensor::new(&[-100i64; 6], &[rows]).unwrap();
    let by = Tensor::new(&data.logits(rows), &[rows]).unwrap();
    let factors = Tensor::new(&data.uniform(rows, 0.5, 2.0), &[rows]).unwrap();
    let weights = Tensor::new(&data.uniform(cols, 0.5, 2.0), &[cols]).unwrap();
    let zero = Tensor::new(&[0.0f32], &[]).unwrap();
    for engine in [gpu(), hardware(), &Engine::cpu()] {
        let plain = CrossEntropy {
            reduction: Reduction::None,
            ..Default::default()
        };
        let zeros = Tensor::new(&vec![0.0f32; rows], &[rows]).unwrap();
        let grad = |loss: &CrossEntropy, target: &Tensor, upstream: Option<&Tensor>| {
            let call = Call {
                grad_output: upstream,
                grad_lse: Some(&by),
                grad_entropy: Some(&by),
                ..Call::new(Mode::Backward, &[&x, target])
            };
            let values = loss.run(engine, &call).unwrap().read(engine).unwrap();
            values.grad_input.unwrap().data
        };
        let want = grad(&plain, &t, Some(&zeros));
        assert!(want.iter().all(|g| *g != 0.0));
        assert_eq!(grad(&plain, &ignored, None), want);
        for reduction in REDUCTIONS {
            let scaled = CrossEntropy {
                reduction,
                weight: Some(weights.clone()),
                sample_weight: Some(factors.clone()),
                ..Default::default()
            };
            let upstream = if reduction == Reduction::None { &zeros } else { &zero };
            assert_eq!(grad(&scaled, &t, Some(upstream)), want, "{}", reduction.name());
            assert_eq!(grad(&scaled, &ignored, None), want, "{}", reduction.name());
        }
    }
}

#[test]
fn cutting_changes_no_bit() {
    for tuning in [None, Some(Tuning::HARDWARE)] {
        let mut engine = engine::Both::new(192 << 10);
        let shapes: [&[usize]; 6] = [
            &[20_001, 10],
            &[300, 1001],
            &[40, 30_000],
            &[30_000, 3, 2],
            &[2, 21, 9000],
            &[2, 40, 4100],
        ];
        for (n, shape) in shapes.into_iter().enumerate() {
            if !is_long() && n % 2 == usize::from(tuning.is_some()) {
                continue;
            }
            let case = case(&Setup {
                given: n % 2 == 0,
                reduction: REDUCTIONS[n % 3],
                ..Setup::new(shape)
            });
            let call = case.call(Mode::Fused);
            let mut run = |cut: bool| {
                let engine = if cut { engine.cut() } else { engine.whole() };
                let output = case.loss.run(engine, &call).unwrap();
                bits(&output.read(engine).unwrap())
            };
            assert!(run(false) == run(true), "{}", case.what);
        }
    }
}

#[test]
fn streams_have_the_same_bits() {
    let mut parts = 0;
    let cpu = Engine::cpu();
    for (engine, shapes) in [
        (gpu(), [&[1201usize, 33][..], &[57, 516], &[2, 5, 4001]]),
        (hardware(), [&[1201, 33], &[57, 516], &[2, 5, 4001]]),
        (&cpu, [&[401, 33], &[97, 128], &[20, 5, 11]]),
    ] {
        for (n, shape) in shapes.into_iter().enumerate() {
            let case = case(&Setup {
                given: n == 1,
                reduction: [Reduction::None, Reduction::Mean][n % 2],
                ..Setup::new(shape)
            });
            let run = || case.loss.run(engine, &case.call(Mode::Backward)).unwrap();
            let whole = run().read(engine).unwrap();
            let (values, own) = streamed(engine, &case, Mode::Backward);
            assert!(values.grad_input == whole.grad_input, "{}", case.what);
            let (values, _) = streamed_within(engine, &case, Mode::Backward, 64 << 20).unwrap();
            assert!(values.grad_input == whole.grad_input, "{}", case.what);
            parts += own;
        }
    }
    assert!(parts > 20, "{parts} parts");
}

/// Over the logits, into a tensor and on top of one; recorded; kept and asked again; with tensors on the device.
#[test]
fn gradients_go_where_they_are_told() {
    for engine in [gpu(), hardware()] {
        for shape in [&[33usize, 10][..], &[7, 1000], &[2, 3000, 9]] {
            let case = case(&Setup {
                reduction: Reduction::Mean,
                ..Setup::new(shape)
            });
            let want = case.loss.run(engine, &case.call(Mode::Backward)).unwrap();
            let want = want.read(engine).unwrap().grad_input.unwrap().data;
            let up = |tensor: &Tensor| engine.upload(tensor).unwrap();
            let tensors: Vec<Tensor> = case.tensors.iter().map(up).collect();
            let [by_lse, by_entropy] = case.of_stats.as_ref().unwrap().each_ref().map(up);
            let upstream = up(&case.upstream);
            let call = Call {
                grad_output: Some(&upstream),
                grad_lse: Some(&by_lse),
                grad_entropy: Some(&by_entropy),
                ..Call::new(Mode::Backward, &[&tensors[0], &tensors[1]])
            };
            let zeros = Tensor::new(&vec![0.0f32; want.len()], shape).unwrap();
            let sum = up(&zeros);
            let add = Call {
                grad_input: GradTo::AddTo(&sum),
                ..call.clone()
            };
            for _ in 0..2 {
                let _ = case.loss.run(engine, &add).unwrap();
            }
            let twice: Vec<f32> = want.iter().map(|g| g + g).collect();
            assert_eq!(sum.read::<f32>(engine).unwrap(), twice, "{}", case.what);
            let into = Call {
                grad_input: GradTo::Into(&sum),
                ..call.clone()
            };
            let _ = case.loss.run(engine, &into).unwrap();
            assert_eq!(sum.read::<f32>(engine).unwrap(), want, "{}", case.what);
            let over = Call {
                grad_input: GradTo::InPlace,
                ..call.clone()
            };
            let (device, queue) = engine.wgpu().unwrap();
            let mut encoder = device.create_command_encoder(&Default::default());
            let _output = case.loss.encode(engine, &mut encoder, &over).unwrap();
            queue.submit([encoder.finish()]);
            assert_eq!(tensors[0].read::<f32>(engine).unwrap(), want, "{}", case.what);
        }
    }
}

/// A kept call takes what its tensors hold now; calls with and without such gradients are told apart.
#[test]
fn calls_are_told_apart_and_kept() {
    let engine = gpu();
    let x = Tensor::new(&Data::new(5).logits(12), &[4, 3]).unwrap();
    let t = Tensor::new(&[0i64, 1, 2, 0], &[4]).unwrap();
    let by = Tensor::new(&[1.0f32, -2.0, 0.5, 3.0], &[4]).unwrap();
    let [x, t, by] = [&x, &t, &by].map(|tensor| engine.upload(tensor).unwrap());
    let plain = CrossEntropy::default().input(&x).target(&t);
    let calls = [
        plain.clone().backward(),
        plain.clone().grad_lse(&by).backward(),
        plain.clone().grad_entropy(&by).backward(),
        plain.grad_lse(&by).grad_entropy(&by).backward(),
    ];
    let run = |call: &wgloss::OwnedCall<CrossEntropy>| {
        let read = call.run(engine).unwrap().read(engine).unwrap();
        read.grad_input.unwrap().data
    };
    let first = calls.each_ref().map(run);
    for _ in 0..2 {
        assert_eq!(calls.each_ref().map(run), first);
    }
    // Another tensor of the same layout is another call.
    let other = Tensor::new(&[2.0f32, 1.0, 0.25, -1.0], &[4]).unwrap();
    let other = engine.upload(&other).unwrap();
    let plain = CrossEntropy::default().input(&x).target(&t);
    let swapped = [
        plain.clone().grad_lse(&other).backward(),
        plain.grad_entropy(&other).backward(),
    ];
    for (nth, grad) in swapped.each_ref().map(run).into_iter().enumerate() {
        assert_ne!(grad, first[nth + 1]);
    }
    for (call, grad) in calls.iter().zip(&first) {
        let host = |tensor: &Tensor, shape: &[usize]| Tensor::new(&tensor.read::<f32>(engine).unwrap(), shape).unwrap();
        let (x, by) = (host(&x, &[4, 3]), host(&by, &[4]));
        let t = Tensor::new(&[0i64, 1, 2, 0], &[4]).unwrap();
        let own = call.call().unwrap();
        let own = Call {
            tensors: vec![&x, &t],
            grad_lse: own.grad_lse.map(|_| &by),
            grad_entropy: own.grad_entropy.map(|_| &by),
            ..own
        };
        let want = reference::run(call.loss(), &own).unwrap().grad_input.unwrap();
        for (a, b) in grad.iter().zip(want) {
            assert!((f64::from(*a) - b).abs() < 1e-6, "{grad:?}");
        }
    }
}

#[test]
fn what_no_call_takes_is_refused() {
    let floats = |shape: &[usize]| Tensor::new(&vec![0.0f32; shape.iter().product()], shape).unwrap();
    let (x, t) = (floats(&[4, 3]), Tensor::new(&[0i64; 4], &[4]).unwrap());
    let (rows, scalar, p) = (floats(&[4]), floats(&[]), floats(&[4, 3]));
    let half = rows.to_dtype(Dtype::F16).unwrap();
    for engine in [gpu(), &Engine::cpu()] {
        let told = |loss: &dyn Loss, mode, target: Option<&Tensor>, by: &Tensor| {
            let tensors: Vec<&Tensor> = [Some(&x), target].into_iter().flatten().collect();
            let call = Call {
                grad_entropy: Some(by),
                ..Call::new(mode, &tensors)
            };
            loss.run(engine, &call).unwrap_err().to_string()
        };
        let ce = CrossEntropy::default();
        assert_eq!(
            told(&ce, Mode::Fused, Some(&t), &scalar),
            "grad_entropy: expected shape [4] (one for each row), got []"
        );
        assert_eq!(
            told(&ce, Mode::Fused, Some(&t), &p),
            "grad_entropy: expected shape [4] (one for each row), got [4, 3]"
        );
        assert_eq!(
            told(&ce, Mode::Fused, Some(&t), &half),
            "grad_entropy: expected dtype f32, got f16"
        );
        assert_eq!(
            told(&ce, Mode::Forward, Some(&t), &rows),
            "grad_entropy: given, and mode forward computes no gradient: ask for backward or fused"
        );
        let of: [(&dyn Loss, Option<&Tensor>); 3] = [
            (&Nll::default(), Some(&t)),
            (&BceWithLogits::default(), Some(&p)),
            (&Softmax::default(), None),
        ];
        for (loss, target) in of {
            assert_eq!(
                told(loss, Mode::Backward, target, &rows),
                format!(
                    "grad_entropy: given, and {} has no statistics of rows",
                    loss.info().name
                )
            );
        }
    }
}

/// A function of a row's statistics alone, and of all that a call can have: no more than eight buffers to a dispatch.
#[test]
fn the_most_that_a_call_can_have() {
    let mut failures = Vec::new();
    for (n, shape) in [&[40usize, 33][..], &[5, 4000], &[2, 7, 300]].into_iter().enumerate() {
        for full in [false, true] {
            let mut case = case(&Setup {
                full,
                given: true,
                reduction: REDUCTIONS[n % 3],
                setting: vec![("z_loss", Scalar::Float(0.1)), ("label_smoothing", Scalar::Float(0.1))],
                ..Setup::new(shape)
            });
            case.stats = Stats {
                lse: true,
                entropy: true,
                argmax: true,
                ..Default::default()
            };
            let call = case.call(Mode::Fused);
            assert_eq!(call.grads, if full { vec![Role::Target] } else { vec![] });
            failures.extend(on_gpu(&case.what, &*case.loss, &call));
            failures.extend(on_hardware(&case.what, &*case.loss, &call));
            let output = case.loss.run(gpu(), &call).unwrap();
            assert!(values(&output, gpu()).entropy.is_some());
        }
    }
    report(failures, 12);
}
