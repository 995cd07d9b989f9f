//! The files that variants are made of, and the labels that tell variants apart.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use wgloss::REGISTRY;
use wgloss::plan::{Dispatch, probes};
use wgloss::shader::{Const, Variant};

use super::variants::{checked, of_subgroups, variants};

#[test]
fn packs_of_columns_come_up() {
    for wanted in [
        [Const::U32("PACKS", 4), Const::Bool("FLAT", true)],
        [Const::U32("PACKS", 1), Const::Bool("FLAT", true)],
        [Const::U32("PACKS", 1), Const::Bool("FLAT", false)],
    ] {
        let has = |own: &&Dispatch| {
            let mut all = wanted.iter().chain(&[Const::Bool("CROSSWISE", true)]);
            all.all(|constant| own.variant.consts.contains(constant))
        };
        assert!(variants().iter().filter(has).count() > 2, "{wanted:?}");
    }
    for flat in [true, false] {
        let is_strip = |own: &&Dispatch| {
            let wanted = [Const::U32("STRIP", 16), Const::Bool("FLAT", flat)];
            wanted.iter().all(|constant| own.variant.consts.contains(constant))
        };
        assert!(variants().iter().filter(is_strip).count() > 2, "strips, flat: {flat}");
    }
}

/// Two variants of one label would be told apart by nobody.
#[test]
fn labels_tell_variants_apart() {
    let mut seen: BTreeMap<&str, &Variant> = BTreeMap::new();
    let mut failures = Vec::new();
    for dispatch in variants() {
        let variant = &dispatch.variant;
        if let Some(other) = seen.insert(&variant.label, variant) {
            let theirs = |a: &Variant, b: &Variant| {
                let only = |p: &&wgloss::shader::Piece| !b.pieces.contains(p);
                let pieces: Vec<_> = a.pieces.iter().filter(only).map(|p| (p.path, p.operand)).collect();
                let consts: Vec<_> = a.consts.iter().filter(|c| !b.consts.contains(c)).collect();
                format!("{pieces:?} {consts:?}")
            };
            failures.push(format!(
                "{}: {} and {}",
                variant.label,
                theirs(variant, other),
                theirs(other, variant)
            ));
        }
    }
    crate::common::report(failures, variants().len());
}

/// A file that no variant contains would be validated by nobody, and used by nobody.
#[test]
fn every_file_comes_up() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("shaders");
    let asked = probes(&of_subgroups(8));
    let all = variants().iter().map(|own| &own.variant);
    let used: BTreeSet<&str> = all
        .chain(asked.iter().map(|own| &own.variant))
        .flat_map(|own| own.pieces.iter().map(|p| p.path))
        .collect();
    let mut missing = Vec::new();
    let entries = |folder: &Path| std::fs::read_dir(folder).unwrap().map(|own| own.unwrap().path());
    for folder in entries(&root).filter(|own| own.is_dir()) {
        for path in entries(&folder).filter(|own| own.extension().is_some_and(|own| own == "wgsl")) {
            let name = path.strip_prefix(&root).unwrap().to_str().unwrap().to_string();
            if !used.contains(name.as_str()) {
                missing.push(name);
            }
        }
    }
    assert!(missing.is_empty(), "in no variant: {missing:?}");
    for info in REGISTRY {
        let prefix = format!("{}/", info.name);
        assert!(
            variants()
                .iter()
                .any(|dispatch| dispatch.variant.label.starts_with(&prefix)),
            "{}",
            info.name
        );
    }
}

/// naga makes branches of `&&` and `||`, and adapters that are the processor run both sides of a branch.
#[test]
fn bools_meet_without_branches() {
    let pieces: BTreeMap<&str, &str> = variants()
        .iter()
        .flat_map(|d| d.variant.pieces.iter().map(|p| (p.path, p.text)))
        .collect();
    for (path, text) in pieces {
        for line in text.lines() {
            let code = line.split("//").next().unwrap();
            assert!(!code.contains("&&") && !code.contains("||"), "{path}: {line}");
        }
    }
}

/// A kernel that does not copy its params works with zeros, which no validator minds.
#[test]
fn every_kernel_begins_with_its_params() {
    const COPY: &str = "    params = uniforms;\n";
    for dispatch in checked() {
        let text = dispatch.variant.compose().text;
        let (_, main) = text.split_once("\nfn main(").unwrap();
        let (_, body) = main.split_once("{\n").unwrap();
        assert!(body.starts_with(COPY), "{}", dispatch.variant.label);
        assert_eq!(text.matches(" params = ").count(), 1, "{}", dispatch.variant.label);
    }
}
