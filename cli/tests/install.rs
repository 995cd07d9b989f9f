//! Completions that their shells take, and manual pages.

mod common;

use std::process::Command;

use common::{Folder, losses, run};

#[test]
fn every_shell_has_its_completions() {
    let folder = Folder::new();
    for shell in ["bash", "zsh", "fish", "powershell"] {
        let done = run(&["completions", shell]);
        assert_eq!((done.code, done.stderr.as_str()), (0, ""), "{shell}");
        for name in losses() {
            assert!(done.stdout.contains(&name), "{shell}: {name}");
        }
        for word in ["label-smoothing", "pipeline-cache", "sigmoid-focal", "shader"] {
            assert!(done.stdout.contains(word), "{shell}: {word}");
        }
        let file = folder.file(shell, done.stdout.as_bytes());
        let checked = Command::new(shell).args(["-n", &file]).output();
        match checked {
            _ if shell == "powershell" => {}
            Ok(output) => {
                let stderr = String::from_utf8_lossy(&output.stderr);
                assert!(output.status.success() && stderr.is_empty(), "{shell}: {stderr}");
            }
            Err(_) => println!("SKIPPED: no {shell} here to read its completions"),
        }
    }
    let done = run(&["completions", "tcsh"]);
    assert!(done.code == 2 && done.stderr.contains("bash"), "{}", done.stderr);
}

/// What bash would offer behind these words.
#[test]
fn bash_completes_losses_and_their_options() {
    let folder = Folder::new();
    let file = folder.file("wgloss", run(&["completions", "bash"]).stdout.as_bytes());
    let offers = |words: &str| {
        let count = words.split(' ').count() - 1;
        let script = format!(
            "source {file}; COMP_WORDS=({}); [[ '{words}' == *' ' ]] && COMP_WORDS+=(''); COMP_CWORD={count}; \
             _wgloss wgloss \"${{COMP_WORDS[COMP_CWORD]}}\"; echo \"${{COMPREPLY[*]}}\"",
            words.trim_end()
        );
        let output = Command::new("bash").args(["--norc", "-c", &script]).output();
        output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    if offers("wgloss ").is_err() {
        println!("SKIPPED: no bash here");
        return;
    }
    for (words, wanted) in [
        ("wgloss comp", "compute completions"),
        ("wgloss compute hub", "huber"),
        ("wgloss compute huber --del", "--delta"),
        ("wgloss plot sigmoid-focal --ga", "--gamma"),
        ("wgloss check smooth", "smooth-l1"),
        (
            "wgloss bench mult",
            "multi-margin multilabel-margin multilabel-soft-margin",
        ),
        ("wgloss compute kl-div --log-target=tr", ""),
        ("wgloss completions fi", "fish"),
    ] {
        assert_eq!(offers(words).unwrap(), wanted, "{words}");
    }
}

#[test]
fn every_command_has_its_page() {
    let folder = Folder::new();
    let into = folder.path("");
    let done = run(&["man", "--out", &into]);
    assert_eq!(done.code, 0, "{}", done.stderr);
    let pages = folder.list();
    for name in [
        "wgloss.1",
        "wgloss-check.1",
        "wgloss-compute-huber.1",
        "wgloss-step-adamw.1",
    ] {
        assert!(pages.contains(&name.into()), "{name}: {pages:?}");
    }
    // Names beside those of the losses have none, nor has what is not drawn.
    assert!(
        !pages
            .iter()
            .any(|page| page.contains("amax") || page.contains("help") || page.contains("plot-reduce"))
    );
    assert!(
        done.stdout.starts_with(&format!("{} pages", pages.len())),
        "{}",
        done.stdout
    );

    let page = run(&["man", "compute", "huber"]).stdout;
    for word in [".TH wgloss-compute-huber 1", "\\-\\-delta", ".SH DESCRIPTION"] {
        assert!(page.contains(word), "{word}: {page}");
    }
    let file = std::fs::read_to_string(folder.path("wgloss-compute-huber.1")).unwrap();
    assert_eq!(file.trim_end(), page.trim_end());
}

#[test]
fn pages_of_nothing_and_for_nowhere_are_refused() {
    let done = run(&["man", "compute", "dice"]);
    assert!(
        done.code == 2 && done.stderr.contains("wgloss compute has no command \"dice\""),
        "{}",
        done.stderr
    );
    let done = run(&["man", "--out", "no-such-folder"]);
    assert!(
        done.code == 1 && done.stderr.contains("--out no-such-folder: expected a folder"),
        "{}",
        done.stderr
    );
}
