//! Losses, options and gradients by PyTorch's names, and what is said of names that there are not.

mod common;

use common::{DIGITS, Folder, grid, labels, npy_f32, read_f32, run, run_on};
use serde_json::{Value, json};

/// The arguments of a loss, from those of another spelling of it.
fn loss_of(args: &[&str]) -> Value {
    let done = run_on("cpu", &[&["compute"], args, &["--json"]].concat());
    assert_eq!(done.code, 0, "{args:?}: {}", done.stderr);
    done.json()["loss"].clone()
}

#[test]
fn losses_go_by_the_names_of_pytorch() {
    let folder = Folder::new();
    let [logits, classes] = DIGITS;
    let p = folder.file("p.npy", &npy_f32(&[0.25, 0.5, 1.0, 0.0], "(2, 2)"));
    let x = folder.file("x.npy", &npy_f32(&grid(4), "(2, 2)"));
    for (ours, names) in [
        ("bce", &["binary_cross_entropy", "binary-cross-entropy", "BCELoss"][..]),
        (
            "bce-with-logits",
            &[
                "binary_cross_entropy_with_logits",
                "BCEWithLogitsLoss",
                "bcewithlogitsloss",
            ],
        ),
        ("l1", &["l1_loss", "L1Loss"]),
        ("sigmoid-focal", &["sigmoid_focal_loss"]),
    ] {
        for name in names {
            assert_eq!(loss_of(&[name, &p, &p]), loss_of(&[ours, &p, &p]), "{name}");
        }
    }
    let entropy = loss_of(&["cross-entropy", logits, classes, "--label-smoothing", "0.1"]);
    let same = ["CrossEntropyLoss", logits, classes, "--label_smoothing", "0.1"];
    assert_eq!(loss_of(&same), entropy);

    // Reductions have words of their own, and other words for their options.
    for (word, op) in [
        ("sum", "sum"),
        ("mean", "mean"),
        ("amax", "max"),
        ("max", "amax"),
        ("amin", "min"),
        ("min", "amin"),
        ("logsumexp", "logsumexp"),
        ("argmax", "argmax"),
    ] {
        let plain = loss_of(&["reduce", &x, "--op", op, "--dim", "1"]);
        assert_eq!(loss_of(&[word, &x, "--dim", "1"]), plain, "{word}");
    }
    let done = run_on("cpu", &["compute", "amax", &x, "--op", "sum"]);
    assert!(done.code == 2 && done.stderr.contains("--op"), "{}", done.stderr);

    let list = run(&["losses", "--json"]).json();
    let of = |name: &str| list.as_array().unwrap().iter().find(|own| own["name"] == name).unwrap();
    assert_eq!(of("bce")["aliases"], json!(["binary_cross_entropy", "BCELoss"]));
    assert_eq!(
        of("reduce")["options"][0]["aliases"],
        json!({ "amax": "max", "amin": "min" })
    );
    assert_eq!(
        of("reduce")["presets"][3],
        json!({ "name": "amax", "options": { "op": "max" } })
    );
    let text = run(&["losses"]).stdout;
    for line in [
        "also named           binary_cross_entropy, BCELoss",
        "amin                 as a name of its own: --op min",
    ] {
        assert!(text.contains(line), "{line}");
    }
}

#[test]
fn bench_takes_the_names_too() {
    let bench = |loss: &str| {
        let done = run(&[
            "bench", loss, "--shape", "4096", "--mode", "forward", "--runs", "1", "--json",
        ]);
        assert_eq!(done.code, 0, "{}", done.stderr);
        let rows = done.json()["rows"].as_array().unwrap().clone();
        rows.iter().map(|row| row["options"].to_string()).collect::<Vec<_>>()
    };
    let rows = bench("amin");
    assert!(rows.len() == 1 && rows[0].contains("min"), "{rows:?}");
    assert_eq!(bench("MSELoss").len(), 1);
}

#[test]
fn the_first_gradient_has_its_tensors_name() {
    let folder = Folder::new();
    let x = folder.file("x.npy", &npy_f32(&grid(4), "(2, 2)"));
    let signs = folder.file("t.npy", &labels::<8>("<i8", &[1, -1]));
    for (args, name) in [
        (&["mse", &x, &x][..], "input"),
        (&["softmax", &x], "input"),
        (&["amax", &x], "input"),
        (&["cosine-embedding", &x, &x, &signs], "input1"),
        (&["triplet-margin", &x, &x, &x], "anchor"),
    ] {
        let files = [folder.path("a.npy"), folder.path("b.npy")];
        let options = ["--grad".to_owned(), format!("--grad-{name}")];
        for (file, option) in files.iter().zip(&options) {
            let done = run_on("cpu", &[&["compute"], args, &[option.as_str(), file]].concat());
            assert_eq!(done.code, 0, "{option}: {}", done.stderr);
        }
        assert_eq!(read_f32(&files[0]), read_f32(&files[1]));
        let both = [options[0].as_str(), &files[0], &options[1], &files[1]];
        let done = run_on("cpu", &[&["compute"], args, &both].concat());
        assert!(
            done.code == 2 && done.stderr.contains("cannot be used multiple times"),
            "{}",
            done.stderr
        );
        let help = run(&["compute", args[0], "--help"]).stdout;
        assert!(help.contains(&format!("--grad-{name}")), "{help}");
    }
}

#[test]
fn no_tip_leads_to_another_result() {
    let tip = |args: &[&str]| {
        let done = run(args);
        assert_eq!(done.code, 2, "{args:?}: {}", done.stderr);
        done.stderr
    };
    for name in ["ctc_loss", "nll_loss2d", "dice", "mae", "l2_loss", "softmin", "argmin"] {
        let wanted = format!("error: there is no loss {name:?}; `wgloss losses` lists those that there are\n");
        assert_eq!(tip(&["compute", name, "a", "b"]), wanted);
        assert!(
            tip(&["check", name]).contains(wanted.trim_start_matches("error: ").trim_end()),
            "{name}"
        );
    }
    let plain = |args: &[&str]| {
        let text = tip(args);
        assert!(!text.contains("tip:") && !text.contains("FILE"), "{args:?}: {text}");
        text
    };
    // Another tensor's gradient, a file that would be read, another option.
    plain(&["compute", "mse", "a", "b", "--grad-input2", "g"]);
    plain(&["compute", "soft-margin", "a", "b", "--grad-target", "g"]);
    plain(&["compute", "cross-entropy", "a", "b", "--grad-weight", "g"]);
    plain(&["compute", "mse", "a", "b", "--weight", "w"]);
    plain(&["compute", "huber", "a", "b", "--beta", "1"]);
    plain(&["compute", "mse", "a", "b", "--reduction", "median"]);
    // A slip is no other thing.
    let text = tip(&["compute", "cross-entropy", "a", "b", "--label-smothing", "0.1"]);
    assert!(text.contains("--label-smoothing"), "{text}");
    let text = tip(&["compute", "huber_los", "a", "b"]);
    assert!(text.contains("(did you mean huber_loss?)"), "{text}");
}
