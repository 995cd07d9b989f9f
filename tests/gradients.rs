//! The reference's gradients against differences of its own losses, in f64: every loss, every operand that has a
//! gradient, every option.

use wgloss::{Call, Mode, REGISTRY, Reduction, Role, Stats, Tensor, reference};

use crate::common::cases::{Case, Setup, Style, make, settings};
use crate::common::report;

/// The inputs are multiples of 1/64, so moved ones are exact in f32, and so are kinks on that grid met or left alone.
const STEP: f32 = 1.0 / 256.0;

/// What a check of an operand came to.
#[derive(Default)]
struct Verdict {
    compared: usize,
    /// Elements that stand on a kink: the slopes to both sides differ, however short the step.
    kinks: usize,
    largest: f64,
    wrong: Option<String>,
}

/// Moves one element of `data` after another and compares the slope of `loss` with `gradient`.
fn check(data: &[f32], gradient: &[f64], mut loss: impl FnMut(&[f32]) -> f64) -> Verdict {
    let mut verdict = Verdict {
        largest: gradient.iter().fold(0.0, |m, g| m.max(g.abs())),
        ..Default::default()
    };
    assert_eq!(data.len(), gradient.len());
    let here = loss(data);
    for i in 0..data.len() {
        let mut at = |step: f32| {
            let mut moved = data.to_vec();
            moved[i] += step;
            loss(&moved)
        };
        // The slopes to both sides, and their mean, for a step.
        let mut slopes = |step: f32| {
            let (above, below) = (at(step), at(-step));
            let step = f64::from(step);
            (
                (above - here) / step,
                (here - below) / step,
                (above - below) / (2.0 * step),
            )
        };
        let (wide, near) = (slopes(STEP), slopes(STEP / 2.0));
        let (gap, near_gap) = ((wide.0 - wide.1).abs(), (near.0 - near.1).abs());
        if near_gap > 0.75 * gap && near_gap > 1e-3 * verdict.largest {
            verdict.kinks += 1;
            continue;
        }
        verdict.compared += 1;
        // The error of a difference goes with the square of its step: what two of them say of a step of 0.
        let slope = (4.0 * near.2 - wide.2) / 3.0;
        if (slope - gradient[i]).abs() > 2e-5 * verdict.largest + 1e-9 {
            verdict.wrong = Some(format!("[{i}]: {slope} by difference, {}", gradient[i]));
        }
    }
    verdict
}

/// Every gradient of a case.
fn check_case(case: &Case, seen: &mut Vec<(String, Role)>) -> Vec<String> {
    let has = case.of_stats.is_some();
    let run = |tensors: &[Tensor], mode| {
        let call = Call {
            tensors: tensors.iter().collect(),
            stats: Stats {
                lse: has,
                entropy: has,
                ..Default::default()
            },
            ..case.call(mode)
        };
        reference::run(&*case.loss, &call).unwrap()
    };
    let upstream =
        |tensor: &Tensor| -> Vec<f64> { tensor.as_slice::<f32>().unwrap().iter().map(|&g| g.into()).collect() };
    let of_loss = upstream(&case.upstream);
    let of_stats = case
        .of_stats
        .as_ref()
        .map(|own| own.each_ref().map(upstream))
        .unwrap_or_default();
    let results = run(&case.tensors, Mode::Fused);
    let mut failures = Vec::new();
    let info = case.loss.info();
    for (place, own) in info.operands.iter().enumerate() {
        let gradient = match place {
            0 => results.grad_input.as_deref(),
            _ => results.grad(own.role),
        };
        let Some(gradient) = gradient else { continue };
        let data = case.tensors[place].as_slice::<f32>().unwrap();
        let verdict = check(data, gradient, |moved| {
            let mut tensors = case.tensors.clone();
            tensors[place] = Tensor::new(moved, tensors[place].shape()).unwrap();
            let here = run(&tensors, Mode::Forward);
            let [by_lse, by_entropy] = &of_stats;
            let both = [(&here.loss, &of_loss), (&here.lse, by_lse), (&here.entropy, by_entropy)];
            let product = |(own, by): (&Vec<f64>, &Vec<f64>)| own.iter().zip(by).map(|(x, g)| x * g).sum::<f64>();
            both.map(product).iter().sum()
        });
        let name = own.role.name();
        if let Some(wrong) = verdict.wrong {
            failures.push(format!("{} by {name} {wrong}", case.what));
        }
        if verdict.kinks > verdict.compared {
            failures.push(format!("{} by {name}: nothing but kinks", case.what));
        }
        if verdict.largest > 1e-3 {
            seen.push((info.name.into(), own.role));
        }
    }
    failures
}

#[test]
fn every_gradient_is_the_slope_of_its_loss() {
    let (mut failures, mut total, mut seen) = (Vec::new(), 0, Vec::new());
    for info in REGISTRY {
        for (n, setting) in settings(info).into_iter().enumerate() {
            for (k, shape) in [&[3usize, 5][..], &[2, 3, 2], &[5]].iter().enumerate() {
                let of_stats = [(false, false), (true, false), (false, true), (true, true)];
                for (full, of_stats) in of_stats.into_iter().filter(|(_, own)| !own || info.statistics) {
                    let reduction = info.reductions[(n + k) % info.reductions.len()];
                    let setup = Setup {
                        full,
                        of_stats,
                        given: (n + k) % 2 == 1,
                        reduction,
                        setting: setting.clone(),
                        style: Style::Coarse,
                        seed: (7 * n + k) as u64,
                        ..Setup::new(shape)
                    };
                    if full && !info.takes(wgloss::OperandKind::IndexOrDistribution) {
                        continue;
                    }
                    if let Some(case) = make(info, &setup).filter(|case| case.differentiable) {
                        total += 1;
                        failures.extend(check_case(&case, &mut seen));
                    }
                }
            }
        }
        for own in info.operands.iter().filter(|own| own.grad) {
            if !seen.contains(&(info.name.into(), own.role)) {
                failures.push(format!("{}: gradients of nothing by {}", info.name, own.role.name()));
            }
        }
    }
    assert!(total > 400, "only {total} cases");
    report(failures, total);
}

/// A gradient that broadcasts adds up over what its operand serves.
#[test]
fn gradients_of_operands_that_broadcast() {
    use wgloss::{GaussianNll, Loss, MarginRanking, Mse};
    let coarse = |shape: &[usize], seed: u64| {
        let mut data = crate::common::data::Data::new(seed);
        let numbers = data.uniform(shape.iter().product(), 0.5, 3.0);
        let numbers: Vec<f32> = numbers.iter().map(|x| (x * 64.0).round() / 64.0).collect();
        Tensor::new(&numbers, shape).unwrap()
    };
    let shapes: [&[usize]; 6] = [&[4, 3], &[3], &[4, 1], &[], &[1, 3], &[1, 1]];
    let (mut failures, mut total) = (Vec::new(), 0);
    let mut seen = Vec::new();
    for (n, target) in shapes.iter().enumerate() {
        for reduction in [Reduction::None, Reduction::Mean] {
            let input: &[usize] = if n % 2 == 0 { &[4, 3] } else { &[2, 4, 3] };
            let terms = if reduction == Reduction::None { input } else { &[] };
            let mse = |tensors: Vec<Tensor>| Case {
                what: format!("mse {input:?} {target:?}"),
                loss: Box::new(Mse { reduction }) as Box<dyn Loss>,
                tensors,
                upstream: coarse(terms, 5),
                of_stats: None,
                grads: vec![Role::Target],
                stats: Default::default(),
                differentiable: true,
            };
            total += 1;
            failures.extend(check_case(&mse(vec![coarse(input, 1), coarse(target, 2)]), &mut seen));
            // The first operand may be the one that broadcasts.
            let mut turned = mse(vec![coarse(target, 1), coarse(input, 2)]);
            turned.what += " turned";
            failures.extend(check_case(&turned, &mut seen));
        }
    }
    for (a, b, t) in [
        ([4, 1], [1, 3], [4, 3]),
        ([4, 3], [1, 3], [4, 1]),
        ([1, 1], [4, 3], [1, 3]),
    ] {
        let case = Case {
            what: format!("margin_ranking {a:?} {b:?} {t:?}"),
            loss: Box::new(MarginRanking {
                margin: 0.7,
                reduction: Reduction::None,
            }),
            tensors: vec![coarse(&a, 1), coarse(&b, 2), coarse(&t, 3)],
            upstream: coarse(&[4, 3], 5),
            of_stats: None,
            grads: vec![Role::Input2, Role::Target],
            stats: Default::default(),
            differentiable: true,
        };
        total += 1;
        failures.extend(check_case(&case, &mut seen));
    }
    for var in [&[4usize, 3][..], &[4, 1], &[1, 3], &[4]] {
        let case = Case {
            what: format!("gaussian_nll var {var:?}"),
            loss: Box::new(GaussianNll::default()),
            tensors: vec![coarse(&[4, 3], 1), coarse(&[4, 3], 2), coarse(var, 3)],
            upstream: coarse(&[], 5),
            of_stats: None,
            grads: vec![Role::Target, Role::Var],
            stats: Default::default(),
            differentiable: true,
        };
        total += 1;
        failures.extend(check_case(&case, &mut seen));
    }
    report(failures, total);
}

/// The check notices a wrong gradient, and tells a kink from a slope.
#[test]
fn a_wrong_gradient_is_noticed() {
    let square = |x: &[f32]| f64::from(x[0]).powi(2);
    assert!(check(&[1.0], &[2.001], square).wrong.is_some());
    assert!(check(&[1.0], &[2.0], square).wrong.is_none());
    let size = |x: &[f32]| f64::from(x[0]).abs();
    assert_eq!(
        check(&[0.0], &[0.0], size).kinks + check(&[1.0 / 64.0], &[1.0], size).compared,
        2
    );
}
