//! The program from the outside: what it prints and writes.

mod common;

use common::{DIGITS, Folder, grid, npy, npy_f32, read_f32, run, run_on};
use serde_json::{Value, json};

const BACKENDS: [&str; 2] = ["cpu", "gpu"];

#[test]
fn the_sample_has_its_loss() {
    let [logits, classes] = DIGITS;
    for backend in BACKENDS {
        let done = run_on(backend, &["compute", "cross-entropy", logits, classes]);
        assert_eq!(done.code, 0, "{}", done.stderr);
        assert!(
            done.stdout.contains("cross_entropy (mean) 0.123192 "),
            "{}",
            done.stdout
        );
        assert!(
            done.stdout.contains("1797 rows, 10 classes, 0 ignored"),
            "{}",
            done.stdout
        );
        // No driver says anything either.
        assert_eq!((done.stdout.lines().count(), done.stderr.as_str()), (1, ""));
    }
}

#[test]
fn json_has_its_keys_in_order() {
    let [logits, classes] = DIGITS;
    for backend in BACKENDS {
        let done = run_on(backend, &["compute", "cross-entropy", logits, classes, "--json"]);
        let value = done.json();
        let keys: Vec<&str> = value.as_object().unwrap().keys().map(String::as_str).collect();
        let wanted = "loss loss_name reduction shape rows ignored backend adapter milliseconds";
        assert_eq!(keys.join(" "), wanted);
        assert!((value["loss"].as_f64().unwrap() - 0.123_192).abs() < 1e-6);
        // The shortest decimal of an f32, not the digits of its f64.
        assert!(
            value["loss"].to_string().len() <= "0.12319184".len(),
            "{}",
            value["loss"]
        );
        assert_eq!(value["shape"], json!([1797, 10]));
        assert_eq!((&value["rows"], &value["ignored"]), (&json!(1797), &json!(0)));
        assert_eq!(value["backend"], backend);
        assert_eq!(done.stdout.lines().count(), 1);
    }
}

#[test]
fn options_follow_the_operands_and_may_be_negative() {
    let [logits, classes] = DIGITS;
    let folder = Folder::new();
    let x = folder.file("x.npy", &npy_f32(&[0.0, 2.0], "(2,)"));
    let t = folder.file("t.npy", &npy_f32(&[0.0, 1.0], "(2,)"));
    for backend in BACKENDS {
        let args = [
            "compute",
            "cross-entropy",
            logits,
            classes,
            "--ignore-index",
            "3",
            "--reduction",
            "sum",
            "--json",
        ];
        assert_eq!(run_on(backend, &args).json()["ignored"], 183);
        let args = [
            "compute",
            "cross-entropy",
            "--ignore-index",
            "-100",
            "--label-smoothing",
            "0.1",
            logits,
            classes,
        ];
        let done = run_on(backend, &args);
        assert!(done.stdout.contains(" 0.980620 "), "{}", done.stdout);

        let args = [
            "compute",
            "sigmoid-focal",
            &x,
            &t,
            "--alpha",
            "-1",
            "--gamma",
            "0",
            "--json",
        ];
        let value = run_on(backend, &args).json();
        let loss: Vec<f64> = value["loss"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(Value::as_f64)
            .collect();
        assert!(
            (loss[0] - std::f64::consts::LN_2).abs() < 1e-6 && (loss[1] - 0.126_928).abs() < 1e-6,
            "{loss:?}"
        );
        let done = run_on(backend, &["compute", "sigmoid-focal", &x, &t]);
        assert!(
            done.stdout.contains("(none) 2 losses: min ") && done.stdout.contains(", 0 NaN"),
            "{}",
            done.stdout
        );
    }
}

#[test]
fn probability_targets_have_a_gradient() {
    let folder = Folder::new();
    let x = folder.file("x.npy", &npy_f32(&grid(6), "(2, 3)"));
    let p = folder.file("p.npy", &npy_f32(&[0.2, 0.3, 0.5, 1.0, 0.0, 0.0], "(2, 3)"));
    let out = folder.path("grad_target.npy");
    for backend in BACKENDS {
        let done = run_on(backend, &["compute", "cross-entropy", &x, &p, "--grad-target", &out]);
        assert_eq!(done.code, 0, "{}", done.stderr);
        let grad = read_f32(&out).1;
        // (lse - x) / 2 rows: half as far apart as the logits, the other way round.
        assert!(grad.len() == 6 && ((grad[0] - grad[1]) - 0.5 * (grid(6)[1] - grid(6)[0])).abs() < 1e-6);
    }
}

#[test]
fn empty_batches_have_a_nan_mean() {
    let folder = Folder::new();
    let x = folder.file("x.npy", &npy_f32(&[], "(0, 3)"));
    let t = folder.file("t.npy", &npy("<i8", "(0,)", &[]));
    for backend in BACKENDS {
        let done = run_on(backend, &["compute", "cross-entropy", &x, &t, "--json"]);
        assert_eq!(done.json()["loss"], "NaN", "{}", done.stderr);
        let done = run_on(backend, &["compute", "cross-entropy", &x, &t]);
        assert!(done.stderr.contains("the mean of no rows"), "{}", done.stderr);
        let done = run_on(
            backend,
            &["compute", "cross-entropy", &x, &t, "--json", "--reduction", "none"],
        );
        assert_eq!(done.json()["loss"], json!([]));
    }
}

#[test]
fn losses_and_adapters_are_listed() {
    let list = run(&["losses", "--json"]).json();
    assert_eq!(list[0]["name"], "cross_entropy");
    assert_eq!(list[0]["options"][0]["default"].to_string(), "-100");
    assert_eq!(list[1]["tensors"][1]["name"], "pos_weight");
    assert!(run(&["losses"]).stdout.contains("--label-smoothing"));
    let adapters = run(&["adapters", "--json"]);
    assert!(
        !adapters.json().as_array().unwrap().is_empty(),
        "the tests need an adapter"
    );
    assert_eq!((adapters.code, adapters.stderr.as_str()), (0, ""));
    assert!(run(&["--version"]).stdout.starts_with("wgloss "));
    assert_eq!(run(&["compute", "cross-entropy", "--help"]).code, 0);
}

#[test]
fn without_an_adapter_the_processor_computes() {
    let [logits, classes] = DIGITS;
    // An empty list of backends hides every adapter.
    let hide = |args: &[&str]| common::run_with(args, &[("WGPU_BACKEND", "none")]);
    let done = hide(&["compute", "cross-entropy", logits, classes]);
    assert!(
        done.code == 0 && done.stdout.contains(" 0.123192 "),
        "{}{}",
        done.stdout,
        done.stderr
    );
    assert_eq!(done.stderr.lines().count(), 1);
    assert_eq!(
        hide(&["compute", "cross-entropy", logits, classes, "--backend", "gpu"]).code,
        1
    );
    assert_eq!(
        hide(&["compute", "cross-entropy", logits, classes, "--adapter", "x"]).code,
        1
    );
    assert_eq!(hide(&["check"]).code, 1);
    let done = hide(&["adapters"]);
    assert!(
        done.code == 0 && done.stdout.contains("mesa-vulkan-drivers"),
        "{}",
        done.stdout
    );
    assert_eq!(hide(&["adapters", "--json"]).stdout, "[]\n");
}

#[test]
fn the_check_passes() {
    let done = run(&["check", "sigmoid-focal", "--json"]);
    let report = done.json();
    assert_eq!((done.code, &report["passed"]), (0, &json!(true)), "{}", done.stderr);
    assert!(report["losses"][0]["cases"].as_u64().unwrap() > 200);
    assert!(report["losses"][0]["gradient"]["absolute"].as_f64().unwrap() < 1e-4);
}
