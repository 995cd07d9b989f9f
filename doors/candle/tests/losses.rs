//! Every loss of the registry through candle: values and gradients as the f64 reference has them, candle's own losses
//! beside ours, layouts, half numbers, and what is refused.

use std::sync::Arc;

use candle_core::{DType, Device, Tensor, Var};
use wgloss::{Call, CrossEntropy, Engine, Info, Loss, Mode, OperandKind, REGISTRY, Reduction, SmoothL1, Stats};
use wgloss_candle::{LOSSES, apply, cross_entropy, engine, mse, smooth_l1, statistics, tensor};

const DEVICE: Device = Device::Cpu;

/// Numbers that an operand of a kind may hold, all different.
fn operand(kind: OperandKind, nth: usize, dtype: DType) -> Tensor {
    let numbers = |of: &dyn Fn(f32) -> f32| {
        let data: Vec<f32> = (0..20).map(|i| of(((i * 7 + nth * 5) % 23) as f32 / 23.0)).collect();
        Tensor::from_vec(data, (4, 5), &DEVICE)
            .unwrap()
            .to_dtype(dtype)
            .unwrap()
    };
    match kind {
        OperandKind::Real | OperandKind::Logit => numbers(&|x| 4.0 * x - 2.0),
        OperandKind::LogProbability => numbers(&|x| -3.0 * x - 0.1),
        OperandKind::UnitInterval | OperandKind::MaybeLogProbability => numbers(&|x| 0.1 + 0.8 * x),
        OperandKind::Rate | OperandKind::Variance => numbers(&|x| 0.5 + 2.0 * x),
        OperandKind::Count => numbers(&|x| (5.0 * x).floor()),
        OperandKind::Sign => numbers(&|x| if x > 0.5 { 1.0 } else { -1.0 }),
        OperandKind::Index | OperandKind::IndexOrDistribution => Tensor::new(&[0i64, 3, 4, 1], &DEVICE).unwrap(),
        OperandKind::IndexList => Tensor::new(
            &[
                [1i64, 3, -1, 0, 0],
                [0, -1, 0, 0, 0],
                [4, 2, 1, -1, 0],
                [2, -1, 0, 0, 0],
            ],
            &DEVICE,
        )
        .unwrap(),
    }
}

/// The operands of a loss: signs and rows where pairs are compared.
fn operands(info: &Info, dtype: DType) -> Vec<Tensor> {
    let kinds = info.operands.iter().enumerate();
    kinds
        .map(|(nth, own)| match (info.name, own.kind) {
            // As many classes as rows of the matrix.
            ("linear_cross_entropy", OperandKind::IndexOrDistribution) => {
                Tensor::new(&[0i64, 3, 2, 1], &DEVICE).unwrap()
            }
            ("cosine_embedding", OperandKind::Sign) => Tensor::new(&[1f32, -1.0, 1.0, -1.0], &DEVICE).unwrap(),
            _ => operand(own.kind, nth, dtype),
        })
        .collect()
}

fn floats(tensor: &Tensor) -> Vec<f32> {
    tensor
        .to_dtype(DType::F32)
        .unwrap()
        .flatten_all()
        .unwrap()
        .to_vec1()
        .unwrap()
}

fn close(what: &str, got: &[f32], want: &[f32], bound: f32) {
    assert_eq!(got.len(), want.len(), "{what}");
    for (at, (got, want)) in got.iter().zip(want).enumerate() {
        assert!(
            (got - want).abs() <= bound * (1.0 + want.abs()),
            "{what}[{at}]: {got}, want {want}"
        );
    }
}

#[test]
fn every_loss_of_the_registry_has_a_function() {
    let names: Vec<_> = REGISTRY.iter().map(|info| info.name).collect();
    let mut own = LOSSES.to_vec();
    own.sort_unstable();
    let mut sorted = names.clone();
    sorted.sort_unstable();
    assert_eq!(own, sorted);
}

#[test]
fn every_loss_is_what_the_reference_says() {
    for info in REGISTRY {
        for (dtype, bound) in [(DType::F32, 1e-5), (DType::F16, 2e-3), (DType::BF16, 1e-2)] {
            for &reduction in info.reductions {
                let make = || -> Box<dyn Loss> {
                    let mut loss = (info.new)();
                    loss.set_reduction(reduction);
                    loss
                };
                let what = format!("{} {dtype:?} {reduction:?}", info.name);
                let plain = operands(info, dtype);
                let vars: Vec<Var> = plain.iter().map(|own| Var::from_tensor(own).unwrap()).collect();
                let tracked: Vec<&Tensor> = vars.iter().map(Var::as_tensor).collect();
                let loss =
                    apply(engine(), Arc::from(make()), &tracked).unwrap_or_else(|error| panic!("{what}: {error}"));
                // An upstream gradient that is not 1.
                let factor = Tensor::ones_like(&loss).unwrap().affine(0.5, 0.25).unwrap();
                let has_slope = info.operands[0].grad && !(info.name == "reduce" && loss.dtype() == DType::I64);
                let host: Vec<wgloss::Tensor> = plain.iter().map(|own| tensor(own).unwrap()).collect();
                let upstream = tensor(&factor).unwrap();
                let own = info.operands.iter().zip(&host).skip(1);
                let grads = own.filter(|(own, tensor)| own.grad && tensor.dtype().is_float());
                let call = Call {
                    grad_output: Some(&upstream),
                    grads: grads.map(|(own, _)| own.role).collect(),
                    ..Call::new(Mode::Fused, &host.iter().collect::<Vec<_>>())
                };
                let cpu = Engine::cpu();
                let want = make().run(&cpu, &call).unwrap().read(&cpu).unwrap();
                close(&what, &floats(&loss), &want.loss.as_ref().unwrap().data, bound);
                assert!(has_slope);
                let store = (loss * factor).unwrap().backward().unwrap();
                let grad = |nth: usize| floats(store.get(&vars[nth]).unwrap());
                close(
                    &format!("{what}, gradient"),
                    &grad(0),
                    &want.grad_input.unwrap().data,
                    bound,
                );
                for (role, own) in &want.grads {
                    let nth = info.operands.iter().position(|own| own.role == *role).unwrap();
                    close(&format!("{what}, {role:?}"), &grad(nth), &own.data, bound);
                }
            }
        }
    }
}

/// candle's own losses of the same.
#[test]
fn candle_agrees() {
    let x = Var::from_tensor(&operand(OperandKind::Logit, 0, DType::F32)).unwrap();
    let t = operand(OperandKind::Index, 1, DType::F32);
    let mine = cross_entropy(&x, &t, &CrossEntropy::default()).unwrap();
    let theirs = candle_nn::loss::cross_entropy(&x, &t).unwrap();
    close("loss", &floats(&mine), &floats(&theirs), 1e-6);
    let grad = |loss: &Tensor| floats(loss.affine(3.0, 0.0).unwrap().backward().unwrap().get(&x).unwrap());
    close("gradient", &grad(&mine), &grad(&theirs), 1e-6);
    let y = operand(OperandKind::Real, 3, DType::F32);
    close(
        "mse",
        &floats(&mse(&x, &y, &Default::default()).unwrap()),
        &floats(&candle_nn::loss::mse(&x, &y).unwrap()),
        1e-6,
    );
    let options = SmoothL1 {
        beta: 0.5,
        reduction: Reduction::Sum,
    };
    assert!(floats(&smooth_l1(&x, &y, &options).unwrap())[0] > 0.0);
}

/// What is not contiguous is brought into order, and its gradient goes where it came from.
#[test]
fn layouts_make_no_difference() {
    let x = operand(OperandKind::Logit, 0, DType::F32);
    let across = Var::from_tensor(&x.t().unwrap().contiguous().unwrap()).unwrap();
    let t = operand(OperandKind::Index, 1, DType::F32);
    let want = cross_entropy(&x, &t, &CrossEntropy::default()).unwrap();
    let loss = cross_entropy(&across.t().unwrap(), &t, &CrossEntropy::default()).unwrap();
    assert_eq!(floats(&loss), floats(&want));
    let grad = loss.backward().unwrap().get(&across).unwrap().t().unwrap();
    let straight = Var::from_tensor(&x).unwrap();
    let want = cross_entropy(&straight, &t, &CrossEntropy::default())
        .unwrap()
        .backward()
        .unwrap();
    assert_eq!(floats(&grad), floats(want.get(&straight).unwrap()));
    // A window of a larger tensor.
    let rows = Tensor::cat(&[&x, &x], 0).unwrap().narrow(0, 2, 4).unwrap();
    let labels = t.narrow(0, 2, 2).unwrap();
    let part = cross_entropy(&rows.narrow(0, 0, 2).unwrap(), &labels, &CrossEntropy::default()).unwrap();
    let same = cross_entropy(
        &x.narrow(0, 2, 2).unwrap().contiguous().unwrap(),
        &labels,
        &CrossEntropy::default(),
    )
    .unwrap();
    assert_eq!(floats(&part), floats(&same));
}

#[test]
fn a_network_learns() {
    use candle_nn::{Optimizer, SGD};
    let x = operand(OperandKind::Real, 0, DType::F32);
    let t = operand(OperandKind::Index, 1, DType::F32);
    let curve = |ours: bool| {
        let start = Tensor::from_vec(
            (0..25).map(|i| (i % 7) as f32 * 0.1).collect::<Vec<_>>(),
            (5, 5),
            &DEVICE,
        )
        .unwrap();
        let weight = Var::from_tensor(&start).unwrap();
        let mut sgd = SGD::new(vec![weight.clone()], 0.5).unwrap();
        let step = |_| {
            let logits = x.matmul(&weight).unwrap();
            let loss = match ours {
                true => cross_entropy(&logits, &t, &CrossEntropy::default()),
                false => candle_nn::loss::cross_entropy(&logits, &t),
            };
            let loss = loss.unwrap();
            sgd.backward_step(&loss).unwrap();
            floats(&loss)[0]
        };
        (0..30).map(step).collect::<Vec<f32>>()
    };
    let (ours, theirs) = (curve(true), curve(false));
    close("curve", &ours, &theirs, 1e-5);
    assert!(ours[29] < 0.7 * ours[0], "{ours:?}");
}

#[test]
fn options_and_statistics_of_rows() {
    let x = operand(OperandKind::Logit, 0, DType::F32);
    let t = operand(OperandKind::Index, 1, DType::F32);
    let weight = tensor(&Tensor::new(&[1f32, 2.0, 0.5, 1.0, 3.0], &DEVICE).unwrap()).unwrap();
    let loss = CrossEntropy {
        weight: Some(weight),
        z_loss: 1e-2,
        label_smoothing: 0.1,
        ..Default::default()
    };
    let plain = cross_entropy(&x, &t, &CrossEntropy::default()).unwrap();
    assert_ne!(floats(&cross_entropy(&x, &t, &loss).unwrap()), floats(&plain));
    let stats = Stats {
        lse: true,
        argmax: true,
        accuracy: true,
        ..Default::default()
    };
    let values = statistics(engine(), &loss, &[&x, &t], stats).unwrap();
    assert_eq!(values.argmax.unwrap().data.len(), 4);
    let lse = x.exp().unwrap().sum(1).unwrap().log().unwrap();
    close("lse", &values.lse.unwrap().data, &floats(&lse), 1e-6);
}

fn told(result: candle_core::Result<Tensor>, wanted: &str) {
    let error = result.unwrap_err().to_string();
    assert!(error.contains(wanted), "{error}, expected {wanted}");
}

#[test]
fn what_is_wrong_is_named() {
    let loss = CrossEntropy::default();
    let x = operand(OperandKind::Logit, 0, DType::F32);
    let t = operand(OperandKind::Index, 1, DType::F32);
    let label = |wrong: i64| Tensor::new(&[0i64, 3, wrong, 1], &DEVICE).unwrap();
    told(cross_entropy(&x, &label(5), &loss), "the first is 5 in row 2");
    told(cross_entropy(&x, &t.narrow(0, 0, 3).unwrap(), &loss), "target");
    told(
        cross_entropy(&x.to_dtype(DType::F64).unwrap(), &t, &loss),
        "input: is F64",
    );
    told(
        cross_entropy(&x, &x.to_dtype(DType::F64).unwrap(), &loss),
        "target: is F64",
    );
    told(
        cross_entropy(
            &x,
            &t,
            &CrossEntropy {
                label_smoothing: 2.0,
                ..Default::default()
            },
        ),
        "label_smoothing",
    );
    told(
        apply(engine(), Arc::new(loss.clone()), &[&x]),
        "takes 2 (input, target), got 1 tensors",
    );
    told(
        apply(engine(), Arc::new(loss.clone()), &[]),
        "takes 2 (input, target), got 0 tensors",
    );
    assert!(
        statistics(
            engine(),
            &SmoothL1::default(),
            &[&x, &x],
            Stats {
                lse: true,
                ..Default::default()
            }
        )
        .is_err()
    );
    // The engine goes on.
    assert!(cross_entropy(&x, &t, &loss).is_ok());
    // An arg-max has no gradient, and what only reads it none either.
    let index = wgloss::Reduce {
        op: wgloss::ReduceOp::Argmax,
        dim: vec![1],
        ..Default::default()
    };
    assert_eq!(wgloss_candle::reduce(&x, &index).unwrap().dtype(), DType::I64);
}
