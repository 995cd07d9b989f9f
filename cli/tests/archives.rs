//! Arrays in .npz files.

mod common;

use common::zip::{Style, archive};
use common::{Folder, grid, labels, npy, npy_f32, run, run_on};

const BACKENDS: [&str; 2] = ["cpu", "gpu"];

/// numpy's own, with `x = np.array([[0.5, -1, 2], [3, -0.25, 1]], "f4")` and `t = np.array([2, 0])`:
/// `np.savez(…, x=x, t=t)` and `np.savez_compressed(…, x=np.asfortranarray(x), t=t)`.
const SAVED: [&[u8]; 2] = [
    include_bytes!("data/savez.npz"),
    include_bytes!("data/savez_compressed.npz"),
];

#[test]
fn archives_of_numpy_hold_the_arrays_that_were_saved() {
    let folder = Folder::new();
    let x = folder.file("x.npy", &npy_f32(&[0.5, -1.0, 2.0, 3.0, -0.25, 1.0], "(2, 3)"));
    let t = folder.file("t.npy", &labels::<8>("<i8", &[2, 0]));
    for backend in BACKENDS {
        let loss = |x: &str, t: &str| {
            let done = run_on(backend, &["compute", "cross-entropy", x, t, "--json"]);
            assert_eq!((done.code, done.stderr.as_str()), (0, ""), "{x} {t}");
            done.json()["loss"].as_f64().unwrap()
        };
        let want = loss(&x, &t);
        for bytes in SAVED {
            let file = folder.file("a.npz", bytes);
            for [x, t] in [["x", "t"], ["x.npy", "t.npy"]] {
                assert_eq!(loss(&format!("{file}:{x}"), &format!("{file}:{t}")), want);
            }
        }
    }
}

#[test]
fn archives_in_any_style_hold_arrays_of_any_dtype() {
    let folder = Folder::new();
    let x = grid(12);
    let brains: Vec<u8> = x.iter().flat_map(|&x| half::bf16::from_f32(x).to_le_bytes()).collect();
    let doubles: Vec<u8> = x.iter().flat_map(|&x| f64::from(x).to_be_bytes()).collect();
    let plain = folder.file("x.npy", &npy_f32(&x, "(3, 4)"));
    let members = [
        ("single.npy", npy_f32(&x, "(3, 4)")),
        ("brain.npy", npy("<V2", "(3, 4)", &brains)),
        ("double.npy", npy(">f8", "(3, 4)", &doubles)),
        ("flags.npy", npy("|b1", "(3,)", &[0, 1, 7])),
    ];
    let members = members.each_ref().map(|(name, bytes)| (*name, bytes.as_slice()));
    let sum = |file: &str| {
        let done = run_on("cpu", &["compute", "reduce", file, "--dtype", "f32", "--json"]);
        assert_eq!(done.code, 0, "{}", done.stderr);
        done.json()["loss"].clone()
    };
    for style in [(false, false), (true, false), (false, true), (true, true)] {
        let style = Style {
            deflated: style.0,
            wide: style.1,
        };
        let file = folder.file("a.npz", &archive(&members, style));
        for key in ["single", "brain", "double"] {
            assert_eq!(sum(&format!("{file}:{key}")), sum(&plain), "{key} {style:?}");
        }
    }
}

/// A stored member is read window by window like any file. A compressed one is read whole where the memory has room,
/// and otherwise refused with what to do.
#[test]
fn streams_read_stored_members_and_refuse_compressed_ones_by_name() {
    let folder = Folder::new();
    let rows = 20_000;
    let x: Vec<f32> = (0..rows * 100)
        .map(|i| ((i * 7919) % 1009) as f32 / 64.0 - 8.0)
        .collect();
    let t: Vec<i64> = (0..rows as i64).map(|row| row % 100).collect();
    let (x, t) = (npy_f32(&x, &format!("({rows}, 100)")), labels::<8>("<i8", &t));
    let members: [(&str, &[u8]); 2] = [("x.npy", &x), ("t.npy", &t)];
    let [stored, packed] = [("s.npz", false), ("p.npz", true)]
        .map(|(name, deflated)| folder.file(name, &archive(&members, Style { deflated, wide: false })));
    let (x, t) = (folder.file("x.npy", &x), folder.file("t.npy", &t));
    for backend in BACKENDS {
        let compute = |x: &str, t: &str| {
            run_on(
                backend,
                &["compute", "cross-entropy", x, t, "--memory", "4MB", "--json"],
            )
        };
        let want = compute(&x, &t).json();
        assert!(want["stream"]["parts"].as_u64().unwrap() > 2);
        // Labels of 160 kB fit into the memory whole.
        for [x, t] in [[&stored, &stored], [&stored, &packed]] {
            let done = compute(&format!("{x}:x"), &format!("{t}:t"));
            assert_eq!((done.code, done.stderr.as_str()), (0, ""));
            assert_eq!(done.json()["loss"], want["loss"]);
        }
        let done = compute(&format!("{packed}:x"), &t);
        let wanted =
            format!("input: {packed}:x: is compressed, which cannot be read window by window; save it with np.savez");
        assert!(done.code == 1 && done.stderr.contains(&wanted), "{}", done.stderr);
    }
}

#[test]
fn what_an_archive_has_not_is_said_and_none_is_written() {
    let folder = Folder::new();
    let file = folder.file("a.npz", SAVED[0]);
    let x = folder.file("x.npy", &npy_f32(&grid(6), "(2, 3)"));
    let t = folder.file("t.npy", &labels::<8>("<i8", &[2, 0]));
    let out = folder.path("out.npz");
    let before = folder.list();
    let key = |key: &str| format!("{file}:{key}");
    let cases: [(&[&str], &str); 8] = [
        (
            &["compute", "cross-entropy", &file, &t],
            "name a tensor of it, as file.npz:key; its keys: t, x",
        ),
        (
            &["compute", "cross-entropy", &key("y"), &t],
            "has no key \"y\"; its keys: t, x",
        ),
        (&["compute", "cross-entropy", &key("x.npy.npy"), &t], "has no key"),
        (&["compute", "cross-entropy", &key(""), &t], "has no key \"\""),
        (
            &["compute", "mse", &x, &x, "--grad", &out],
            "there is no way to write .npz",
        ),
        (
            &["compute", "mse", &x, &x, "--grad", &key("x")],
            "there is no way to write .npz",
        ),
        (
            &["step", "sgd", &key("x"), &x, "--out", &key("x")],
            "there is no way to write .npz",
        ),
        (
            &["step", "sgd", &x, &x, "--out", &out],
            "name a file .npy or .safetensors",
        ),
    ];
    for (args, text) in cases {
        let done = run(&[args, &["--backend", "cpu"]].concat());
        // What is to be written is wrong on the command line alone.
        let code = if text.starts_with("there is no way") || text.starts_with("name a file") {
            2
        } else {
            1
        };
        assert!(
            done.code == code && done.stderr.contains(text),
            "{args:?}: {}",
            done.stderr
        );
        assert_eq!(folder.list(), before);
    }
    assert_eq!(std::fs::read(&file).unwrap(), SAVED[0]);
}
