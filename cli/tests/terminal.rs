//! What a terminal gets that a pipe does not: a width, colours, progress. `script` makes the terminal.
#![cfg(target_os = "linux")]

mod common;

use std::process::Command;

use common::run;

/// What a terminal of so many columns shows; `None` where there is no `script` to make one.
fn shown(columns: u32, command: &str) -> Option<String> {
    let line = format!("stty cols {columns}; {command}");
    let line = line.replace("wgloss", env!("CARGO_BIN_EXE_wgloss"));
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
        let Some(plan) = shown(columns, "wgloss plan mse --shape 4096x1000") else {
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
    let narrow = shown(40, "wgloss losses").unwrap_or_default();
    let too_long = |line: &&str| line.chars().count() > 40 && line.trim().contains(' ');
    assert_eq!(narrow.lines().find(too_long), None);
    assert!(
        narrow.contains("  --label-smoothing\n    share of the target spread evenly\n"),
        "{narrow}"
    );
}

#[test]
fn colours_are_for_terminals_that_want_them() {
    let has_colours = |command: &str| shown(80, command).map(|text| text.contains('\u{1b}'));
    for (command, wanted) in [
        ("TERM=xterm wgloss --help", true),
        ("TERM=xterm NO_COLOR=1 wgloss --help", false),
        ("TERM=xterm wgloss compute huber --gama", true),
        ("TERM=xterm NO_COLOR=1 wgloss compute huber --gama", false),
        ("TERM=xterm wgloss losses", false),
        ("TERM=xterm wgloss --help | cat", false),
    ] {
        assert_eq!(has_colours(command).unwrap_or(wanted), wanted, "{command}");
    }
}

/// Of a check that takes an hour, the first seconds.
#[test]
fn long_work_shows_how_far_it_is() {
    let is_drawn = |text: &str| text.contains("\u{1b}[2K") && text.contains('░');
    let commands = [
        ("timeout 6 wgloss check --exhaustive", true),
        ("timeout 1 wgloss check --exhaustive", false),
        ("timeout 6 wgloss check --exhaustive 2>&1 | cat", false),
        ("TERM=dumb timeout 6 wgloss check --exhaustive", false),
    ];
    // Side by side: they wait for the clock.
    std::thread::scope(|scope| {
        for (command, wanted) in commands {
            scope.spawn(move || {
                let Some(text) = shown(60, command) else { return };
                assert_eq!(is_drawn(&text), wanted, "{command}: {text}");
            });
        }
    });
}
