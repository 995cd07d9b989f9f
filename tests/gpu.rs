//! The GPU against the reference on data that hurts: every loss in every dtype, then what is particular to some.

use half::{bf16, f16};
use wgloss::{
    BceWithLogits, Call, CrossEntropy, Dtype, Engine, Error, GaussianNll, L1, LogSigmoid, LogSoftmax, Loss,
    MarginRanking, Mode, Mse, OnEmpty, REGISTRY, Reduce, ReduceOp, Reduction, Role, Sigmoid, SigmoidFocal, Softmax,
    Stats, Tensor, Values, reference, reference::Results,
};

use crate::common::cases::{Case, DTYPES, Setup, make, settings};
use crate::common::data::{Data, row_shape};
use crate::common::{F32, gpu, hardware, report};

const REDUCTIONS: [Reduction; 3] = [Reduction::None, Reduction::Mean, Reduction::Sum];

/// A call on host tensors, on the GPU and in f64: cut as for this adapter, and as for a hardware one.
pub fn against_reference(what: &str, loss: &dyn Loss, call: &Call<'_>) -> Vec<String> {
    let want = match reference::run(loss, call) {
        Ok(want) => want,
        Err(error) => return vec![format!("{what}: {error}")],
    };
    let mut failures = on_engine(what, gpu(), loss, call, &want);
    failures.extend(on_engine(
        &format!("{what}, hardware tuning"),
        hardware(),
        loss,
        call,
        &want,
    ));
    failures
}

/// The same on this adapter's own tuning alone.
pub fn on_gpu(what: &str, loss: &dyn Loss, call: &Call<'_>) -> Vec<String> {
    match reference::run(loss, call) {
        Ok(want) => on_engine(what, gpu(), loss, call, &want),
        Err(error) => vec![format!("{what}: {error}")],
    }
}

fn on_engine(what: &str, engine: &Engine, loss: &dyn Loss, call: &Call<'_>, want: &Results) -> Vec<String> {
    match loss.run(engine, call).and_then(|output| output.read(engine)) {
        Ok(values) => compare(what, loss, call, &values, want),
        Err(error) => vec![format!("{what}: {error}")],
    }
}

/// All outputs, each judged in its own dtype.
pub fn compare(what: &str, loss: &dyn Loss, call: &Call<'_>, got: &Values, want: &Results) -> Vec<String> {
    let mut checks = Vec::new();
    let whole = |wanted: &[f64], array: &Option<wgloss::Array<i64>>| {
        let same = array
            .as_ref()
            .is_some_and(|a| a.data.iter().map(|&i| i as f64).eq(wanted.iter().copied()));
        if same {
            Ok(())
        } else {
            Err(format!("{what} argmax: {array:?} instead of {wanted:?}"))
        }
    };
    if call.mode.wants_loss() {
        let is_index = got.loss.is_none() && got.argmax.is_some();
        checks.push(match is_index {
            true => whole(&want.loss, &got.argmax),
            false => F32.compare(&format!("{what} loss"), &got.loss, &want.loss),
        });
    }
    if call.mode.wants_grad() {
        let gradient = |place: usize| want.grad(Role::Grad(place as u8)).unwrap_or_default();
        checks.push(F32.compare(&format!("{what} grad"), &got.grad_input, gradient(0)));
        for (place, own) in loss.info().operands.iter().enumerate().skip(1) {
            if call.grads.contains(&own.role) {
                let array = got.grad(own.role).cloned();
                let shape = array.as_ref().map(|a| a.shape.clone()).unwrap_or_default();
                assert_eq!(shape, call.tensors[place].shape(), "{what}");
                checks.push(F32.compare(&format!("{what} grad of {}", own.role.name()), &array, gradient(place)));
            }
        }
    }
    for (name, array, wanted, asked) in [
        ("z_loss", &got.z_loss, &want.z_loss, !want.z_loss.is_empty()),
        ("lse", &got.lse, &want.lse, call.stats.lse),
        ("entropy", &got.entropy, &want.entropy, call.stats.entropy),
    ] {
        if asked {
            checks.push(F32.compare(&format!("{what} {name}"), array, wanted));
        } else if array.is_some() {
            checks.push(Err(format!("{what}: {name} that nobody asked for")));
        }
    }
    if call.stats.argmax {
        let wanted: Vec<f64> = want.argmax.iter().map(|&i| f64::from(i)).collect();
        checks.push(whole(&wanted, &got.argmax));
    }
    if call.stats.accuracy && got.correct != Some(u64::from(want.correct)) {
        checks.push(Err(format!(
            "{what}: {:?} correct, expected {}",
            got.correct, want.correct
        )));
    }
    checks.into_iter().filter_map(Result::err).collect()
}

fn floats(data: &mut Data, shape: &[usize]) -> Tensor {
    Tensor::new(&data.logits(shape.iter().product()), shape).unwrap()
}

/// Every loss in every dtype: odd rows by lane and longer ones by group, whole quads or not; options, reductions, optional
/// tensors and dtypes of labels in turn. 16-bit results are those of the rounded inputs.
#[test]
fn every_loss_in_every_dtype() {
    let shapes: [&[usize]; 5] = [&[5, 7], &[3, 129], &[2, 5, 3], &[4, 132], &[9]];
    let (mut failures, mut total) = (Vec::new(), 0);
    for info in REGISTRY {
        let all = settings(info);
        let mut count = 0;
        for (k, (dtype, other)) in DTYPES.into_iter().enumerate() {
            // Each shape in two of the dtypes.
            for n in [k, (k + 2) % 5] {
                let shape = shapes[n];
                let setup = Setup {
                    dtype,
                    other,
                    labels: Dtype::LABELS[(n + k) % 4],
                    full: (n + k) % 3 == 1,
                    given: (n + k) % 2 == 1,
                    reduction: info.reductions[(n + 2 * k) % info.reductions.len()],
                    seed: (5 * n + k) as u64,
                    ..Setup::new(shape)
                };
                // The first setting from a place of its own that the loss takes.
                let start = (n * 11 + k * 17) % all.len();
                let taken = (0..all.len()).find_map(|i| {
                    let setting = all[(start + i) % all.len()].clone();
                    make(
                        info,
                        &Setup {
                            setting,
                            ..setup.clone()
                        },
                    )
                });
                let Some(mut case) = taken else { continue };
                if info.statistics && n < 3 {
                    case.stats = Stats {
                        lse: true,
                        argmax: true,
                        entropy: true,
                        accuracy: !setup.full,
                        z_loss: false,
                    };
                }
                (count, total) = (count + 1, total + 1);
                // Compiling takes most of the time.
                let check = if count == 3 { against_reference } else { on_gpu };
                failures.extend(check(&case.what, &*case.loss, &case.call(case.most())));
            }
        }
        assert!(count >= 6, "{}: {count} cases", info.name);
    }
    report(failures, total);
}

/// Regimes: one lane per row up to 64 classes (also one more and one less), one group beyond; whole blocks of 16 × 8
/// columns, a few quads behind them, an odd tail; a real vocabulary; a row whose loops come
/// close to the loop limit; strided classes.
#[test]
fn cross_entropy_on_shapes() {
    let shapes: &[&[usize]] = &[
        &[1, 1],
        &[3, 2],
        &[65, 3],
        &[64, 10],
        &[63, 63],
        &[5, 64],
        &[5, 65],
        &[5, 127],
        &[4, 128],
        &[4, 129],
        &[3, 1023],
        &[3, 1024],
        &[3, 1025],
        &[2, 32_000],
        &[2, 32_003],
        &[1, 2_000_003],
        &[9],
        &[300],
        &[2, 5, 7],
        &[3, 21, 33],
        &[2, 3, 1025],
        &[1, 4097, 3],
        &[2, 70, 5, 2],
        &[1000, 17],
    ];
    let mut failures = Vec::new();
    for (seed, shape) in shapes.iter().enumerate() {
        let mut data = Data::new(seed as u64);
        let len = shape.iter().product();
        let cols = shape[usize::from(shape.len() > 1)];
        let rows = row_shape(shape);
        let count = len / cols;
        let x = Tensor::new(&data.logits(len), shape).unwrap();
        let labels = Tensor::new(&data.labels(count, cols, Some(-100)), &rows).unwrap();
        let p = Tensor::new(&data.uniform(len, 0.0, 1.0), shape).unwrap();
        let weight = Tensor::new(&data.uniform(cols, 0.2, 2.0), &[cols]).unwrap();
        let upstream = Tensor::new(&data.logits(count), &rows).unwrap();
        let scalar = Tensor::new(&[-1.5f32], &[]).unwrap();
        for (n, reduction) in REDUCTIONS.into_iter().enumerate() {
            for (target, full) in [(&labels, false), (&p, true)] {
                let loss = CrossEntropy {
                    label_smoothing: [0.0, 0.1][(seed + n) % 2],
                    weight: (seed % 3 != 0).then(|| weight.clone()),
                    reduction,
                    ..Default::default()
                };
                let call = Call {
                    grad_output: Some(if reduction == Reduction::None {
                        &upstream
                    } else {
                        &scalar
                    }),
                    grads: if full { vec![Role::Target] } else { Vec::new() },
                    ..Call::new(Mode::Fused, &[&x, target])
                };
                let what = format!("{shape:?} {} {}, seed {seed}", reduction.name(), target.dtype());
                failures.extend(against_reference(&what, &loss, &call));
            }
        }
    }
    report(failures, shapes.len() * 6);
}

/// Gradients that are small differences of near numbers keep their relative accuracy: of a confident row's label, also
/// where logits are so large that a half is lost beside them, and of a class at the peak that has nearly all of a
/// row's coefficients without being its label. llvmpipe's compiler takes (a + b) - a for b: what is lost there otherwise shows on
/// SwiftShader, where this test runs as well (`tests/run.sh`).
#[test]
fn confident_rows_have_accurate_gradients() {
    for (gap, peak) in [8.0f32, 16.0, 20.0]
        .into_iter()
        .flat_map(|gap| [(gap, 0.0), (gap, (1 << 24) as f32)])
    {
        let grad = |row: [f32; 2], loss: &CrossEntropy| {
            let x = Tensor::new(&row, &[1, 2]).unwrap();
            let t = Tensor::new(&[0i64], &[1]).unwrap();
            let call = Call::new(Mode::Fused, &[&x, &t]);
            let values = loss.run(gpu(), &call).unwrap().read(gpu()).unwrap();
            values.grad_input.unwrap().data
        };
        let e = f64::from(-gap).exp();
        let near = |what: &str, got: f32, want: f64| {
            let got = f64::from(got);
            assert!(
                (got - want).abs() <= 1e-5 * want.abs(),
                "{what} {gap} {peak}: {got:e} for {want:e}"
            );
        };
        let miss = e / (1.0 + e);
        near("label", grad([peak, peak - gap], &CrossEntropy::default())[0], -miss);
        let lse = f64::from(peak) + e.ln_1p();
        let pulled = CrossEntropy {
            z_loss: 1e-4,
            ..Default::default()
        };
        let want = 2e-4 * lse * (1.0 - miss) - miss;
        near("z-loss", grad([peak, peak - gap], &pulled)[0], want);
        let slightly = CrossEntropy {
            label_smoothing: 1e-3,
            ..Default::default()
        };
        // p - b, where b is 1 less the other class's share of the smoothing.
        near("slightly smoothed", grad([peak, peak - gap], &slightly)[0], 5e-4 - miss);
        let smoothed = CrossEntropy {
            label_smoothing: 0.1,
            weight: Some(Tensor::new(&[0f32, 1.0], &[2]).unwrap()),
            reduction: Reduction::Sum,
            ..Default::default()
        };
        near("smoothed", grad([peak - gap, peak], &smoothed)[1], -0.05 * miss);
    }
}

/// Logits of ±1e4, a row sure of its class, ties, and holes of -inf.
#[test]
fn cross_entropy_at_the_extremes() {
    let mut failures = Vec::new();
    for cols in [5usize, 200, 1000] {
        let mut data = Data::new(cols as u64);
        let mut rows = vec![data.logits(cols); 7];
        rows[0]
            .iter_mut()
            .enumerate()
            .for_each(|(c, x)| *x = if c % 2 == 0 { 1e4 } else { -1e4 });
        rows[1].iter_mut().for_each(|x| *x += 1e4);
        rows[2][1] = 40.0;
        rows[3].fill(-7.25);
        rows[4].iter_mut().step_by(2).for_each(|x| *x = f32::NEG_INFINITY);
        rows[5][3] = -1e4;
        rows[6][1..].fill(f32::NEG_INFINITY);
        let one_row = |row: &Vec<f32>| Tensor::new(row, &[1, cols]).unwrap();
        for (n, row) in rows.iter().enumerate() {
            // Each row alone, so that a small result is judged by its own size.
            let labels = Tensor::new(&[1i64], &[1]).unwrap();
            let what = format!("row {n} of {cols}");
            let x = one_row(row);
            let call = Call::new(Mode::Fused, &[&x, &labels]);
            failures.extend(against_reference(&what, &CrossEntropy::default(), &call));
            let loss = CrossEntropy {
                label_smoothing: 0.1,
                ..Default::default()
            };
            failures.extend(against_reference(&format!("{what}, smoothed"), &loss, &call));
            // Equal logits and probabilities have gradients of exactly 0, of which f64 keeps a rounding error.
            if n == 3 {
                continue;
            }
            let p = Tensor::new(&vec![1.0 / cols as f32; cols], &[1, cols]).unwrap();
            let call = Call {
                grads: vec![Role::Target],
                ..Call::new(Mode::Fused, &[&x, &p])
            };
            let what = format!("{what}, uniform p");
            failures.extend(against_reference(&what, &CrossEntropy::default(), &call));
        }
    }
    report(failures, 3 * (7 * 3 - 1));
}

#[test]
fn elementwise_losses_on_shapes() {
    let mut failures = Vec::new();
    let mut total = 0;
    let sizes = [1usize, 3, 4, 5, 31, 33, 1023, 8191, 8192, 8193, 100_003];
    for (seed, n) in sizes.into_iter().enumerate() {
        let mut data = Data::new(seed as u64);
        let mut x = data.logits(n);
        for (x, hard) in x.iter_mut().skip(1).zip([100.0, -100.0, 1e4, -1e4, 0.0, 88.0, -104.0]) {
            *x = hard;
        }
        let x = Tensor::new(&x, &[n]).unwrap();
        let t = Tensor::new(&data.targets(n), &[n]).unwrap();
        let w = Tensor::new(&data.uniform(n, 0.2, 2.0), &[n]).unwrap();
        let upstream = Tensor::new(&data.logits(n), &[n]).unwrap();
        for reduction in REDUCTIONS {
            let mut losses: Vec<Box<dyn Loss>> = vec![Box::new(BceWithLogits {
                weight: (seed % 2 == 0).then(|| w.clone()),
                pos_weight: (seed % 3 == 0).then(|| w.clone()),
                reduction,
            })];
            for gamma in [0.0, 0.5, 1.0, 2.0, 3.7, 5.0] {
                losses.push(Box::new(SigmoidFocal {
                    alpha: [0.25, -1.0][seed % 2],
                    gamma,
                    reduction,
                }));
            }
            for loss in &losses {
                let call = Call {
                    grad_output: (reduction == Reduction::None).then_some(&upstream),
                    ..Call::new(Mode::Fused, &[&x, &t])
                };
                total += 1;
                let what = format!("{n} elements, {loss:.80?}");
                failures.extend(against_reference(&what, loss.as_ref(), &call));
            }
        }
    }
    report(failures, total);
}

/// Where torchvision's gradient is NaN: saturated logits and a gamma below 1.
#[test]
fn focal_has_no_nan() {
    let x: Vec<f32> = [17.0, 50.0, 88.0, 90.0, 104.0, 150.0, 1e4, 1e30, f32::MAX]
        .iter()
        .flat_map(|&x| [x, -x])
        .collect();
    for t in [0.0, 1e-9, 0.5, 1.0] {
        let targets = vec![t; x.len()];
        let (input, targets) = (
            Tensor::new(&x, &[x.len()]).unwrap(),
            Tensor::new(&targets, &[x.len()]).unwrap(),
        );
        for gamma in [0.0, 0.01, 0.3, 0.5, 0.99, 1.0, 1.5, 7.0, 1e30, 1e39] {
            let loss = SigmoidFocal {
                gamma,
                ..Default::default()
            };
            for engine in [gpu(), &Engine::cpu()] {
                let output = loss.forward_backward(engine, &[&input, &targets], None).unwrap();
                let values = output.read(engine).unwrap();
                for array in [values.loss.unwrap(), values.grad_input.unwrap()] {
                    let bad = array.data.iter().position(|v| !v.is_finite());
                    let (name, data) = (engine.name(), array.data);
                    assert_eq!(bad, None, "gamma {gamma}, target {t}, {name}: {data:?}");
                }
            }
        }
    }
}

#[test]
fn broadcast_weights() {
    let mut failures = Vec::new();
    let shape = [6usize, 7, 5, 4];
    let mut data = Data::new(9);
    let len = shape.iter().product();
    let x = floats(&mut data, &shape);
    let t = Tensor::new(&data.targets(len), &shape).unwrap();
    let shapes: &[&[usize]] = &[
        &[],
        &[1],
        &[4],
        &[5, 1],
        &[7, 1, 1],
        &[6, 1, 1, 1],
        &[6, 1, 5, 1],
        &[1, 7, 1, 4],
        &shape,
    ];
    for (n, weight) in shapes.iter().enumerate() {
        for pos_weight in shapes {
            let mut factor =
                |shape: &[usize]| Tensor::new(&data.uniform(shape.iter().product(), 0.2, 2.0), shape).unwrap();
            let loss = BceWithLogits {
                weight: Some(factor(weight)),
                pos_weight: Some(factor(pos_weight)),
                reduction: REDUCTIONS[n % 3],
            };
            let what = format!("weight {weight:?}, pos_weight {pos_weight:?}");
            failures.extend(against_reference(&what, &loss, &Call::new(Mode::Fused, &[&x, &t])));
        }
    }
    report(failures, 81);
}

/// Operands that broadcast against each other, whichever of them: gradients in the operand's own shape and dtype, summed
/// over what it serves, over one run of dimensions or several.
#[test]
fn operands_that_broadcast() {
    let (mut failures, mut total) = (Vec::new(), 0);
    let mut check = |what: String, loss: &dyn Loss, tensors: &[Tensor]| {
        let roles: Vec<Role> = loss.info().operands[1..].iter().map(|own| own.role).collect();
        for mode in [Mode::Fused, Mode::Backward] {
            let call = Call {
                grads: roles.clone(),
                ..Call::new(mode, &tensors.iter().collect::<Vec<_>>())
            };
            total += 1;
            failures.extend(against_reference(&format!("{what} {}", mode.name()), loss, &call));
        }
    };
    let mut data = Data::new(21);
    let pairs: &[(&[usize], &[usize])] = &[
        (&[4, 3], &[3]),
        (&[4, 3], &[4, 1]),
        (&[4, 3], &[]),
        (&[4, 3], &[1, 3]),
        (&[4, 1], &[1, 3]),
        (&[3], &[5, 4, 3]),
        (&[2, 1, 4, 1, 3], &[5, 1, 6, 1]),
        (&[300, 70], &[300, 1]),
        (&[300, 70], &[70]),
        (&[1], &[20_011]),
    ];
    for (n, (a, b)) in pairs.iter().enumerate() {
        for (k, (dtype, other)) in [DTYPES[0], DTYPES[1], DTYPES[4]].into_iter().enumerate() {
            let x = floats(&mut data, a).to_dtype(dtype).unwrap();
            let t = floats(&mut data, b).to_dtype(other).unwrap();
            let reduction = REDUCTIONS[(n + k) % 3];
            check(
                format!("mse {a:?} {b:?} {dtype} {other} {}", reduction.name()),
                &Mse { reduction },
                &[x, t],
            );
        }
    }
    for (a, b, t) in [
        ([4, 3], [4, 3], [1, 1]),
        ([4, 1], [1, 3], [4, 3]),
        ([1, 3], [4, 3], [4, 1]),
    ] {
        for (k, (dtype, other)) in [DTYPES[0], DTYPES[2]].into_iter().enumerate() {
            let sign = |shape: &[usize], data: &mut Data| {
                let signs: Vec<f32> = data.logits(shape.iter().product()).iter().map(|x| x.signum()).collect();
                Tensor::new(&signs, shape).unwrap().to_dtype(other).unwrap()
            };
            let tensors = [
                floats(&mut data, &a).to_dtype(dtype).unwrap(),
                floats(&mut data, &b).to_dtype(other).unwrap(),
                sign(&t, &mut data),
            ];
            let loss = MarginRanking {
                margin: 0.5,
                reduction: REDUCTIONS[k],
            };
            check(format!("margin_ranking {a:?} {b:?} {t:?} {dtype}"), &loss, &tensors);
        }
    }
    for (shape, var) in [
        (&[4usize, 3][..], &[4usize, 3][..]),
        (&[4, 3], &[4, 1]),
        (&[4, 3], &[1, 3]),
        (&[4, 3], &[4]),
        (&[2, 5, 3], &[2, 5]),
        (&[2, 5, 3], &[2, 1, 3]),
    ] {
        for (k, (dtype, other)) in [DTYPES[0], DTYPES[3]].into_iter().enumerate() {
            let variance = data.uniform(var.iter().product(), 0.2, 3.0);
            let tensors = [
                floats(&mut data, shape).to_dtype(dtype).unwrap(),
                floats(&mut data, shape).to_dtype(other).unwrap(),
                Tensor::new(&variance, var).unwrap().to_dtype(other).unwrap(),
            ];
            let loss = GaussianNll {
                full: k == 0,
                reduction: REDUCTIONS[k],
                ..Default::default()
            };
            check(format!("gaussian_nll {shape:?} var {var:?} {dtype}"), &loss, &tensors);
        }
    }
    report(failures, total);
}

/// Reductions along every axis, kept or not, with the gradient of each; NaN and infinities among the numbers, and ties.
#[test]
fn reductions_along_every_axis() {
    let (mut failures, mut total) = (Vec::new(), 0);
    let shapes: [&[usize]; 6] = [&[7], &[5, 70], &[2, 3, 4], &[3, 1, 5], &[2, 3, 4, 5], &[2, 1030]];
    for (seed, shape) in shapes.iter().enumerate() {
        let mut data = Data::new(seed as u64);
        let mut numbers = data.logits(shape.iter().product());
        // Ties of the largest and of the smallest.
        numbers.iter_mut().step_by(5).for_each(|x| *x = 50.0);
        numbers.iter_mut().skip(2).step_by(7).for_each(|x| *x = -50.0);
        let mut wild = numbers.clone();
        wild[0] = f32::NAN;
        *wild.last_mut().unwrap() = f32::NEG_INFINITY;
        let middle = wild.len() / 2;
        wild[middle] = f32::INFINITY;
        for (n, dim) in (-(shape.len() as i64)..shape.len() as i64)
            .map(Some)
            .chain([None])
            .enumerate()
        {
            for (k, op) in ReduceOp::ALL.into_iter().enumerate() {
                let keepdim = dim.is_some() && (n + k) % 2 == 0;
                let loss = Reduce {
                    op,
                    dim: dim.into_iter().collect(),
                    keepdim,
                    ..Default::default()
                };
                let grad = op != ReduceOp::Argmax;
                let dtype = [Dtype::F32, Dtype::F16, Dtype::Bf16][(n + k) % 3];
                let own = if n % 2 == 0 { &numbers } else { &wild };
                let x = Tensor::new(own, shape).unwrap().to_dtype(dtype).unwrap();
                let mut kept = shape.to_vec();
                match dim.map(|dim| dim.rem_euclid(shape.len() as i64) as usize) {
                    None => kept.clear(),
                    Some(d) if keepdim => kept[d] = 1,
                    Some(d) => drop(kept.remove(d)),
                }
                let upstream = Tensor::new(&data.logits(kept.iter().product()), &kept).unwrap();
                let call = Call {
                    grad_output: grad.then_some(&upstream),
                    ..Call::new(if grad { Mode::Fused } else { Mode::Forward }, &[&x])
                };
                total += 1;
                let what = format!("{} of {shape:?} {dtype} along {dim:?}, kept: {keepdim}", op.name());
                failures.extend(against_reference(&what, &loss, &call));
                let output = loss.run(gpu(), &call);
                let made = output.map(|output| output.loss.or(output.argmax).unwrap().shape().to_vec());
                if made.as_ref().ok() != Some(&kept) {
                    failures.push(format!("{what}: {made:?} instead of {kept:?}"));
                }
            }
        }
    }
    report(failures, total);
}

/// A dimension of size 0 goes as nothing at all would.
#[test]
fn reductions_along_an_axis_of_nothing() {
    let (mut failures, mut total) = (Vec::new(), 0);
    for (shape, dim) in [([3usize, 0], 1), ([0, 3], 0), ([0, 3], 1), ([3, 0], 0)] {
        let x = Tensor::new(&[0.0f32; 0], &shape).unwrap();
        for op in [ReduceOp::Sum, ReduceOp::Mean, ReduceOp::LogSumExp] {
            let loss = Reduce {
                op,
                dim: vec![dim],
                ..Default::default()
            };
            total += 1;
            let what = format!("{} of {shape:?} along {dim}", op.name());
            failures.extend(against_reference(&what, &loss, &Call::new(Mode::Forward, &[&x])));
        }
    }
    report(failures, total);
}

/// Softmax and its logarithm along any dimension.
#[test]
fn softmax_along_every_dimension() {
    let (mut failures, mut total) = (Vec::new(), 0);
    let shapes: [&[usize]; 6] = [&[], &[7], &[5, 70], &[70, 5], &[3, 4, 5], &[2, 3, 4, 3]];
    for (seed, shape) in shapes.iter().enumerate() {
        let mut data = Data::new(seed as u64);
        let rank = shape.len().max(1) as i64;
        for dim in -rank..rank {
            for (k, (dtype, other)) in [DTYPES[0], DTYPES[1], DTYPES[4]].into_iter().enumerate() {
                let x = floats(&mut data, shape).to_dtype(dtype).unwrap();
                let g = floats(&mut data, shape).to_dtype(other).unwrap();
                let losses: [&dyn Loss; 2] = [
                    &Softmax {
                        dim,
                        ..Default::default()
                    },
                    &LogSoftmax {
                        dim,
                        ..Default::default()
                    },
                ];
                let loss = losses[(k + dim.unsigned_abs() as usize) % 2];
                let call = Call {
                    grad_output: Some(&g),
                    ..Call::new(Mode::Fused, &[&x])
                };
                total += 1;
                let what = format!("{} of {shape:?} {dtype} along {dim}", loss.info().name);
                failures.extend(against_reference(&what, loss, &call));
            }
        }
    }
    report(failures, total);
}

/// f16 and bf16 become f32 and back as the `half` crate has it, on the device: all 65,536 patterns, four at a time and one
/// by one, and f32 numbers around every rounding boundary.
#[test]
fn every_sixteen_bit_float() {
    let patterns: Vec<u16> = (0..=u16::MAX).collect();
    let same = |what: &str, got: &[f32], want: &[f32]| {
        assert_eq!(got.len(), want.len());
        for (i, (g, w)) in got.iter().zip(want).enumerate() {
            let fine = g.to_bits() == w.to_bits() || g.is_nan() && w.is_nan();
            assert!(
                fine,
                "{what} [{i}]: {g:e} instead of {w:e}, {:x} and {:x}",
                g.to_bits(),
                w.to_bits()
            );
        }
    };
    for dtype in [Dtype::F16, Dtype::Bf16] {
        let tensor = |bits: &[u16], shape: &[usize]| match dtype {
            Dtype::F16 => Tensor::new(&bits.iter().map(|&b| f16::from_bits(b)).collect::<Vec<_>>(), shape).unwrap(),
            _ => Tensor::new(&bits.iter().map(|&b| bf16::from_bits(b)).collect::<Vec<_>>(), shape).unwrap(),
        };
        let wide = |bits: u16| match dtype {
            Dtype::F16 => f16::from_bits(bits).to_f32(),
            _ => bf16::from_bits(bits).to_f32(),
        };
        let narrow = |x: f32| match dtype {
            Dtype::F16 => f16::from_f32(x).to_f32(),
            _ => bf16::from_f32(x).to_f32(),
        };
        for len in [65_536, 65_535] {
            let bits = &patterns[..len];
            let values: Vec<f32> = bits.iter().map(|&b| wide(b)).collect();
            // Loads: |x - 0| in f32.
            let (x, zero) = (tensor(bits, &[len]), tensor(&vec![0; len], &[len]));
            let l1 = L1 {
                reduction: Reduction::None,
            };
            let sizes: Vec<f32> = values.iter().map(|v| v.abs()).collect();
            let got = l1.forward(gpu(), &[&x, &zero]).unwrap().read(gpu()).unwrap();
            // An adapter may flush subnormal results of f32 arithmetic, which those of bf16 are.
            let flushed = |list: &[f32]| -> Vec<f32> {
                let flush = |&v: &f32| if v.is_subnormal() { 0.0 } else { v };
                list.iter().map(flush).collect()
            };
            same(
                &format!("{dtype} loads"),
                &flushed(&got.loss.unwrap().data),
                &flushed(&sizes),
            );
            // Loads and stores: the maximum of one number is that number.
            let loss = Reduce {
                op: ReduceOp::Max,
                dim: vec![1],
                ..Default::default()
            };
            let column = tensor(bits, &[len, 1]);
            let got = loss.forward(gpu(), &[&column]).unwrap().read(gpu()).unwrap();
            same(&format!("{dtype} loads of rows"), &got.loss.unwrap().data, &values);
            // The gradient of a sum over a dimension of size 1 is the upstream gradient, rounded.
            let sum = Reduce {
                dim: vec![1],
                ..Default::default()
            };
            let mut near = Vec::new();
            for &v in &values {
                let bits = v.to_bits();
                // A number, the boundary behind it, and the neighbours of both.
                let half = if dtype == Dtype::F16 { 0x1000 } else { 0x8000 };
                near.extend([0, 1, half - 1, half, half + 1].map(|step: u32| f32::from_bits(bits.wrapping_add(step))));
            }
            // Subnormals of f16 have their boundaries elsewhere.
            near.extend((0..2050).map(|k| k as f32 * 2f32.powi(-25)));
            near.extend((0..2050).map(|k| -(k as f32) * 2f32.powi(-25) * (1.0 + f32::EPSILON)));
            near.extend([65519.0, 65519.996, 65520.0, 65520.004, 1e30, -65520.0, f32::MAX]);
            near.retain(|x| !x.is_subnormal());
            let count = near.len() - near.len() % 4 + (len % 2);
            near.resize(count, 1.0);
            let zeros = tensor(&vec![0; count], &[count, 1]);
            let upstream = Tensor::new(&near, &[count]).unwrap();
            let got = sum
                .backward(gpu(), &[&zeros], Some(&upstream))
                .unwrap()
                .read(gpu())
                .unwrap();
            let want: Vec<f32> = near.iter().map(|&x| narrow(x)).collect();
            same(
                &format!("{dtype} stores of {count}"),
                &got.grad_input.unwrap().data,
                &want,
            );
        }
    }
}

/// The functions return the input's dtype, rounded from f32.
#[test]
fn functions_return_the_inputs_dtype() {
    let mut failures = Vec::new();
    let mut data = Data::new(31);
    for len in [64usize, 67] {
        for dtype in Dtype::FLOATS {
            let x = floats(&mut data, &[len]).to_dtype(dtype).unwrap();
            let losses: [&dyn Loss; 4] = [
                &Sigmoid::default(),
                &LogSigmoid::default(),
                &Softmax::default(),
                &LogSoftmax::default(),
            ];
            for loss in losses {
                let call = Call::new(Mode::Forward, &[&x]);
                failures.extend(against_reference(&format!("{} {dtype}", loss.info().name), loss, &call));
                let output = loss.run(gpu(), &call).unwrap().loss.unwrap();
                assert_eq!((output.dtype(), output.shape()), (dtype, &[len][..]));
            }
        }
    }
    report(failures, 24);
}

fn labelled(cols: usize, rows: usize, seed: u64) -> (Tensor, Tensor, Vec<f32>) {
    let mut data = Data::new(seed);
    let x = floats(&mut data, &[rows, cols]);
    let labels = Tensor::new(&data.labels(rows, cols, Some(-100)), &[rows]).unwrap();
    (x, labels, data.uniform(rows, 0.0, 2.0))
}

/// `sample_weight` is what PyTorch users make of reduction none: losses times weights, summed, over the sum of the weights
/// (times those of the classes) of the rows kept.
#[test]
fn sample_weights_are_what_they_stand_for() {
    for (cols, rows) in [(5usize, 40usize), (100, 9)] {
        let (x, labels, weights) = labelled(cols, rows, cols as u64);
        let mut data = Data::new(3);
        let class_weights = data.uniform(cols, 0.2, 2.0);
        let sample_weight = Tensor::new(&weights, &[rows]).unwrap();
        for class_weight in [None, Some(Tensor::new(&class_weights, &[cols]).unwrap())] {
            let base = CrossEntropy {
                weight: class_weight.clone(),
                label_smoothing: 0.1,
                reduction: Reduction::None,
                ..Default::default()
            };
            let each = base
                .forward(gpu(), &[&x, &labels])
                .unwrap()
                .read(gpu())
                .unwrap()
                .loss
                .unwrap()
                .data;
            let label = labels.as_slice::<i64>().unwrap();
            let own = |c: i64| {
                class_weight
                    .as_ref()
                    .map_or(1.0, |_| f64::from(class_weights[c as usize]))
            };
            let total: f64 = (0..rows)
                .filter(|&i| label[i] >= 0)
                .map(|i| f64::from(weights[i]) * own(label[i]))
                .sum();
            let sum: f64 = each
                .iter()
                .zip(&weights)
                .map(|(l, w)| f64::from(*l) * f64::from(*w))
                .sum();
            for (reduction, want) in [(Reduction::Mean, sum / total), (Reduction::Sum, sum)] {
                let loss = CrossEntropy {
                    sample_weight: Some(sample_weight.clone()),
                    reduction,
                    ..base.clone()
                };
                // The gradient is that of reduction none under the weights over the denominator as upstream gradients.
                let factor = if reduction == Reduction::Mean { 1.0 / total } else { 1.0 };
                let upstream: Vec<f32> = weights.iter().map(|w| (f64::from(*w) * factor) as f32).collect();
                let upstream = Tensor::new(&upstream, &[rows]).unwrap();
                let emulated = base
                    .backward(gpu(), &[&x, &labels], Some(&upstream))
                    .unwrap()
                    .read(gpu())
                    .unwrap();
                let got = loss
                    .forward_backward(gpu(), &[&x, &labels], None)
                    .unwrap()
                    .read(gpu())
                    .unwrap();
                F32.compare("loss", &got.loss, &[want]).unwrap();
                let wide: Vec<f64> = emulated
                    .grad_input
                    .unwrap()
                    .data
                    .iter()
                    .map(|&g| f64::from(g))
                    .collect();
                F32.compare("gradient", &got.grad_input, &wide).unwrap();
            }
        }
    }
}

/// A denominator given by the caller: two micro-batches with the whole batch's denominator add up to the whole.
#[test]
fn a_given_denominator_takes_the_place_of_the_counted_one() {
    let (x, labels, _) = labelled(9, 50, 5);
    for engine in [gpu(), &Engine::cpu()] {
        let whole = CrossEntropy::default()
            .forward_backward(engine, &[&x, &labels], None)
            .unwrap()
            .read(engine)
            .unwrap();
        let kept = 50 - whole.ignored;
        let loss = CrossEntropy {
            denominator: Some(kept as f64),
            ..Default::default()
        };
        let (data, label) = (x.as_slice::<f32>().unwrap(), labels.as_slice::<i64>().unwrap());
        let (mut sum, mut grads) = (0.0, Vec::new());
        for rows in [0..20, 20..50] {
            let part = Tensor::new(&data[rows.start * 9..rows.end * 9], &[rows.len(), 9]).unwrap();
            let own = Tensor::new(&label[rows.clone()], &[rows.len()]).unwrap();
            let values = loss
                .forward_backward(engine, &[&part, &own], None)
                .unwrap()
                .read(engine)
                .unwrap();
            sum += f64::from(values.scalar().unwrap());
            grads.extend(values.grad_input.unwrap().data);
        }
        F32.compare("loss", &whole.loss, &[sum]).unwrap();
        let wide: Vec<f64> = grads.iter().map(|&g| f64::from(g)).collect();
        F32.compare("gradient", &whole.grad_input, &wide).unwrap();
    }
}

/// The mean of no rows at all, of rows all ignored, and of weights that are all 0.
#[test]
fn the_mean_of_nothing_is_what_was_asked_for() {
    let x = Tensor::new(&[1.0f32, 2.0, 3.0, 4.0], &[2, 2]).unwrap();
    let ignored = Tensor::new(&[-100i64, -100], &[2]).unwrap();
    let none = (
        Tensor::new(&[0.0f32; 0], &[0, 2]).unwrap(),
        Tensor::new(&[0i64; 0], &[0]).unwrap(),
    );
    let labels = Tensor::new(&[0i64, 1], &[2]).unwrap();
    let zero = |n: usize| Some(Tensor::new(&vec![0.0f32; n], &[n]).unwrap());
    for engine in [gpu(), &Engine::cpu()] {
        for (on_empty, zeros) in [(OnEmpty::Nan, false), (OnEmpty::Zero, true)] {
            for z_loss in [0.0, 0.1] {
                let loss = CrossEntropy {
                    on_empty,
                    z_loss,
                    ..Default::default()
                };
                for (x, target) in [(&x, &ignored), (&none.0, &none.1), (&none.0, &none.0)] {
                    let values = loss
                        .forward_backward(engine, &[x, target], None)
                        .unwrap()
                        .read(engine)
                        .unwrap();
                    let mean = values.scalar().unwrap();
                    let what = format!("{on_empty:?} {:?}, z {z_loss}, {}", target.shape(), engine.name());
                    assert!(if zeros { mean == 0.0 } else { mean.is_nan() }, "{what}: {mean}");
                    assert!(values.grad_input.unwrap().data.iter().all(|&g| g == 0.0), "{what}");
                    if z_loss > 0.0 {
                        let z = values.z_loss.unwrap().data[0];
                        assert!(if zeros { z == 0.0 } else { z.is_nan() }, "{what}: z-loss {z}");
                    }
                }
                // Rows there are, so this is no mean of nothing.
                let weightless = CrossEntropy {
                    sample_weight: zero(2),
                    ..loss.clone()
                };
                let values = weightless
                    .forward(engine, &[&x, &labels])
                    .unwrap()
                    .read(engine)
                    .unwrap();
                assert!(values.scalar().unwrap().is_nan(), "{}", engine.name());
            }
        }
    }
}

/// Statistics are of the soft-capped logits, of ignored rows too, which do not count; of ties, the first; and they come from
/// forward, backward and fused calls alike.
#[test]
fn statistics_of_rows() {
    let (mut failures, mut total) = (Vec::new(), 0);
    for (seed, shape) in [&[40usize, 7][..], &[9, 64], &[5, 65], &[4, 1003], &[3, 5, 6]]
        .iter()
        .enumerate()
    {
        let mut data = Data::new(seed as u64);
        let cols = shape[1];
        let mut logits = data.logits(shape.iter().product());
        // Ties of the largest, here and there; a row of equals; a row of holes.
        logits.iter_mut().step_by(3).for_each(|x| *x = 30.0);
        if shape.len() == 2 {
            logits[cols..2 * cols].fill(-2.5);
            logits[2 * cols..3 * cols - 1].fill(f32::NEG_INFINITY);
        }
        let rows = row_shape(shape);
        let count = rows.iter().product();
        let labels = Tensor::new(&data.labels(count, cols, Some(-100)), &rows).unwrap();
        let p = Tensor::new(&data.uniform(logits.len(), 0.0, 1.0), shape).unwrap();
        for (n, mode) in Mode::ALL.into_iter().enumerate() {
            let k = (n + seed) % 3;
            let dtype = Dtype::FLOATS[k];
            let x = Tensor::new(&logits, shape).unwrap().to_dtype(dtype).unwrap();
            for (target, accuracy) in [(&labels, true), (&p, false)] {
                let loss = CrossEntropy {
                    softcap: [0.0, 20.0][(n + k) % 2],
                    z_loss: [0.0, 1e-2][(n + seed) % 2],
                    label_smoothing: [0.0, 0.1][seed % 2],
                    reduction: REDUCTIONS[(n + k + seed) % 3],
                    ..Default::default()
                };
                let stats = Stats {
                    lse: true,
                    argmax: true,
                    entropy: true,
                    accuracy,
                    z_loss: false,
                };
                let call = Call {
                    stats,
                    ..Call::new(mode, &[&x, target])
                };
                total += 1;
                let what = format!("{shape:?} {dtype} {} {loss:?} {}", mode.name(), target.dtype());
                let check = if mode == Mode::Fused { against_reference } else { on_gpu };
                failures.extend(check(&what, &loss, &call));
            }
        }
    }
    report(failures, total);
    // The first of ties, and the count: by hand.
    let x = Tensor::new(&[1.0f32, 5.0, 5.0, 2.0, 2.0, 2.0, 0.0, 0.0, 9.0], &[3, 3]).unwrap();
    let labels = Tensor::new(&[2i64, 0, -100], &[3]).unwrap();
    for engine in [gpu(), &Engine::cpu()] {
        let call = Call {
            stats: Stats {
                argmax: true,
                accuracy: true,
                ..Default::default()
            },
            ..Call::new(Mode::Forward, &[&x, &labels])
        };
        let values = CrossEntropy::default()
            .run(engine, &call)
            .unwrap()
            .read(engine)
            .unwrap();
        assert_eq!(values.argmax.as_ref().unwrap().data, [1, 0, 2]);
        assert_eq!(
            (values.correct, values.ignored, values.accuracy()),
            (Some(1), 1, Some(0.5))
        );
    }
}

fn with<'a>(tensors: &[&'a Tensor], grad_output: Option<&'a Tensor>) -> Call<'a> {
    Call {
        grad_output,
        ..Call::new(Mode::Fused, tensors)
    }
}

/// Equal logits, as a layer of zeros makes them: each gradient is right relative to itself, however many the classes.
#[test]
fn equal_logits_have_accurate_gradients() {
    let mut failures = Vec::new();
    for cols in [10usize, 1000, 32_000] {
        let x = Tensor::new(&vec![0.5f32; cols], &[1, cols]).unwrap();
        let label = Tensor::new(&[1i64], &[1]).unwrap();
        let smooth = CrossEntropy {
            label_smoothing: 0.1,
            ..Default::default()
        };
        let ones = Tensor::new(&(0..cols).map(|c| (c % 3) as f32).collect::<Vec<_>>(), &[1, cols]).unwrap();
        let list: [(&dyn Loss, Call<'_>); 4] = [
            (&CrossEntropy::default(), with(&[&x, &label], None)),
            (&smooth, with(&[&x, &label], None)),
            (&wgloss::SoftmaxFocal::default(), with(&[&x, &label], None)),
            (&LogSoftmax::default(), with(&[&x], Some(&ones))),
        ];
        for (n, (loss, call)) in list.into_iter().enumerate() {
            let want = reference::run(loss, &call).unwrap();
            let got = loss
                .run(gpu(), &call)
                .unwrap()
                .read(gpu())
                .unwrap()
                .grad_input
                .unwrap()
                .data;
            let want = want.grad(Role::Grad(0)).unwrap();
            let wrong = got
                .iter()
                .zip(want)
                .position(|(g, w)| (f64::from(*g) - w).abs() > 1e-5 * w.abs());
            failures.extend(wrong.map(|i| {
                format!(
                    "{} {n}, {cols} [{i}]: {:e} instead of {:e}",
                    loss.info().name,
                    got[i],
                    want[i]
                )
            }));
        }
    }
    report(failures, 12);
}

/// A class list has no ignored rows, whatever ends it.
#[test]
fn lists_have_no_ignored_rows() {
    let x = Tensor::new(&[0.1f32, 0.2, 0.3, 0.4], &[2, 2]).unwrap();
    let lists = Tensor::new(&[-1i64, -1, 0, -1], &[2, 2]).unwrap();
    for engine in [gpu(), &Engine::cpu()] {
        let values = wgloss::MultilabelMargin::default()
            .forward(engine, &[&x, &lists])
            .unwrap()
            .read(engine)
            .unwrap();
        assert_eq!((values.ignored, values.terms), (0, 2), "{}", engine.name());
    }
}

/// Each loss's gradient in each of three ways: fresh, over the input, and beside the loss.
#[test]
fn backward_and_fused_agree() {
    let mut failures = Vec::new();
    for info in REGISTRY {
        for shape in [&[6usize, 9][..], &[3, 132]] {
            let Some(case) = make(info, &Setup::new(shape)).or_else(|| {
                let reduction = info.reductions[0];
                make(
                    info,
                    &Setup {
                        reduction,
                        ..Setup::new(shape)
                    },
                )
            }) else {
                continue;
            };
            if case.differentiable {
                failures.extend(fused_and_single(&case));
            }
        }
    }
    report(failures, 2 * REGISTRY.len());
}

fn fused_and_single(case: &Case) -> Vec<String> {
    let run = |mode| {
        case.loss
            .run(gpu(), &case.call(mode))
            .and_then(|output: wgloss::Output| output.read(gpu()))
    };
    let result: Result<_, Error> = (|| Ok((run(Mode::Forward)?, run(Mode::Backward)?, run(Mode::Fused)?)))();
    let (forward, backward, fused) = match result {
        Ok(all) => all,
        Err(error) => return vec![format!("{}: {error}", case.what)],
    };
    let mut failures = Vec::new();
    let wide = |array: &Option<wgloss::Array>| -> Vec<f64> {
        array
            .iter()
            .flat_map(|a| a.data.iter().map(|&v| f64::from(v)))
            .collect()
    };
    failures.extend(F32.compare(&case.what, &forward.loss, &wide(&fused.loss)).err());
    failures.extend(
        F32.compare(&case.what, &backward.grad_input, &wide(&fused.grad_input))
            .err(),
    );
    if backward.loss.is_some() || forward.grad_input.is_some() || backward.grads.len() != case.grads.len() {
        failures.push(format!(
            "{}: outputs that were not asked for, or missing ones",
            case.what
        ));
    }
    failures
}

/// What the tolerance of 16-bit results rests on.
#[test]
fn rounding_is_that_of_half() {
    assert_eq!(wgloss::precision::rounded(Dtype::F16, 65519.0), 65504.0);
    assert!(wgloss::precision::rounded(Dtype::F16, 65520.0).is_infinite());
    assert_eq!(wgloss::precision::rounded(Dtype::Bf16, 1.0 + 1.0 / 256.0), 1.0);
}

/// All that a probability target can bring binds nine buffers, one more than WebGPU's default: two dispatches then.
#[test]
fn a_call_of_nine_buffers() {
    let mut data = Data::new(77);
    let (x, shape) = (data.logits(60), [4usize, 5, 3]);
    let input = Tensor::new(&x, &shape).unwrap();
    let p = Tensor::new(&data.uniform(60, 0.0, 1.0), &shape).unwrap();
    let loss = CrossEntropy {
        weight: Some(Tensor::new(&data.uniform(5, 0.2, 2.0), &[5]).unwrap()),
        sample_weight: Some(Tensor::new(&data.uniform(12, 0.2, 2.0), &[4, 3]).unwrap()),
        z_loss: 0.01,
        ..Default::default()
    };
    let upstream = Tensor::new(&[0.75f32], &[]).unwrap();
    for mode in [Mode::Fused, Mode::Backward] {
        let call = Call {
            grad_output: Some(&upstream),
            grads: vec![Role::Target],
            stats: wgloss::Stats {
                lse: true,
                ..Default::default()
            },
            ..Call::new(mode, &[&input, &p])
        };
        let want = reference::run(&loss, &call).unwrap();
        let got = loss.run(gpu(), &call).unwrap().read(gpu()).unwrap();
        if mode == Mode::Fused {
            F32.compare("loss", &got.loss, &want.loss).unwrap();
            F32.compare("z_loss", &got.z_loss, &want.z_loss).unwrap();
        }
        F32.compare("lse", &got.lse, &want.lse).unwrap();
        F32.compare("grad", &got.grad_input, want.grad(Role::Grad(0)).unwrap())
            .unwrap();
        let target = got.grad(Role::Target).cloned();
        F32.compare("grad_target", &target, want.grad(Role::Grad(1)).unwrap())
            .unwrap();
    }
}

/// A function without an upstream gradient has one of ones, bit for bit.
#[test]
fn functions_default_to_an_upstream_of_ones() {
    let x = Tensor::new(&Data::new(78).logits(21), &[3, 7]).unwrap();
    let ones = Tensor::new(&[1f32; 21], &[3, 7]).unwrap();
    for name in ["softmax", "log_softmax", "sigmoid", "log_sigmoid"] {
        let loss = (wgloss::find(name).unwrap().new)();
        for engine in [gpu(), &Engine::cpu()] {
            let grad = |upstream| {
                let output = loss.backward(engine, &[&x], upstream).unwrap();
                output.read(engine).unwrap().grad_input.unwrap().data
            };
            assert_eq!(grad(None), grad(Some(&ones)), "{name} {}", engine.name());
        }
    }
    let log_softmax = LogSoftmax::default().backward(gpu(), &[&x], None).unwrap();
    let largest = log_softmax.read(gpu()).unwrap().grad_input.unwrap().data;
    assert!(largest.iter().any(|g| g.abs() > 0.1), "gradients of nothing");
}
