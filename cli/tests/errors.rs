//! What goes wrong is told in a line that names it, with the right exit code, and leaves no file.

mod common;

use common::{DIGITS, Folder, grid, labels, npy, npy_f32, run, run_on};

/// Expects an exit code, an `error: …` that contains `text`, and nothing on stdout.
fn refused(args: &[&str], code: i32, text: &str) {
    let done = run(args);
    assert_eq!(done.code, code, "{args:?}: {}{}", done.stdout, done.stderr);
    assert!(
        done.stderr.starts_with("error: ") && done.stderr.contains(text),
        "{args:?}: {}",
        done.stderr
    );
    assert_eq!(done.stdout, "", "{args:?}");
}

#[test]
fn a_wrong_command_line_is_2_before_any_file_is_read() {
    let ce = |more: &[&'static str]| [&["compute", "cross-entropy", "no.npy", "no.npy"], more].concat();
    refused(
        &ce(&["--label-smoothing", "1.5"]),
        2,
        "label_smoothing: 1.5 given, expected 0 to 1",
    );
    refused(&ce(&["--label-smoothing", "nan"]), 2, "label_smoothing");
    refused(&ce(&["--ignore-index", "1.5"]), 2, "--ignore-index");
    refused(&ce(&["--reduction", "median"]), 2, "median");
    refused(&ce(&["--alpha", "0.5"]), 2, "--alpha");
    refused(&ce(&["--backend", "cpu", "--adapter", "x"]), 2, "--adapter");
    refused(&ce(&["--out", "a.npy", "--grad", "./a.npy"]), 2, "--out and --grad");
    refused(&ce(&["--reduction", "batchmean"]), 2, "batchmean");
    refused(&ce(&["--dtype", "f64"]), 2, "f64");
    refused(&ce(&["--on-empty", "one"]), 2, "one");
    refused(&["compute", "poisson-nll", "a", "b", "--full=maybe"], 2, "maybe");
    refused(&["compute", "triplet-margin", "a", "b"], 2, "NEGATIVE");
    refused(&["compute", "softmax", "a", "--reduction", "sum"], 2, "--reduction");
    refused(&["compute", "mse", "a", "b", "--lse-out", "c"], 2, "--lse-out");
    refused(
        &["compute", "sigmoid-focal", "no.npy", "no.npy", "--gamma", "-1"],
        2,
        "gamma",
    );
    refused(
        &["compute", "soft-margin", "a", "b", "--grad-target", "c"],
        2,
        "--grad-target",
    );
    refused(&["compute", "no-such-loss", "a", "b"], 2, "no-such-loss");
    refused(&["bench", "--runs", "0"], 2, "--runs");
    refused(&["check", "no-such-loss"], 2, "no-such-loss");
}

#[test]
fn what_needs_a_look_is_1() {
    let [logits, classes] = DIGITS;
    let ce = |more: &[&'static str]| [&["compute", "cross-entropy", logits, classes], more].concat();
    refused(&ce(&["--adapter", "no such adapter"]), 1, "no such adapter");
    refused(&ce(&["--out", "/no/such/folder/a.npy"]), 1, "/no/such/folder");
    refused(&ce(&["--grad-target", "p.npy"]), 1, "target");
    refused(&ce(&["--z-loss-out", "z.npy"]), 2, "--z-loss is 0");
    refused(
        &ce(&["--dtype", "bf16", "--grad", "g.npy"]),
        2,
        "g.npy: a .npy file cannot hold bf16",
    );
    refused(
        &["compute", "cross-entropy", classes, classes],
        1,
        "digits_labels.npy): expected shape [] for class indices of an input [1797]",
    );
    refused(
        &["compute", "cross-entropy", logits, logits, "--ignore-index", "3"],
        1,
        "ignore_index",
    );
    refused(
        &["compute", "bce-with-logits", logits, classes],
        1,
        "digits_labels.npy): expected shape [1797, 10] as the input, got [1797]",
    );
    #[cfg(unix)]
    refused(&ce(&["--out", "/dev/null"]), 1, "/dev/null");
}

#[test]
fn inputs_are_not_written_over() {
    let folder = Folder::new();
    let x = folder.file("x.npy", &npy_f32(&grid(6), "(2, 3)"));
    let t = folder.file("t.npy", &npy_f32(&grid(6), "(2, 3)"));
    let before = std::fs::read(&x).unwrap();
    for option in ["--out", "--grad"] {
        let other = x.replace("x.npy", "./x.npy");
        refused(
            &["compute", "sigmoid-focal", &x, &t, option, &other],
            2,
            "would overwrite the input",
        );
    }
    assert_eq!(std::fs::read(&x).unwrap(), before);
}

#[test]
fn a_failure_leaves_no_file() {
    let folder = Folder::new();
    let x = folder.file("x.npy", &npy_f32(&grid(6), "(2, 3)"));
    let bad = folder.file("bad.npy", &labels::<8>("<i8", &[0, 3]));
    let (out, grad) = (folder.path("loss.npy"), folder.path("grad.npy"));
    for backend in ["cpu", "gpu"] {
        let done = run_on(
            backend,
            &["compute", "cross-entropy", &x, &bad, "--out", &out, "--grad", &grad],
        );
        assert_eq!(done.code, 1);
        assert!(
            done.stderr.contains("1 of 2 class indices out of range"),
            "{}",
            done.stderr
        );
        assert!(
            done.stderr.contains("3 in row 1") && done.stderr.contains("bad.npy"),
            "{}",
            done.stderr
        );
        assert_eq!(folder.list(), ["bad.npy", "x.npy"]);
    }
    // One output that cannot be written leaves the other alone, too.
    let good = folder.file("good.npy", &labels::<8>("<i8", &[0, 2]));
    std::fs::create_dir(&grad).unwrap();
    refused(
        &["compute", "cross-entropy", &x, &good, "--out", &out, "--grad", &grad],
        1,
        "grad.npy",
    );
    assert_eq!(folder.list(), ["bad.npy", "good.npy", "grad.npy", "x.npy"]);
}

#[test]
fn values_out_of_range_are_named() {
    let folder = Folder::new();
    let file = |name: &str, data: &[f32]| folder.file(name, &npy_f32(data, "(2, 2)"));
    let x = file("x.npy", &[0.5, 0.25, 1.0, 0.0]);
    let outside = file("outside.npy", &[0.5, 0.25, 1.5, -1.0]);
    let nan = file("nan.npy", &[0.5, f32::NAN, 0.5, f32::INFINITY]);
    let weight = file("weight.npy", &[1.0, 2.0, 3.0, -0.5]);
    let before = folder.list();
    let out = folder.path("loss.npy");
    let bce = |backend, more: &[&str]| {
        let start = ["compute", "bce", "--reduction", "none", "--out", &out];
        run_on(backend, &[&start, more].concat())
    };
    for backend in ["cpu", "gpu"] {
        for (args, role, file, text) in [
            (
                &[outside.as_str(), &x][..],
                "input",
                &outside,
                "2 of 4 elements out of range: the first is 1.5 at [1, 0], expected a number in [0, 1]",
            ),
            (
                &[&x, &outside, "--strict"],
                "target",
                &outside,
                "2 of 4 elements out of range: the first is 1.5 at [1, 0], expected a number in [0, 1]",
            ),
            (
                &[&x, &x, "--weight", &weight, "--strict"],
                "weight",
                &weight,
                "1 of 4 elements out of range: the first is -0.5 at [1, 1], expected a number of at least 0",
            ),
            (
                &[&x, &nan, "--on-nan", "error"],
                "target",
                &nan,
                "2 of 4 elements out of range: the first is NaN at [0, 1], expected a finite number",
            ),
        ] {
            let done = bce(backend, args);
            assert_eq!((done.code, done.stdout.as_str()), (1, ""), "{}", done.stderr);
            assert_eq!(done.stderr, format!("error: {role} ({file}): {text}\n"));
            assert_eq!(folder.list(), before);
        }
        // As PyTorch computes, where nobody asks; and what is asked for changes no result.
        for args in [
            &[x.as_str(), &outside, "--on-nan", "error"][..],
            &[&x, &nan, "--on-nan", "propagate"],
            &[&x, &x, "--weight", &weight],
        ] {
            assert_eq!(bce(backend, args).code, 0, "{args:?}");
        }
        std::fs::remove_file(&out).unwrap();
        let json = |more: &[&str]| {
            let mut json = run_on(backend, &[&["compute", "bce", &x, &x, "--json"], more].concat()).json();
            json.as_object_mut().unwrap().remove("ms");
            json
        };
        let keys = |json: &serde_json::Value| json.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        let (plain, asked) = (json(&[]), json(&["--strict", "--on-nan", "error"]));
        assert_eq!((keys(&plain), &plain["loss"]), (keys(&asked), &asked["loss"]));
    }
    refused(&["compute", "bce", &x, &x, "--on-nan", "ignore"], 2, "ignore");
}

#[test]
fn broken_npy_files_are_named() {
    let folder = Folder::new();
    let t = folder.file("t.npy", &labels::<8>("<i8", &[0, 2]));
    let whole = npy_f32(&grid(6), "(2, 3)");
    let mut long = whole.clone();
    long.push(0);
    let mut version = whole.clone();
    version[6] = 9;
    let mut header_of_4_gib = b"\x93NUMPY\x02\x00\xff\xff\xff\xff".to_vec();
    header_of_4_gib.extend(b"{'descr'");
    for (bytes, text) in [
        (whole[..140].to_vec(), "the file holds 12: it is cut off"),
        (whole[..50].to_vec(), "cut off within its header"),
        (whole[..9].to_vec(), "cut off within its header"),
        (whole[..4].to_vec(), "neither a .npy file"),
        (b"PK\x03\x04 a zip archive".to_vec(), "neither a .npy file"),
        (Vec::new(), "is empty"),
        (long, "takes 24 bytes, the file holds 25"),
        (version, "version 9"),
        (header_of_4_gib, "cut off within its header"),
        (
            npy_f32(&[], "(1099511627776, 3)"),
            "takes 13194139533312 bytes, the file holds 0",
        ),
        (
            npy_f32(&[], "(4611686018427387904, 4611686018427387904)"),
            "too large to address",
        ),
        (npy_f32(&[], "(99999999999999999999999,)"), "bad shape"),
        (npy_f32(&[], "(-1,)"), "bad shape"),
        (npy("|V1", "(6,)", &[0; 6]), "holds |V1 (float8 or less)"),
        (npy("<f1", "(6,)", &[0; 6]), "holds <f1 (float8 or less)"),
        (npy("<c8", "(6,)", &[0; 48]), "holds <c8 (complex numbers)"),
        (npy("|O", "(6,)", &[0; 48]), "holds |O (Python objects)"),
    ] {
        let file = folder.file("broken.npy", &bytes);
        refused(&["compute", "cross-entropy", &file, &t], 1, text);
        refused(&["compute", "cross-entropy", &file, &t], 1, "broken.npy: ");
    }
    let (x, huge) = (
        folder.file("x.npy", &whole),
        folder.file("huge.npy", &npy("<u8", "(2,)", &[255; 16])),
    );
    let text = "2 of 2 class indices out of range: the first is 18446744073709551615 in row 0, expected 0 to 2";
    for backend in ["cpu", "gpu"] {
        for memory in ["1GiB", "1kB"] {
            let args = [
                "compute",
                "cross-entropy",
                &x,
                &huge,
                "--memory",
                memory,
                "--backend",
                backend,
            ];
            if backend == "cpu" || memory == "1GiB" {
                refused(&args, 1, text);
            }
        }
        // What wraps around to it is not the index that is ignored.
        for (ignored, label) in [
            ("-1", u64::MAX),
            ("-100", u64::MAX - 99),
            ("9223372036854775807", u64::MAX),
        ] {
            let labels: Vec<u8> = [0, label].iter().flat_map(|x| x.to_le_bytes()).collect();
            let t = folder.file("t8.npy", &npy("<u8", "(2,)", &labels));
            let args = [
                "compute",
                "cross-entropy",
                &x,
                &t,
                "--ignore-index",
                ignored,
                "--backend",
                backend,
            ];
            refused(
                &args,
                1,
                &format!("1 of 2 class indices out of range: the first is {label} in row 1, "),
            );
        }
    }
    refused(
        &["compute", "cross-entropy", &folder.path("missing.npy"), &t],
        1,
        "missing.npy: ",
    );
    refused(&["compute", "cross-entropy", &folder.path(""), &t], 1, "is a folder");
}

#[test]
fn broken_safetensors_files_are_named() {
    let folder = Folder::new();
    let t = folder.file("t.npy", &labels::<8>("<i8", &[0, 2]));
    let file = folder.safetensors("x.safetensors", "logits", &grid(6), &[2, 3]);
    refused(
        &["compute", "cross-entropy", &format!("{file}:lost"), &t],
        1,
        "no key \"lost\"; its keys: logits",
    );
    refused(&["compute", "cross-entropy", &file, &t], 1, "its keys: logits");
    let bytes = std::fs::read(&file).unwrap();
    for cut in [0, 7, 20, bytes.len() - 1] {
        let file = folder.file("cut.safetensors", &bytes[..cut]);
        refused(
            &["compute", "cross-entropy", &format!("{file}:logits"), &t],
            1,
            "cut.safetensors:logits: ",
        );
    }
    let file = folder.file("huge.safetensors", &[255; 16]);
    refused(
        &["compute", "cross-entropy", &format!("{file}:logits"), &t],
        1,
        "not a whole .safetensors file",
    );
}

#[test]
fn shapes_are_refused_with_the_file() {
    let folder = Folder::new();
    let x = folder.file("x.npy", &npy_f32(&grid(6), "(2, 3)"));
    let long = folder.file("long.npy", &labels::<8>("<i8", &[0, 2, 1]));
    let t = folder.file("t.npy", &labels::<8>("<i8", &[0, 2]));
    for backend in ["cpu", "gpu"] {
        let done = run_on(backend, &["compute", "cross-entropy", &x, &long]);
        assert_eq!(done.code, 1);
        assert!(done.stderr.contains("long.npy): expected shape [2]"), "{}", done.stderr);
    }
    refused(
        &["compute", "cross-entropy", &x, &t, "--weight", &x],
        1,
        "error: weight (",
    );
    refused(
        &["compute", "cross-entropy", &x, &t, "--grad-output", &x],
        1,
        "error: grad_output (",
    );
    let grad = folder.path("grad.npy");
    refused(
        &["compute", "cross-entropy", &x, &t, "--grad", &grad, "--grad-lse", &x],
        1,
        "x.npy): expected shape [2] (one for each row), got [2, 3]",
    );
    refused(
        &["compute", "cross-entropy", &x, &t, "--grad-entropy", &x],
        2,
        "--grad-entropy: there is no gradient without --grad",
    );
    refused(
        &["compute", "nll", &x, &t, "--grad", &grad, "--grad-lse", &x],
        2,
        "unexpected argument '--grad-lse'",
    );
}
