//! What is told beside a result, or refused where that is asked for.

mod common;

use common::{Folder, grid, labels, npy_f32, run_on};

const BACKENDS: [&str; 2] = ["cpu", "gpu"];

#[test]
fn broadcasting_is_told_of_every_loss_that_does_it() {
    let folder = Folder::new();
    let x = folder.file("x.npy", &npy_f32(&[0.5, 0.25, 1.0], "(3, 1)"));
    let t = folder.file("t.npy", &npy_f32(&[0.5, 0.25, 1.0], "(3,)"));
    let wide = folder.file("wide.npy", &npy_f32(&[0.5; 9], "(3, 3)"));
    let var = folder.file("var.npy", &npy_f32(&[1.0; 3], "(3, 1)"));
    let told = |args: &[&str]| {
        let done = run_on("cpu", &[&["compute"], args].concat());
        assert_eq!(done.code, 0, "{args:?}: {}", done.stderr);
        done.stderr
    };
    let warning = "warning: input [3, 1] and target [3] differ in shape and broadcast to [3, 3]; is that meant?\n";
    for loss in [
        "mse",
        "l1",
        "smooth-l1",
        "huber",
        "poisson-nll",
        "kl-div",
        "hinge-embedding",
    ] {
        assert_eq!(told(&[loss, &x, &t]), warning, "{loss}");
        assert_eq!(told(&[loss, &x, &x]), "", "{loss}");
        assert!(told(&[loss, &x, &t, "--json"]).starts_with("warning: "), "{loss}");
    }
    let told_of = |args: &[&str], what: &str| {
        let wanted = format!("warning: {what} differ in shape and broadcast to [3, 3]; is that meant?\n");
        assert_eq!(told(args), wanted);
    };
    told_of(&["soft-margin", &wide, &t], "input [3, 3] and target [3]");
    told_of(&["gaussian-nll", &wide, &t, &wide], "input [3, 3] and target [3]");
    told_of(
        &["margin-ranking", &wide, &x, &wide],
        "input1 [3, 3] and input2 [3, 1] and target [3, 3]",
    );
    // A variance has forms of its own, and optional tensors are meant to broadcast.
    assert_eq!(told(&["gaussian-nll", &wide, &wide, &var]), "");
    assert_eq!(told(&["bce", &wide, &wide, "--weight", &t]), "");
    assert_eq!(told(&["margin-ranking", &wide, &wide, &wide]), "");
}

#[test]
fn signs_are_looked_at_where_that_is_asked() {
    let folder = Folder::new();
    let x = folder.file("x.npy", &npy_f32(&grid(6), "(3, 2)"));
    let floats = folder.file("f.npy", &npy_f32(&[1.0, -1.0, 1.0, 0.5, 0.0, 1.0], "(3, 2)"));
    let bits = folder.file("bits.npy", &labels::<8>("<i8", &[1, 0, 0]));
    let good = folder.file("good.npy", &labels::<1>("|i1", &[1, -1, 1]));
    for backend in BACKENDS {
        for args in [
            &["hinge-embedding", &x, &floats][..],
            &["soft-margin", &x, &floats],
            &["margin-ranking", &x, &x, &floats],
        ] {
            let done = run_on(backend, &[&["compute"], args, &["--strict"]].concat());
            let text = format!(
                "target ({floats}): 2 of 6 elements out of range: the first is 0.5 at [1, 1], expected 1 or -1"
            );
            assert_eq!((done.code, done.stderr), (1, format!("error: {text}\n")), "{args:?}");
            assert_eq!(run_on(backend, &[&["compute"], args].concat()).code, 0);
        }
        // Integers become floats before.
        let cosine = |target: &str, more: &[&str]| {
            run_on(
                backend,
                &[&["compute", "cosine-embedding", &x, &x, target], more].concat(),
            )
        };
        let done = cosine(&bits, &["--strict"]);
        let text = format!("target ({bits}): 2 of 3 elements out of range: the first is 0 at [1], expected 1 or -1");
        assert_eq!((done.code, done.stderr), (1, format!("error: {text}\n")));
        assert_eq!(cosine(&bits, &[]).code, 0);
        assert_eq!(cosine(&good, &["--strict"]).code, 0);
        // Streamed as well.
        let streamed = ["compute", "hinge-embedding", &x, &floats, "--strict", "--memory", "20B"];
        let done = run_on(backend, &streamed);
        assert!(
            done.code == 1 && done.stderr.contains("takes at least"),
            "{}",
            done.stderr
        );
    }
}

#[test]
fn signs_of_a_stream_are_looked_at() {
    let folder = Folder::new();
    let mut signs = vec![1.0f32; 200_000];
    (signs[123_456], signs[199_999]) = (2.0, f32::NAN);
    let x = folder.file("x.npy", &npy_f32(&grid(200_000), "(200000,)"));
    let t = folder.file("t.npy", &npy_f32(&signs, "(200000,)"));
    for backend in BACKENDS {
        let args = ["compute", "soft-margin", &x, &t, "--strict", "--memory"];
        for memory in ["1GiB", "2900kB"] {
            let done = run_on(backend, &[&args[..], &[memory]].concat());
            let text = "2 of 200000 elements out of range: the first is 2 at [123456], expected 1 or -1";
            assert!(
                done.code == 1 && done.stderr.contains(text),
                "{backend} {memory}: {}",
                done.stderr
            );
        }
    }
}

#[test]
fn results_that_are_the_same_whatever_is_given_are_told() {
    let folder = Folder::new();
    let x = folder.file("x.npy", &npy_f32(&grid(3), "(3, 1)"));
    let p = folder.file("p.npy", &npy_f32(&[1.0; 3], "(3, 1)"));
    let classes = folder.file("t.npy", &labels::<8>("<i8", &[0, 0, 0]));
    let lists = folder.file("l.npy", &npy_i64(&[0, 0, 0]));
    let note = |loss: &str, value: f64| {
        format!("note: each row of the input [3, 1] is a single number, of which {loss} is always {value}\n")
    };
    for (args, loss, value) in [
        (&["cross-entropy", &x, &classes][..], "cross_entropy", 0.0),
        (
            &["cross-entropy", &x, &p, "--label-smoothing", "0.1"],
            "cross_entropy",
            0.0,
        ),
        (&["softmax-focal", &x, &classes], "softmax_focal", 0.0),
        (&["multi-margin", &x, &classes], "multi_margin", 0.0),
        (&["multilabel-margin", &x, &lists], "multilabel_margin", 0.0),
        (&["softmax", &x], "softmax", 1.0),
        (&["log-softmax", &x, "--dim", "1"], "log_softmax", 0.0),
    ] {
        for backend in BACKENDS {
            let done = run_on(backend, &[&["compute"], args, &["--json"]].concat());
            assert_eq!(done.stderr, note(loss, value), "{args:?}");
            let json = done.json()["loss"].clone();
            let all = json.as_array().cloned().unwrap_or_else(|| vec![json]);
            assert!(all.iter().all(|own| own.as_f64() == Some(value)), "{args:?}: {all:?}");
        }
    }
    for args in [
        &["cross-entropy", &x, &classes, "--z-loss", "0.1"][..],
        &["softmax", &x, "--dim", "0"],
        &["nll", &x, &classes],
        &["multilabel-soft-margin", &x, &p],
        &["logsumexp", &x, "--dim", "1"],
    ] {
        assert_eq!(run_on("cpu", &[&["compute"], args].concat()).stderr, "", "{args:?}");
    }
}

fn npy_i64(data: &[i64]) -> Vec<u8> {
    let bytes: Vec<u8> = data.iter().flat_map(|x| x.to_le_bytes()).collect();
    common::npy("<i8", &format!("({}, 1)", data.len()), &bytes)
}

/// The messages that readers of PyTorch's documents need most, with their files.
#[test]
fn labels_and_gradients_that_cannot_be() {
    let folder = Folder::new();
    let x = folder.file("x.npy", &npy_f32(&grid(6), "(3, 2)"));
    let floats = folder.file("f.npy", &npy_f32(&[0.0, 1.0, 0.0], "(3,)"));
    let classes = folder.file("t.npy", &labels::<8>("<i8", &[0, 1, 0]));
    let says = |args: &[&str], wanted: String| {
        let done = run_on("cpu", &[&["compute"], args].concat());
        assert_eq!((done.code, done.stderr), (1, format!("error: {wanted}\n")));
    };
    says(
        &["cross-entropy", &x, &floats],
        format!(
            "target ({floats}): expected shape [3, 2] as the input (a float target holds a probability for each class; class \
             labels are integers: save them as int64), got [3]"
        ),
    );
    says(
        &["cross-entropy", &x, &classes, "--grad-target", &folder.path("g.npy")],
        format!("target ({classes}): class indices have no gradient"),
    );
    says(
        &["margin-ranking", &x, &x, &floats],
        format!("target ({floats}): expected as many dimensions as input1 [3, 2] and input2 [3, 2], got [3]"),
    );
    assert_eq!(folder.list(), ["f.npy", "t.npy", "x.npy"]);
}
