//! `wgloss plan`: without an adapter, the bytes are those that can be counted by hand, and errors are those of
//! `compute`.

mod common;

use common::{Folder, blind, blind_json as json, npy_f32, refused_blind as refused, run};
use serde_json::Value;

/// Bytes read and written of all steps, and the least.
fn sums(args: &str) -> ([u64; 2], [u64; 2]) {
    let plan = json(&format!("plan {args}"));
    let pair = |own: &Value| ["read_bytes", "written_bytes"].map(|key| own[key].as_u64().unwrap());
    (pair(&plan), pair(&plan["least"]))
}

const ROWS: u64 = 4096;
const WHOLE: u64 = ROWS * 1000 * 4;
const LABELS: u64 = ROWS * 8;
/// The record that the count of labels leaves: ten words.
const CONTROL: u64 = 40;

#[test]
fn sums_are_what_is_counted_by_hand() {
    // Labels are read by their count and by the kernel, whose 512 workgroups leave a sum each.
    let cross_entropy = "cross-entropy --shape 4096x1000";
    let tiles = 4 * ROWS / 8;
    let read = WHOLE + 2 * LABELS + 2 * CONTROL + tiles;
    let written = WHOLE + CONTROL + tiles + 4;
    assert_eq!(sums(cross_entropy), ([read, written], [WHOLE + LABELS, WHOLE + 4]));
    let backward = format!("{cross_entropy} --mode backward");
    let (read, written) = (WHOLE + 2 * LABELS + CONTROL, WHOLE + CONTROL);
    assert_eq!(sums(&backward), ([read, written], [WHOLE + LABELS, WHOLE]));

    // A lane of a software adapter goes through its rows twice; a workgroup of 8 has 8 or more rows.
    let plan = json(&format!("plan {cross_entropy} --class software8 --mode backward"));
    let step = &plan["steps"][1];
    assert_eq!(step["rows_read"], 2);
    assert_eq!(step["lanes_to_a_row"], 1);
    assert_eq!(step["read_bytes"], 2 * WHOLE + LABELS + CONTROL);
    assert_eq!(step["written_bytes"], WHOLE);

    // 1000 tiles of 4096 elements: fewer would be fewer workgroups than a GPU wants.
    let read = 2 * WHOLE + 1000 * 4;
    let written = WHOLE + 1000 * 4 + 4;
    assert_eq!(sums("mse --shape 4096x1000"), ([read, written], [2 * WHOLE, WHOLE + 4]));
    // In place, and added to what is there.
    assert_eq!(sums("mse --shape 4096x1000 --grad-to in-place").0, [read, written]);
    let added = sums("mse --shape 4096x1000 --grad-to add");
    assert_eq!(added, ([read + WHOLE, written], [3 * WHOLE, WHOLE + 4]));
    // What has 16 bits, all of it; odd rows share words, of which each half is written once.
    let half = 4097 * 1001 * 2;
    let (moved, _) = sums("mse --shape 4097x1001:f16 --mode backward --grad-target");
    assert_eq!(moved, [2 * half, 2 * half]);
    // A target that broadcasts counts once.
    let (moved, least) = sums("mse --shape 4096x1000 --target 1000 --mode backward");
    assert_eq!((moved, least), ([WHOLE + 4000, WHOLE], [WHOLE + 4000, WHOLE]));

    // Of nll, one element of each row is looked at.
    let (moved, least) = sums("nll --shape 4096x1000 --mode forward --reduction none");
    assert_eq!(least, [4 * ROWS + LABELS, 4 * ROWS]);
    assert_eq!(moved, [4 * ROWS + 2 * LABELS, 4 * ROWS + CONTROL]);

    // Rows of a softmax that no workgroup folds alone: read once for their tiles' states, once for what is written.
    let wide = 1000 * 300_000 * 4;
    let ([read, written], least) = sums("softmax --shape 1000x300000 --mode forward");
    assert_eq!(least, [wide, wide]);
    assert!((2 * wide..2 * wide + wide / 100).contains(&read), "{read}");
    assert!((wide..wide + wide / 100).contains(&written), "{written}");
}

/// Whatever the loss: nothing is left out that cannot be.
#[test]
fn no_plan_moves_less_than_the_least() {
    for loss in common::losses() {
        for shape in ["4096x1000", "64x41:bf16"] {
            for call in [
                "",
                "--mode forward --class software8",
                "--mode backward --limits webgpu --subgroup 1",
            ] {
                let args = format!("{loss} --shape {shape} {call}");
                let (moved, least) = sums(&args);
                assert!(
                    moved[0] >= least[0] && moved[1] >= least[1],
                    "{args}: {moved:?} {least:?}"
                );
            }
        }
    }
}

#[test]
fn steps_of_optimizers() {
    let n = 1_000_000;
    assert_eq!(sums("adam --shape 1000000"), ([16 * n, 12 * n], [16 * n, 12 * n]));
    assert_eq!(
        sums("adamw --shape 1000000:bf16 --amsgrad --steps 9").0,
        [16 * n, 14 * n]
    );
    assert_eq!(sums("sgd --shape 1000x1000:f16 --grad f32").0, [6 * n, 2 * n]);
    let plan = json("plan sgd --shape 1000000 --momentum 0.9 --steps 3");
    assert_eq!(plan["call"], "sgd step 4");
    assert_eq!(plan["tensors"][2]["name"], "momentum_buffer");
    let shown = json("shader Adam --shape 1000 --amsgrad");
    assert_eq!(shown["pipelines"][0]["constants"]["AMSGRAD"], true);
}

#[test]
fn the_plan_tells_what_the_device_is() {
    let plan = json("plan cross-entropy --shape 4096x1000 --limits webgpu --class integrated --subgroup 64");
    let device = &plan["device"];
    assert_eq!(device["class"], "integrated");
    assert_eq!(device["subgroup"], 64);
    assert_eq!(device["limits"]["invocations"], 256);
    assert_eq!(device["limits"]["workgroup_bytes"], 16 << 10);
    assert_eq!(device["limits"]["binding_bytes"], 128 << 20);
    // 5 GB in bindings of 128 MiB, dispatches of 64 MiB.
    let plan = json("plan mse --shape 625000x1000 --limits webgpu --class integrated");
    assert!(plan["dispatches"].as_u64().unwrap() > 7_500_000_000 / (64 << 20));
    assert!(plan["submissions"].as_u64().unwrap() <= 10, "{plan}");
    assert_eq!(device["f16"], "integer");
    let plan = json("plan mse --shape 4:f16 --f16 both");
    assert_eq!(plan["device"]["f16"], "both");
    let (code, message) = refused("plan mse --shape 4 --f16 maybe");
    assert!(
        code == 2 && message.contains("integer, unpack, pack, both"),
        "{message}"
    );
    let (code, message) = refused("plan mse --shape 4 --subgroup 12");
    assert_eq!(code, 2);
    assert!(
        message.contains("12 given, expected a power of two from 1 to 128"),
        "{message}"
    );
    let table = blind("plan cross-entropy --shape 4096x1000").stdout;
    for told in [
        "lanes to a row",
        "1 submission and 0 waits at 500 GB/s\n",
        "2,048 bytes of scratch in 1 buffer",
        "32,837,756 bytes moved",
    ] {
        assert!(table.contains(told), "{table}");
    }
}

/// Submissions grow as the pace allows, and all bytes of the row that is largest go out in few.
#[test]
fn the_plan_tells_submissions_and_waits() {
    let call = "plan cross-entropy --shape 8192x128256 --class";
    let counts = |plan: &Value, which: &str| {
        let own = &plan["courses"][which];
        ["submissions", "waits"].map(|name| own[name].as_u64().unwrap())
    };
    for (class, most) in [("integrated", 12), ("discrete", 6)] {
        let plan = json(&format!("{call} {class}"));
        let [submissions, waits] = counts(&plan, "first");
        assert!(submissions <= most && waits + 2 <= submissions, "{plan}");
        assert_eq!(plan["submissions"], submissions);
        assert_eq!(plan["waits"], waits);
        let steps = plan["steps"].as_array().unwrap();
        assert_eq!(steps.last().unwrap()["submission"], submissions);
        assert!(counts(&plan, "next")[0] < submissions, "{plan}");
        // A dispatch each, but for the small ones.
        let dispatches = plan["dispatches"].as_u64().unwrap();
        assert!(counts(&plan, "slowest")[0] + 5 > dispatches, "{plan}");
        assert_eq!(steps.len() as u64, dispatches);
        let slow = json(&format!("{call} {class} --pace 1"));
        assert!(counts(&slow, "first")[0] > submissions, "{slow}");
    }
    // Nobody watches over the processor, and nobody waits for it.
    let plan = json(&format!("{call} software8"));
    assert_eq!(plan["waits"], 0);
    let (code, message) = refused("plan mse --shape 4 --pace 0");
    assert_eq!(code, 2);
    assert!(
        message.contains("--pace 0: expected GB/s from 0.001 to 1000000"),
        "{message}"
    );
}

/// The same words as `compute`, with the argument in the place of the file.
#[test]
fn wrong_tensors_get_the_errors_of_compute() {
    let folder = Folder::new();
    let input = folder.file("x.npy", &npy_f32(&[0.0; 12], "(4, 3)"));
    let flat = folder.file("t.npy", &npy_f32(&[0.0; 5], "(5,)"));
    let labels = folder.file("l.npy", &common::labels::<8>("<i8", &[0, 1, 2, 0, 1]));
    let without = |text: &str, given: &str| text.replacen(&format!(" ({given})"), "", 1);
    for (loss, target, spec) in [
        ("mse", &flat, "5:f32"),
        ("cross-entropy", &labels, "5:i64"),
        ("cross-entropy", &flat, "5:f32"),
        ("kl-div", &labels, "5:i64"),
        ("multi-margin", &flat, "5:f32"),
    ] {
        let done = run(&["compute", loss, &input, target, "--backend", "cpu"]);
        assert_eq!(done.code, 1, "{loss}: {}", done.stdout);
        for command in ["plan", "shader"] {
            let (code, message) = refused(&format!("{command} {loss} --shape 4x3 --target {spec} --mode forward"));
            assert_eq!(code, 1);
            assert_eq!(
                without(&message, &format!("--target {spec}")),
                without(&done.stderr, target),
                "{loss}"
            );
        }
    }
    for (args, words) in [
        (
            "plan mse --shape 4x3:i32",
            "input (--shape 4x3:i32): is i32: there is no gradient by integers",
        ),
        ("plan argmax --shape 4x3", "argmax has no gradient"),
        ("plan cross-entropy --shape 4x3 --weight 4", "weight (--weight 4): "),
        ("plan adam --shape 8 --grad 9", "grad (--grad 9): expected shape [8]"),
        (
            "plan cross-entropy --shape 4x3 --label-smoothing 2",
            "label_smoothing: ",
        ),
        (
            "plan mse --shape 4 --mode forward --grad-to add",
            "--grad-to add: there is no gradient in --mode forward",
        ),
        ("plan foo --shape 4", "there is no loss \"foo\""),
        ("plan mse --shape bf16", "bf16 has no shape"),
    ] {
        let (_, message) = refused(args);
        assert!(message.contains(words), "{args}: {message}");
    }
}

/// What memories see of a call is traced on an adapter, which is asked for by `--sectors` alone.
#[test]
fn sectors_are_traced_on_an_adapter() {
    let call = "plan mse --shape 1048576 --sectors";
    let (code, message) = refused(call);
    assert_eq!(code, 1);
    assert!(
        message.contains("--sectors: ") && message.contains("adapter"),
        "{message}"
    );
    let words: Vec<&str> = call.split_whitespace().collect();
    let done = run(&words);
    if done.code != 0 && done.stderr.contains("no Vulkan, Metal or DX12 adapter") {
        eprintln!("skipped: no adapter");
        return;
    }
    assert_eq!(done.code, 0, "{}", done.stderr);
    for told in [
        "read efficiency",
        "write efficiency",
        "input 1.000 read",
        "grad_input 1.000 written",
    ] {
        assert!(done.stdout.contains(told), "{}", done.stdout);
    }
    let plan = run(&[&words[..], &["--json"]].concat()).json();
    for way in ["read", "written"] {
        // The loss is four bytes of a sector.
        let own = plan["sectors"]["operands"][way]["efficiency"].as_f64().unwrap();
        assert!(own > 0.999, "{plan}");
    }
    assert_eq!(plan["steps"][0]["sectors"]["tile"], 255, "of 512, the middle one");
    assert_eq!(plan["steps"][0]["sectors"]["read"]["wanted_bytes"], 2 * 4 * 2048);
}

/// Rows that are read once move the least there is, but for their states and records.
#[test]
fn rows_move_no_more_than_they_must() {
    for args in [
        "sum --shape 33554432 --mode fused",
        "mean --shape 33554432:bf16 --mode backward",
        "mse --shape 33554432 --mode fused",
        "nll --shape 4x1000000 --mode backward",
        "cross-entropy --shape 1024x32000 --mode fused",
        "adamw --shape 100000000:bf16 --steps 1",
    ] {
        let plan = json(&format!("plan {args}"));
        let moved = |own: &serde_json::Value| {
            let of = |name: &str| own[name].as_u64().unwrap() as f64;
            of("read_bytes") + of("written_bytes")
        };
        let times = moved(&plan) / moved(&plan["least"]);
        assert!((1.0..1.01).contains(&times), "{args}: {times} times the least");
    }
}
