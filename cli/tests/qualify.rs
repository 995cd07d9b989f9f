//! `wgloss qualify` from the outside: software adapters are trusted, every fault is seen, and changes are told.

mod common;

use common::{Folder, blind, run};
use serde_json::{Value, json};

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_else(|| panic!("{value} has no {key}"))
}

#[test]
fn the_adapter_is_trusted() {
    let done = run(&["qualify", "--json"]);
    assert_eq!((done.code, done.stderr.as_str()), (0, ""), "{}", done.stdout);
    let record = done.json();
    let keys: Vec<&String> = record.as_object().unwrap().keys().collect();
    let wanted = [
        "schema",
        "version",
        "commit",
        "date",
        "adapter",
        "driver",
        "driver_info",
        "verdict",
        "tests",
    ];
    assert_eq!(keys, wanted);
    assert_eq!(record["verdict"], "trusted");
    let rows = record["tests"].as_array().unwrap();
    assert!(rows.len() >= 30);
    let mut skipped = 0;
    for row in rows {
        assert!(["passed", "note", "skipped"].contains(&text(row, "verdict")), "{row}");
        skipped += usize::from(row["verdict"] == "skipped");
        let fault = if row["verdict"] == "skipped" { "none" } else { "caught" };
        assert_eq!(row["fault"], fault, "{row}");
        assert!(!text(row, "seen").is_empty() && !text(row, "what").is_empty() && row["ms"].is_number());
    }
    // Subgroups alone may be missing.
    assert!(skipped <= 1, "{record}");
    let figure = |test: &str, name: &str| {
        let row = rows.iter().find(|row| row["name"] == test).unwrap();
        row["figures"][name].as_f64().unwrap_or_else(|| panic!("{row}"))
    };
    let share = figure("exp", "share");
    assert!(0.0 < share && share <= 1.0);
    assert!(figure("copy", "gb_per_s") > 0.01 && figure("largest-window", "bytes") >= 1048576.0);
}

/// An adapter with every fault fails every test, but for those that only tell.
#[test]
fn every_fault_is_seen() {
    let all = run(&["qualify", "--help"]).stdout;
    let list = all
        .split("[possible values: ")
        .nth(1)
        .unwrap()
        .split(']')
        .next()
        .unwrap();
    let names: Vec<&str> = list.split_whitespace().map(|name| name.trim_end_matches(',')).collect();
    assert!(names.len() >= 30, "{names:?}");
    let faults = names.iter().flat_map(|name| ["--seed-fault", name]);
    let done = run(&["qualify", "--json"].into_iter().chain(faults).collect::<Vec<_>>());
    assert_eq!(done.code, 1);
    let record = done.json();
    assert_eq!(record["verdict"], "not trusted");
    for row in record["tests"].as_array().unwrap() {
        let name = text(row, "name");
        let only_tells = ["ieee", "unpack2x16float", "pack2x16float"].contains(&name);
        let is_right = match text(row, "verdict") {
            "failed" => !only_tells && done.stderr.contains(name),
            "note" => only_tells && !text(row, "seen").starts_with("exact") && !text(row, "seen").starts_with("as "),
            "skipped" => name == "shuffles",
            _ => false,
        };
        assert!(is_right, "{row}");
    }
}

#[test]
fn one_fault_fails_one_test() {
    let folder = Folder::new();
    let place = folder.path("new.json");
    let done = run(&["qualify", "exp", "offsets", "--seed-fault", "offsets", "--save", &place]);
    assert_eq!(done.code, 1);
    let saved: Value = serde_json::from_str(&std::fs::read_to_string(&place).unwrap()).unwrap();
    assert_eq!(
        (&saved["verdict"], &saved["tests"][1]["verdict"]),
        (&json!("not trusted"), &json!("failed"))
    );
    assert_eq!(done.stderr, "error: not trusted: offsets\n");
    for words in [
        "exp ",
        "passed  caught",
        "failed  caught",
        "not trusted: 1 of 2 tests failed",
    ] {
        assert!(done.stdout.contains(words), "{words}: {}", done.stdout);
    }
}

#[test]
fn changes_are_told() {
    let folder = Folder::new();
    let args = ["qualify", "exp", "offsets", "bindings"];
    let old = run(&[&args[..], &["--json"]].concat()).json();
    let same = folder.file("same.json", old.to_string().as_bytes());
    let done = run(&[&args[..], &["--compare", &same]].concat());
    assert!(
        done.code == 0 && done.stdout.contains("nothing has changed"),
        "{}",
        done.stdout
    );

    let mut other = old.clone();
    other["driver_info"] = "1.0 of before".into();
    other["tests"][0]["verdict"] = "failed".into();
    other["tests"][0]["figures"]["share"] = 2.5.into();
    other["tests"][1]["name"] = "gone".into();
    let other = folder.file("other.json", other.to_string().as_bytes());
    let record = run(&[&args[..], &["--compare", &other, "--json"]].concat()).json();
    let compare = &record["compare"];
    assert_eq!(
        compare["verdicts"],
        json!([{ "test": "exp", "old": "failed", "new": "passed" }])
    );
    assert_eq!(compare["figures"].as_array().unwrap().len(), 1);
    assert_eq!(
        (&compare["figures"][0]["figure"], &compare["figures"][0]["old"]),
        (&json!("share"), &json!(2.5))
    );
    assert_eq!(
        (&compare["only_old"], &compare["only_new"]),
        (&json!(["gone"]), &json!(["offsets"]))
    );
    let table = run(&[&args[..], &["--compare", &other]].concat()).stdout;
    for words in [
        "was 1.0 of before",
        "exp: passed, was failed",
        "exp: share 0.",
        "was 2.500",
        "only in the old run: gone",
        "only in the new run: offsets",
    ] {
        assert!(table.contains(words), "{words}: {table}");
    }
}

#[test]
fn what_is_wrong_is_told() {
    let folder = Folder::new();
    let bench = folder.file("bench.json", b"{\"schema\": 1, \"rows\": []}");
    let broken = folder.file("broken.json", b"{\"schema\": 1, \"tests\": 3}");
    for (args, code, words) in [
        (&["cosine"][..], 2, "cosine"),
        (
            &["exp", "--seed-fault", "log"],
            2,
            "--seed-fault log: the test is not among",
        ),
        (
            &["exp", "--compare", &bench],
            1,
            "bench.json: is no record of wgloss qualify",
        ),
        (&["exp", "--compare", &broken], 1, "broken record"),
        (&["exp", "--compare", &folder.path("none")], 1, "none: "),
        (&["exp", "--adapter", "no such adapter"], 1, "no such adapter"),
        (&["exp", "--save", &folder.path("none/a.json")], 1, "does not exist"),
        (&["exp", "--window", "0"], 2, "at least one byte"),
    ] {
        let done = run(&[&["qualify"], args].concat());
        assert_eq!(
            (done.code, done.stdout.as_str()),
            (code, ""),
            "{args:?}: {}",
            done.stderr
        );
        assert!(done.stderr.contains(words), "{args:?}: {}", done.stderr);
    }
    let done = blind("qualify");
    assert_eq!(done.code, 1);
    assert!(
        done.stderr.contains("no adapter") && done.stderr.contains("apt-get install"),
        "{}",
        done.stderr
    );
}
