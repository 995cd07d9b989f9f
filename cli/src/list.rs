//! `wgloss adapters` and `wgloss losses`.

use serde_json::{Map, Value, json};
use wgloss::{Dtype, Engine, Info, REGISTRY, Scalar, ScalarKind};
use wgloss_shell::{Failure, fit, print};

use crate::args::{dashed, default_text, set_text};
use crate::parts;

pub fn adapters(as_json: bool) -> Result<(), Failure> {
    let list = Engine::adapters();
    if as_json {
        let list: Vec<Value> = list
            .iter()
            .map(|info| {
                json!({
                    "name": info.name,
                    "backend": format!("{:?}", info.backend),
                    "kind": format!("{:?}", info.device_type),
                    "driver": info.driver,
                    "driver_info": info.driver_info,
                })
            })
            .collect();
        return print::line(&Value::from(list).to_string());
    }
    if list.is_empty() {
        return print::line(
            "no adapters: wgloss computes on the processor here.\n\
             A GPU needs its Vulkan driver (Metal and DX12 come with the system). For a software adapter on Debian or \
             Ubuntu:\napt-get install mesa-vulkan-drivers libvulkan1",
        );
    }
    let rows: Vec<Vec<String>> = list
        .iter()
        .map(|info| {
            vec![
                info.name.clone(),
                format!("{:?}", info.backend),
                format!("{:?}", info.device_type),
                info.driver.clone(),
                info.driver_info.clone(),
            ]
        })
        .collect();
    print::line(&fit::table(
        &["name", "backend", "kind", "driver", "driver info"],
        &rows,
        5,
    ))
}

pub fn losses(as_json: bool) -> Result<(), Failure> {
    if as_json {
        let list: Vec<Value> = REGISTRY.iter().map(|info| loss_json(info)).collect();
        return print::line(&Value::from(list).to_string());
    }
    let texts: Vec<String> = REGISTRY.iter().map(|info| loss_text(info)).collect();
    print::line(&texts.join("\n\n"))
}

/// The type of a scalar option, and its words where it is a choice.
fn type_name(kind: ScalarKind) -> (&'static str, Option<&'static [&'static str]>) {
    match kind {
        ScalarKind::Float => ("float", None),
        ScalarKind::Int => ("int", None),
        ScalarKind::Ints => ("ints", None),
        ScalarKind::Bool => ("bool", None),
        ScalarKind::Choice(words) => ("choice", Some(words)),
    }
}

fn loss_json(info: &Info) -> Value {
    let operands = info.operands.iter().map(|own| {
        json!({
            "name": own.role.name(),
            "kind": own.kind.name(),
            "differentiable": own.grad,
            "help": own.help,
        })
    });
    let options = info.options.iter().map(|option| {
        let (kind, words) = type_name(option.kind);
        let default = match (option.default)() {
            None => Value::Null,
            Some(Scalar::Float(value)) => print::json_f64(value),
            Some(Scalar::Int(value)) => value.into(),
            Some(Scalar::Ints(list)) => list.into(),
            Some(Scalar::Bool(value)) => value.into(),
            Some(Scalar::Choice(word)) => word.into(),
        };
        let mut json = json!({ "name": option.name, "type": kind, "default": default, "help": option.help });
        if let Some(words) = words {
            json["choices"] = words.into();
            json["aliases"] = option
                .aliases
                .iter()
                .map(|(alias, word)| (*alias, Value::from(*word)))
                .collect();
        }
        json
    });
    let tensors = info
        .tensors
        .iter()
        .map(|given| json!({ "name": given.role.name(), "help": given.help }));
    let presets = info.presets.iter().map(|own| {
        let options: Map<String, Value> = own
            .options
            .iter()
            .map(|(name, word)| ((*name).into(), (*word).into()))
            .collect();
        json!({ "name": own.name, "options": options })
    });
    json!({
        "name": info.name,
        "aliases": info.aliases,
        "presets": presets.collect::<Vec<_>>(),
        "summary": info.summary,
        "url": info.url,
        "operands": operands.collect::<Vec<_>>(),
        "options": options.collect::<Vec<_>>(),
        "tensors": tensors.collect::<Vec<_>>(),
        "reductions": info.reductions.iter().map(|own| own.name()).collect::<Vec<_>>(),
        "default_reduction": (info.new)().reduction().name(),
        "statistics": info.statistics,
        "dtypes": Dtype::FLOATS.map(Dtype::name),
    })
}

fn loss_text(info: &Info) -> String {
    let mut rows = Vec::new();
    for own in info.operands {
        let kind = format!("{} ({})", own.help, own.kind.name());
        rows.push([own.role.name().to_uppercase(), kind]);
    }
    for option in info.options {
        let default = default_text(option).map_or(String::new(), |text| format!(" [{text}]"));
        let words = type_name(option.kind)
            .1
            .map_or(String::new(), |words| format!(": {}", words.join(", ")));
        rows.push([
            format!("--{}", dashed(option.name)),
            format!("{}{words}{default}", option.help),
        ]);
    }
    for given in info.tensors {
        rows.push([format!("--{} FILE", dashed(given.role.name())), given.help.into()]);
    }
    if !parts::is_function(info) {
        let reductions: Vec<&str> = info.reductions.iter().map(|own| own.name()).collect();
        let default = (info.new)().reduction().name();
        rows.push(["--reduction".into(), format!("{} [{default}]", reductions.join(", "))]);
    }
    if !info.aliases.is_empty() {
        rows.push(["also named".into(), info.aliases.join(", ")]);
    }
    for preset in info.presets {
        rows.push([
            preset.name.into(),
            format!("as a name of its own: {}", set_text(preset)),
        ]);
    }
    let head = fit::paragraph(&format!("{}: {}", dashed(info.name), info.summary));
    format!("{head}\n{}\n  {}", fit::entries(&rows, 20), info.url)
}
