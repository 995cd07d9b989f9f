//! Dtypes of files: those that are read beside the usual ones, and those that are not.

mod common;

use common::{Folder, grid, little, npy, npy_f32, run_on};
use safetensors::Dtype;

/// `np.save` of an array of ml_dtypes.bfloat16 writes `<V2`, and `|V2` once that was loaded.
#[test]
fn bf16_as_numpy_saves_it_is_bf16() {
    let folder = Folder::new();
    let brains: Vec<u8> = grid(6)
        .iter()
        .flat_map(|&x| half::bf16::from_f32(x).to_le_bytes())
        .collect();
    let plain = folder.file("x.npy", &npy_f32(&grid(6), "(2, 3)"));
    for backend in ["cpu", "gpu"] {
        let want = run_on(backend, &["compute", "reduce", &plain, "--dtype", "bf16", "--json"]).json();
        for descr in ["<V2", "|V2"] {
            let file = folder.file("v.npy", &npy(descr, "(2, 3)", &brains));
            let done = run_on(backend, &["compute", "reduce", &file, "--json"]);
            assert_eq!(done.code, 0, "{}", done.stderr);
            let got = done.json();
            assert_eq!((&got["dtype"], &got["loss"]), (&"bf16".into(), &want["loss"]));
        }
    }
}

/// A file is read for its key, whatever lies beside; what is asked for itself is refused by its name.
#[test]
fn other_dtypes_of_a_safetensors_file_do_not_matter_until_they_are_asked_for() {
    let folder = Folder::new();
    let x = little(&grid(6), f32::to_le_bytes);
    // The crate that writes them knows not all.
    let mut entries = vec![("x", "F32", "[2,3]", x)];
    for (key, dtype, bytes) in [
        ("complex", "C64", 24),
        ("e4m3", "F8_E4M3", 3),
        ("e5m2", "F8_E5M2", 3),
        ("flags", "BOOL", 3),
        ("new", "Q7_K", 5),
    ] {
        entries.push((key, dtype, "[3]", vec![1; bytes]));
    }
    let (mut header, mut data) = (Vec::new(), Vec::new());
    for (key, dtype, shape, bytes) in &entries {
        let from = data.len();
        data.extend(bytes);
        header.push(format!(
            "\"{key}\":{{\"dtype\":\"{dtype}\",\"shape\":{shape},\"data_offsets\":[{from},{}]}}",
            data.len()
        ));
    }
    let header = format!("{{{}}}", header.join(","));
    let bytes = [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &data].concat();
    let file = folder.file("m.safetensors", &bytes);
    let plain = folder.file("x.npy", &npy_f32(&grid(6), "(2, 3)"));
    let sum = |file: &str| run_on("cpu", &["compute", "reduce", file, "--json"]);
    assert_eq!(sum(&format!("{file}:x")).json()["loss"], sum(&plain).json()["loss"]);
    for (key, text) in [
        (
            "complex",
            "m.safetensors:complex: holds C64 (complex numbers), expected f16, bf16, f32, f64, bool or an integer",
        ),
        ("complex", "save real and imaginary part as arrays of their own"),
        ("e4m3", "holds F8_E4M3 (float8 or less), expected"),
        ("e5m2", "holds F8_E5M2 (float8 or less), expected"),
        ("new", "holds Q7_K, expected"),
        ("new", "save it as one of them"),
    ] {
        let done = sum(&format!("{file}:{key}"));
        assert!(done.code == 1 && done.stderr.contains(text), "{}", done.stderr);
    }
    // Whatever its dtype, a tensor has its place.
    let place = bytes.windows(7).position(|own| own == b"[57,62]").unwrap();
    let mut moved = bytes.clone();
    moved[place + 2] = b'6';
    let moved = folder.file("moved.safetensors", &moved);
    let done = sum(&format!("{moved}:x"));
    assert!(
        done.code == 1 && done.stderr.contains("the tensor \"new\" lies at bytes 56 to 62"),
        "{}",
        done.stderr
    );
    let wide = folder.tensors("b.safetensors", &[("t", Dtype::BOOL, &[6], vec![0, 1, 1, 0, 1, 0])]);
    let done = run_on("cpu", &["compute", "bce-with-logits", &plain, &format!("{wide}:t")]);
    assert!(!done.stderr.contains("holds BOOL"), "{}", done.stderr);
}
