//! The program from the outside: what it prints and writes.

mod common;

use std::process::{Command, Stdio};
use std::time::Duration;

use common::{DIGITS, Folder, grid, labels, npy, npy_f32, read_f32, run, run_on};
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
        let wanted = "loss loss_name reduction shape dtype loss_shape rows ignored correct accuracy backend adapter \
                      milliseconds";
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
        assert_eq!((&value["correct"], &value["dtype"]), (&json!(1749), &json!("f32")));
        assert!((value["accuracy"].as_f64().unwrap() - 1749.0 / 1797.0).abs() < 1e-9);
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
    let of = |name: &str| {
        list.as_array()
            .unwrap()
            .iter()
            .find(|own| own["name"] == name)
            .unwrap()
            .clone()
    };
    let entropy = of("cross_entropy");
    assert_eq!(entropy["options"][0]["default"].to_string(), "-100");
    assert_eq!(entropy["operands"][1]["kind"], "class index or class probabilities");
    assert_eq!(entropy["dtypes"], json!(["f32", "f16", "bf16"]));
    assert_eq!(of("bce_with_logits")["tensors"][1]["name"], "pos_weight");
    let names = of("triplet_margin")["operands"].clone();
    assert_eq!(
        (&names[2]["name"], &names[2]["differentiable"]),
        (&json!("negative"), &json!(true))
    );
    let reduce = of("reduce");
    assert_eq!(reduce["options"][0]["choices"][5], "logsumexp");
    assert_eq!(
        (&reduce["options"][1]["default"], &reduce["options"][2]["type"]),
        (&Value::Null, &json!("bool"))
    );
    assert_eq!(
        (&reduce["reductions"], &of("kl_div")["reductions"][3]),
        (&json!(["none"]), &json!("batchmean"))
    );
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
fn flags_and_words_are_taken_as_they_are_typed() {
    let folder = Folder::new();
    let x = folder.file("x.npy", &npy_f32(&[0.5, 2.0], "(2,)"));
    let t = folder.file("t.npy", &npy_f32(&[1.0, 3.0], "(2,)"));
    let mean = |args: &[&str]| {
        run_on("cpu", &[args, &["--json"]].concat()).json()["loss"]
            .as_f64()
            .unwrap()
    };
    let poisson = |more: &[&str]| mean(&[&["compute", "poisson-nll", &x, &t], more].concat());
    let logs = (0.5f64.exp() - 0.5 + 2f64.exp() - 6.0) / 2.0;
    let rates = (0.5 - 0.5f64.ln() + 2.0 - 3.0 * 2f64.ln()) / 2.0;
    for (args, want) in [
        (&[][..], logs),
        (&["--log-input"], logs),
        (&["--log-input=true"], logs),
        (&["--log-input", "false"], rates),
        (&["--log-input=false"], rates),
    ] {
        assert!((poisson(args) - want).abs() < 1e-6, "{args:?}");
    }
    // A flag in front of files does not swallow them.
    assert!((mean(&["compute", "poisson-nll", "--log-input", &x, &t]) - logs).abs() < 1e-6);
    assert!((mean(&["compute", "kl-div", &x, &t, "--log-target", "--reduction", "batchmean"]) - 10.7224).abs() < 1e-4);

    let reduced = |more: &[&str]| run_on("cpu", &[&["compute", "reduce", &x], more].concat());
    assert!(reduced(&["--op", "mean"]).stdout.contains("reduce 1.25000 "));
    assert!(reduced(&["--op", "argmax"]).stdout.contains("reduce 1 "));
    assert_eq!(
        reduced(&["--op", "max", "--dim", "-1", "--keepdim", "--json"]).json()["loss_shape"],
        json!([1])
    );
    let rows = folder.file("rows.npy", &npy_f32(&grid(6), "(3, 2)"));
    let margin = |p: &str| mean(&["compute", "triplet-margin", &rows, &rows, &rows, "--p", p]);
    assert!((margin("inf") - 1.0).abs() < 1e-6 && (margin("2") - 1.0).abs() < 1e-6);
    let done = run_on("cpu", &["compute", "hinge-embedding", &x, &t, "--margin", "-inf"]);
    assert!(
        done.code == 2 && done.stderr.contains("margin: -inf given"),
        "{}",
        done.stderr
    );
}

#[test]
fn functions_tell_their_shape() {
    let folder = Folder::new();
    let [logits, _] = DIGITS;
    let small = folder.file("x.npy", &npy_f32(&grid(6), "(2, 3)"));
    for backend in BACKENDS {
        let done = run_on(backend, &["compute", "softmax", logits, "--dim", "0"]);
        assert!(
            done.stdout.contains("softmax [1797, 10] f32: min "),
            "{}{}",
            done.stdout,
            done.stderr
        );
        let done = run_on(backend, &["compute", "log-softmax", &small]);
        assert!(
            done.stdout.contains("log_softmax [2, 3] f32: -2.40761 -1.40761 "),
            "{}",
            done.stdout
        );
        let done = run_on(backend, &["compute", "reduce", &small, "--op", "argmax", "--dim", "1"]);
        assert!(
            done.stdout.contains("reduce [2] i64: 2 1 "),
            "{}{}",
            done.stdout,
            done.stderr
        );
    }
}

#[test]
fn signs_may_be_integers() {
    let folder = Folder::new();
    let x = folder.file("x.npy", &npy_f32(&[0.5, 2.0], "(2,)"));
    let signs = folder.file("t.npy", &labels::<8>("<i8", &[1, -1]));
    let small = folder.file("t8.npy", &labels::<1>("|i1", &[1, -1]));
    for backend in BACKENDS {
        for target in [&signs, &small] {
            for more in [&[][..], &["--dtype", "bf16"]] {
                let args = [
                    "compute",
                    "margin-ranking",
                    &x,
                    &x,
                    target,
                    "--margin",
                    "0.25",
                    "--json",
                ];
                assert_eq!(run_on(backend, &[&args, more].concat()).json()["loss"], 0.25);
            }
        }
    }
}

#[test]
fn the_check_passes() {
    let folder = Folder::new();
    let svg = folder.path("errors.svg");
    let saved = folder.path("check.json");
    let done = run(&["check", "sigmoid_focal_loss", "--json", "--svg", &svg, "--save", &saved]);
    let report = done.json();
    assert_eq!((done.code, &report["passed"]), (0, &json!(true)), "{}", done.stderr);
    let saved = std::fs::read_to_string(&saved).unwrap();
    assert_eq!(serde_json::from_str::<serde_json::Value>(&saved).unwrap(), report);
    assert!(report["losses"][0]["cases"].as_u64().unwrap() > 150);
    for dtype in ["f32", "f16", "bf16"] {
        assert!(report["losses"][0]["dtypes"][dtype]["cases"].as_u64().unwrap() > 40);
    }
    let gradient = &report["losses"][0]["dtypes"]["f32"]["gradient"];
    assert!(gradient["relative"].as_f64().unwrap() < 1e-3, "{gradient}");
    let picture = std::fs::read_to_string(&svg).unwrap();
    for word in ["sigmoid_focal", "bf16", "allowed", "0 failed"] {
        assert!(picture.contains(word), "{word}");
    }
}

/// A record has what was checked when the run ended, and says that it is not all.
#[test]
fn a_check_that_is_cut_off_keeps_what_it_has() {
    let folder = Folder::new();
    let saved = folder.path("check.json");
    let mut child = Command::new(env!("CARGO_BIN_EXE_wgloss"))
        .args(["check", "sgd", "cross-entropy", "--save", &saved])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    while !std::path::Path::new(&saved).exists() && child.try_wait().unwrap().is_none() {
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let text = std::fs::read_to_string(&saved).unwrap();
    let record: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        (&record["finished"], &record["passed"]),
        (&json!(false), &json!(false)),
        "{record}"
    );
    let own = ["losses", "optimizers"].map(|kind| record[kind].as_array().unwrap().len());
    assert!(own[0] + own[1] >= 1, "{record}");
}

/// Every set of options of an optimizer has its steps.
#[test]
fn the_check_takes_steps() {
    let done = run(&["check", "SGD", "--json", "--seed", "3"]);
    let report = done.json();
    assert_eq!((done.code, &report["passed"]), (0, &json!(true)), "{}", done.stderr);
    assert_eq!(
        (&report["losses"], &report["optimizers"][0]["name"]),
        (&json!([]), &json!("sgd"))
    );
    for dtype in ["f32", "f16", "bf16"] {
        let own = &report["optimizers"][0]["dtypes"][dtype];
        // Momentum, dampening, weight decay, Nesterov and the way up: 20 sets that go together, in three sizes.
        assert_eq!(own["cases"], 60, "{own}");
        assert!(own["pipelines"].as_u64().unwrap() >= 12, "{own}");
        assert!(own["state"]["absolute"].as_f64().unwrap() > 0.0, "{own}");
    }
}

#[test]
fn the_long_check_has_words_of_its_own() {
    assert_eq!(run(&["check", "--rounds", "2"]).code, 2);
    let help = run(&["check", "--help"]).stdout;
    assert!(help.contains("--exhaustive") && help.contains("10^8"), "{help}");
}

/// In the long form alone: thousands of cases.
#[test]
fn the_long_check_says_where_the_largest_errors_are() {
    if !std::env::var("WGLOSS_TEST_LONG").is_ok_and(|long| long == "1") {
        println!("SKIPPED: WGLOSS_TEST_LONG=1 has a check of 2,500 cases");
        return;
    }
    let done = run(&[
        "check",
        "log-sigmoid",
        "--exhaustive",
        "--rounds",
        "1",
        "--seed",
        "7",
        "--json",
    ]);
    let report = done.json();
    assert_eq!((done.code, &report["passed"]), (0, &json!(true)), "{}", done.stderr);
    assert_eq!(
        (&report["seed"], &report["rounds"], &report["sums"]),
        (&json!(7), &json!(1), &json!([]))
    );
    assert!(report["cases"].as_u64().unwrap() > 2500, "{}", report["cases"]);
    let loss = &report["losses"][0]["dtypes"]["f32"]["loss"];
    let share = loss["share"].as_f64().unwrap();
    assert!(share > 1e-4 && share < 0.5, "{loss}");
    assert!(loss["at"].as_str().unwrap().starts_with("f32 case "), "{loss}");
}
