//! `wgloss plot` from the outside: the numbers behind the curves, and pictures that are whole or not there.

mod common;

use common::{Folder, losses, run};
use serde_json::{Value, json};

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect()
}

/// Curves as JSON, and their axis.
fn plot(args: &[&str]) -> (Vec<f64>, Vec<Value>) {
    let done = run(&[&["plot"], args, &["--json"]].concat());
    assert_eq!(done.code, 0, "{args:?}: {}", done.stderr);
    let json = done.json();
    (numbers(&json["x"]), json["curves"].as_array().unwrap().clone())
}

#[test]
fn every_loss_has_its_curve_or_says_why_not() {
    let mut without = Vec::new();
    for name in losses() {
        let done = run(&["plot", &name, "--json"]);
        if done.code == 2 {
            assert!(done.stderr.contains("is no function of one number"), "{}", done.stderr);
            without.push(name);
            continue;
        }
        let json = done.json();
        let (x, curve) = (numbers(&json["x"]), &json["curves"][0]);
        let (loss, gradient) = (numbers(&curve["loss"]), numbers(&curve["gradient"]));
        assert_eq!((x.len(), loss.len(), gradient.len()), (481, 481, 481), "{name}");
        // The gradient is the slope of the loss: kinks aside, of which a curve has two at most.
        let scale = if json["gradient_by"] == "the angle, per radian" {
            1f64.to_degrees()
        } else {
            1.0
        };
        let is_off = |i: &usize| {
            let slope = scale * (loss[i + 1] - loss[i - 1]) / (x[i + 1] - x[i - 1]);
            (slope - gradient[*i]).abs() > 0.02 * slope.abs().max(0.05)
        };
        let off: Vec<usize> = (1..480).filter(is_off).collect();
        assert!(
            off.len() <= 6,
            "{name}: {:?}",
            off.iter().map(|&i| x[i]).collect::<Vec<_>>()
        );
        assert!(loss.iter().any(|y| *y != loss[0]), "{name} is flat");
    }
    assert_eq!(without, ["reduce", "linear-cross-entropy"]);
}

#[test]
fn lists_of_values_are_curves_of_their_own() {
    let (x, curves) = plot(&["HuberLoss", "--delta", "0.5,2", "--target", "0,1", "--range=-4,4"]);
    assert_eq!((x[0], x[480]), (-4.0, 4.0));
    let settings: Vec<&Value> = curves.iter().map(|curve| &curve["settings"]).collect();
    let of = |delta: f64, target: f64| json!({ "delta": delta, "target": target });
    assert_eq!(settings, [&of(0.5, 0.0), &of(2.0, 0.0), &of(0.5, 1.0), &of(2.0, 1.0)]);
    // delta (|d| - delta / 2) at 4.
    let ends: Vec<f64> = curves.iter().map(|curve| numbers(&curve["loss"])[480]).collect();
    assert_eq!(ends, [1.875, 6.0, 1.375, 4.0]);

    let (_, curves) = plot(&["cross-entropy", "--classes", "10", "--target", "1", "--range=0,1"]);
    let start = (numbers(&curves[0]["loss"])[0], numbers(&curves[0]["gradient"])[0]);
    assert!(
        (start.0 - 10f64.ln()).abs() < 1e-6 && (start.1 - 0.1).abs() < 1e-6,
        "{start:?}"
    );
}

#[test]
fn pictures_have_a_stroke_and_a_word_for_each_curve() {
    let folder = Folder::new();
    let place = folder.path("focal.svg");
    let done = run(&["plot", "sigmoid-focal", "--gamma", "0,1,2,5", "--svg", &place]);
    assert_eq!(done.code, 0, "{}", done.stderr);
    let text = std::fs::read_to_string(&place).unwrap();
    for gamma in [0, 1, 2, 5] {
        assert!(text.contains(&format!("gamma = {gamma}\n")), "{gamma}");
    }
    for color in ["#0072B2", "#D55E00", "#009E73", "#CC79A7"] {
        assert!(text.contains(color), "{color}");
    }
    assert!(text.contains("alpha = 0.25, target = 1") && text.contains("gradient by input"));
    assert_eq!(folder.list(), ["focal.svg"]);
}

#[test]
fn what_cannot_be_drawn_leaves_nothing_behind() {
    let folder = Folder::new();
    let file = folder.path("x.svg");
    let gone = folder.path("none/x.svg");
    for (args, code, message) in [
        (vec!["dice"], 2, "there is no loss \"dice\""),
        (vec!["amax", "--op", "max"], 2, "reduce is no function of one number"),
        (vec!["huber", "--gamma", "2"], 2, "unexpected argument '--gamma'"),
        (vec!["huber", "--delta=0"], 2, "delta: 0 given, expected more than 0"),
        (
            vec!["huber", "--range", "2,1"],
            2,
            "expected the lower end first, LO,HI",
        ),
        (
            vec!["mse", "--target", "1,2,3,4,5,6,7,8"],
            2,
            "8 curves are asked for (8 of --target), at most 7",
        ),
        (
            vec!["nll", "--target", "3"],
            2,
            "--target 3: expected a class of 3, 0 to 2",
        ),
        (
            vec!["bce", "--range", "0,2"],
            2,
            "--range, or a tensor, leaves what the loss is defined for: input: 240 of 481 elements out of range",
        ),
        (vec!["mse", "--range=-1e38,1e38"], 2, "--range: the loss is not finite"),
        (vec!["huber", "--delta", "1,2,1"], 2, "--delta: 1 is given twice"),
        (vec!["huber", "--svg", &gone], 1, "does not exist"),
    ] {
        let svg = ["--svg", &file];
        let svg = if args.contains(&"--svg") { &[] } else { &svg[..] };
        let done = run(&[&["plot"], &args[..], svg].concat());
        assert_eq!(
            (done.code, done.stderr.contains(message)),
            (code, true),
            "{args:?}: {}",
            done.stderr
        );
    }
    assert!(folder.list().is_empty(), "{:?}", folder.list());
}
