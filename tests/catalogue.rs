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
    let tensors = list(info.tensors.iter().map(|own| {
        let name = format!("`{}`", own.role.name());
        if own.grad { format!("**{name}**") } else { name }
    }));
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

/// Options and tensors that PyTorch's function has not.
const OURS: [(&str, &[&str]); 3] = [
    (
        "linear_cross_entropy",
        &[
            "z_loss",
            "softcap",
            "on_empty",
            "denominator",
            "filter_eps",
            "sample_weight",
        ],
    ),
    (
        "cross_entropy",
        &["z_loss", "softcap", "on_empty", "denominator", "sample_weight"],
    ),
    ("softmax_focal", &["gamma", "alpha", "ignore_index"]),
];

/// `cross_entropy` as the name of a type.
fn type_name(stem: &str) -> String {
    let capital = |word: &str| word[..1].to_uppercase() + &word[1..];
    stem.split('_').map(capital).collect()
}

/// What PyTorch calls a loss, and what is called so here.
fn pytorch_row(info: &Info) -> String {
    let is_module = |name: &&str| name.starts_with(char::is_uppercase);
    let (of_torch, of_vision) = (info.name != "softmax_focal", info.name == "sigmoid_focal");
    let function = info.names().skip(1).find(|name| !is_module(name)).unwrap_or(info.name);
    let function = match info.name {
        "reduce" => list(
            info.presets
                .iter()
                .filter(|own| !matches!(own.name, "max" | "min"))
                .map(|own| format!("`torch.{}`", own.name)),
        ),
        _ if of_vision => format!("`torchvision.ops.{function}`"),
        _ if of_torch => format!("`F.{function}`"),
        _ => "ours".into(),
    };
    let module = info
        .names()
        .find(is_module)
        .map_or(String::new(), |name| format!("`nn.{name}`"));
    let ours = OURS
        .iter()
        .find(|(name, _)| *name == info.name)
        .map_or(&[][..], |(_, ours)| ours);
    let options = info
        .options
        .iter()
        .map(|own| own.name)
        .chain(info.tensors.iter().map(|own| own.role.name()));
    let (own, theirs): (Vec<&str>, Vec<&str>) = options.partition(|name| ours.contains(name));
    assert_eq!(own.len(), ours.len(), "{}", info.name);
    let quoted = |names: Vec<&str>| list(names.iter().map(|name| format!("`{name}`")));
    format!(
        "| {function} | {module} | `{}` | `compute {}` | {} | {} |",
        type_name(info.name),
        info.name.replace('_', "-"),
        quoted(theirs),
        quoted(own)
    )
}

#[test]
fn pytorch_names_are_those_of_the_registry() {
    let mut table =
        String::from("| function | module | here | command | options | ours alone |\n|---|---|---|---|---|---|\n");
    for info in REGISTRY {
        writeln!(table, "{}", pytorch_row(info)).unwrap();
    }
    table += "\n| `torch.optim` | here | command | options |\n|---|---|---|---|\n";
    for info in optim::OPTIMIZERS {
        let module = info
            .url
            .strip_prefix("https://pytorch.org/docs/stable/generated/torch.optim.");
        let module = module.and_then(|page| page.strip_suffix(".html")).unwrap();
        let options = list(info.options.iter().map(|own| format!("`{}`", own.name)));
        let own = if module == "SGD" { "Sgd" } else { module };
        writeln!(table, "| `{module}` | `{own}` | `step {}` | {options} |", info.name).unwrap();
    }
    let docs = include_str!("../docs/pytorch.md");
    for part in table.split("\n\n") {
        assert!(docs.contains(part), "docs/pytorch.md should have:\n{table}");
    }
    // Each type and function is there under that name.
    let source = include_str!("../src/lib.rs");
    for info in REGISTRY {
        assert!(source.contains(&type_name(info.name)), "{}", info.name);
    }
    // The differences are told in one place.
    assert!(docs.contains("differences.md"));
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
