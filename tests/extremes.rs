//! What lies at the ends: finite numbers that masks are filled with, infinities, and dimensions of size 0. Over the registry, on
//! the GPU and on the processor.

use wgloss::{
    Array, BceWithLogits, Call, CosineEmbedding, CrossEntropy, Dtype, Engine, Error, Info, Loss, MarginRanking, Mode,
    OperandKind, REGISTRY, Reduction, Role, Scalar, SigmoidFocal, Tensor, TripletMargin, Values, precision, reference,
};

use crate::common::cases::{Case, Setting, Setup, Style, make, settings};
use crate::common::data::Wild;
use crate::common::{bits, gpu, report};
use crate::streams::streamed;

const INF: f32 = f32::INFINITY;

fn engines() -> [&'static Engine; 2] {
    static CPU: std::sync::OnceLock<Engine> = std::sync::OnceLock::new();
    [gpu(), CPU.get_or_init(Engine::cpu)]
}

fn tensor(data: &[f32], shape: &[usize]) -> Tensor {
    Tensor::new(data, shape).unwrap()
}

fn run(engine: &Engine, loss: &dyn Loss, call: &Call<'_>) -> Values {
    loss.run(engine, call).unwrap().read(engine).unwrap()
}

fn is_set(setting: &Setting, name: &str) -> bool {
    setting.iter().any(|(own, _)| *own == name)
}

/// What is computed of sums, differences, products or powers of the inputs, which may be beyond f32 where the result is
/// not: said in the documentation of the losses and in `precision`.
fn may_overflow(info: &Info, setup: &Setup) -> bool {
    let sets = |name| is_set(&setup.setting, name);
    match info.name {
        "cosine_embedding" | "triplet_margin" | "gaussian_nll" | "multi_margin" | "multilabel_margin" => true,
        "reduce" => !sets("op") || setup.setting.contains(&("op", Scalar::Choice("mean".into()))),
        // A factor of a logit, a difference of logits, or a count's logarithm beside its rate.
        "bce_with_logits" => setup.given,
        "cross_entropy" => setup.given || setup.full || sets("label_smoothing"),
        "huber" => sets("delta"),
        "poisson_nll" => setup.setting.contains(&("log_input", Scalar::Bool(false))),
        _ => false,
    }
}

/// Where a result is not what the reference says; an infinity of its sign passes for a large number where `may_overflow`.
fn misses(what: &str, got: &Array, want: &[f64], may_overflow: bool) -> Option<String> {
    let finite = want.iter().filter(|w| w.is_finite());
    let largest = finite.fold(0.0f64, |most, w| most.max(w.abs())).min(1.0);
    let fits = |i: &usize| {
        let (got, want) = (got.data[*i], want[*i]);
        let overflowed = may_overflow && got.is_infinite() && f64::from(got).signum() == want.signum();
        overflowed || precision::admits(Dtype::F32, got, want, 1e-5 * (want.abs() + largest))
    };
    let fits_half = |i: &usize| precision::admits(got.dtype, got.data[*i], want[*i], 1e-5 * (want[*i].abs() + largest));
    assert_eq!(got.data.len(), want.len(), "{what}");
    let index = (0..want.len()).find(|i| !fits(i) && !fits_half(i))?;
    Some(format!(
        "{what}[{index}]: got {:e}, want {:e}",
        got.data[index], want[index]
    ))
}

/// Everything that a case gives against the reference. Without an upstream gradient, but for functions.
fn differences(case: &Case, may_overflow: bool) -> Vec<String> {
    let mode = case.most();
    let mut call = case.call(mode);
    if !matches!(case.loss.info().name, "softmax" | "log_softmax") {
        call.grad_output = None;
    }
    let want = reference::run(case.loss.as_ref(), &call).unwrap();
    let got = run(gpu(), case.loss.as_ref(), &call);
    let mut list = Vec::new();
    let mut add = |name: &str, array: &Array, want: &[f64]| {
        list.extend(misses(&format!("{} {name}", case.what), array, want, may_overflow));
    };
    if let Some(loss) = &got.loss {
        add("loss", loss, &want.loss);
    }
    let operands = case.loss.info().operands;
    for (place, own) in operands.iter().enumerate() {
        let grad = if place == 0 {
            got.grad_input.as_ref()
        } else {
            got.grad(own.role)
        };
        if let (Some(grad), Some(want)) = (grad, want.grad(Role::Grad(place as u8))) {
            add(&format!("gradient of {}", own.role.name()), grad, want);
        }
    }
    list
}

/// Each loss with each value of each option, optional tensors and kinds of targets, in f32 on two shapes; of 16-bit dtypes,
/// whose arithmetic is that of f32, with the defaults.
fn cases(wild: Wild) -> impl Iterator<Item = (&'static Info, Setup, Case)> {
    let setups = move |info: &'static Info| {
        let mut list = Vec::new();
        for setting in settings(info).into_iter().filter(|setting| setting.len() < 2) {
            for full in [false, true] {
                for given in [false, true] {
                    for (dtype, shape) in [
                        (Dtype::F32, [32, 3]),
                        (Dtype::F32, [7, 33]),
                        (Dtype::F16, [7, 33]),
                        (Dtype::Bf16, [32, 3]),
                    ] {
                        let is_main = dtype == Dtype::F32 && (setting.is_empty() || shape[1] == 3);
                        let takes_full = info.takes(OperandKind::IndexOrDistribution);
                        let exists =
                            (!full || takes_full) && (!given || !info.tensors.is_empty() && setting.is_empty());
                        if exists && (is_main || setting.is_empty() && !given && !full) {
                            list.push(Setup {
                                dtype,
                                full,
                                given,
                                setting: setting.clone(),
                                style: Style::Wild(wild),
                                seed: 3,
                                ..Setup::new(&shape)
                            });
                        }
                    }
                }
            }
        }
        list
    };
    REGISTRY
        .iter()
        .flat_map(move |&info| setups(info).into_iter().map(move |setup| (info, setup)))
        .filter_map(|(info, setup)| make(info, &setup).map(|case| (info, setup, case)))
}

#[test]
fn finite_numbers_at_the_ends_have_finite_results_where_f32_has_them() {
    let (mut failures, mut total) = (Vec::new(), 0);
    for (info, setup, case) in cases(Wild::Ends) {
        // Squares, norms, and sums that cancel.
        let is_of_pairs = matches!(info.name, "cosine_embedding" | "triplet_margin");
        if is_of_pairs || info.name == "reduce" && may_overflow(info, &setup) {
            continue;
        }
        if info.name == "poisson_nll" && may_overflow(info, &setup) {
            continue;
        }
        total += 1;
        failures.extend(differences(&case, may_overflow(info, &setup)));
    }
    assert!(total > 100, "{total}");
    report(failures, total);
}

#[test]
fn infinities_have_the_results_of_the_reference() {
    let (mut failures, mut total) = (Vec::new(), 0);
    for (_, _, case) in cases(Wild::Infinite) {
        total += 1;
        failures.extend(differences(&case, false));
    }
    report(failures, total);
}

#[test]
fn streams_have_the_same_bits_at_the_ends() {
    for (name, wild) in [
        ("sigmoid_focal", Wild::Ends),
        ("cross_entropy", Wild::Ends),
        ("triplet_margin", Wild::Infinite),
    ] {
        let info = wgloss::find(name).unwrap();
        let setup = Setup {
            style: Style::Wild(wild),
            ..Setup::new(&[700, 33])
        };
        let case = make(info, &setup).unwrap();
        let mut whole = run(gpu(), case.loss.as_ref(), &case.call(Mode::Fused));
        let (mut parts, _) = streamed(gpu(), &case, Mode::Fused);
        // NaN has many bits.
        for values in [&mut whole, &mut parts] {
            let arrays = [&mut values.loss, &mut values.grad_input].into_iter().flatten();
            arrays.for_each(|array| array.data.iter_mut().filter(|x| x.is_nan()).for_each(|x| *x = f32::NAN));
        }
        assert_eq!(bits(&whole), bits(&parts), "{name}");
    }
}

/// A logit, its target, the loss, the gradient of the logit and that of the target; of numbers this large in units of f32::MAX.
type Focal = (f32, f32, f64, f64, f64);

#[test]
fn the_focal_loss_of_masked_logits() {
    let most = f32::MAX;
    let rows: &[(f64, f64, &[Focal])] = &[
        (
            2.0,
            0.25,
            &[
                (-most, 1.0, 0.25, -0.25, 0.25),
                (most, 0.0, 0.75, 0.75, f64::NEG_INFINITY),
                (-most, 0.0, 0.0, 0.0, 0.0),
                (most, 1.0, 0.0, 0.0, 0.0),
                (most, 0.5, 0.0625, 0.0625, -0.4375),
                (-most / 1.5, 0.5, 0.0625 / 1.5, -0.0625, 0.3125 / 1.5),
            ],
        ),
        (
            0.0,
            -1.0,
            &[(most, 0.0, 1.0, 1.0, -1.0), (-most, 0.25, 0.25, -0.25, 1.0)],
        ),
        (0.5, 0.25, &[(-most, 1.0, 0.25, -0.25, -0.125)]),
        (3.7, 1.0, &[(most, 0.0, 0.0, 0.0, 1.0)]),
    ];
    for engine in engines() {
        for (gamma, alpha, rows) in rows {
            let loss = SigmoidFocal {
                gamma: *gamma,
                alpha: *alpha,
                reduction: Reduction::None,
            };
            let column = |of: fn(&Focal) -> f32| tensor(&rows.iter().map(of).collect::<Vec<_>>(), &[rows.len()]);
            let (x, t) = (column(|row| row.0), column(|row| row.1));
            let call = Call {
                grads: vec![Role::Target],
                ..Call::new(Mode::Fused, &[&x, &t])
            };
            let got = run(engine, &loss, &call);
            let (losses, grads) = (got.loss.as_ref().unwrap(), got.grad_input.as_ref().unwrap());
            for (i, row) in rows.iter().enumerate() {
                let seen = [losses.data[i], grads.data[i], got.grad(Role::Target).unwrap().data[i]];
                let want = [row.2 * f64::from(most), row.3, row.4 * f64::from(most)];
                for (got, want) in seen.into_iter().zip(want) {
                    let fits = precision::admits(Dtype::F32, got, want, 1e-6 * want.abs());
                    assert!(fits, "gamma {gamma}, {row:?}: {seen:?}, {}", engine.name());
                }
            }
        }
    }
}

#[test]
fn a_weight_of_0_takes_what_is_beyond_f32_away() {
    let most = f32::MAX;
    let (x, t) = (tensor(&[-most, most, 1.0], &[3]), tensor(&[1.0, 0.25, 1.0], &[3]));
    let zeros = tensor(&[0.0; 3], &[3]);
    for engine in engines() {
        let loss = BceWithLogits {
            weight: Some(zeros.clone()),
            pos_weight: Some(tensor(&[8.0], &[1])),
            ..Default::default()
        };
        let call = Call {
            grads: vec![Role::Target],
            ..Call::new(Mode::Fused, &[&x, &t])
        };
        let got = run(engine, &loss, &call);
        let all = |values: &Values| {
            let arrays = [
                values.loss.as_ref(),
                values.grad_input.as_ref(),
                values.grad(Role::Target),
            ];
            arrays
                .into_iter()
                .flatten()
                .flat_map(|own| own.data.clone())
                .collect::<Vec<f32>>()
        };
        assert_eq!(all(&got), vec![0.0; 7], "{}", engine.name());
        // An upstream gradient, too.
        let loss = SigmoidFocal::default();
        let call = Call {
            grad_output: Some(&zeros),
            ..call
        };
        let call = Call {
            mode: Mode::Backward,
            ..call
        };
        assert_eq!(all(&run(engine, &loss, &call)), vec![0.0; 6], "{}", engine.name());
        // Rows, whose z-loss is beyond f32.
        let logits = tensor(&[1e38, 0.0, 1.0, 2.0], &[2, 2]);
        let classes = Tensor::new(&[0i64, 1], &[2]).unwrap();
        let loss = CrossEntropy {
            z_loss: 1.0,
            sample_weight: Some(tensor(&[0.0, 1.0], &[2])),
            ..Default::default()
        };
        let got = run(engine, &loss, &Call::new(Mode::Fused, &[&logits, &classes]));
        let alone = CrossEntropy {
            z_loss: 1.0,
            ..Default::default()
        };
        let (row, class) = (tensor(&[1.0, 2.0], &[1, 2]), Tensor::new(&[1i64], &[1]).unwrap());
        let want = run(engine, &alone, &Call::new(Mode::Fused, &[&row, &class]));
        assert_eq!(got.loss, want.loss, "{}", engine.name());
        assert_eq!(got.z_loss, want.z_loss, "{}", engine.name());
        assert_eq!(got.grad_input.unwrap().data[..2], [0.0; 2], "{}", engine.name());
    }
}

/// The gradient of a z-loss is beyond f32 at the peak, and 0 where the probability is.
#[test]
fn a_z_loss_of_large_logits_has_no_nan() {
    let logits = tensor(&[f32::MAX, 0.0, -f32::MAX, 1.0], &[1, 4]);
    let label = Tensor::new(&[0i64], &[1]).unwrap();
    let loss = CrossEntropy {
        z_loss: 10.0,
        ..Default::default()
    };
    for engine in engines() {
        let got = run(engine, &loss, &Call::new(Mode::Fused, &[&logits, &label]));
        assert_eq!(got.loss.unwrap().data, [INF], "{}", engine.name());
        assert_eq!(got.grad_input.unwrap().data[1..], [0.0; 3], "{}", engine.name());
    }
}

#[test]
fn what_is_not_finite_in_a_row_leaves_a_triplet_no_gradients() {
    let good = [0.5f32, -1.0, 2.0, 0.25, 3.0, -0.5];
    for p in [0.5, 1.0, 1.5, 2.0, 3.0, f64::INFINITY] {
        for swap in [false, true] {
            let loss = TripletMargin {
                p,
                swap,
                margin: 20.0,
                reduction: Reduction::None,
                ..Default::default()
            };
            // Each of the three with each number, and two of them with an infinity at the same place.
            let mut bad: Vec<Vec<(usize, f32)>> = Vec::new();
            for value in [INF, -INF, f32::NAN] {
                bad.extend((0..3).map(|place| vec![(place, value)]));
            }
            bad.extend([(0, 1), (0, 2), (1, 2)].map(|(a, b)| vec![(a, INF), (b, INF)]));
            bad.extend([(0, 1), (0, 2), (1, 2)].map(|(a, b)| vec![(a, INF), (b, -INF)]));
            for bad in bad {
                // Rows of six columns, of which the second has what is bad.
                let rows: Vec<Tensor> = (0..3usize)
                    .map(|operand| {
                        let mut data: Vec<f32> = good.repeat(3);
                        data.iter_mut()
                            .enumerate()
                            .for_each(|(i, x)| *x += (i * (operand + 1)) as f32 * 0.1);
                        bad.iter()
                            .filter(|(place, _)| *place == operand)
                            .for_each(|(_, value)| data[8] = *value);
                        tensor(&data, &[3, 6])
                    })
                    .collect();
                let call = Call {
                    grads: vec![Role::Positive, Role::Negative],
                    ..Call::new(Mode::Fused, &rows.iter().collect::<Vec<_>>())
                };
                let what = format!("p {p}, swap {swap}, {bad:?}");
                let want = reference::run(&loss, &call).unwrap();
                for engine in engines() {
                    let got = run(engine, &loss, &call);
                    let losses = got.loss.as_ref().unwrap();
                    assert_eq!(misses(&what, losses, &want.loss, false), None, "{}", engine.name());
                    let grads = [
                        got.grad_input.as_ref(),
                        got.grad(Role::Positive),
                        got.grad(Role::Negative),
                    ];
                    for grad in grads.into_iter().flatten() {
                        let nan = grad.data.iter().map(|x| x.is_nan()).collect::<Vec<_>>();
                        assert_eq!(
                            nan,
                            [[false; 6], [true; 6], [false; 6]].concat(),
                            "{what}: {}",
                            engine.name()
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn what_is_not_finite_in_a_pair_leaves_its_cosine_nothing() {
    let good = [0.5f32, -1.0, 2.0, 0.25, 3.0];
    for (value, t) in [INF, -INF, f32::NAN]
        .into_iter()
        .flat_map(|value| [1.0, -1.0, 0.0].map(|t| (value, t)))
    {
        for place in 0..2 {
            let rows = [0, 1].map(|operand| {
                let mut data = good.repeat(2);
                data[2] = if operand == place { value } else { 0.0 };
                tensor(&data, &[2, 5])
            });
            let target = tensor(&[t, t], &[2]);
            let loss = CosineEmbedding {
                reduction: Reduction::None,
                ..Default::default()
            };
            let call = Call {
                grads: vec![Role::Input2],
                ..Call::new(Mode::Fused, &[&rows[0], &rows[1], &target])
            };
            for engine in engines() {
                let got = run(engine, &loss, &call);
                let what = format!("{value} in {place}, target {t}, {}", engine.name());
                let is_bad = t != 0.0;
                let nan = |array: &Array| array.data.iter().map(|x| x.is_nan()).collect::<Vec<_>>();
                assert_eq!(nan(got.loss.as_ref().unwrap()), [is_bad, false], "{what}");
                for grad in [got.grad_input.as_ref(), got.grad(Role::Input2)].into_iter().flatten() {
                    assert_eq!(nan(grad), [[is_bad; 5], [false; 5]].concat(), "{what}");
                }
            }
        }
    }
}

/// Of finite scores a difference that counts nothing is 0, however large; of infinite ones it is NaN, as 0 times infinity is.
#[test]
fn rankings_of_large_and_infinite_scores() {
    let numbers = [f32::MAX, -f32::MAX, 1.0, INF, -INF, f32::NAN];
    let pairs: Vec<(f32, f32, f32)> = numbers
        .iter()
        .flat_map(|&x| numbers.iter().flat_map(move |&u| [1.0, -1.0].map(|t| (x, u, t))))
        .collect();
    let column = |of: fn(&(f32, f32, f32)) -> f32| tensor(&pairs.iter().map(of).collect::<Vec<_>>(), &[pairs.len()]);
    let (x, u, t) = (column(|own| own.0), column(|own| own.1), column(|own| own.2));
    let loss = MarginRanking {
        reduction: Reduction::None,
        ..Default::default()
    };
    let call = Call {
        grads: vec![Role::Input2, Role::Target],
        ..Call::new(Mode::Fused, &[&x, &u, &t])
    };
    let want = reference::run(&loss, &call).unwrap();
    for engine in engines() {
        let got = run(engine, &loss, &call);
        let arrays = [got.grad_input.as_ref(), got.grad(Role::Input2), got.grad(Role::Target)];
        for (place, grad) in arrays.into_iter().enumerate() {
            let want = want.grad(Role::Grad(place as u8)).unwrap();
            assert_eq!(
                misses(&format!("gradient {place}"), grad.unwrap(), want, false),
                None,
                "{}",
                engine.name()
            );
        }
        assert_eq!(
            misses("loss", got.loss.as_ref().unwrap(), &want.loss, false),
            None,
            "{}",
            engine.name()
        );
    }
}

/// The loss of a row of no columns.
fn of_no_columns(info: &Info) -> f32 {
    match info.name {
        "multilabel_soft_margin" => f32::NAN, // a mean over the columns
        "cosine_embedding" => 1.0,            // zero rows have cosine 0
        "triplet_margin" => 1.0,              // the margin
        name => panic!("{name} takes rows of no columns: what is their loss?"),
    }
}

/// A row of no classes has no label.
fn has_labels(info: &Info) -> bool {
    info.takes(OperandKind::Index) || info.takes(OperandKind::IndexOrDistribution)
}

/// As in PyTorch: the mean of nothing is NaN, its sum 0, and each loss by itself is none.
#[test]
fn dimensions_of_size_0() {
    let mut seen = 0;
    for info in REGISTRY.iter().filter(|info| info.name != "reduce") {
        for shape in [
            vec![0],
            vec![0, 3],
            vec![3, 0],
            vec![0, 0],
            vec![2, 0, 3],
            vec![2, 3, 0],
            vec![0, 2, 3],
        ] {
            for &reduction in info.reductions {
                for full in [false, true] {
                    let setup = Setup {
                        reduction,
                        full,
                        style: Style::Zeros,
                        ..Setup::new(&shape)
                    };
                    let Some(mut case) = make(info, &setup) else { continue };
                    if info.name == "cosine_embedding" {
                        case.tensors[2] = tensor(
                            &vec![1.0; case.tensors[2].shape().iter().product()],
                            case.tensors[2].shape(),
                        );
                    }
                    let problem = case.loss.problem(&case.call(Mode::Forward)).unwrap();
                    let terms = problem.term_count() as usize;
                    if terms > 0 && has_labels(info) {
                        for engine in engines() {
                            let read = case.loss.run(engine, &case.call(Mode::Forward)).unwrap().read(engine);
                            assert!(matches!(read, Err(Error::BadLabels { .. })), "{}: {read:?}", case.what);
                        }
                        continue;
                    }
                    let each = if terms > 0 { of_no_columns(info) } else { 0.0 };
                    let want = match reduction {
                        Reduction::None => vec![each; terms],
                        Reduction::Sum => vec![each * terms as f32],
                        Reduction::Mean if terms == 0 => vec![f32::NAN],
                        Reduction::BatchMean if shape[0] == 0 => vec![f32::NAN],
                        Reduction::Mean | Reduction::BatchMean => vec![each],
                    };
                    for (engine, mode) in engines()
                        .into_iter()
                        .flat_map(|engine| [Mode::Forward, case.most()].map(|mode| (engine, mode)))
                    {
                        let got = run(
                            engine,
                            case.loss.as_ref(),
                            &Call {
                                grad_output: None,
                                ..case.call(mode)
                            },
                        );
                        let loss = got.loss.as_ref().unwrap();
                        let same = |(a, b): (&f32, &f32)| a == b || a.is_nan() && b.is_nan();
                        let fits = loss.data.len() == want.len() && loss.data.iter().zip(&want).all(same);
                        assert!(
                            fits,
                            "{} {}: {:?}, expected {want:?}, {}",
                            case.what,
                            mode.name(),
                            loss.data,
                            engine.name()
                        );
                        let grads = got.grad_input.iter().chain(got.grads.iter().map(|(_, grad)| grad));
                        grads.for_each(|grad| assert!(grad.data.is_empty(), "{}", case.what));
                        seen += 1;
                    }
                }
            }
        }
    }
    assert!(seen > 500, "{seen}");
}
