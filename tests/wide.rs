//! Wide rows: cut into tiles of columns that several workgroups fold, and bound in pieces; and sums that stay short.

use wgloss::plan::{Dispatch, plan};
use wgloss::{
    Call, CrossEntropy, Dtype, Engine, Error, GradTo, Limits, Loss, Mode, MultiMargin, REGISTRY, Reduce, ReduceOp,
    Reduction, Scalar, Stats, Tensor, Tuning, Values, find, reference,
};

use crate::common::against::compare;
use crate::common::cases::{DTYPES, Setup, blank, make, settings};
use crate::common::data::Data;
use crate::common::plans::{DEFAULT_LIMITS, WIDE};
use crate::common::{F32, Tolerance, bits, engine, gpu, hardware, is_long, report, takes};

/// A binding that holds few tiles of [`WIDE`].
const FEW_BYTES: u64 = 1024;

/// Rows of more than 64 columns are wide, in tiles of 32; sums are in tiles of 64.
fn wide_engine() -> Engine {
    let mut engine = engine::fresh();
    engine
        .set_tuning(Tuning {
            tile: 64,
            width: 1,
            ..WIDE
        })
        .unwrap();
    engine
}

/// The same engine with other limits: pipelines stay.
fn bind_at_most(engine: &mut Engine, max_binding_bytes: u64) {
    let limits = Limits {
        max_binding_bytes,
        max_groups: if max_binding_bytes == FEW_BYTES { 7 } else { 65_535 },
        ..engine.plan_limits().unwrap()
    };
    engine.set_plan_limits(limits).unwrap();
}

/// Every loss of the softmax family under each of its options, in every dtype in turn: against the reference, and with
/// the same bits where a row spans several bindings, in place, and added to nothing. In the quick form half of the
/// options and a tenth of their pairs.
#[test]
fn every_wide_loss() {
    let mut engine = wide_engine();
    let (mut failures, mut total) = (Vec::new(), 0);
    let mut names = std::collections::BTreeSet::new();
    // Rows of a layer go in passes however long they are: tests/linear has them.
    for info in REGISTRY.iter().filter(|info| info.name != "linear_cross_entropy") {
        for (n, setting) in settings(info).into_iter().enumerate() {
            if !takes(n, if setting.len() > 1 { 10 } else { 2 }) {
                continue;
            }
            // Cross-entropy with classes and with probabilities.
            for k in 0..1 + usize::from(info.statistics) {
                // Rows on whole quads, and rows that end on odd places.
                let shape = [[3, 300], [2, 333], [2, 65], [3, 96]][(n + k) % 4];
                let (dtype, other) = DTYPES[(n + 3 * k) % 5];
                let setup = Setup {
                    dtype,
                    other,
                    labels: Dtype::LABELS[(n + k) % 4],
                    full: k == 1,
                    given: (n + k) % 3 > 0,
                    reduction: info.reductions[(n + k) % info.reductions.len()],
                    setting: setting.clone(),
                    seed: (2 * n + k) as u64,
                    ..Setup::new(&shape)
                };
                let Some(mut case) = make(info, &setup) else { continue };
                if info.statistics && n % 2 == 0 {
                    case.stats = Stats {
                        lse: true,
                        argmax: true,
                        entropy: true,
                        accuracy: !setup.full,
                        ..Default::default()
                    };
                }
                let mode = Mode::ALL[if case.differentiable { 2 - (n + k) / 4 % 2 } else { 0 }];
                let mut call = case.call(mode);
                let Ok(problem) = case.loss.problem(&call) else {
                    continue;
                };
                let planned = plan(&problem, &DEFAULT_LIMITS, &WIDE).unwrap();
                let is_wide = |d: &Dispatch| d.variant.pieces[0].path.starts_with("driver/wide_");
                if !planned.dispatches().any(is_wide) {
                    continue;
                }
                total += 1;
                names.insert(info.name);
                let what = format!("{} {}", case.what, mode.name());
                let run = |engine: &Engine, call: &Call<'_>| case.loss.run(engine, call)?.include_placed().read(engine);
                bind_at_most(&mut engine, DEFAULT_LIMITS.max_binding_bytes);
                let got = match run(&engine, &call) {
                    Ok(got) => got,
                    Err(error) => {
                        failures.push(format!("{what}: {error}"));
                        continue;
                    }
                };
                let want = reference::run(case.loss.as_ref(), &call).unwrap();
                failures.extend(compare(&what, case.loss.as_ref(), &call, &got, &want));
                let want = bits(&got);
                let mut same = |kind: &str, other: wgloss::Result<Values>| {
                    // -0 and 0 add up to 0.
                    let unsigned = |&b: &u32| if b << 1 == 0 && kind == "added" { 0 } else { b };
                    match other.map(|values| bits(&values)) {
                        Ok(got) if got.iter().map(unsigned).eq(want.iter().map(unsigned)) => {}
                        Ok(_) => failures.push(format!("{what}: other bits {kind}")),
                        Err(error) => failures.push(format!("{what} {kind}: {error}")),
                    }
                };
                bind_at_most(&mut engine, FEW_BYTES);
                same("cut", run(&engine, &call));
                if !mode.wants_grad() || n % 3 > 0 {
                    continue;
                }
                let own = engine.upload(&case.tensors[0]).unwrap();
                let over = Call {
                    tensors: std::iter::once(&own).chain(&case.tensors[1..]).collect(),
                    grad_input: GradTo::InPlace,
                    ..call.clone()
                };
                same("in place", run(&engine, &over));
                let sum = engine.upload(&blank(dtype, &shape)).unwrap();
                call.grad_input = GradTo::AddTo(&sum);
                same("added", run(&engine, &call));
            }
        }
    }
    let family = [
        "cross_entropy",
        "log_softmax",
        "multi_margin",
        "multilabel_soft_margin",
        "nll",
        "reduce",
        "softmax",
        "softmax_focal",
    ];
    assert!(
        names.iter().eq(&family) && total > if is_long() { 90 } else { 15 },
        "{total} of {names:?}"
    );
    report(failures, total);
}

/// Labels in every tile, ignored and out of range: what is no class lies in no tile, and still somebody opens its row.
#[test]
fn labels_of_wide_rows() {
    let (cols, rows) = (130, 134);
    let x = Data::new(5).logits(rows * cols);
    let mut labels: Vec<i64> = (0..rows as i64).collect();
    (labels[7], labels[40]) = (-100, -100);
    let loss = CrossEntropy {
        reduction: Reduction::None,
        ..Default::default()
    };
    let mut engine = wide_engine();
    bind_at_most(&mut engine, FEW_BYTES);
    let call = |x: &[f32], labels: &[i64], check: &dyn Fn(&Call<'_>)| {
        let x = Tensor::new(x, &[labels.len(), cols]).unwrap();
        let labels = Tensor::new(labels, &[labels.len()]).unwrap();
        check(&Call::new(Mode::Fused, &[&x, &labels]));
    };
    call(&x, &labels, &|all| {
        let Err(Error::BadLabels {
            count: 4,
            first_row: 130,
            values,
            ..
        }) = loss.run(&engine, all).unwrap().include_placed().read(&engine)
        else {
            panic!("four labels are bad");
        };
        let (losses, grads) = (values.loss.unwrap().data, values.grad_input.unwrap().data);
        for (row, &own) in labels.iter().enumerate() {
            let run = row * cols..(row + 1) * cols;
            let grad = &grads[run.clone()];
            if !(0..cols as i64).contains(&own) {
                assert_eq!(losses[row].to_bits() == 0, own == -100, "row {row}");
                assert_eq!(losses[row].is_nan(), own != -100, "row {row}");
                assert!(grad.iter().all(|&g| g == 0.0), "row {row}");
                continue;
            }
            call(&x[run], &[own], &|one| {
                let want = reference::run(&loss, one).unwrap();
                let what = format!("row {row}");
                F32.check(&what, &losses[row..=row], &want.loss).unwrap();
                F32.check(&what, grad, want.grad_input.as_deref().unwrap()).unwrap();
            });
        }
    });
}

/// One row of everything; and gaps between rows, which belong to nobody.
#[test]
fn wide_rows_of_everything_and_with_gaps() {
    let (whole, mut cut) = (wide_engine(), wide_engine());
    bind_at_most(&mut cut, FEW_BYTES);
    let data = Data::new(6).logits(4 * 150);
    let x = Tensor::new(&data, &[600]).unwrap();
    for op in [ReduceOp::Max, ReduceOp::Mean, ReduceOp::LogSumExp] {
        let loss = Reduce {
            op,
            ..Default::default()
        };
        let call = Call::new(Mode::Backward, &[&x]);
        let want = reference::run(&loss, &call).unwrap();
        let [a, b] =
            [&whole, &cut].map(|engine| loss.run(engine, &call).unwrap().include_placed().read(engine).unwrap());
        F32.compare(op.name(), &a.grad_input, want.grad_input.as_deref().unwrap())
            .unwrap();
        assert!(bits(&a) == bits(&b), "{}", op.name());
    }
    let labels = Tensor::new(&[3i64, 77, 145, 99], &[4]).unwrap();
    for cols in [147, 148] {
        let rows: Vec<f32> = data.chunks(150).flat_map(|row| &row[..cols]).copied().collect();
        let dense = Tensor::new(&rows, &[4, cols]).unwrap();
        let all = cut.upload(&Tensor::new(&data, &[4, 150]).unwrap()).unwrap();
        let buffer = all.buffer().unwrap().clone();
        let gaps = Tensor::from_buffer(&cut, buffer, 0, Dtype::F32, &[4, cols], Some(150)).unwrap();
        let loss = CrossEntropy::default();
        let run = |x: &Tensor| {
            let call = Call::new(Mode::Fused, &[x, &labels]);
            bits(&loss.run(&cut, &call).unwrap().include_placed().read(&cut).unwrap())
        };
        assert!(run(&dense) == run(&gaps), "{cols}");
    }
}

/// Where rows become wide by the tunings of adapters, and the last narrow ones.
#[test]
fn wide_rows_of_real_tunings() {
    let mut failures = Vec::new();
    for (n, cols) in [131_072, 131_073, 262_144].into_iter().enumerate() {
        for engine in [gpu(), hardware()] {
            for name in ["cross_entropy", "softmax", "multi_margin"] {
                let setup = Setup {
                    dtype: Dtype::FLOATS[n],
                    full: n == 1,
                    given: true,
                    setting: match name {
                        "cross_entropy" => vec![("label_smoothing", Scalar::Float(0.1))],
                        _ => Vec::new(),
                    },
                    ..Setup::new(&[2, cols])
                };
                let case = make(find(name).unwrap(), &setup).unwrap();
                let call = case.call(Mode::Fused);
                let want = reference::run(case.loss.as_ref(), &call).unwrap();
                let got = case
                    .loss
                    .run(engine, &call)
                    .unwrap()
                    .include_placed()
                    .read(engine)
                    .unwrap();
                failures.extend(compare(&case.what, case.loss.as_ref(), &call, &got, &want));
            }
        }
    }
    report(failures, 18);
}

/// One row of 40 million columns, 160 MB: more than the 128 MiB that WebGPU promises to bind. In the quick form an
/// eighth of both.
#[test]
fn a_row_larger_than_a_binding() {
    let part = if is_long() { 1 } else { 8 };
    let cols = 40_000_000 / part;
    let mut engine = engine::fresh();
    let limits = engine.plan_limits().unwrap();
    let max_binding_bytes = limits
        .max_binding_bytes
        .min(DEFAULT_LIMITS.max_binding_bytes / part as u64);
    let limits = Limits {
        max_binding_bytes,
        ..limits
    };
    engine.set_plan_limits(limits).unwrap();
    assert!(4 * cols as u64 > max_binding_bytes);
    // Between -8 and 8, from a multiplicative hash of the index.
    let at = |i: usize| ((i as u32).wrapping_mul(2_654_435_761) >> 8) as f32 / (1 << 20) as f32 - 8.0;
    let x: Vec<f32> = (0..cols).map(at).collect();
    let label = 39_000_001 / part;
    let input = engine.upload(&Tensor::new(&x, &[1, cols]).unwrap()).unwrap();
    let target = Tensor::new(&[label as i64], &[1]).unwrap();
    let call = Call {
        grad_input: GradTo::InPlace,
        ..Call::new(Mode::Fused, &[&input, &target])
    };
    let got = CrossEntropy::default()
        .run(&engine, &call)
        .unwrap()
        .include_placed()
        .read(&engine)
        .unwrap();
    let sum: f64 = x.iter().map(|&x| f64::from(x).exp()).sum();
    let want = sum.ln() - f64::from(x[label]);
    F32.check("loss", &[got.scalar().unwrap()], &[want]).unwrap();
    // Each by its own size, which is 1e-8.
    for (i, (&g, &x)) in got.grad_input.unwrap().data.iter().zip(&x).enumerate() {
        let want = f64::from(x).exp() / sum - f64::from(u8::from(i == label));
        let miss = (f64::from(g) - want).abs();
        assert!(miss <= 1e-5 * want.abs(), "[{i}]: {g:e} instead of {want:e}");
    }
}

/// Costs that are all equal, whose rounding errors all go one way in a running sum: a lane folds its columns in runs.
#[test]
fn sums_of_a_row_are_short() {
    let strict = Tolerance { bound: 1e-6 };
    for cols in [100_003, 100_000] {
        let mut scores = vec![0.1f32; cols];
        scores[77] = 0.0;
        let x = Tensor::new(&scores, &[1, cols]).unwrap();
        let label = Tensor::new(&[77i64], &[1]).unwrap();
        for p in [1, 2] {
            let loss = MultiMargin {
                p,
                reduction: Reduction::None,
                ..Default::default()
            };
            let call = Call::new(Mode::Fused, &[&x, &label]);
            let got = loss.run(gpu(), &call).unwrap().include_placed().read(gpu()).unwrap();
            let want = reference::run(&loss, &call).unwrap();
            let what = format!("{cols} classes, p = {p}");
            strict.compare(&what, &got.loss, &want.loss).unwrap();
            let grad = want.grad_input.as_deref().unwrap();
            strict.compare(&what, &got.grad_input, grad).unwrap();
        }
    }
}
