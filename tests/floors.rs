//! Arrows run one way: no file of `src/` imports a module of a floor above its own, modules of one floor stand in no
//! circle, and what blocks a thread stands in one file. The table of floors is that of ARCHITECTURE.md.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// A module and its floor.
type Floors = BTreeMap<String, u32>;
/// Files by their path below `src/`, with their text.
type Files = Vec<(String, String)>;

/// Where alone a thread may wait, and what tells of it.
const WAITS: (&str, &[&str]) = ("gpu/wait.rs", &["pollster", "futures_intrusive", "poll_fn", ".poll("]);

/// The rows `| floor | module | what |` below the heading.
fn table(text: &str) -> Floors {
    let own = text.split("\n## Modules by floor\n").nth(1).unwrap_or_default();
    let own = own.split("\n## ").next().unwrap_or_default();
    let mut floors = Floors::new();
    for line in own.lines() {
        let cells: Vec<_> = line.split('|').map(str::trim).collect();
        if let [_, floor, module, ..] = cells[..]
            && let Ok(floor) = floor.parse()
        {
            let module = module.trim_matches(['`', '/']);
            let before = floors.insert(module.to_string(), floor);
            assert!(before.is_none(), "{module} stands twice in the table");
        }
    }
    floors
}

fn read(folder: &Path, below: &str, files: &mut Files) {
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let name = format!("{below}{}", entry.file_name().into_string().unwrap());
        match entry.file_type().unwrap().is_dir() {
            true => read(&entry.path(), &format!("{name}/"), files),
            false => files.push((name, fs::read_to_string(entry.path()).unwrap())),
        }
    }
}

fn module_of(file: &str) -> &str {
    file.split('/').next().unwrap_or(file).trim_end_matches(".rs")
}

/// The paths of a line of code that begin at the crate's root, each by its first name. From a file `super` leads there
/// as often as it lies deep.
fn paths(file: &str, line: &str) -> Vec<String> {
    let code = line.split("//").next().unwrap_or(line);
    let depth = file.matches('/').count() + usize::from(!file.ends_with("/mod.rs"));
    let root = "super::".repeat(depth);
    let starts = ["crate::", root.as_str()];
    let behind = starts
        .into_iter()
        .flat_map(|start| code.match_indices(start).map(move |(at, _)| at + start.len()));
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    behind
        .map(|at| code[at..].split(|c| !is_name(c)).next().unwrap_or_default().to_string())
        .collect()
}

/// What is wrong with these files, in words.
fn findings(floors: &Floors, files: &Files) -> Vec<String> {
    let mut found = Vec::new();
    let mut arrows: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    let modules: BTreeSet<_> = files.iter().map(|(file, _)| module_of(file)).collect();
    found.extend(
        floors
            .keys()
            .filter(|own| !modules.contains(own.as_str()))
            .map(|own| format!("{own} has no file")),
    );
    found.extend(
        modules
            .iter()
            .filter(|own| !floors.contains_key(**own))
            .map(|own| format!("{own} is missing from the table")),
    );
    for (file, text) in files {
        let Some((own, floor)) = floors.get_key_value(module_of(file)) else {
            continue;
        };
        for (line, nth) in text.lines().zip(1..) {
            for name in paths(file, line) {
                let is_root = line.contains("crate::"); // `super::` names what stands around it, too
                match floors.get(&name) {
                    _ if name == *own => {}
                    Some(other) if other > floor => {
                        found.push(format!(
                            "src/{file}:{nth}: floor {floor} imports {name} of floor {other}"
                        ));
                    }
                    Some(_) => {
                        arrows.entry(own).or_default().insert(name);
                    }
                    None if is_root => found.push(format!("src/{file}:{nth}: crate::{name} is no module of the table")),
                    None => {}
                }
            }
            let waits = WAITS.1.iter().filter(|word| line.contains(**word) && file != WAITS.0);
            found.extend(waits.map(|word| format!("src/{file}:{nth}: {word} stands outside of src/{}", WAITS.0)));
        }
    }
    // Whoever imports nothing that is left is let go, until nobody is left but those in circles and above them.
    loop {
        let left: BTreeSet<_> = arrows.keys().map(|own| own.to_string()).collect();
        arrows.values_mut().for_each(|to| to.retain(|own| left.contains(own)));
        arrows.retain(|_, to| !to.is_empty());
        if arrows.len() == left.len() {
            break;
        }
    }
    let mut way: Vec<&str> = arrows.keys().next().copied().into_iter().collect();
    while let Some(next) = way.last().and_then(|own| arrows[own].first()) {
        if let Some(at) = way.iter().position(|own| own == next) {
            found.push(format!("a circle: {} → {next}", way[at..].join(" → ")));
            break;
        }
        way.push(next);
    }
    found
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn arrows_run_one_way() {
    let floors = table(&fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap());
    let mut files = Files::new();
    read(&root().join("src"), "", &mut files);
    files.retain(|(file, _)| file != "lib.rs"); // the roof, which names all
    assert!(
        floors.len() > 20 && files.len() > 100,
        "{} of {}",
        floors.len(),
        files.len()
    );
    let found = findings(&floors, &files);
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

/// The same of two floors, with this file more.
fn with(file: &str, text: &str) -> Vec<String> {
    let floors =
        table("\n## Modules by floor\n| 0 | `words` | |\n| 1 | `plan/` | |\n| 1 | `shader` | |\n| 2 | `loss/` | |\n");
    let own = [
        ("words.rs", ""),
        ("plan/mod.rs", "use crate::shader::Piece;\n"),
        ("shader.rs", ""),
        ("loss/mod.rs", ""),
    ];
    let own = own.into_iter().chain([(file, text)]);
    findings(&floors, &own.map(|(file, text)| (file.into(), text.into())).collect())
}

#[test]
fn a_wrong_import_is_named() {
    let right = "//! crate::loss\nuse crate::words::Role;\nuse super::rows;\nmod tests { use super::*; }\n";
    assert_eq!(with("plan/tree.rs", right), [""; 0]);
    assert_eq!(
        with("loss/l1.rs", "use crate::plan::Plan;\nuse crate::shader::piece;\n"),
        [""; 0]
    );
    for (file, text, message) in [
        (
            "plan/tree.rs",
            "\nuse crate::loss::Loss;\n",
            "src/plan/tree.rs:2: floor 1 imports loss of floor 2",
        ),
        (
            "plan/rows/mod.rs",
            "use super::super::loss::Loss;\n",
            "src/plan/rows/mod.rs:1: floor 1 imports loss of floor 2",
        ),
        (
            "words.rs",
            "    let a: crate::plan::Plan = b;\n",
            "src/words.rs:1: floor 0 imports plan of floor 1",
        ),
        (
            "words.rs",
            "use super::plan::Plan;\n",
            "src/words.rs:1: floor 0 imports plan of floor 1",
        ),
        (
            "shader.rs",
            "pub(crate) use crate::plan::Plan;\n",
            "a circle: plan → shader → plan",
        ),
        (
            "plan/tree.rs",
            "use crate::Mode;\n",
            "src/plan/tree.rs:1: crate::Mode is no module of the table",
        ),
        ("gauge.rs", "", "gauge is missing from the table"),
        (
            "loss/l1.rs",
            "pollster::block_on(x);\n",
            "src/loss/l1.rs:1: pollster stands outside of src/gpu/wait.rs",
        ),
    ] {
        assert_eq!(with(file, text), [message], "{file} {text}");
    }
}
