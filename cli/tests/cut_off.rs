//! Runs that are cut off leave what they had measured.

mod common;

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::Folder;
use serde_json::Value;

/// The one record of a folder, as soon as it has something in this list, after the program has been killed.
fn left(folder: &Folder, list: &str, args: &[&str]) -> Value {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wgloss"));
    command.args(args).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    let begun = Instant::now();
    let record = loop {
        assert!(begun.elapsed() < Duration::from_secs(120), "no record of {args:?}");
        assert!(child.try_wait().unwrap().is_none(), "{args:?} ended by itself");
        let names = folder.list();
        let mut records = names.iter().filter(|name| name.ends_with(".json"));
        let text = records
            .next()
            .map(|name| std::fs::read_to_string(folder.path(name)).unwrap());
        if let Some(text) = text {
            // Whole at any time.
            let record: Value = serde_json::from_str(&text).unwrap();
            if !record[list].as_array().unwrap().is_empty() {
                break record;
            }
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    child.kill().unwrap();
    child.wait().unwrap();
    record
}

#[test]
fn a_bench_leaves_the_rows_it_has() {
    let folder = Folder::new();
    let records = folder.path("");
    // The last rows take minutes on any adapter.
    let shapes = ["--shape", "4096", "--shape", "67108864", "--runs", "1000"];
    let args = [&["bench", "mse"][..], &shapes, &["--record", "--records", &records]].concat();
    let record = left(&folder, "rows", &args);
    assert_eq!(record["rows"][0]["shape"], serde_json::json!([4096]));
    assert_eq!(record["failed"], serde_json::json!(["the rest, which was cut off"]));
    assert!(!record["ceilings"].as_array().unwrap().is_empty());
}

#[test]
fn a_qualification_leaves_the_tests_it_has() {
    let folder = Folder::new();
    let save = folder.path("qualify.json");
    let record = left(&folder, "tests", &["qualify", "--save", &save]);
    assert_eq!(record["verdict"], "undecided");
}
