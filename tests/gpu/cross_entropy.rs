//! Cross-entropy in all its ways through a row, and gradients that are small differences.

use wgloss::{Call, CrossEntropy, Dtype, LogSoftmax, Loss, Mode, Reduction, Role, Tensor, reference};

use super::REDUCTIONS;
use crate::common::against::against_reference;
use crate::common::data::{Data, row_shape};
use crate::common::{F32, gpu, report, takes};

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
                if !takes(seed + n + usize::from(full), 3) {
                    continue;
                }
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

/// Gradients that are small differences of near numbers keep their relative accuracy: of a confident row's label, also
/// where logits are so large that a half is lost beside them, and of a class at the peak that has nearly all of a row's
/// coefficients without being its label. llvmpipe's compiler takes (a + b) - a for b: what is lost there otherwise
/// shows on SwiftShader, where this test runs as well (`tests/run.sh`).
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
            let want = want.grad_input.as_deref().unwrap();
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
        F32.compare("grad", &got.grad_input, want.grad_input.as_deref().unwrap())
            .unwrap();
        let target = got.grad(Role::Target).cloned();
        F32.compare("grad_target", &target, want.grad(Role::Target).unwrap())
            .unwrap();
    }
}

/// A NaN among the probabilities or the weights of a row is seen in all of its gradient, and in no other row's.
#[test]
fn a_nan_of_a_target_or_a_weight_is_seen() {
    let mut data = Data::new(78);
    let x = Tensor::new(&data.logits(20), &[4, 5]).unwrap();
    let mut p = data.uniform(20, 0.0, 1.0);
    p[13] = f32::NAN;
    let p = Tensor::new(&p, &[4, 5]).unwrap();
    let labels = Tensor::new(&[0i64, 1, 2, 3], &[4]).unwrap();
    let weight = Tensor::new(&[1.0, 1.0, f32::NAN, 1.0, 1.0f32], &[5]).unwrap();
    for dtype in [Dtype::F32, Dtype::F16, Dtype::Bf16] {
        let x = x.to_dtype(dtype).unwrap();
        for softcap in [0.0, 5.0] {
            let of = |loss: &CrossEntropy, target: &Tensor| {
                let loss = CrossEntropy {
                    softcap,
                    reduction: Reduction::Sum,
                    ..loss.clone()
                };
                let output = loss.backward(gpu(), &[&x, target], None).unwrap();
                output.read(gpu()).unwrap().grad_input.unwrap().data
            };
            let grad = of(&CrossEntropy::default(), &p);
            for (at, grad) in grad.iter().enumerate() {
                assert_eq!(grad.is_nan(), at / 5 == 2, "{dtype} softcap {softcap} [{at}]: {grad}");
            }
            let smooth = CrossEntropy {
                weight: Some(weight.clone()),
                label_smoothing: 0.1,
                ..Default::default()
            };
            // Smoothing takes the weights of all classes into every row.
            assert!(
                of(&smooth, &labels).iter().all(|grad| grad.is_nan()),
                "{dtype} softcap {softcap}"
            );
        }
    }
}
