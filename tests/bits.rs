//! Equal bits: from run to run, and however the work is cut.

use wgloss::{
    BceWithLogits, Call, CrossEntropy, Dtype, Engine, GradTo, Loss, Mode, REGISTRY, Reduce, ReduceOp, Reduction, Role,
    SigmoidFocal, Tensor, Tuning, reference,
};

use crate::common::cases::{Setup, by_rows, make};
use crate::common::data::{Data, row_shape};
use crate::common::{F32, bits, engine, gpu, is_long, takes};

/// What the pipelines are called in which the engine runs the problem's pieces.
fn pieces(problem: &wgloss::problem::Problem, engine: &Engine) -> Vec<String> {
    let plan = wgloss::plan::plan(problem, &engine.plan_limits().unwrap(), &engine.tuning().unwrap()).unwrap();
    let labels = plan.dispatches().map(|dispatch| dispatch.variant.label.clone());
    labels.filter(|label| label.starts_with(problem.name)).collect()
}

/// The engine runs the problem in more than one piece.
fn is_cut(problem: &wgloss::problem::Problem, engine: &Engine) -> bool {
    pieces(problem, engine).len() > 1
}

#[test]
fn cutting_changes_no_bit() {
    let mut engine = engine::Both::new(192 << 10);
    let mut data = Data::new(11);
    for (nth, shape) in [
        &[20_001, 10][..],
        &[300, 1001],
        &[40, 30_000],
        &[30_000, 3, 2],
        &[2, 21, 9000],
        &[3, 7, 20_000],
        &[2, 40, 4100], // strips
        &[2, 40, 4099], // and those that are not read by quads
    ]
    .into_iter()
    .enumerate()
    {
        let len = shape.iter().product();
        let rows = row_shape(shape);
        let count: usize = rows.iter().product();
        let x = Tensor::new(&data.logits(len), shape).unwrap();
        let labels = Tensor::new(&data.labels(count, shape[1], Some(-100)), &rows).unwrap();
        let t = Tensor::new(&data.targets(len), shape).unwrap();
        let upstream = Tensor::new(&data.logits(count), &rows).unwrap();
        let weight = Tensor::new(&data.uniform(shape[1], 0.5, 2.0), &[shape[1]]).unwrap();
        for (k, reduction) in [Reduction::None, Reduction::Mean, Reduction::Sum]
            .into_iter()
            .enumerate()
        {
            let ce = CrossEntropy {
                reduction,
                weight: Some(weight.clone()),
                label_smoothing: 0.1,
                ..Default::default()
            };
            let bce = BceWithLogits {
                reduction,
                ..Default::default()
            };
            let calls = [(&ce as &dyn Loss, &labels, false), (&ce, &t, true), (&bce, &t, false)];
            for (loss, target, full) in calls
                .into_iter()
                .enumerate()
                .filter(|(l, _)| takes(nth + 2 * k + l, 4))
                .map(|own| own.1)
            {
                let cut = engine.cut();
                let plain = Call::new(Mode::Fused, &[&x, target]);
                let rows_loss = loss.info().name == "cross_entropy";
                let pieces = pieces(&loss.problem(&plain).unwrap(), cut);
                assert!(pieces.len() > 1, "{shape:?} is not cut");
                let has_strips = cut.tuning().unwrap() == Tuning::SOFTWARE;
                let is_strip = rows_loss && !full && shape[1] == 40 && has_strips;
                assert_eq!(
                    is_strip,
                    pieces.iter().all(|label| label.contains("/strip")),
                    "{shape:?}"
                );
                let run = |engine: &Engine| {
                    let input = engine.upload(&x).unwrap();
                    let call = Call {
                        grad_output: (reduction == Reduction::None && rows_loss).then_some(&upstream),
                        grads: if full { vec![Role::Target] } else { Vec::new() },
                        ..Call::new(Mode::Fused, &[&input, target])
                    };
                    bits(&loss.run(engine, &call).unwrap().include_placed().read(engine).unwrap())
                };
                let whole = run(engine.whole());
                let cut = engine.cut();
                assert!(whole == run(cut), "{} {shape:?} {}", loss.info().name, reduction.name());
                // In place as well, where a slab may be gathered and scattered back.
                if !takes(nth + k, 2) {
                    continue;
                }
                let input = cut.upload(&x).unwrap();
                let call = Call {
                    grad_input: GradTo::InPlace,
                    ..Call::new(Mode::Fused, &[&input, target])
                };
                let dense = Call {
                    grad_input: GradTo::New,
                    ..call.clone()
                };
                let fresh = loss.run(cut, &dense).unwrap().include_placed().read(cut).unwrap();
                let over = loss.run(cut, &call).unwrap().include_placed().read(cut).unwrap();
                assert!(bits(&fresh) == bits(&over), "{} {shape:?} in place", loss.info().name);
            }
        }
    }
    // Two blocks of the elementwise driver, and weights along dimensions that cannot be joined.
    let shape = [2usize, 3, 400_000];
    let x = Tensor::new(&data.logits(2_400_000), &shape).unwrap();
    let t = Tensor::new(&data.targets(2_400_000), &shape).unwrap();
    for (weight, pos_weight) in [(&[2usize, 1, 1][..], &[3usize, 1][..]), (&[3, 1], &[2, 1, 1])] {
        let mut factor = |shape: &[usize]| Tensor::new(&data.uniform(shape.iter().product(), 0.5, 2.0), shape).unwrap();
        let loss = BceWithLogits {
            weight: Some(factor(weight)),
            pos_weight: Some(factor(pos_weight)),
            reduction: Reduction::Mean,
        };
        let call = Call::new(Mode::Fused, &[&x, &t]);
        let run = |engine: &Engine| loss.run(engine, &call).unwrap().include_placed().read(engine).unwrap();
        let whole = run(engine.whole());
        assert!(bits(&whole) == bits(&run(engine.cut())), "weight {weight:?}");
        let want = reference::run(&loss, &call).unwrap();
        let grad = want.grad_input.as_deref().unwrap();
        F32.check("blocks", &whole.grad_input.unwrap().data, grad).unwrap();
        F32.check("blocks", &whole.loss.unwrap().data, &want.loss).unwrap();
    }
    let x = Tensor::new(&data.logits(1_000_003), &[1_000_003]).unwrap();
    for op in ReduceOp::ALL {
        let loss = Reduce {
            op,
            ..Default::default()
        };
        let run = |engine: &Engine| {
            bits(
                &loss
                    .forward(engine, &[&x])
                    .unwrap()
                    .include_placed()
                    .read(engine)
                    .unwrap(),
            )
        };
        assert_eq!(run(engine.whole()), run(engine.cut()), "{}", op.name());
    }
}

/// Every loss, in every dtype in turn: cut into pieces, in place and added to nothing, the bits are those of one piece
/// and a new gradient; and so they are the next time. In the quick form every other loss has one shape that it takes.
#[test]
fn no_loss_depends_on_how_it_is_cut() {
    let shapes: [&[usize]; 3] = [&[12_000, 9], &[150, 500], &[24, 5, 700]];
    let mut engine = engine::Both::new(80 << 10);
    let mut failures = Vec::new();
    let (mut total, mut cuts) = (0, 0);
    for (n, info) in REGISTRY.iter().enumerate() {
        if !takes(n, 2) && info.name != "cross_entropy" {
            continue;
        }
        let mut of_this = 0;
        for k in (0..3).map(|k| (k + n / 3) % 3) {
            let shape = shapes[k];
            if of_this == 1 && !is_long() && info.name != "cross_entropy" {
                break;
            }
            let dtype = Dtype::FLOATS[(n + k) % 3];
            let setup = Setup {
                dtype,
                other: if n % 2 == 0 { Dtype::F32 } else { dtype },
                given: n % 3 > 0,
                full: k == 1,
                reduction: info.reductions[(n + k) % info.reductions.len()],
                // A reduction of everything is one row that fits no binding.
                setting: by_rows(info),
                seed: 3,
                ..Setup::new(shape)
            };
            let Some(case) = make(info, &setup) else { continue };
            let mut call = case.call(case.most());
            let problem = case.loss.problem(&call).unwrap();
            (of_this, total) = (of_this + 1, total + 1);
            cuts += usize::from(is_cut(&problem, engine.cut()));
            let run = |engine: &Engine, call: &Call<'_>| {
                let output = case.loss.run(engine, call)?;
                Ok(bits(&output.include_placed().read(engine)?))
            };
            let mut compare = |what: &str, got: wgloss::Result<Vec<u32>>, want: &[u32]| match got {
                Ok(got) if got == want => {}
                Ok(got) => {
                    let differ = got.iter().zip(want).filter(|(a, b)| a != b).count();
                    failures.push(format!("{} {what}: {differ} of {} differ", case.what, want.len()));
                }
                Err(error) => failures.push(format!("{} {what}: {error}", case.what)),
            };
            let whole: wgloss::Result<Vec<u32>> = run(engine.whole(), &call);
            let Ok(whole) = whole else {
                failures.push(format!("{}: {:?}", case.what, whole));
                continue;
            };
            compare("again", run(engine.whole(), &call), &whole);
            compare("cut", run(engine.cut(), &call), &whole);
            // One of the two in the quick form.
            for is_cut in [false, true] {
                if !takes(n / 2, 2) {
                    break;
                }
                let engine = if is_cut { engine.cut() } else { engine.whole() };
                let own = engine.upload(&case.tensors[0]).unwrap();
                let over = Call {
                    tensors: std::iter::once(&own).chain(&case.tensors[1..]).collect(),
                    grad_input: GradTo::InPlace,
                    ..call.clone()
                };
                match run(engine, &over) {
                    // A loss whose columns meet each other has nothing else to read.
                    Err(error) if error.to_string().contains("cannot go over") => {}
                    got => compare("in place", got, &whole),
                }
            }
            if !takes(n / 2 + 1, 2) {
                continue;
            }
            let zeros = crate::common::cases::blank(dtype, case.tensors[0].shape());
            let cut = engine.cut();
            let sum = cut.upload(&zeros).unwrap();
            call.grad_input = GradTo::AddTo(&sum);
            // -0 and 0 add up to 0.
            let unsigned = |list: &[u32]| {
                list.iter()
                    .map(|&b| if b << 1 == 0 { 0 } else { b })
                    .collect::<Vec<_>>()
            };
            compare("added", run(cut, &call).map(|got| unsigned(&got)), &unsigned(&whole));
        }
    }
    let least = if is_long() { 60 } else { REGISTRY.len() / 2 };
    assert!(total >= least && cuts >= least, "{cuts} of {total} were cut");
    crate::common::report(failures, total);
}

#[test]
fn twenty_runs_give_the_same_bits() {
    let mut data = Data::new(12);
    let x = Tensor::new(&data.logits(500 * 777), &[500, 777]).unwrap();
    let labels = Tensor::new(&data.labels(500, 777, Some(-100)), &[500]).unwrap();
    let t = Tensor::new(&data.targets(500 * 777), &[500, 777]).unwrap();
    let losses: [(&dyn Loss, &Tensor); 3] = [
        (
            &CrossEntropy {
                label_smoothing: 0.1,
                ..Default::default()
            },
            &labels,
        ),
        (&BceWithLogits::default(), &t),
        (
            &SigmoidFocal {
                reduction: Reduction::Mean,
                ..Default::default()
            },
            &t,
        ),
    ];
    for (loss, target) in losses {
        let run = || {
            bits(
                &loss
                    .forward_backward(gpu(), &[&x, target], None)
                    .unwrap()
                    .include_placed()
                    .read(gpu())
                    .unwrap(),
            )
        };
        let first = run();
        assert!((1..20).all(|_| run() == first), "{}", loss.info().name);
    }
}
