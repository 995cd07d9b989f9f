//! The table of losses in the docs and the README's list are those of the registry, and every name finds its loss.

use std::collections::BTreeSet;
use std::fmt::Write;

use wgloss::{Info, REGISTRY, Reduction, Scalar, find, find_preset, optim};

fn list(names: impl Iterator<Item = String>) -> String {
    names.collect::<Vec<_>>().join(", ")
}

fn row(info: &Info) -> String {
    let operands = list(info.operands.iter().map(|own| {
        let name = own.role.name();
        if own.grad { format!("**{name}**") } else { name.into() }
    }));
    let tensors = list(info.tensors.iter().map(|own| format!("`{}`", own.role.name())));
    let options = list(info.options.iter().map(|own| format!("`{}`", own.name)));
    let reductions = list(info.reductions.iter().map(|own| {
        let default = *own == (info.new)().reduction() && info.reductions.len() > 1;
        if default {
            format!("**{}**", own.name())
        } else {
            own.name().into()
        }
    }));
    let reductions = if info.reductions == [Reduction::None] {
        String::new()
    } else {
        reductions
    };
    format!(
        "| `{}` | {operands} | {options} | {tensors} | {reductions} |",
        info.name
    )
}

#[test]
fn the_docs_have_every_loss() {
    let mut table = String::from("| loss | tensors | options | weights | reductions |\n|---|---|---|---|---|\n");
    for info in REGISTRY {
        writeln!(table, "{}", row(info)).unwrap();
    }
    let docs = include_str!("../docs/losses.md");
    assert!(docs.contains(&table), "the table of docs/losses.md should be:\n{table}");
}

/// Every loss and optimizer once, and nothing else.
#[test]
fn the_readme_names_every_loss() {
    let (_, rest) = include_str!("../README.md").split_once("\n| for | names |\n").unwrap();
    let table = rest.split("\n\n").next().unwrap();
    let mut named: Vec<_> = table.split('`').skip(1).step_by(2).collect();
    named.sort_unstable();
    let losses = REGISTRY.iter().map(|own| own.name);
    let mut all: Vec<_> = losses.chain(optim::OPTIMIZERS.iter().map(|own| own.name)).collect();
    all.sort_unstable();
    assert_eq!(named, all);
}

/// No name is of two losses, in any spelling; PyTorch's function and module find what they are.
#[test]
fn every_name_finds_its_loss() {
    let mut seen = BTreeSet::new();
    for info in REGISTRY {
        let presets = info.presets.iter().map(|own| own.name);
        let own: BTreeSet<_> = info
            .names()
            .chain(presets)
            .map(|name| name.replace('_', "").to_lowercase())
            .collect();
        for name in own {
            assert!(seen.insert(name.clone()), "{name}");
        }
        for name in info.names() {
            for spelling in [name.to_owned(), name.replace('_', "-"), name.to_uppercase()] {
                assert_eq!(find(&spelling).map(|own| own.name), Some(info.name), "{spelling}");
            }
        }
        for preset in info.presets {
            assert!(
                find(preset.name).is_none(),
                "{} by itself is {}",
                preset.name,
                info.name
            );
            let (of, found) = find_preset(preset.name).unwrap();
            assert_eq!((of.name, found.name), (info.name, preset.name));
            for (name, word) in preset.options {
                let mut loss = (info.new)();
                loss.set(name, &Scalar::Choice((*word).into())).unwrap();
            }
        }
        // PyTorch's page is that of a module, which is a name of the loss.
        let module = info
            .url
            .strip_prefix("https://pytorch.org/docs/stable/generated/torch.nn.");
        if let Some(module) = module.and_then(|page| page.strip_suffix(".html")?.rsplit('.').next()) {
            assert_eq!(find(module).map(|own| own.name), Some(info.name), "{module}");
        }
    }
    assert!(find("amax").is_none() && find("").is_none() && find("torch").is_none());
    let max = |word: &str| {
        let mut loss = (find("reduce").unwrap().new)();
        loss.set("op", &Scalar::Choice(word.into())).unwrap();
        format!("{loss:?}")
    };
    assert!(max("amax") == max("max") && max("amin") == max("min") && max("max") != max("min"));
    assert_eq!(optim::find("AdamW").map(|own| own.name), Some("adamw"));
    assert!(optim::find("Ada").is_none());
}
