//! Where results go: standard output, names and what they say, folders.

mod common;

use std::process::{Command, Stdio};

use common::{DIGITS, Folder, grid, npy_f32, read_f32, run, run_on};

/// The program's stdout as bytes, its stderr and its exit code.
fn piped(args: &[&str]) -> (Vec<u8>, String, i32) {
    let output = Command::new(env!("CARGO_BIN_EXE_wgloss")).args(args).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    (output.stdout, stderr, output.status.code().unwrap())
}

fn refused(args: &[&str], code: i32, text: &str) {
    let done = run(args);
    assert_eq!(
        (done.code, done.stdout.as_str()),
        (code, ""),
        "{args:?}: {}",
        done.stderr
    );
    assert!(done.stderr.contains(text), "{args:?}: {}", done.stderr);
}

#[test]
fn one_result_may_go_to_standard_output() {
    let folder = Folder::new();
    let [logits, classes] = DIGITS;
    let large = folder.file("x.npy", &npy_f32(&grid(400_000), "(4000, 100)"));
    for backend in ["cpu", "gpu"] {
        let file = folder.path("file.npy");
        let call = ["compute", "cross-entropy", logits, classes, "--backend", backend];
        assert_eq!(run(&[&call[..], &["--grad", &file]].concat()).code, 0);
        let (bytes, told, code) = piped(&[&call[..], &["--grad", "-"]].concat());
        assert!(code == 0 && bytes == std::fs::read(&file).unwrap(), "{told}");
        assert!(told.contains("cross_entropy (mean) 0.123192 "), "{told}");
        assert!(
            told.ends_with("gradient of input written to standard output\n"),
            "{told}"
        );

        // Streamed, too, where windows come in any order; and JSON is beside it.
        let call = ["compute", "mse", &large, &large, "--backend", backend, "--json"];
        let target = folder.path("target.npy");
        assert_eq!(run(&[&call[..], &["--grad", &file]].concat()).code, 0);
        let more = ["--grad", "-", "--grad-target", &target, "--memory", "3MB"];
        let (bytes, told, code) = piped(&[&call[..], &more].concat());
        assert!(code == 0 && bytes == std::fs::read(&file).unwrap(), "{told}");
        let json: serde_json::Value = serde_json::from_str(&told).unwrap();
        assert!(json["stream"]["parts"].as_u64().unwrap() > 1, "{told}");
        assert_eq!(read_f32(&target).1.len(), 400_000);
    }
    let call = ["compute", "cross-entropy", logits, classes];
    refused(
        &[&call[..], &["--out", "-", "--grad", "-"]].concat(),
        2,
        "--out and --grad are both -, and there is one standard output",
    );
    refused(
        &[&call[..], &["--grad", "-", "--dtype", "bf16"]].concat(),
        2,
        "--grad -: what goes to standard output is a .npy file, which cannot hold bf16; name a file that ends in .safetensors, \
         or take --dtype f32",
    );
    refused(&["bench", "--svg", "-"], 1, "--svg -: a file is needed here");
    assert!(!folder.list().contains(&"-".to_owned()));
}

#[test]
fn a_step_may_go_to_standard_output() {
    let folder = Folder::new();
    let x = folder.file("x.npy", &npy_f32(&grid(4), "(4,)"));
    let file = folder.path("file.npy");
    let call = ["step", "SGD", &x, &x, "--lr", "0.5", "--backend", "cpu", "--out"];
    assert_eq!(run(&[&call[..], &[&file]].concat()).code, 0);
    let (bytes, told, code) = piped(&[&call[..], &["-"]].concat());
    assert!(code == 0 && bytes == std::fs::read(&file).unwrap(), "{told}");
    assert!(told.ends_with("parameter written to standard output\n"), "{told}");
    let (bytes, told, _) = piped(&[&call[..], &["-", "--json"]].concat());
    let json: serde_json::Value = serde_json::from_str(&told).unwrap();
    assert!(json["optimizer"] == "sgd" && bytes == std::fs::read(&file).unwrap());
    let half = folder.path("half.safetensors:p");
    let to_half = ["compute", "softmax", &x, "--dtype", "bf16", "--out", &half];
    assert_eq!(run_on("cpu", &to_half).code, 0);
    refused(
        &["step", "sgd", &half, &half, "--out", "-"],
        1,
        "cannot hold bf16; name a file that ends in .safetensors",
    );
    let state = ["step", "adam", &x, &x, "--out", &file, "--state-out", "-"];
    refused(&state, 2, "--state-out -: expected a file named .safetensors");
}

fn mse_with_its_gradient_on_stdout(x: &str, loss: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wgloss"));
    command.args(["compute", "mse", x, x, "--grad", "-", "--out", loss, "--backend", "cpu"]);
    command
}

/// A reader that has read enough ends nothing badly, and the other files come all the same.
#[test]
fn a_reader_may_go() {
    let folder = Folder::new();
    let x = folder.file("x.npy", &npy_f32(&grid(1 << 18), "(512, 512)"));
    let loss = folder.path("loss.npy");
    let mut command = mse_with_its_gradient_on_stdout(&x, &loss);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && !told.contains("panic"), "{told}");
    assert_eq!(read_f32(&loss).1, [0.0]);
}

#[test]
#[cfg(target_os = "linux")]
fn a_result_that_cannot_be_written_leaves_no_file() {
    let folder = Folder::new();
    let x = folder.file("x.npy", &npy_f32(&grid(4), "(2, 2)"));
    let loss = folder.path("loss.npy");
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = mse_with_its_gradient_on_stdout(&x, &loss)
        .stdout(full)
        .output()
        .unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(
        output.status.code() == Some(1) && told.contains("error: --grad -: "),
        "{told}"
    );
    assert_eq!(folder.list(), ["x.npy"]);
}

#[test]
fn names_decide_the_format() {
    let folder = Folder::new();
    let x = folder.file("x.npy", &npy_f32(&grid(4), "(2, 2)"));
    let out = |name: &str| {
        let path = folder.path(name);
        let done = run_on("cpu", &["compute", "mse", &x, &x, "--grad", &path]);
        assert_eq!(done.code, 0, "{name}: {}", done.stderr);
        std::fs::read(path.trim_end_matches(":k")).unwrap()
    };
    for name in ["plain", "a.NPY", ".hidden"] {
        assert!(out(name).starts_with(b"\x93NUMPY"), "{name}");
    }
    for (name, key) in [("A.SAFETENSORS", "grad"), ("B.SafeTensors:k", "k")] {
        let bytes = out(name);
        let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        assert_eq!(file.names(), [key]);
    }
    // And they are read by the same names.
    let back = folder.path("B.SafeTensors:k");
    assert_eq!(run_on("cpu", &["compute", "mse", &back, &x]).code, 0);
    let before = folder.list();
    for name in ["o.pt", "o.npz", "o.csv", "o.safetensor", "o.npy.gz", "o.npy:k", "o.v2"] {
        let path = folder.path(name);
        let extension = name.split_once('.').unwrap().1.rsplit('.').next().unwrap();
        let text = format!("--out {path}: there is no way to write .{extension}; name a file .npy or .safetensors");
        refused(&["compute", "mse", &x, &x, "--out", &path], 2, &text);
        refused(&["step", "sgd", &x, &x, "--out", &path], 2, &text);
    }
    std::fs::create_dir(folder.path("there")).unwrap();
    for (name, text) in [
        ("results/", "is a folder, expected a file"),
        ("there/", "is a folder, expected a file"),
        ("there", "is a folder, expected a file"),
        ("none/o.npy", "does not exist"),
    ] {
        let path = folder.path(name);
        refused(&["compute", "mse", &x, &x, "--out", &path], 1, text);
        refused(&["step", "sgd", &x, &x, "--out", &path], 1, text);
        refused(&["bench", "mse", "--svg", &path.replace(".npy", ".svg")], 1, text);
    }
    refused(
        &["bench", "mse", "--svg", &folder.path("o.png")],
        2,
        "the picture is an SVG; name a file .svg",
    );
    std::fs::remove_dir(folder.path("there")).unwrap();
    assert_eq!(folder.list(), before);
}

/// The file behind it is the shell's, not one to be replaced.
#[test]
#[cfg(target_os = "linux")]
fn devices_are_no_files() {
    let folder = Folder::new();
    let x = folder.file("x.npy", &npy_f32(&grid(4), "(2, 2)"));
    for device in ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1", "/dev/null"] {
        let opened = std::fs::File::create(folder.path("shell.npy")).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_wgloss"));
        command.args(["compute", "mse", &x, &x, "--backend", "cpu", "--out", device]);
        let output = command.stdout(opened).output().unwrap();
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!(told, format!("error: --out {device}: is not a regular file\n"));
        assert_eq!(std::fs::read(folder.path("shell.npy")).unwrap(), b"");
    }
}
