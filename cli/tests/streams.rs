//! Files that the memory does not hold.

mod common;

use common::{Done, Folder, labels, npy, npy_f32, run, run_on};

/// A batch of so many rows of 100 classes.
fn batch(folder: &Folder, rows: usize) -> (String, String) {
    let data: Vec<f32> = (0..rows * 100)
        .map(|i| ((i * 7919) % 1009) as f32 / 64.0 - 8.0)
        .collect();
    let classes: Vec<i64> = (0..rows as i64)
        .map(|row| if row % 11 == 0 { -100 } else { row % 100 })
        .collect();
    (
        folder.file("x.npy", &npy_f32(&data, &format!("({rows}, 100)"))),
        folder.file("t.npy", &labels::<8>("<i8", &classes)),
    )
}

/// Cross-entropy of such a batch within a memory.
fn compute(backend: &str, x: &str, t: &str, memory: &str, more: &[&str]) -> Done {
    let args = ["compute", "cross-entropy", x, t, "--memory", memory];
    run_on(backend, &[&args, more].concat())
}

#[test]
fn streamed_files_hold_the_bits_of_those_computed_in_memory() {
    let folder = Folder::new();
    let (x, t) = batch(&folder, 20_000);
    let by: Vec<f32> = (0..20_000).map(|row| (row % 17) as f32 / 8.0 - 1.0).collect();
    let by = folder.file("by.npy", &npy_f32(&by, "(20000,)"));
    for backend in ["gpu", "cpu"] {
        let outputs = |name: &str| ["g", "l", "s"].map(|part| folder.path(&format!("{name}_{part}.npy")));
        let outcome = |[g, l, s]: &[String; 3], memory: &str| {
            let more = ["--grad", g, "--lse-out", l, "--out", s, "--reduction", "none", "--json"];
            let of_stats = ["--grad-lse", &by, "--grad-entropy", &by];
            let done = compute(backend, &x, &t, memory, &[&more[..], &of_stats].concat());
            assert_eq!(
                (done.code, done.stderr.as_str()),
                (0, ""),
                "no bar where stderr is no terminal"
            );
            done.json()
        };
        let (whole, parts) = (outputs("whole"), outputs("parts"));
        let in_memory = outcome(&whole, "1GiB");
        assert!(in_memory.get("stream").is_none());
        let streamed = outcome(&parts, "6MB");
        let told = &streamed["stream"];
        assert!(told["parts"].as_u64().unwrap() > 2, "{told}");
        assert!(told["buffer_bytes"].as_u64().unwrap() <= 6_000_000, "{told}");
        assert_eq!(told["written_bytes"], 20_000 * (400 + 8));
        assert_eq!(streamed["ignored"], in_memory["ignored"]);
        assert_eq!(streamed["correct"], in_memory["correct"]);
        for (whole, parts) in whole.iter().zip(&parts) {
            assert!(
                std::fs::read(whole).unwrap() == std::fs::read(parts).unwrap(),
                "{backend} {parts}"
            );
        }
    }
    // The mean of a stream, and its gradient, are those of the whole.
    let loss = |memory: &str| {
        let more = ["--grad", &folder.path("g.npy"), "--json"];
        let loss = compute("gpu", &x, &t, memory, &more).json()["loss"].to_string();
        (loss, std::fs::read(folder.path("g.npy")).unwrap())
    };
    assert!(loss("1GiB") == loss("4MB"));
}

#[test]
fn what_goes_wrong_within_a_stream_leaves_nothing() {
    let folder = Folder::new();
    let (x, _) = batch(&folder, 20_000);
    let mut classes = vec![5i64; 20_000];
    (classes[17_777], classes[18_000]) = (100, -1);
    let bad = folder.file("bad.npy", &labels::<8>("<i8", &classes));
    let grad = folder.path("g.npy");
    for backend in ["gpu", "cpu"] {
        let done = compute(backend, &x, &bad, "6MB", &["--grad", &grad]);
        assert_eq!(done.code, 1);
        let wanted = "2 of 20000 class indices out of range: the first is 100 in row 17777";
        assert!(done.stderr.contains(wanted), "{}", done.stderr);
    }
    let refused = |args: &[&str], code: i32, text: &str| {
        let done = run(&[args, &["--grad", &grad]].concat());
        assert_eq!(done.code, code, "{}", done.stderr);
        assert!(done.stderr.contains(text), "{}", done.stderr);
    };
    let call = ["compute", "mse", &x, &x, "--memory"];
    refused(
        &[&call[..], &["100"]].concat(),
        1,
        "--memory 100: too little for this call, which takes at least ",
    );
    refused(&[&call[..], &["many"]].concat(), 2, "--memory");
    refused(&[&call[..], &["0"]].concat(), 2, "at least one byte");
    let columns = npy("<f4", "(2000, 100)", &[0; 800_000]);
    let columns = String::from_utf8_lossy(&columns[..128]).replace("False", "True ");
    let mut bytes = columns.replace('\u{fffd}', "").into_bytes();
    bytes.splice(..0, [0x93]);
    bytes.resize(128 + 800_000, 0);
    let columns = folder.file("columns.npy", &bytes);
    refused(
        &["compute", "mse", &columns, &columns, "--memory", "1MB"],
        1,
        "is in Fortran order, which cannot be read window by window",
    );
    assert_eq!(folder.list(), ["bad.npy", "columns.npy", "t.npy", "x.npy"]);
}

/// What is named as the least does, and a byte less does not.
#[test]
fn the_least_memory_is_named() {
    let folder = Folder::new();
    let (x, t) = batch(&folder, 20_000);
    let weight = folder.file("w.npy", &npy_f32(&[0.5; 100], "(100,)"));
    for backend in ["gpu", "cpu"] {
        let told = |memory: &str| {
            let more = ["--weight", &weight, "--grad", &folder.path("g.npy")];
            let done = compute(backend, &x, &t, memory, &more);
            if done.code == 0 {
                return None;
            }
            let start = format!("error: --memory {memory}: too little for this call, which takes at least ");
            let rest = done
                .stderr
                .strip_prefix(&start)
                .unwrap_or_else(|| panic!("{}", done.stderr));
            Some(rest.trim_end().trim_end_matches(" bytes").parse::<u64>().unwrap())
        };
        for memory in ["1kB", "900"] {
            let least = told(memory).unwrap();
            assert!(least > 1000 && least < 6_000_000, "{backend}: {least}");
            assert_eq!(told(&least.to_string()), None, "{backend}: {least}");
            assert_eq!(told(&(least - 1).to_string()), Some(least), "{backend}");
        }
    }
}
