//! `wgloss tune` and `--tuned` from the outside, on rows that take no time.
#![cfg(unix)] // elsewhere no variable says where a user's caches are

mod common;

use common::{DIGITS, Done, Folder, npy_f32, run_with};
use serde_json::Value;

const FIELDS: [&str; 13] = [
    "width",
    "tile",
    "row_width",
    "subgroup",
    "subgroup_cols",
    "lane_cols",
    "lane_rows",
    "pack",
    "held",
    "block_tails",
    "workgroups",
    "wide_tile",
    "wide_cols",
];

/// Runs the program with caches of its own.
fn with_caches(folder: &Folder, args: &[&str]) -> Done {
    let caches = folder.path("caches");
    run_with(args, &[("XDG_CACHE_HOME", &caches), ("HOME", &folder.path("home"))])
}

/// Where the tuning is kept there.
fn saved(folder: &Folder) -> std::path::PathBuf {
    let found = ["caches/wgloss", "home/Library/Caches/wgloss"]
        .into_iter()
        .filter_map(|place| std::fs::read_dir(folder.path(place)).ok());
    let files: Vec<_> = found.flatten().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(files.len(), 1, "{files:?}");
    files[0].clone()
}

fn compute<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&["compute", "cross-entropy", DIGITS[0], DIGITS[1], "--json"], more].concat()
}

#[test]
fn gpu_tune_measures_chooses_and_says_why() {
    let folder = Folder::new();
    let args = [
        "tune",
        "--json",
        "--runs",
        "1",
        "--elements",
        "20000",
        "--field",
        "tile",
        "--field",
        "lane_rows",
    ];
    let done = with_caches(&folder, &args);
    assert_eq!(done.code, 0, "{}", done.stderr);
    let report = done.json();
    for key in ["version", "commit", "date", "adapter", "driver", "class"] {
        assert!(!report[key].as_str().unwrap().is_empty(), "{key}");
    }
    assert_eq!((&report["runs"], &report["elements"]), (&1.into(), &20_000.into()));
    assert_eq!(
        (&report["saved"], &report["failed"]),
        (&Value::Null, &Value::Array(vec![]))
    );
    let fields = report["fields"].as_array().unwrap();
    let mut names: Vec<&str> = fields.iter().map(|own| own["field"].as_str().unwrap()).collect();
    // More than once where a value at an end of its ladder wins.
    names.dedup();
    assert_eq!(names, ["tile", "lane_rows"]);
    let mut tuning = report["class_tuning"].clone();
    for own in fields {
        let (name, chosen, before) = (own["field"].as_str().unwrap(), &own["chosen"], &own["before"]);
        assert_eq!((&report["class_tuning"][name], &tuning[name]), (&own["class"], before));
        tuning[name] = chosen.clone();
        assert!(!own["why"].as_str().unwrap().is_empty());
        let candidates = own["candidates"].as_array().unwrap();
        assert!(candidates.len() > 1);
        assert_eq!(candidates.iter().filter(|one| one["value"] == *chosen).count(), 1);
        for one in candidates {
            let rows = own["rows"].as_array().unwrap().len();
            assert_eq!(one["row_ms"].as_array().unwrap().len(), rows);
            // What others are held against is held against nothing.
            if one["value"] == *before {
                assert!(one["share"].is_null() && one["untimed"].is_null(), "{one}");
            }
        }
    }
    assert_eq!(report["tuning"], tuning);
    assert!(FIELDS.iter().all(|name| tuning[name].is_u64()), "{tuning}");
    // Nothing was saved.
    assert!(!std::path::Path::new(&folder.path("caches/wgloss")).exists());
    let text = with_caches(
        &folder,
        &["tune", "--runs", "1", "--elements", "4096", "--field", "tile"],
    );
    for part in [
        "rounds by",
        "class",
        "chosen",
        "tile: reduce op=sum 4096 f32 forward",
        "tuning: width ",
    ] {
        assert!(text.stdout.contains(part), "{part}: {}", text.stdout);
    }
}

/// What is saved is used where it is asked for, and nowhere else; what cannot be used is an error.
#[test]
fn gpu_tuned_reads_what_tune_saved() {
    let folder = Folder::new();
    let refused = |args: &[&str], parts: &[&str]| {
        let done = with_caches(&folder, args);
        assert_eq!(done.code, 1, "{args:?}: {}", done.stdout);
        for part in ["--tuned: ", "; run `wgloss tune --save`"].iter().chain(parts) {
            assert!(done.stderr.contains(part), "{part}: {}", done.stderr);
        }
    };
    refused(&compute(&["--tuned"]), &["nothing is saved for "]);

    let args = [
        "tune",
        "--save",
        "--json",
        "--runs",
        "1",
        "--elements",
        "4096",
        "--field",
        "tile",
    ];
    let report = with_caches(&folder, &args).json();
    let place = saved(&folder);
    assert_eq!(report["saved"], place.to_str().unwrap());
    // As if another tile had been chosen: it is in the reports, and the result is the same but for its last bits.
    let text = std::fs::read_to_string(&place).unwrap();
    let mut file: Value = serde_json::from_str(&text).unwrap();
    let class_width = file["tuning"]["width"].as_u64().unwrap();
    let (width, tile) = (class_width / 2, 64 * class_width / 2);
    file["tuning"]["width"] = width.into();
    file["tuning"]["tile"] = tile.into();
    let other = file.to_string();
    std::fs::write(&place, &other).unwrap();
    let plain = with_caches(&folder, &compute(&[])).json();
    let tuned = with_caches(&folder, &compute(&["--tuned"])).json();
    assert_eq!(plain["tuning"], Value::Null);
    assert_eq!(tuned["tuning"], file["tuning"]);
    let loss = |report: &Value| report["loss"].as_f64().unwrap();
    assert!((loss(&plain) - loss(&tuned)).abs() < 1e-6);
    let line = with_caches(&folder, &["compute", "cross-entropy", DIGITS[0], DIGITS[1], "--tuned"]);
    assert!(line.stdout.contains(", tuned   "), "{}", line.stdout);

    let x = folder.file("x.npy", &npy_f32(&[1.0; 8], "(8,)"));
    let out = folder.path("out.npy");
    let step = ["step", "sgd", &x, &x, "--out", &out, "--json", "--tuned"];
    assert_eq!(with_caches(&folder, &step).json()["tuning"], file["tuning"]);
    let bench = [
        "bench", "mse", "--shape", "64", "--mode", "forward", "--runs", "1", "--tuned",
    ];
    let record = with_caches(&folder, &[&bench[..], &["--json"]].concat()).json();
    assert_eq!(record["tuned"], true);
    let written = record["tuning"].as_str().unwrap();
    assert!(written.contains(&format!("tile: {tile},")), "{written}");
    let tables = with_caches(&folder, &bench);
    assert!(tables.stdout.contains("tuned: Tuning {"), "{}", tables.stdout);
    let check = with_caches(&folder, &["check", "sigmoid", "--json", "--tuned"]).json();
    assert_eq!((&check["tuning"], &check["passed"]), (&file["tuning"], &true.into()));

    // Files that are not what they should be.
    let commands = [
        compute(&["--tuned"]),
        step.to_vec(),
        bench.to_vec(),
        vec!["check", "sigmoid", "--tuned"],
    ];
    std::fs::write(&place, "no JSON").unwrap();
    for command in &commands {
        refused(command, &[place.to_str().unwrap(), "is no tuning of wgloss tune"]);
    }
    for (key, what) in [
        ("version", "version"),
        ("adapter", "adapter"),
        ("driver", "driver"),
        ("driver_info", "driver_info"),
    ] {
        let mut changed: Value = serde_json::from_str(&other).unwrap();
        changed[key] = "another".into();
        std::fs::write(&place, changed.to_string()).unwrap();
        refused(
            &commands[0],
            &[&format!("was measured with {what} \"another\", this is ")],
        );
    }
    std::fs::write(&place, other.replace(&format!("\"tile\":{tile}"), "\"tile\":100")).unwrap();
    refused(&commands[0], &["its tuning is wrong: tile: 100 given"]);
    // Whoever does not ask is not told.
    assert_eq!(with_caches(&folder, &compute(&[])).code, 0);
}

#[test]
fn what_cannot_be_tuned_is_said() {
    let folder = Folder::new();
    let refused = |args: &[&str], code: i32, part: &str| {
        let done = with_caches(&folder, args);
        assert_eq!(done.code, code, "{args:?}: {}", done.stderr);
        assert!(done.stderr.contains(part), "{part}: {}", done.stderr);
    };
    refused(&["tune", "--adapter", "no such adapter"], 1, "no adapter: ");
    refused(&["tune", "--field", "tiles"], 2, "tiles");
    refused(&["tune", "--runs", "0"], 2, "--runs");
    refused(&["tune", "--elements", "0"], 2, "--elements");
    refused(
        &compute(&["--tuned", "--backend", "cpu"]),
        2,
        "--tuned is how a GPU cuts its work",
    );
    // There is no driver where this one is: what was asked for is not left out.
    let nowhere = folder.path("none.json");
    let done = run_with(
        &compute(&["--tuned"]),
        &[("VK_DRIVER_FILES", &nowhere), ("VK_ICD_FILENAMES", &nowhere)],
    );
    if !done.stderr.contains("--tuned: ") {
        assert_eq!(done.code, 1, "{}", done.stdout);
        assert!(done.stderr.contains("no adapter"), "{}", done.stderr);
    }
}

/// A folder that cannot be is found before anything is measured, or where it is written.
#[test]
fn gpu_what_cannot_be_saved_is_printed_all_the_same() {
    let folder = Folder::new();
    folder.file("caches", b"");
    folder.file("home", b"");
    let done = with_caches(
        &folder,
        &["tune", "--save", "--runs", "1", "--elements", "4096", "--field", "tile"],
    );
    assert_eq!(done.code, 1);
    assert!(done.stderr.contains("--save "), "{}", done.stderr);
    assert!(done.stdout.contains("tuning: width "), "{}", done.stdout);
}
