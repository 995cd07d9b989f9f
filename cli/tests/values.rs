//! What a tensor may be on the command line: integers and truth values as their values, a number in the place of a
//! file, weights and variances that broadcast, several dimensions.

mod common;

use common::{Folder, labels, npy, npy_f32, read_f32, run_on};
use serde_json::json;

const BACKENDS: [&str; 2] = ["cpu", "gpu"];

#[test]
fn integers_and_truth_values_are_numbers() {
    let folder = Folder::new();
    let x = folder.file("x.npy", &npy_f32(&[0.5, -1.0, 2.0], "(3,)"));
    let floats = folder.file("f.npy", &npy_f32(&[1.0, 0.0, 1.0], "(3,)"));
    let others = [
        folder.file("b.npy", &npy("|b1", "(3,)", &[1, 0, 1])),
        folder.file("i1.npy", &labels::<1>("|i1", &[1, 0, 1])),
        folder.file("u2.npy", &labels::<2>("<u2", &[1, 0, 1])),
        folder.file("i8.npy", &labels::<8>("<i8", &[1, 0, 1])),
        folder.file("u8.npy", &labels::<8>("<u8", &[1, 0, 1])),
        folder.tensors("b.safetensors", &[("b", safetensors::Dtype::BOOL, &[3], vec![1, 0, 1])]) + ":b",
    ];
    for backend in BACKENDS {
        let of = |target: &str| {
            let args = ["compute", "bce-with-logits", &x, target, "--weight", target, "--json"];
            let done = run_on(backend, &args);
            assert_eq!(done.code, 0, "{target}: {}", done.stderr);
            done.json()["loss"].clone()
        };
        let want = of(&floats);
        for other in &others {
            assert_eq!(of(other), want, "{other} on {backend}");
        }
        let grad = folder.path("g.npy");
        let done = run_on(backend, &["compute", "huber", &x, &others[1], "--grad", &grad]);
        assert_eq!(done.code, 0, "{}", done.stderr);
        let done = run_on(backend, &["compute", "huber", &x, &others[1], "--grad-target", &grad]);
        let message = "is i8: there is no gradient by integers, only by floats";
        assert!(done.code == 1 && done.stderr.contains(message), "{}", done.stderr);
    }
}

#[test]
fn sums_of_integers_are_exact_on_the_processor() {
    let folder = Folder::new();
    let x = folder.file("x.npy", &labels::<8>("<i8", &[16_777_217, 1, -3]));
    for memory in ["1GiB", "200B"] {
        let done = run_on("cpu", &["compute", "sum", &x, "--json", "--memory", memory]);
        assert_eq!(done.json()["loss"], json!(16_777_215.0), "{}", done.stderr);
    }
    let done = run_on("cpu", &["compute", "sum", &x]);
    assert!(done.stdout.starts_with("reduce 16777215 "), "{}", done.stdout);
}

#[test]
fn classes_are_integers_and_nothing_else() {
    let folder = Folder::new();
    let x = folder.file("x.npy", &npy_f32(&[0.5, -1.0, 2.0, 0.0], "(2, 2)"));
    let truth = folder.file("b.npy", &npy("|b1", "(2,)", &[1, 0]));
    let hot: Vec<u8> = [1i64, 0, 0, 1].iter().flat_map(|x| x.to_le_bytes()).collect();
    let hot = folder.file("hot.npy", &npy("<i8", "(2, 2)", &hot));
    for (target, message) in [
        (
            &truth,
            "holds bool, expected class indices, of an integer dtype; save it as uint8",
        ),
        (&hot, "probabilities, one-hot targets among them, are floats"),
    ] {
        let done = run_on("cpu", &["compute", "cross-entropy", &x, target]);
        assert!(done.code == 1 && done.stderr.contains(message), "{}", done.stderr);
    }
}

#[test]
fn a_variance_may_be_a_number() {
    let folder = Folder::new();
    let x = folder.file("x.npy", &npy_f32(&[0.5, -1.0, 2.0, 0.25], "(2, 2)"));
    let t = folder.file("t.npy", &npy_f32(&[0.0, 1.0, 1.5, 0.25], "(2, 2)"));
    let each = folder.file("v.npy", &npy_f32(&[0.5; 4], "(2, 2)"));
    let one = folder.file("v0.npy", &npy_f32(&[0.5], "()"));
    let rows = folder.file("vr.npy", &npy_f32(&[0.5, 0.5], "(2,)"));
    let grad = folder.path("g.npy");
    for backend in BACKENDS {
        let of = |more: &[&str]| {
            let done = run_on(
                backend,
                &[&["compute", "gaussian-nll", &x, &t, "--json"], more].concat(),
            );
            assert_eq!(done.code, 0, "{more:?}: {}", done.stderr);
            done.json()["loss"].clone()
        };
        let want = of(&[&each]);
        assert_eq!(of(&["--var", "0.5"]), want);
        assert_eq!(of(&[&rows]), want);
        assert_eq!(of(&[&one, "--grad-var", &grad]), want);
        // (1 - (x - t)² / v) / (2 v) of each, over four
        let slopes = [0.25f32, 4.0, 0.25, 0.0].map(|square| (1.0 - square / 0.5) / 4.0);
        let (got, sum) = (read_f32(&grad).1, slopes.iter().sum::<f32>());
        assert!(
            got.len() == 1 && (got[0] - sum).abs() < 1e-6,
            "{got:?} instead of {sum}"
        );
    }
    for (more, message) in [
        (&["--var", "-1"][..], "--var -1: expected a finite number of at least 0"),
        (&["--var", "nan"], "--var NaN: expected a finite number of at least 0"),
        (
            &["--var", "0.5", "--grad-var", &grad],
            "--grad-var: a number has no gradient",
        ),
        (&[&one, "--var", "1"], "cannot be used with"),
        (&[], "required arguments"),
    ] {
        let done = run_on("cpu", &[&["compute", "gaussian-nll", &x, &t], more].concat());
        assert!(
            done.code == 2 && done.stderr.contains(message),
            "{more:?}: {}",
            done.stderr
        );
    }
}

#[test]
fn weights_of_elements_broadcast() {
    let folder = Folder::new();
    let x = folder.file("x.npy", &npy_f32(&[0.5, -1.0, 2.0, 0.25], "(2, 2)"));
    let y = folder.file("y.npy", &npy("|b1", "(2, 2)", &[1, 0, 0, 1]));
    let each = folder.file("w.npy", &npy_f32(&[0.5, 0.5, 2.0, 2.0], "(2, 2)"));
    let rows = folder.file("w1.npy", &npy_f32(&[0.5, 2.0], "(2, 1)"));
    for backend in BACKENDS {
        let of = |weight: &str| {
            let done = run_on(
                backend,
                &[
                    "compute",
                    "multilabel-soft-margin",
                    &x,
                    &y,
                    "--weight",
                    weight,
                    "--json",
                ],
            );
            assert_eq!(done.code, 0, "{}", done.stderr);
            done.json()["loss"].clone()
        };
        assert_eq!(of(&each), of(&rows));
    }
}

#[test]
fn several_dimensions_are_one_list_or_several() {
    let folder = Folder::new();
    let data: Vec<f32> = (0..24).map(|i| i as f32).collect();
    let x = folder.file("x.npy", &npy_f32(&data, "(2, 3, 4)"));
    for backend in BACKENDS {
        let of = |more: &[&str]| {
            let done = run_on(backend, &[&["compute", "reduce", &x, "--json"], more].concat());
            assert_eq!(done.code, 0, "{more:?}: {}", done.stderr);
            let report = done.json();
            (report["loss"].clone(), report["loss_shape"].clone())
        };
        let want = (json!([60.0, 92.0, 124.0]), json!([3]));
        assert_eq!(of(&["--dim", "0,2"]), want);
        assert_eq!(of(&["--dim", "-1,0"]), want);
        assert_eq!(of(&["--dim=-3", "--dim", "2"]), want);
        assert_eq!(of(&["--dim", "0,2", "--keepdim"]), (want.0, json!([1, 3, 1])));
    }
    for (more, message) in [
        (
            &["--dim", "0,-3"][..],
            "dim: 0,-3 given, which names dimension 0 of an input [2, 3, 4] twice",
        ),
        (
            &["--dim", "0,1", "--op", "argmax"],
            "dim: 0,1 given, argmax takes one dimension",
        ),
        (&["--dim", "3"], "dim: 3 given, expected -3 to 2 for an input [2, 3, 4]"),
        (&["--dim", "0,x"], "invalid value"),
    ] {
        let done = run_on("cpu", &[&["compute", "reduce", &x], more].concat());
        assert!(
            done.code != 0 && done.stderr.contains(message),
            "{more:?}: {}",
            done.stderr
        );
    }
}
