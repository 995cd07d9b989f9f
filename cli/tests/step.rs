//! `wgloss step` from the outside.

mod common;

use common::{Folder, npy_f32, read_f32, run, run_on};
use safetensors::SafeTensors;

const BACKENDS: [&str; 2] = ["cpu", "gpu"];

/// Keys, dtypes and bytes of a written .safetensors file.
fn tensors(path: &str) -> Vec<(String, safetensors::Dtype, Vec<u8>)> {
    let bytes = std::fs::read(path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let mut list: Vec<_> = file
        .iter()
        .map(|(key, view)| (key.to_owned(), view.dtype(), view.data().to_vec()))
        .collect();
    list.sort_by(|a, b| a.0.cmp(&b.0));
    list
}

#[test]
fn a_loop_updates_parameter_and_state_in_place() {
    for backend in BACKENDS {
        let folder = Folder::new();
        let param = folder.file("p.npy", &npy_f32(&[1.0, -2.0], "(2,)"));
        let grad = folder.file("g.npy", &npy_f32(&[0.5, 0.25], "(2,)"));
        let state = folder.path("s.safetensors");
        let files = ["--out", &param, "--state", &state, "--state-out", &state];
        // b = g, then b = 0.5 b + g; p = p - b
        let options = ["--lr", "1", "--momentum", "0.5", "--json"];
        for (step, want) in [(1, [0.5, -2.25]), (2, [-0.25, -2.625])] {
            let args = [&["step", "sgd", &param, &grad][..], &files, &options].concat();
            let done = run_on(backend, &args);
            assert_eq!((done.code, done.stderr.as_str()), (0, ""));
            assert_eq!(done.json()["step"], step);
            assert_eq!(read_f32(&param).1, want, "{backend}");
        }
        let held = tensors(&state);
        let keys: Vec<&str> = held.iter().map(|(key, ..)| key.as_str()).collect();
        assert_eq!(keys, ["momentum_buffer", "step"]);
        assert_eq!(held[1].2, 2i64.to_le_bytes());
        assert_eq!(folder.list(), ["g.npy", "p.npy", "s.safetensors"]);
    }
}

#[test]
fn outputs_have_the_parameters_dtype_and_key() {
    let folder = Folder::new();
    let ones = [0x80, 0x3f, 0x80, 0x3f, 0x80, 0x3f]; // bf16
    let view = safetensors::tensor::TensorView::new(safetensors::Dtype::BF16, vec![3], &ones).unwrap();
    let param = folder.file("p.safetensors", &safetensors::serialize([("w", view)], None).unwrap());
    let param = format!("{param}:w");
    let grad = folder.file("g.npy", &npy_f32(&[1.0, -1.0, 0.0], "(3,)"));
    let out = folder.path("out.safetensors");
    for backend in BACKENDS {
        let done = run_on(
            backend,
            &[
                "step", "adam", &param, &grad, "--out", &out, "--lr", "0.5", "--betas", "0.8", "0.9",
            ],
        );
        assert_eq!(done.code, 0, "{}", done.stderr);
        assert!(
            done.stderr.contains("not written without --state-out"),
            "{}",
            done.stderr
        );
        assert!(done.stdout.starts_with("adam step 1   [3] bf16   "), "{}", done.stdout);
        // 1 - 0.5, 1 + 0.5 and 1
        let want = vec![0x00, 0x3f, 0xc0, 0x3f, 0x80, 0x3f];
        assert_eq!(tensors(&out), [("w".into(), safetensors::Dtype::BF16, want)]);
    }
    let state = folder.path("s.safetensors");
    let flags = ["--amsgrad", "true", "--maximize", "--state-out", &state];
    assert_eq!(
        run(&[&["step", "adamw", &param, &grad, "--out", &out][..], &flags].concat()).code,
        0
    );
    let keys: Vec<_> = tensors(&state).into_iter().map(|(key, ..)| key).collect();
    assert_eq!(keys, ["exp_avg", "exp_avg_sq", "max_exp_avg_sq", "step"]);
}

#[test]
fn what_is_refused_writes_nothing() {
    let folder = Folder::new();
    let param = folder.file("p.npy", &npy_f32(&[1.0, 2.0], "(2,)"));
    let grad = folder.file("g.npy", &npy_f32(&[1.0, 2.0], "(2,)"));
    let long = folder.file("long.npy", &npy_f32(&[1.0; 3], "(3,)"));
    let model = folder.path("model.safetensors");
    let alien = folder.safetensors("alien.safetensors", "step", &[1.5], &[1]);
    let state = folder.safetensors("state.safetensors", "exp_avg", &[0.0; 2], &[2]);
    let data = 1f32.to_le_bytes();
    let view = || safetensors::tensor::TensorView::new(safetensors::Dtype::F32, vec![1], &data).unwrap();
    std::fs::write(
        &model,
        safetensors::serialize([("a", view()), ("b", view())], None).unwrap(),
    )
    .unwrap();
    let (out, part, none) = (
        folder.path("out.npy"),
        format!("{model}:a"),
        folder.path("none.safetensors"),
    );
    let before = folder.list();
    let cases: [(&[&str], i32, &str); 10] = [
        (&[&param, &grad], 2, "--out"),
        (&[&param, &long, "--out", &out], 1, "long.npy): expected shape [2]"),
        (&[&param, &grad, "--out", &grad], 2, "would overwrite the input GRAD"),
        (&[&part, &grad, "--out", &model], 2, "holds 2 tensors"),
        (
            &[&param, &grad, "--out", &out, "--state-out", &out],
            2,
            "expected a file named .safetensors",
        ),
        (
            &[&part, &grad, "--out", &out, "--state-out", &model],
            2,
            "would overwrite the input PARAM",
        ),
        (&[&param, &grad, "--out", &out, "--state", &none], 1, "none.safetensors"),
        (
            &[&param, &grad, "--out", &out, "--state", &state],
            1,
            "has no key \"step\"",
        ),
        (
            &[&param, &grad, "--out", &out, "--state", &alien],
            1,
            "expected one whole number",
        ),
        (
            &[&param, &grad, "--out", &out, "--betas", "0.9", "1"],
            2,
            "betas: 0.9 and 1 given",
        ),
    ];
    for (args, code, message) in cases {
        let done = run_on("cpu", &[&["step", "adam"], args].concat());
        assert_eq!(done.code, code, "{args:?}: {}", done.stderr);
        assert!(done.stderr.contains(message), "{args:?}: {}", done.stderr);
        assert_eq!(folder.list(), before);
    }
}
