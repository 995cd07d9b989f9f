//! `tests/golden/deviations.json`: every difference from the corpus, and from PyTorch where the corpus is silent, with
//! its reason. Nothing else may differ.

use std::path::Path;
use std::sync::OnceLock;

use serde::Deserialize;

use crate::golden::{Case, Corpus};

#[derive(Deserialize)]
struct Deviations {
    corpus: Vec<Deviation>,
    beyond: Vec<Beyond>,
}

/// A difference that no case of the corpus shows, and the test that does.
#[derive(Deserialize)]
struct Beyond {
    #[serde(rename = "where")]
    place: String,
    reason: String,
    test: String,
}

/// A case whose expected values are not what we want.
#[derive(Deserialize)]
struct Deviation {
    case: String,
    output: String,
    expected: Vec<f64>,
    reason: String,
}

fn list() -> &'static Deviations {
    static LIST: OnceLock<Deviations> = OnceLock::new();
    LIST.get_or_init(|| serde_json::from_str(include_str!("golden/deviations.json")).unwrap())
}

/// What a case's output shall be: the corpus's values, or ours where the list says so.
pub fn apply(case: &Case, output: &str, want: Vec<f64>) -> Vec<f64> {
    match list().corpus.iter().find(|d| d.case == case.id && d.output == output) {
        Some(deviation) => deviation.expected.clone(),
        None => want,
    }
}

/// An entry that names no case, gives no reason or does not differ is not a deviation.
#[test]
fn every_entry_is_needed() {
    let corpus = Corpus::load();
    for deviation in &list().corpus {
        assert!(!deviation.reason.is_empty());
        let case = corpus
            .cases
            .iter()
            .find(|case| case.id == deviation.case)
            .expect("a case of the corpus");
        let theirs = corpus.expected(case, &deviation.output);
        assert_eq!(theirs.len(), deviation.expected.len(), "{}", deviation.case);
        let same = |(a, b): (&f64, &f64)| a == b || (a.is_nan() && b.is_nan());
        assert!(!theirs.iter().zip(&deviation.expected).all(same), "{}", deviation.case);
    }
}

/// All Rust below a folder.
fn sources(folder: &Path) -> String {
    let mut all = String::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all += &sources(&path);
        } else if path.extension().is_some_and(|own| own == "rs") {
            all += &std::fs::read_to_string(&path).unwrap();
        }
    }
    all
}

/// Those beyond the corpus have a test each, and stand in the table of docs/differences.md.
#[test]
fn every_other_difference_has_a_test() {
    let tests = sources(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests")));
    let table = include_str!("../docs/differences.md").replace('`', "");
    for beyond in &list().beyond {
        assert!(tests.contains(&format!("fn {}()", beyond.test)), "{}", beyond.test);
        assert!(
            !beyond.reason.is_empty() && table.contains(&beyond.place),
            "{}",
            beyond.place
        );
    }
}
