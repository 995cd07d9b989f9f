//! Files in and out.

mod common;

use common::{DIGITS, Folder, grid, labels, npy, npy_f32, read_f32, run_on};
use serde_json::Value;

const BACKENDS: [&str; 2] = ["cpu", "gpu"];

#[test]
fn files_are_written_as_npy() {
    let folder = Folder::new();
    let [logits, classes] = DIGITS;
    let (out, grad) = (folder.path("loss.npy"), folder.path("grad.npy"));
    let (scaled, half) = (
        folder.path("scaled.npy"),
        folder.file("half.npy", &npy_f32(&[0.5], "()")),
    );
    for backend in BACKENDS {
        let done = run_on(
            backend,
            &[
                "compute",
                "cross-entropy",
                logits,
                classes,
                "--out",
                &out,
                "--grad",
                &grad,
            ],
        );
        assert!(
            done.stdout.contains(&out) && done.stdout.contains(&grad),
            "{}",
            done.stdout
        );
        let (header, loss) = read_f32(&out);
        assert!(
            header.contains("'descr': '<f4', 'fortran_order': False, 'shape': (), "),
            "{header}"
        );
        assert!(loss.len() == 1 && (loss[0] - 0.123_192).abs() < 1e-6);
        let (header, whole) = read_f32(&grad);
        assert!(header.contains("'shape': (1797, 10), "), "{header}");
        assert!(whole.len() == 17_970 && whole[..10].iter().sum::<f32>().abs() < 1e-8);
        // What was written can be read.
        assert_eq!(run_on(backend, &["compute", "bce-with-logits", &out, &out]).code, 0);

        let args = [
            "compute",
            "cross-entropy",
            logits,
            classes,
            "--grad",
            &scaled,
            "--grad-output",
            &half,
        ];
        assert_eq!(run_on(backend, &args).code, 0);
        assert!(
            whole
                .iter()
                .zip(read_f32(&scaled).1)
                .all(|(w, s)| (w * 0.5 - s).abs() <= 1e-9)
        );

        let args = [
            "compute",
            "cross-entropy",
            logits,
            classes,
            "--out",
            &out,
            "--reduction",
            "none",
            "--json",
        ];
        assert_eq!(run_on(backend, &args).json()["loss"], Value::Null);
        let (header, losses) = read_f32(&out);
        assert!(
            header.contains("'shape': (1797,), ") && losses.len() == 1797,
            "{header}"
        );
    }
    assert_eq!(folder.list(), ["grad.npy", "half.npy", "loss.npy", "scaled.npy"]);
}

#[test]
#[cfg(unix)]
fn files_have_the_permissions_of_new_files_and_links_stay() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::new();
    let [logits, classes] = DIGITS;
    let (out, new) = (folder.path("loss.npy"), folder.file("new", b""));
    std::os::unix::fs::symlink(&new, &out).unwrap();
    assert_eq!(
        run_on("cpu", &["compute", "cross-entropy", logits, classes, "--out", &out]).code,
        0
    );
    assert!(std::fs::symlink_metadata(&out).unwrap().is_symlink());
    let mode = |path: &str| std::fs::metadata(path).unwrap().permissions().mode();
    assert_eq!(mode(&out), mode(&folder.file("newer", b"")));
}

#[test]
fn every_way_to_store_numbers_is_read() {
    let folder = Folder::new();
    let x = grid(6);
    let plain = folder.file("x.npy", &npy_f32(&x, "(2, 3)"));
    let i64s = folder.file("t.npy", &labels::<8>("<i8", &[2, 0]));
    let want = run_on("cpu", &["compute", "cross-entropy", &plain, &i64s, "--json"]).json()["loss"].clone();

    let mut fortran = npy_f32(&[x[0], x[3], x[1], x[4], x[2], x[5]], "(2, 3)");
    let at = fortran.windows(5).position(|word| word == b"False").unwrap();
    fortran[at..at + 5].copy_from_slice(b"True ");
    let doubles: Vec<u8> = x.iter().flat_map(|&x| f64::from(x).to_le_bytes()).collect();
    let big: Vec<u8> = x.iter().flat_map(|x| x.to_be_bytes()).collect();
    for input in [
        folder.file("fortran.npy", &fortran),
        folder.file("f64.npy", &npy("<f8", "(2, 3)", &doubles)),
        folder.file("big.npy", &npy(">f4", "(2, 3)", &big)),
        folder.safetensors("x.safetensors", "logits", &x, &[2, 3]) + ":logits",
    ] {
        let done = run_on("cpu", &["compute", "cross-entropy", &input, &i64s, "--json"]);
        assert_eq!(done.json()["loss"], want, "{input}: {}", done.stderr);
    }
    for bytes in [
        labels::<1>("|i1", &[2, 0]),
        labels::<1>("|u1", &[2, 0]),
        labels::<2>("<i2", &[2, 0]),
        labels::<2>("<u2", &[2, 0]),
        labels::<4>("<i4", &[2, 0]),
        labels::<4>("<u4", &[2, 0]),
        labels::<8>("<u8", &[2, 0]),
    ] {
        let target = folder.file("target.npy", &bytes);
        for backend in BACKENDS {
            let done = run_on(backend, &["compute", "cross-entropy", &plain, &target, "--json"]);
            let (got, want) = (done.json()["loss"].as_f64().unwrap(), want.as_f64().unwrap());
            assert!((got - want).abs() < 1e-6, "{got} {want}");
        }
    }
}
