//! What a terminal gets that a pipe does not: a width, colours, progress. `script` makes the terminal.
#![cfg(target_os = "linux")]

mod common;

use std::process::Command;

use common::run;

/// What a terminal of so many columns shows; `None` where there is no `script` to make one.
fn shown(columns: u32, command: &str) -> Option<String> {
    let line = format!("stty cols {columns}; {} {command}", env!("CARGO_BIN_EXE_wgloss"));
    let output = Command::new("script").args(["-qec", &line, "/dev/null"]).output();
    let Ok(output) = output else {
        println!("SKIPPED: no `script` here");
        return None;
    };
    Some(String::from_utf8_lossy(&output.stdout).replace("\r\n", "\n"))
}

#[test]
fn tables_and_lists_fit_the_terminal() {
    for columns in [20, 40, 80] {
        let Some(plan) = shown(columns, "plan mse --shape 4096x1000") else {
            return;
        };
        // The table; what is around it are sentences, which the terminal breaks.
        let table = plan.lines().skip_while(|line| !line.starts_with("step"));
        let table: Vec<&str> = table.take_while(|line| *line != "pipelines").collect();
        assert!(
            table.iter().all(|line| line.chars().count() <= columns as usize),
            "{columns}:\n{plan}"
        );
        assert!(
            table.iter().any(|line| line.contains("bytes written")),
            "{columns}:\n{plan}"
        );
    }
    let wide = run(&["losses"]).stdout;
    let least = wide.lines().map(|line| line.chars().count()).max().unwrap();
    assert!(least > 120, "a pipe has no width: {least}");
    let narrow = shown(40, "losses").unwrap_or_default();
    let too_long = |line: &&str| line.chars().count() > 40 && line.trim().contains(' ');
    assert_eq!(narrow.lines().find(too_long), None);
    assert!(
        narrow.contains("  --label-smoothing\n    share of the target spread evenly\n"),
        "{narrow}"
    );
}

#[test]
fn colours_are_for_terminals_that_want_them() {
    if shown(80, "--version").is_none() {
        return;
    }
    let text = |variables: &str, command: &str| {
        let line = format!("{variables} {} {command}", env!("CARGO_BIN_EXE_wgloss"));
        let output = Command::new("script")
            .args(["-qec", &line, "/dev/null"])
            .output()
            .unwrap();
        String::from_utf8_lossy(&output.stdout).contains('\u{1b}')
    };
    for command in ["--help", "compute", "compute huber --gama"] {
        assert!(text("TERM=xterm", command), "{command} has colours");
        assert!(!text("TERM=xterm NO_COLOR=1", command), "{command} has none");
    }
    assert!(!text("TERM=xterm", "losses"));
}

/// Pipelines that a software adapter compiles take longer than two seconds; a plan does not.
#[test]
fn long_work_shows_how_far_it_is() {
    let is_drawn = |text: &str| text.contains("\u{1b}[2K") && text.contains('█');
    let Some(plan) = shown(60, "plan mse --shape 64x10") else {
        return;
    };
    assert!(!is_drawn(&plan), "{plan}");
    let start = std::time::Instant::now();
    let text = shown(60, "check sum softmax-focal --seed 3").unwrap_or_default();
    match start.elapsed().as_secs_f64() {
        // Adapters that are faster than the bar is late.
        ..4.0 => println!("SKIPPED: the check was done too soon"),
        _ => assert!(is_drawn(&text), "{text}"),
    }
    let piped = run(&["check", "sum", "--json"]);
    assert_eq!((piped.code, piped.stderr.as_str()), (0, ""));
}
