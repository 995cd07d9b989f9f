//! `wgloss bench` from the outside, on shapes that take no time.

mod common;

use common::{Done, Folder, run};
use serde_json::{Value, json};

/// Runs `bench` on a tiny shape.
fn bench(args: &[&str]) -> Done {
    run(&[&["bench"], args, &["--runs", "1"]].concat())
}

fn keys(value: &Value) -> String {
    let keys: Vec<&str> = value.as_object().unwrap().keys().map(String::as_str).collect();
    keys.join(" ")
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is no number"))
}

/// A median between the least and the most, all above 0.
fn expect_spread(value: &Value) {
    let [median, min, max] = ["median", "min", "max"].map(|key| number(&value[key]));
    assert!(0.0 < min && min <= median && median <= max, "{value}");
}

fn expect_times(value: &Value) {
    expect_spread(&value["wall_ms"]);
    if !value["device_ms"].is_null() {
        expect_spread(&value["device_ms"]);
    }
    assert!(number(&value["gb_per_s"]) > 0.0);
}

#[test]
fn json_has_all_that_a_record_needs() {
    let done = bench(&["mse", "cross-entropy", "--shape", "64x10", "--json"]);
    assert_eq!(done.code, 0, "{}", done.stderr);
    let record = done.json();
    assert_eq!(
        keys(&record),
        "schema version commit date adapter driver backend timestamps tuning runs rows ceilings baselines fixed failed"
    );
    for key in ["version", "commit", "date", "adapter", "driver", "backend", "tuning"] {
        assert!(!record[key].as_str().unwrap().is_empty(), "{key}");
    }
    assert_eq!((&record["runs"], &record["failed"]), (&json!(1), &json!([])));

    let rows = record["rows"].as_array().unwrap();
    let modes: Vec<String> = rows
        .iter()
        .map(|row| format!("{} {}", row["loss"], row["mode"]))
        .collect();
    let wanted = "\"mse\" \"forward\", \"mse\" \"fused\", \"cross_entropy\" \"forward\", \"cross_entropy\" \"fused\"";
    assert_eq!(modes.join(", "), wanted);
    for row in rows {
        assert_eq!(
            keys(row),
            "loss options shape dtype reduction mode bytes traffic device_ms wall_ms gb_per_s ceiling share variant \
             dispatches"
        );
        expect_times(row);
        expect_times(&row["ceiling"]);
        expect_spread(&row["share"]);
        assert!(!row["variant"].as_array().unwrap().is_empty());
        // The share is what it says: rate over rate.
        let share = number(&row["gb_per_s"]) / number(&row["ceiling"]["gb_per_s"]);
        assert!((share / number(&row["share"]["median"]) - 1.0).abs() < 1e-6, "{row}");
        let sum: f64 = row["traffic"]
            .as_array()
            .unwrap()
            .iter()
            .map(|part| number(&part["bytes"]))
            .sum();
        assert_eq!(sum, number(&row["bytes"]));
        // A ceiling of the row's own byte count, up to a whole number of quads.
        let bytes = number(&row["ceiling"]["bytes"]);
        assert!(bytes >= sum && bytes < sum + 32.0, "{row}");
    }
    assert_eq!(
        rows[3]["traffic"],
        json!([
            { "name": "input", "bytes": 2560 },
            { "name": "target", "bytes": 512 },
            { "name": "grad_input", "bytes": 2560 },
            { "name": "loss", "bytes": 4 },
        ])
    );
    assert_eq!(rows[2]["ceiling"]["kind"], "read");
    assert_eq!(rows[3]["ceiling"]["kind"], "copy");

    for ceiling in record["ceilings"].as_array().unwrap() {
        expect_times(ceiling);
        expect_times(&ceiling["buffer_copy"]);
        expect_times(&ceiling["memcpy"]);
        assert!(number(&ceiling["memcpy"]["threads"]) >= 1.0);
        assert!(ceiling["last"].is_null());
    }
    let fixed = record["fixed"].as_array().unwrap();
    let names: Vec<&str> = fixed.iter().map(|own| own["name"].as_str().unwrap()).collect();
    assert_eq!(
        names.join(" "),
        "plan encode empty latency first_call calls encoded_calls"
    );
    // A driver's cache may make the first call as fast as the second.
    fixed
        .iter()
        .filter(|own| own["name"] != "first_call")
        .for_each(expect_spread);
}

#[test]
fn modes_dtypes_and_forms_are_rows_of_their_own() {
    let args = [
        "reduce", "--shape", "7x9", "--mode", "backward", "--dtype", "f32", "--dtype", "bf16", "--json",
    ];
    let record = bench(&args).json();
    let rows = record["rows"].as_array().unwrap().iter();
    let names: Vec<String> = rows
        .map(|row| format!("{} {} {}", row["options"]["op"], row["dtype"], row["mode"]))
        .collect();
    let all = ["f32", "bf16"]
        .into_iter()
        .flat_map(|dtype| ["sum", "mean", "max"].map(|op| format!("\"{op}\" \"{dtype}\" \"backward\"")));
    assert_eq!(names, all.collect::<Vec<_>>());
    for row in record["rows"].as_array().unwrap() {
        let factor = &row["over_f32"];
        assert_eq!(factor.is_null(), row["dtype"] == "f32", "{row}");
        let time = |row: &Value| match row["device_ms"].is_null() {
            true => number(&row["wall_ms"]["median"]),
            false => number(&row["device_ms"]["median"]),
        };
        let is_beside = |own: &&Value| own["options"] == row["options"] && own["dtype"] == "f32";
        let beside = record["rows"].as_array().unwrap().iter().find(is_beside).unwrap();
        assert!(factor.is_null() || (number(factor) * time(row) / time(beside) - 1.0).abs() < 1e-6);
    }
    let table = bench(&["mse", "--shape", "64", "--dtype", "f32", "--dtype", "f16"]).stdout;
    assert!(table.contains("over f32"), "{table}");
    // A mean over so many has gradients that f16 does not hold.
    let record = bench(&["mse", "--shape", "64", "--dtype", "f16", "--json"]).json();
    assert_eq!(record["rows"][0]["reduction"], "sum");
}

/// Every loss is checked against the reference of its block on the way: nothing fails where blocks repeat.
#[test]
fn results_are_checked_where_blocks_repeat() {
    let args = [
        "cross-entropy",
        "l1",
        "softmax",
        "cosine-embedding",
        "--shape",
        "1048999x2",
        "--json",
    ];
    let done = bench(&[&args[..], &["--mode", "fused"]].concat());
    assert_eq!(done.code, 0, "{}", done.stderr);
    assert_eq!(done.json()["rows"].as_array().unwrap().len(), 4);
}

#[test]
fn the_table_says_what_is_what() {
    let done = bench(&["mse", "--shape", "64x10"]);
    for text in [
        "mse ",
        "64x10",
        "forward",
        "fused",
        "share",
        "buffer copy",
        "memcpy",
        "latency",
        "none of this adapter",
    ] {
        assert!(done.stdout.contains(text), "{text}: {}", done.stdout);
    }
    assert_eq!((done.code, done.stderr.as_str()), (0, ""));
}

#[test]
fn csv_has_the_same_columns_in_all_lines() {
    let done = bench(&["mse", "--shape", "64x10", "--csv"]);
    let mut reader = csv::Reader::from_reader(done.stdout.as_bytes());
    let header = reader.headers().unwrap().clone();
    let at = |name: &str| header.iter().position(|own| own == name).unwrap();
    let lines: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
    let sections: Vec<&str> = lines.iter().map(|line| &line[at("section")]).collect();
    assert_eq!(sections.iter().filter(|own| **own == "row").count(), 2);
    assert!(sections.contains(&"ceiling") && sections.contains(&"fixed"));
    for line in &lines {
        assert!(!line[at("adapter")].is_empty() && !line[at("commit")].is_empty());
        line[at("wall_median")].parse::<f64>().unwrap();
    }
    assert_eq!(&lines[0][at("traffic")], "input 2,560 + target 2,560 + loss 4");
}

#[test]
fn a_record_is_found_again_and_compared_with() {
    let folder = Folder::new();
    let records = folder.path("");
    folder.file("old.json", b"{\"adapter\": \"of before\", \"rows\": []}");
    let args = ["mse", "--shape", "4096", "--json", "--records", &records];
    let done = bench(&[&args[..], &["--record"]].concat());
    assert_eq!(done.code, 0, "{}", done.stderr);
    let passed_over = "old.json, no records of schema 2";
    assert!(done.stderr.contains(passed_over), "{}", done.stderr);
    let mut saved = folder.list();
    saved.retain(|name| name != "old.json");
    let [name] = saved.as_slice() else { panic!("{saved:?}") };
    let text = std::fs::read_to_string(folder.path(name)).unwrap();
    let mut old: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(old, done.json());

    // Its ceilings are those of the last record for the next run. Rows made slower show.
    for row in old["rows"].as_array_mut().unwrap() {
        for times in ["device_ms", "wall_ms"] {
            row[times] = json!({ "median": 1e4, "min": 1e4, "max": 1e4 });
        }
    }
    old["rows"][1]["loss"] = "gone".into();
    old["driver"] = "another".into();
    let tuning = old["tuning"].as_str().unwrap().replace("tile: ", "tile: 1");
    old["tuning"] = tuning.into();
    let other = folder.file("other.json", old.to_string().as_bytes());
    // A newer one of other rows does not hide them.
    let mut newer = old.clone();
    newer["date"] = "2999-01-01T00:00:00Z".into();
    newer["ceilings"] = json!([]);
    folder.file("newer.json", newer.to_string().as_bytes());
    let record = bench(&[&args[..], &["--compare", &other]].concat()).json();
    let last = &record["ceilings"][0]["last"];
    assert_eq!((&last["date"], &last["commit"]), (&old["date"], &old["commit"]));
    assert!(number(&last["gb_per_s"]) > 0.0);
    // Its line of the CSV says when it was measured, not when this run was.
    let sheet = bench(&["mse", "--shape", "4096", "--csv", "--records", &records]).stdout;
    let line = sheet.lines().find(|line| line.contains("of the record of")).unwrap();
    assert!(line.ends_with(old["date"].as_str().unwrap()), "{line}");
    let compare = &record["compare"];
    assert_eq!(compare["same_adapter"], false);
    // `tile` and `wide_tile`
    assert_eq!(compare["tuning"].as_array().unwrap().len(), 2);
    assert_eq!(compare["rows"].as_array().unwrap().len(), 1);
    assert_eq!(compare["rows"][0]["time"]["marked"], true);
    assert!(number(&compare["rows"][0]["time"]["ratio"]) < 1.0);
    assert_eq!(compare["only_old"], json!(["gone 4096 f32 fused"]));
    assert_eq!(compare["only_new"], json!(["mse 4096 f32 fused"]));
    let table = bench(&["mse", "--shape", "4096", "--compare", &other]).stdout;
    for text in [
        "faster",
        "another adapter or driver",
        "the work was cut otherwise: tile: ",
        "only in the old run: gone",
        "only in the new run: mse",
    ] {
        assert!(table.contains(text), "{text}: {table}");
    }
}

#[test]
fn what_is_wrong_is_told_before_anything_runs() {
    let folder = Folder::new();
    let text = folder.file("text.json", b"no JSON");
    let before = folder.file("before.json", b"{\"adapter\": \"x\", \"rows\": []}");
    let newer = folder.file("newer.json", b"{\"schema\": 99}");
    let broken = folder.file("broken.json", b"{\"schema\": 2, \"rows\": 3}");
    let no_svg = folder.path("none/a.svg");
    let no_folder = folder.path("none");
    let refused = |args: &[&str], code: i32, text: &str| {
        let done = bench(args);
        assert_eq!(done.code, code, "{args:?}: {}", done.stderr);
        assert!(done.stderr.contains(text), "{args:?}: {}", done.stderr);
        assert_eq!((done.stdout.as_str(), done.stderr.lines().count() > 0), ("", true));
    };
    refused(&["mse", "--shape", "3x"], 2, "--shape");
    refused(&["mse", "--shape", "0"], 2, "above 0");
    refused(&["multi-margin", "--shape", "4x5x6"], 2, "--shape 4x5x6: multi_margin");
    refused(&["mse", "--mode", "sideways"], 2, "sideways");
    refused(&["mse", "--json", "--csv"], 2, "--csv");
    refused(
        &["mse", "--compare", &text],
        1,
        "text.json: is no record of wgloss bench",
    );
    refused(&["mse", "--compare", &before], 1, "has no schema number");
    refused(
        &["mse", "--compare", &newer],
        1,
        "schema 99; this version reads schema 2",
    );
    refused(&["mse", "--compare", &broken], 1, "broken record");
    refused(&["mse", "--compare", &no_folder], 1, "none: ");
    refused(&["mse", "--svg", &no_svg], 1, "does not exist");
    refused(&["mse", "--svg", &folder.path("")], 1, "--svg");
    refused(&["mse", "--records", &no_folder], 1, "--records");
    refused(&["mse", "--record"], 1, "--records");
    refused(&["mse", "--adapter", "no such adapter"], 1, "no such adapter");
    refused(&["mse", "--sweep-to", "1MiB"], 2, "--svg");
}

#[test]
fn a_row_that_fails_is_named_and_the_others_are_measured() {
    let done = bench(&["softmax", "--shape", "1000000000000", "--shape", "5", "--json"]);
    assert_eq!(done.code, 1);
    assert!(done.stderr.contains("softmax 1000000000000 f32: "), "{}", done.stderr);
    assert!(done.stderr.contains("too large"), "{}", done.stderr);
    let record = done.json();
    assert_eq!(record["failed"].as_array().unwrap().len(), 1);
    assert_eq!(record["rows"].as_array().unwrap().len(), 2);
}

#[test]
fn the_picture_has_all_rows() {
    let folder = Folder::new();
    let place = folder.path("a.svg");
    let done = bench(&[
        "mse",
        "reduce",
        "--shape",
        "64x10",
        "--svg",
        &place,
        "--sweep-to",
        "256KiB",
        "--json",
    ]);
    assert_eq!(done.code, 0, "{}", done.stderr);
    assert_eq!(done.json()["sweep"].as_array().unwrap().len(), 12);
    assert_eq!(folder.list(), ["a.svg"]);
    let text = std::fs::read_to_string(place).unwrap();
    assert!(text.starts_with("<svg ") && text.trim_end().ends_with("</svg>"));
    for part in [
        "mse 64x10",
        "reduce op=max 64x10",
        "forward: share of the GB/s of a read kernel",
        "fused: share of the GB/s of a copy kernel",
        "cross_entropy fused",
        "256 KiB",
    ] {
        assert!(text.contains(part), "{part}");
    }
}

/// Steps are rows beside those of losses: checked, timed beside a copy, compared and drawn.
#[test]
fn optimizers_have_rows() {
    let folder = Folder::new();
    let place = folder.path("a.svg");
    let args = [
        "AdamW", "sgd", "mse", "--shape", "2097200", "--mode", "forward", "--json",
    ];
    let more = [
        "--dtype",
        "f32",
        "--dtype",
        "bf16",
        "--svg",
        &place,
        "--sweep-to",
        "64KiB",
    ];
    let done = bench(&[&args[..], &more].concat());
    assert_eq!(done.code, 0, "{}", done.stderr);
    let record = done.json();
    let rows = record["rows"].as_array().unwrap();
    let names: Vec<String> = rows
        .iter()
        .map(|row| {
            let options = row["options"].as_object().unwrap().iter();
            let options: String = options
                .map(|(name, word)| format!(" {name}={}", word.as_str().unwrap()))
                .collect();
            let [loss, dtype, mode] = ["loss", "dtype", "mode"].map(|key| row[key].as_str().unwrap());
            format!("{loss}{options} {dtype} {mode}")
        })
        .collect();
    let wanted = [
        "mse f32 forward",
        "mse bf16 forward",
        "sgd f32 step",
        "sgd momentum=0.9 f32 step",
        "sgd momentum=0.9 nesterov=true f32 step",
        "sgd bf16 step",
        "sgd momentum=0.9 bf16 step",
        "sgd momentum=0.9 nesterov=true bf16 step",
        "adamw f32 step",
        "adamw amsgrad=true f32 step",
        "adamw bf16 step",
        "adamw amsgrad=true bf16 step",
    ];
    assert_eq!(names, wanted);
    // Parameter and gradient in their dtype, two states in f32, all but the gradient read and written.
    let row = &rows[10];
    let n = 2_097_200;
    assert_eq!(row["bytes"], n * (3 * 2 + 4 * 4));
    assert_eq!(row["traffic"][0], json!({ "name": "param", "bytes": 4 * n }));
    assert_eq!(row["ceiling"]["kind"], "copy");
    assert!(row["over_f32"].is_number() && !row["variant"].as_array().unwrap().is_empty());
    expect_times(row);
    let picture = std::fs::read_to_string(&place).unwrap();
    assert!(picture.contains("adamw amsgrad=true 2097200 bf16") && picture.contains("step: share of the GB/s"));

    let mut old = record.clone();
    let slow = json!({ "median": 1e4, "min": 1e4, "max": 1e4 });
    old["rows"].as_array_mut().unwrap().drain(..8);
    old["rows"][0]["device_ms"] = slow.clone();
    old["rows"][0]["wall_ms"] = slow;
    let old = folder.file("old.json", old.to_string().as_bytes());
    let table = bench(&["adamw", "--shape", "2097200", "--compare", &old]).stdout;
    assert!(
        table.contains("adamw 2097200 f32 step") && table.contains("faster"),
        "{table}"
    );

    for (args, text) in [
        (
            &["adamw", "--shape", "8", "--mode", "fused"][..],
            "--mode: optimizers have no modes",
        ),
        (&["rmsprop"], "and the optimizers are sgd, adam, adamw, adagrad"),
    ] {
        let done = bench(args);
        assert!(done.code == 2 && done.stderr.contains(text), "{}", done.stderr);
    }
}

/// The loss of a layer has a row as others do: of its rows, features and classes.
#[test]
fn a_layer_has_rows_in_each_mode() {
    let done = bench(&["linear-cross-entropy", "--shape", "9x12x33", "--json"]);
    assert_eq!(done.code, 0, "{}", done.stderr);
    let record = done.json();
    let rows = record["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 2, "{record}");
    for (row, mode) in rows.iter().zip(["forward", "fused"]) {
        assert_eq!((&row["shape"], &row["mode"]), (&json!([9, 12, 33]), &json!(mode)));
        expect_times(row);
    }
    assert_eq!(record["failed"], json!([]));
}

#[test]
fn products_stand_beside_multiply_adds() {
    let args = ["--products", "--shape", "70x12x33", "--dtype", "f32", "--dtype", "f16"];
    let record = bench(&[&args[..], &["--json"]].concat()).json();
    let products = record["products"].as_array().unwrap();
    assert_eq!(products.len(), 6);
    assert!(record["rows"].as_array().unwrap().is_empty());
    for own in products {
        expect_times(own);
        assert_eq!(own["multiply_adds"], 70 * 12 * 33);
        assert!(number(&own["gflop_per_s"]) > 0.0 && number(&own["registers_gflop_per_s"]) > 0.0);
        assert!(number(&own["share"]["median"]) > 0.0, "{own}");
    }
    let table = bench(&args).stdout;
    for text in [
        "input x weight^T",
        "grad x weight",
        "grad^T x input",
        "70x12x33",
        "GFLOP/s: a multiply-add",
    ] {
        assert!(table.contains(text), "{text}: {table}");
    }
    let done = bench(&["--products", "--shape", "70x12"]);
    assert_eq!(done.code, 2);
    let words = "--shape 70x12: expected rows x features x classes";
    assert!(done.stderr.contains(words), "{}", done.stderr);
}
