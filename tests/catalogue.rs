//! The README's table of losses is that of the registry.

use std::fmt::Write;

use wgloss::{Info, REGISTRY, Reduction};

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
fn the_readme_has_every_loss() {
    let mut table = String::from("| loss | tensors | options | weights | reductions |\n|---|---|---|---|---|\n");
    for info in REGISTRY {
        writeln!(table, "{}", row(info)).unwrap();
    }
    let readme = include_str!("../README.md");
    assert!(readme.contains(&table), "the README's table should be:\n{table}");
}
