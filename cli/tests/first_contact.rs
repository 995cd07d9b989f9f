//! `benches/first_contact.sh` with this program: parts by themselves, what is not there, and time that is over.
#![cfg(unix)]

mod common;

use std::process::Command;

use common::{Done, Folder};

fn first_contact(args: &[&str]) -> Done {
    let mut command = Command::new("bash");
    command
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/../benches/first_contact.sh"))
        .args(args)
        .env("WGLOSS", env!("CARGO_BIN_EXE_wgloss"))
        .env("PYTHON", "no-such-python");
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Done {
        code: output.status.code().expect("ended by a signal"),
        stdout: text(output.stdout),
        stderr: text(output.stderr),
    }
}

#[test]
fn parts_leave_their_records_and_a_summary() {
    let folder = Folder::new();
    let out = folder.path("");
    let read = |name: &str| std::fs::read_to_string(folder.path(name)).unwrap_or_default();
    let done = first_contact(&["adapters", "peers", "--out", &out]);
    assert_eq!(done.code, 0, "{}", done.stderr);
    let summary = read("summary.md");
    for words in [
        "# First contact",
        "## Adapters",
        "driver info",
        "there is no no-such-python",
    ] {
        assert!(summary.contains(words), "{words}: {summary}");
    }
    assert!(read("adapters.json").starts_with('['), "{:?}", folder.list());

    // Time that is over leaves what is there, and says how to go on.
    let done = first_contact(&["qualify", "--out", &out, "--seconds", "0"]);
    assert_eq!(done.code, 1);
    assert!(
        done.stderr.contains("qualify: left out, 0 s are over; run it alone:"),
        "{}",
        done.stderr
    );

    for (args, words) in [
        (&["qualifies"][..], "qualifies is no part and no option"),
        (&["--scale", "large"], "--scale large: expected full or small"),
        (&["--seconds", "-1"], "--seconds -1: expected a whole number"),
        (&["--out"], "--out needs a value"),
    ] {
        let done = first_contact(args);
        assert!(
            done.code == 2 && done.stderr.contains(words),
            "{args:?}: {}",
            done.stderr
        );
    }
}
