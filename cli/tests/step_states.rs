//! Parameters, gradients and states of `wgloss step` as others have saved them.

mod common;

use common::{Folder, little, npy, npy_f32, read_all, read_f32, run_on};
use half::{bf16, f16};
use safetensors::{Dtype, SafeTensors};

const BACKENDS: [&str; 2] = ["cpu", "gpu"];

/// Parameter, gradient, new parameter, and the state after the step.
struct Files {
    folder: Folder,
    param: String,
    grad: String,
    out: String,
    after: String,
}

impl Files {
    fn new() -> Self {
        let folder = Folder::new();
        Self {
            param: folder.file("p.npy", &npy_f32(&[1.0, -2.0], "(2,)")),
            grad: folder.file("g.npy", &npy_f32(&[0.5, 0.25], "(2,)")),
            out: folder.path("out.npy"),
            after: folder.path("after.safetensors"),
            folder,
        }
    }

    /// A step from a state; its parameter and its count.
    fn step(&self, backend: &str, optimizer: &str, state: &str, more: &[&str]) -> common::Done {
        let args = ["step", optimizer, &self.param, &self.grad, "--out", &self.out, "--json"];
        run_on(
            backend,
            &[&args[..], &["--state", state, "--state-out", &self.after], more].concat(),
        )
    }

    fn refused(&self, optimizer: &str, state: &str, text: &str) {
        let before = self.folder.list();
        for backend in BACKENDS {
            let done = self.step(backend, optimizer, state, &[]);
            assert!(done.code == 1 && done.stderr.contains(text), "{text}: {}", done.stderr);
        }
        assert_eq!(self.folder.list(), before);
    }
}

#[test]
fn a_parameter_in_f64_stays_f64_and_that_it_was_rounded_is_said() {
    let files = Files::new();
    let start = [1.0f64, 1.0 + f64::from(f32::EPSILON) / 4.0];
    let bytes = little(&start, f64::to_le_bytes);
    let grad = files.folder.file(
        "g64.npy",
        &npy("<f8", "(2,)", &little(&[0.5f64, 0.25], f64::to_le_bytes)),
    );
    let keyed = files
        .folder
        .tensors("p.safetensors", &[("w", Dtype::F64, &[2], bytes.clone())]);
    for backend in BACKENDS {
        let param = files.folder.file("p64.npy", &npy("<f8", "(2,)", &bytes));
        // In place, and of a big-endian file.
        for want in [[0.5, 0.75], [0.0, 0.5]] {
            let args = ["step", "sgd", &param, &grad, "--out", &param, "--lr", "1", "--json"];
            let done = run_on(backend, &args);
            assert_eq!(done.code, 0, "{}", done.stderr);
            let (header, data) = read_all(&param);
            assert!(header.contains("'<f8'") && header.contains("(2,)"), "{header}");
            assert_eq!(data, little(&want, f64::to_le_bytes));
            let notes = [
                format!(
                    "param ({param}) is f64 in its file: it is rounded to f32 for the step, and the result is written as f64"
                ),
                format!("grad ({grad}) is f64 in its file: it is rounded to f32 for the step"),
            ];
            assert_eq!(done.stderr, format!("note: {}\nnote: {}\n", notes[0], notes[1]));
            assert_eq!(done.json()["notes"], serde_json::json!(notes));
            assert_eq!(done.json()["dtype"], "f64");
        }
        let out = files.folder.path("out.safetensors");
        let done = run_on(
            backend,
            &["step", "sgd", &format!("{keyed}:w"), &grad, "--out", &out, "--lr", "1"],
        );
        assert!(done.stdout.starts_with("sgd step 1   [2] f64   "), "{}", done.stdout);
        let written = std::fs::read(&out).unwrap();
        let file = SafeTensors::deserialize(&written).unwrap();
        let view = file.tensor("w").unwrap();
        assert_eq!(
            (view.dtype(), view.data()),
            (Dtype::F64, &little(&[0.5, 0.75], f64::to_le_bytes)[..])
        );
    }
}

#[test]
fn parameters_without_room_for_a_step_are_refused_and_gradients_are_their_values() {
    let files = Files::new();
    for (descr, width, name) in [
        ("<i8", 8, "i64"),
        ("|u1", 1, "u8"),
        ("<u8", 8, "u64"),
        ("|b1", 1, "bool"),
    ] {
        let param = files.folder.file("i.npy", &npy(descr, "(2,)", &vec![0; 2 * width]));
        let done = run_on("cpu", &["step", "sgd", &param, &files.grad, "--out", &files.out]);
        let text = format!("param: {param}: holds {name}, which has no room for a step; save it as f32");
        assert!(done.code == 1 && done.stderr.contains(&text), "{}", done.stderr);
    }
    let halves = |data: [f32; 2]| little(&data.map(f16::from_f32), f16::to_le_bytes);
    for backend in BACKENDS {
        for (descr, bytes) in [
            ("|i1", vec![2, 1]),
            ("|b1", vec![2, 1]),
            ("<u8", little(&[2u64, 1], u64::to_le_bytes)),
            ("<f2", halves([2.0, 1.0])),
            ("<V2", little(&[2.0, 1.0].map(bf16::from_f32), bf16::to_le_bytes)),
        ] {
            let grad = files.folder.file("g.npy", &npy(descr, "(2,)", &bytes));
            let done = run_on(
                backend,
                &["step", "sgd", &files.param, &grad, "--out", &files.out, "--lr", "1"],
            );
            assert_eq!((done.code, done.stderr.as_str()), (0, ""), "{descr}");
            let first = if descr == "|b1" { 0.0 } else { -1.0 };
            assert_eq!(read_f32(&files.out).1, [first, -3.0], "{descr}");
        }
        // Beside a parameter of 16 bits, a gradient of other 16 bits is f32.
        let param = files.folder.file("h.npy", &npy("<f2", "(2,)", &halves([1.0, -2.0])));
        let grad = files.folder.file(
            "g.npy",
            &npy(
                "<V2",
                "(2,)",
                &little(&[2.0, 1.0].map(bf16::from_f32), bf16::to_le_bytes),
            ),
        );
        let done = run_on(
            backend,
            &["step", "sgd", &param, &grad, "--out", &files.out, "--lr", "1"],
        );
        assert_eq!((done.code, done.stderr.as_str()), (0, ""));
        assert_eq!(read_all(&files.out).1, halves([-1.0, -3.0]));
    }
}

/// A count whose next number i64 does not hold is refused before the step; what is written is read by the next run.
#[test]
fn counts_end_where_the_file_ends() {
    let files = Files::new();
    let state = |name: &str, dtype: Dtype, bytes: Vec<u8>| files.folder.tensors(name, &[("step", dtype, &[], bytes)]);
    let last = i64::MAX - 1;
    for backend in BACKENDS {
        let held = state("last.safetensors", Dtype::I64, last.to_le_bytes().to_vec());
        let done = files.step(backend, "sgd", &held, &[]);
        assert_eq!((done.code, done.stderr.as_str()), (0, ""));
        assert_eq!(done.json()["step"], i64::MAX);
        let written = std::fs::read(&files.after).unwrap();
        let file = SafeTensors::deserialize(&written).unwrap();
        assert_eq!(file.tensor("step").unwrap().data(), i64::MAX.to_le_bytes());
    }
    let ends = "after.safetensors): 9223372036854775807 steps were taken, and the count ends at 9223372036854775807";
    for optimizer in ["sgd", "adam", "adamw"] {
        files.refused(optimizer, &files.after, ends);
    }
    for (dtype, bytes, text) in [
        (
            Dtype::U64,
            vec![255; 8],
            "18446744073709551615 steps were taken, and the count ends",
        ),
        (
            Dtype::F64,
            1e19f64.to_le_bytes().to_vec(),
            "10000000000000000000 steps were taken",
        ),
        (Dtype::F32, f32::MAX.to_le_bytes().to_vec(), "step is f32 34028"),
        (
            Dtype::I64,
            (-1i64).to_le_bytes().to_vec(),
            "step is i64 -1, expected one whole number from 0 to 9223372036854775807",
        ),
        (Dtype::I8, vec![255], "step is i8 -1, expected"),
        (Dtype::F64, 2.5f64.to_le_bytes().to_vec(), "step is f64 2.5, expected"),
        (Dtype::F32, f32::NAN.to_le_bytes().to_vec(), "step is f32 NaN, expected"),
        (
            Dtype::BF16,
            bf16::INFINITY.to_le_bytes().to_vec(),
            "step is bf16 inf, expected",
        ),
        (Dtype::BOOL, vec![1], "step is bool true, expected"),
    ] {
        files.refused("adam", &state("wrong.safetensors", dtype, bytes), text);
    }
    let two = files
        .folder
        .tensors("two.safetensors", &[("step", Dtype::F32, &[2], vec![0; 8])]);
    files.refused("adam", &two, "step is f32 [2], expected one whole number");
}

/// PyTorch's count is an f32 without dimensions; others have what they have.
#[test]
fn a_count_may_be_of_any_dtype_that_holds_it() {
    let files = Files::new();
    let moments = |step: (Dtype, Vec<u8>), shape: &[usize]| {
        let half = little(&[0.5f32, 0.25], f32::to_le_bytes);
        let list: [(&str, Dtype, &[usize], Vec<u8>); 3] = [
            ("exp_avg", Dtype::F32, &[2], half.clone()),
            ("exp_avg_sq", Dtype::F32, &[2], half),
            ("step", step.0, shape, step.1),
        ];
        files.folder.tensors("s.safetensors", &list)
    };
    for backend in BACKENDS {
        let mut seen: Option<Vec<f32>> = None;
        for (dtype, bytes) in [
            (Dtype::F32, 5f32.to_le_bytes().to_vec()),
            (Dtype::F64, 5f64.to_le_bytes().to_vec()),
            (Dtype::F16, f16::from_f32(5.0).to_le_bytes().to_vec()),
            (Dtype::BF16, bf16::from_f32(5.0).to_le_bytes().to_vec()),
            (Dtype::I8, vec![5]),
            (Dtype::U8, vec![5]),
            (Dtype::I16, 5i16.to_le_bytes().to_vec()),
            (Dtype::U16, 5u16.to_le_bytes().to_vec()),
            (Dtype::I32, 5i32.to_le_bytes().to_vec()),
            (Dtype::U32, 5u32.to_le_bytes().to_vec()),
            (Dtype::I64, 5i64.to_le_bytes().to_vec()),
            (Dtype::U64, 5u64.to_le_bytes().to_vec()),
        ] {
            let shape: &[usize] = if dtype == Dtype::F64 { &[1] } else { &[] };
            let done = files.step(backend, "adam", &moments((dtype, bytes), shape), &[]);
            assert_eq!((done.code, done.stderr.as_str()), (0, ""), "{dtype:?}");
            assert_eq!(done.json()["step"], 6);
            let param = read_f32(&files.out).1;
            assert_eq!(*seen.get_or_insert(param.clone()), param, "{dtype:?}");
        }
    }
}

#[test]
fn a_momentum_buffer_alone_is_a_state_of_sgd_and_not_of_adam() {
    let files = Files::new();
    let buffer = little(&[4.0f32, -4.0], f32::to_le_bytes);
    let state = files.folder.tensors(
        "b.safetensors",
        &[("momentum_buffer", Dtype::F32, &[2], buffer.clone())],
    );
    for backend in BACKENDS {
        let options = ["--lr", "1", "--momentum", "0.5"];
        let done = files.step(backend, "sgd", &state, &options);
        let note = format!("{state} has no step, which sgd does not need: this run is counted as step 1");
        assert_eq!((done.code, done.stderr), (0, format!("note: {note}\n")));
        // b = 0.5 b + g; p = p - b
        assert_eq!(read_f32(&files.out).1, [1.0 - 2.5, -2.0 + 1.75]);
        // And on from what was written.
        let done = files.step(backend, "sgd", &files.after.clone(), &options);
        assert_eq!((done.code, done.stderr.as_str()), (0, ""));
        assert_eq!(done.json()["step"], 2);
        assert_eq!(read_f32(&files.out).1, [1.0 - 1.75, -2.0 + 0.625]);
    }
    let moments = files
        .folder
        .tensors("m.safetensors", &[("exp_avg", Dtype::F32, &[2], buffer.clone())]);
    files.refused(
        "adam",
        &moments,
        "has no key \"step\", and adam needs the count of the steps taken",
    );
    files.refused(
        "sgd",
        &moments,
        "has a key \"exp_avg\", which is no state of sgd: that has step, momentum_buffer",
    );
    let list: [(&str, Dtype, &[usize], Vec<u8>); 2] = [
        ("exp_avg", Dtype::F32, &[2], buffer),
        ("step", Dtype::F32, &[], 3f32.to_le_bytes().to_vec()),
    ];
    let half = files.folder.tensors("h.safetensors", &list);
    files.refused(
        "adam",
        &half,
        "h.safetensors): is missing from the state after step 3, adam needs it",
    );
}

/// f32 holds all of f16 and bf16, so nothing is said of them; f64 is rounded, which is.
#[test]
fn moments_may_be_of_any_dtype_and_are_written_in_f32() {
    let files = Files::new();
    let all = ["exp_avg", "exp_avg_sq", "max_exp_avg_sq"];
    let state = |dtype: Dtype, bytes: Vec<u8>| {
        let mut list: Vec<(&str, Dtype, &[usize], Vec<u8>)> =
            all.iter().map(|&key| (key, dtype, &[2][..], bytes.clone())).collect();
        list.push(("step", Dtype::F32, &[], 3f32.to_le_bytes().to_vec()));
        files.folder.tensors("m.safetensors", &list)
    };
    let numbers = [0.5f32, 3.0];
    for backend in BACKENDS {
        let mut seen: Option<(Vec<f32>, Vec<u8>)> = None;
        for (dtype, bytes) in [
            (Dtype::F32, little(&numbers, f32::to_le_bytes)),
            (Dtype::F16, little(&numbers.map(f16::from_f32), f16::to_le_bytes)),
            (Dtype::BF16, little(&numbers.map(bf16::from_f32), bf16::to_le_bytes)),
            (Dtype::F64, little(&numbers.map(f64::from), f64::to_le_bytes)),
        ] {
            let state = state(dtype, bytes);
            let done = files.step(backend, "adamw", &state, &["--amsgrad"]);
            let note = |key: &str| {
                format!("note: {key} ({state}) is f64 in its file: it is rounded to f32, in which states are kept\n")
            };
            let mut notes: Vec<String> = if dtype == Dtype::F64 {
                all.map(note).to_vec()
            } else {
                Vec::new()
            };
            let mut said: Vec<String> = done.stderr.split_inclusive('\n').map(str::to_owned).collect();
            notes.sort();
            said.sort();
            assert_eq!((done.code, said), (0, notes));
            let own = (read_f32(&files.out).1, std::fs::read(&files.after).unwrap());
            assert!(*seen.get_or_insert(own.clone()) == own, "{dtype:?}");
        }
        let written = std::fs::read(&files.after).unwrap();
        let file = SafeTensors::deserialize(&written).unwrap();
        assert!(all.iter().all(|key| file.tensor(key).unwrap().dtype() == Dtype::F32));
    }
}
