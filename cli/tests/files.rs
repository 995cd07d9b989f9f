//! Files in and out.

mod common;

use common::{DIGITS, Folder, grid, labels, npy, npy_f32, read_all, read_f32, run_on};
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

#[test]
fn halves_go_around() {
    let folder = Folder::new();
    let x = grid(6);
    let f16: Vec<u8> = x.iter().flat_map(|&x| half::f16::from_f32(x).to_le_bytes()).collect();
    let bf16: Vec<u8> = x.iter().flat_map(|&x| half::bf16::from_f32(x).to_le_bytes()).collect();
    let plain = folder.file("x.npy", &npy_f32(&x, "(2, 3)"));
    let in_f16 = folder.file("f16.npy", &npy("<f2", "(2, 3)", &f16));
    let upstream = folder.file("up.npy", &npy_f32(&x, "(2, 3)"));
    for backend in BACKENDS {
        // An f16 file, and an f32 file taken as f16, give the same files of f16.
        let mut seen = Vec::new();
        for (file, more) in [(&in_f16, &[][..]), (&plain, &["--dtype", "f16"])] {
            let (out, grad) = (folder.path("out.npy"), folder.path("grad.npy"));
            let args = [
                "compute",
                "softmax",
                file,
                "--out",
                &out,
                "--grad",
                &grad,
                "--grad-output",
                &upstream,
            ];
            let done = run_on(backend, &[&args, more].concat());
            assert_eq!(done.code, 0, "{}", done.stderr);
            let written = [out, grad].map(|path| read_all(&path));
            assert!(
                written
                    .iter()
                    .all(|(header, data)| header.contains("'<f2'") && data.len() == 12)
            );
            seen.push(written);
        }
        assert_eq!(seen[0], seen[1]);

        // bf16 goes through .safetensors, under the option's name or a name of one's own.
        let (grad, own) = (folder.path("grad.safetensors"), folder.path("own.safetensors:mine"));
        let args = [
            "compute",
            "mse",
            &plain,
            &plain,
            "--dtype",
            "bf16",
            "--grad",
            &grad,
            "--grad-target",
            &own,
        ];
        let done = run_on(backend, &args);
        assert_eq!(done.code, 0, "{}", done.stderr);
        for (file, key) in [("grad.safetensors", "grad"), ("own.safetensors", "mine")] {
            let bytes = std::fs::read(folder.path(file)).unwrap();
            let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
            let tensor = file.tensor(key).unwrap();
            assert_eq!(
                (tensor.dtype(), tensor.shape()),
                (safetensors::Dtype::BF16, &[2, 3][..])
            );
        }
        // And what was written can be read.
        let back = run_on(backend, &["compute", "reduce", &own, "--json"]).json();
        assert_eq!((&back["dtype"], &back["loss"]), (&"bf16".into(), &0.0.into()));
    }
    let view = safetensors::tensor::TensorView::new(safetensors::Dtype::BF16, vec![2, 3], &bf16).unwrap();
    let file = folder.file("x.safetensors", &safetensors::serialize([("x", view)], None).unwrap()) + ":x";
    let sum = |file: &str| run_on("cpu", &["compute", "reduce", file, "--json"]).json()["loss"].clone();
    assert!(sum(&file) == sum(&plain) && sum(&in_f16) == sum(&plain));
}

#[test]
fn every_gradient_and_statistic_has_its_file() {
    let folder = Folder::new();
    let x = folder.file("x.npy", &npy_f32(&grid(6), "(2, 3)"));
    let y = folder.file("y.npy", &npy_f32(&[0.5; 6], "(2, 3)"));
    let var = folder.file("var.npy", &npy_f32(&[1.0, 2.0], "(2, 1)"));
    let classes = folder.file("t.npy", &labels::<1>("|u1", &[2, 0]));
    let path = |name: &str| folder.path(name);
    for backend in BACKENDS {
        let args = [
            "compute",
            "gaussian-nll",
            &x,
            &y,
            &var,
            "--grad",
            &path("g"),
            "--grad-var",
            &path("v"),
            "--grad-target",
        ];
        let done = run_on(backend, &[&args, &[path("t").as_str()][..]].concat());
        assert_eq!(done.code, 0, "{}", done.stderr);
        let (grad, target) = (read_f32(&path("g")).1, read_f32(&path("t")).1);
        assert!(grad.iter().zip(target).all(|(g, t)| *g == -t) && grad[0] != 0.0);
        assert!(read_f32(&path("v")).0.contains("'shape': (2, 1), "));

        let args = [
            "compute",
            "triplet-margin",
            &x,
            &y,
            &x,
            "--grad-positive",
            &path("p"),
            "--grad-negative",
            &path("n"),
        ];
        assert_eq!(run_on(backend, &args).code, 0);
        assert!(read_f32(&path("p")).1.len() == 6 && read_f32(&path("n")).1.len() == 6);

        let args = [
            "compute",
            "cross-entropy",
            &x,
            &classes,
            "--z-loss",
            "0.5",
            "--json",
            "--lse-out",
            &path("lse"),
        ];
        let more = [
            "--argmax-out",
            &path("top"),
            "--entropy-out",
            &path("e"),
            "--z-loss-out",
            &path("z"),
        ];
        let done = run_on(backend, &[&args[..], &more].concat());
        assert_eq!(done.code, 0, "{}", done.stderr);
        let lse = read_f32(&path("lse")).1;
        let z_loss = (lse[0].powi(2) + lse[1].powi(2)) / 4.0;
        assert!((read_f32(&path("z")).1[0] - z_loss).abs() < 1e-5);
        assert!((done.json()["z_loss"].as_f64().unwrap() - f64::from(z_loss)).abs() < 1e-5);
        let (header, top) = read_all(&path("top"));
        assert!(
            header.contains("'<u4'") && top == [2, 0, 0, 0, 1, 0, 0, 0],
            "{header} {top:?}"
        );
        assert_eq!(read_f32(&path("e")).1.len(), 2);

        let done = run_on(
            backend,
            &[
                "compute",
                "reduce",
                &x,
                "--op",
                "argmax",
                "--dim",
                "1",
                "--out",
                &path("i"),
            ],
        );
        let (header, places) = read_all(&path("i"));
        assert!(
            header.contains("'<i8'") && places.len() == 16 && places[0] == 2,
            "{} {header}",
            done.stderr
        );
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_run_that_is_killed_leaves_its_output_whole_or_not_at_all() {
    let folder = Folder::new();
    let data: Vec<f32> = grid(1 << 19);
    let x = folder.file("x.npy", &npy_f32(&data, "(1024, 512)"));
    let grad = folder.path("grad.npy");
    let start = || {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_wgloss"));
        command.args(["compute", "mse", &x, &x, "--grad", &grad, "--backend", "cpu"]);
        command.stdout(std::process::Stdio::null()).spawn().unwrap()
    };
    let begun = std::time::Instant::now();
    assert!(start().wait().unwrap().success());
    let (took, whole) = (begun.elapsed(), std::fs::read(&grad).unwrap());
    let mut cut_short = 0;
    for part in 0..16 {
        std::fs::remove_file(&grad).unwrap_or_default();
        let mut child = start();
        std::thread::sleep(took * part / 16);
        child.kill().unwrap();
        child.wait().unwrap();
        if folder.list() == ["x.npy"] {
            cut_short += 1;
        } else {
            assert_eq!(folder.list(), ["grad.npy", "x.npy"]);
            assert!(std::fs::read(&grad).unwrap() == whole, "{part}");
        }
    }
    assert!(cut_short > 0);
}
