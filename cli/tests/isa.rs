//! `benches/isa/isa.py --check`: what AMD's compiler makes of our kernels, beside the table that is kept. Skipped where
//! Python, that compiler, or the version of Mesa that the table was made with is not there.
//!
//! A kernel of each kind; with `WGLOSS_TEST_LONG=1`, all that the table has.

mod common;

use std::path::Path;
use std::process::Command;

use common::{Done, Folder};
use serde_json::Value;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../benches/isa/isa.py");
const RESULTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../benches/results/isa");
/// How the script ends where something that it needs is not there.
const UNAVAILABLE: i32 = 77;

/// What the script says, or nothing where it cannot run here.
fn check(args: &[&str]) -> Option<Done> {
    let mut command = Command::new("python3");
    command.args([SCRIPT, "--check", "--wgloss", env!("CARGO_BIN_EXE_wgloss")]);
    let output = match command.args(args).output() {
        Ok(output) => output,
        Err(error) => {
            eprintln!("SKIPPED: python3: {error}");
            return None;
        }
    };
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let done = Done {
        code: output.status.code().expect("ended by a signal"),
        stdout: text(output.stdout),
        stderr: text(output.stderr),
    };
    if done.code == UNAVAILABLE {
        eprintln!("SKIPPED: {}", done.stderr.trim());
        return None;
    }
    Some(done)
}

#[test]
fn kernels_are_no_longer_than_in_the_table_and_spill_nothing() {
    let long = std::env::var("WGLOSS_TEST_LONG").is_ok_and(|long| long == "1");
    if let Some(done) = check(if long { &["--long"] } else { &[] }) {
        assert_eq!(done.code, 0, "{}{}", done.stdout, done.stderr);
    }
}

/// The table that is kept.
fn kept() -> Value {
    let is_table = |path: &Path| path.extension().is_some_and(|ending| ending == "json");
    let mut files = std::fs::read_dir(RESULTS).unwrap().map(|entry| entry.unwrap().path());
    let table = files
        .find(|path| is_table(path))
        .expect("a table in benches/results/isa");
    serde_json::from_slice(&std::fs::read(table).unwrap()).unwrap()
}

#[test]
fn what_is_longer_or_not_in_the_table_is_told() {
    let row = "reduce 33554432 bf16 forward";
    let is_of_row = |own: &Value| own["rows"].as_array().unwrap().contains(&row.into());
    let folder = Folder::new();
    // How the table is changed, and what has to be told then.
    type Change = fn(&mut Value);
    let changes: [(&str, Change, &str); 4] = [
        ("nothing", |_| {}, ""),
        (
            "total",
            |own| own["instructions"] = 100.into(),
            "instructions in place of 100\n",
        ),
        (
            "a loop",
            |own| own["loops"][1]["to_16"]["all"] = (own["loops"][1]["to_16"]["all"].as_f64().unwrap() * 0.85).into(),
            "instructions to sixteen in place of",
        ),
        (
            "another name",
            |own| own["pipeline"] = "another".into(),
            "is not in the table",
        ),
    ];
    for (name, change, told) in changes {
        let mut table = kept();
        let of_row = table["pipelines"]
            .as_array_mut()
            .unwrap()
            .iter_mut()
            .find(|own| is_of_row(own));
        change(of_row.expect(row));
        let file = folder.file("table.json", table.to_string().as_bytes());
        let Some(done) = check(&["--rows", row, "--against", &file]) else {
            return;
        };
        assert_eq!(
            done.code,
            i32::from(!told.is_empty()),
            "{name}: {}{}",
            done.stdout,
            done.stderr
        );
        assert!(done.stdout.contains(told), "{name}: {}", done.stdout);
    }
}

/// A spill is worse than any table: no kernel has one, so none can show it.
#[test]
fn a_spill_is_told() {
    let script = "import isa; own = dict(spilled_vgprs=0, spilled_sgprs=0, scratch=0, instructions=1, loops=[]); \
                  print([list(isa.worse(dict(own, **{name: 1}), own)) for name in \
                  ['spilled_vgprs', 'spilled_sgprs', 'scratch', 'instructions']])";
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../benches/isa");
    let run = Command::new("python3")
        .args(["-B", "-c", script])
        .current_dir(folder)
        .output();
    let Ok(done) = run else {
        eprintln!("skipped: no python3");
        return;
    };
    let told = String::from_utf8_lossy(&done.stdout);
    for name in ["spilled_vgprs", "spilled_sgprs", "scratch"] {
        assert!(told.contains(&format!("['{name} 1, and none may be']")), "{told}");
    }
    assert!(told.trim_end().ends_with(", []]"), "{told}");
}
