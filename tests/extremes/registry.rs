//! Every loss at the ends of what its operands hold.

use wgloss::{Array, Dtype, Info, Mode, OperandKind, REGISTRY, Scalar, reference};

use super::{misses, run};
use crate::common::cases::{Case, Setting, Setup, Style, make, settings};
use crate::common::data::Wild;
use crate::common::elsewhere::streamed;
use crate::common::{bits, engine, gpu, is_long, report, takes};

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

/// Everything that a case gives against the reference. Without an upstream gradient, but for functions.
fn differences(case: &Case, may_overflow: bool) -> Vec<String> {
    let mode = case.most();
    let mut call = case.call(mode);
    if !matches!(case.loss.info().name, "softmax" | "log_softmax") {
        call.grad_output = None;
    }
    let want = reference::run(case.loss.as_ref(), &call).unwrap();
    let got = run(&engine::passing(), case.loss.as_ref(), &call);
    let mut list = Vec::new();
    let mut add = |name: &str, array: &Array, want: &[f64]| {
        list.extend(misses(&format!("{} {name}", case.what), array, want, may_overflow));
    };
    if let Some(loss) = &got.loss {
        add("loss", loss, &want.loss);
    }
    let operands = case.loss.info().operands;
    for (place, own) in operands.iter().enumerate() {
        let (grad, want) = match place {
            0 => (got.grad_input.as_ref(), want.grad_input.as_deref()),
            _ => (got.grad(own.role), want.grad(own.role)),
        };
        if let (Some(grad), Some(want)) = (grad, want) {
            add(&format!("gradient of {}", own.role.name()), grad, want);
        }
    }
    list
}

/// Each loss with each value of each option, optional tensors and kinds of targets, in f32 on two shapes; of 16-bit
/// dtypes, whose arithmetic is that of f32, with the defaults.
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
    // In the quick form the first of each loss, and one in three of the others.
    let all = REGISTRY.iter().enumerate().flat_map(move |(n, &info)| {
        let setups = setups(info).into_iter().enumerate();
        setups
            .filter(move |(i, _)| *i == 0 || takes(n + i, 3))
            .map(move |(_, setup)| (info, setup))
    });
    all.filter_map(|(info, setup)| make(info, &setup).map(|case| (info, setup, case)))
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
        // Products of them are beyond f32.
        if info.name == "linear_cross_entropy" {
            continue;
        }
        total += 1;
        failures.extend(differences(&case, may_overflow(info, &setup)));
    }
    assert!(total > if is_long() { 100 } else { 40 }, "{total}");
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
