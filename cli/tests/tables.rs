//! The committed tables of plans and of sectors are what the program says today. Skipped where Python is not there.
//!
//! Of sectors, the fused rows in f32; with `WGLOSS_TEST_LONG=1`, all.

use std::process::Command;

const BENCHES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../benches");
/// What reads and writes of operands reach at least.
const EFFICIENT: f64 = 0.9;

/// The lines behind the header of what a script prints, and those of its table.
fn lines(script: &str, words: &[&str]) -> Option<(Vec<String>, Vec<String>)> {
    let path = format!("{BENCHES}/{script}.py");
    let mut command = Command::new("python3");
    command.args(["-B", &path, env!("CARGO_BIN_EXE_wgloss")]).args(words);
    let output = match command.output() {
        Ok(output) => output,
        Err(error) => {
            eprintln!("SKIPPED: python3: {error}");
            return None;
        }
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let kept = std::fs::read_to_string(format!("{BENCHES}/results/{script}.txt")).unwrap();
    let of = |text: &str| text.lines().skip(1).map(str::to_owned).collect::<Vec<_>>();
    Some((of(&String::from_utf8(output.stdout).unwrap()), of(&kept)))
}

#[test]
fn plans_are_those_of_the_table() {
    let Some((found, kept)) = lines("plans", &[]) else {
        return;
    };
    let news: Vec<&String> = found.iter().filter(|line| !kept.contains(line)).collect();
    assert!(
        news.is_empty() && found.len() == kept.len(),
        "benches/plans.py makes other lines: {news:#?}"
    );
}

#[test]
fn sectors_are_those_of_the_table_and_efficient() {
    let long = std::env::var("WGLOSS_TEST_LONG").is_ok_and(|long| long == "1");
    let Some((found, kept)) = lines("sectors", if long { &[] } else { &["fused", " f32"] }) else {
        return;
    };
    let is_whole = if long {
        found.len() == kept.len()
    } else {
        found.len() > 10
    };
    assert!(is_whole, "{} rows of {}", found.len(), kept.len());
    for line in &found {
        assert!(
            kept.contains(line),
            "benches/sectors.py makes another line, which benches/results/sectors.txt has not: {line}"
        );
        let words: Vec<&str> = line.split_whitespace().collect();
        let share = |place: usize| words[place].parse::<f64>().unwrap();
        // A forward pass writes a few states alone.
        let is_written = words[3] != "forward";
        assert!(share(4) >= EFFICIENT, "{line}");
        assert!(!is_written || share(5) >= EFFICIENT, "{line}");
    }
}
