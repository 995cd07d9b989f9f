//! `wgloss adapters` and `wgloss losses`.

use serde_json::{Value, json};
use wgloss::{Engine, Info, REGISTRY, Reduction, ScalarKind, TargetKind};

use crate::args::{dashed, default_text};
use crate::{Failure, print};

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
    print::line(&print::table(
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

fn target_name(kind: TargetKind) -> &'static str {
    match kind {
        TargetKind::Index => "index",
        TargetKind::Probability => "probability",
        TargetKind::Element => "element",
    }
}

fn loss_json(info: &Info) -> Value {
    let options = info.options.iter().map(|option| {
        let (kind, default) = match option.kind {
            ScalarKind::Int => ("int", Value::from(option.default as i64)),
            ScalarKind::Float => ("float", Value::from(option.default)),
        };
        json!({ "name": option.name, "type": kind, "default": default, "help": option.help })
    });
    let tensors = info
        .tensors
        .iter()
        .map(|given| json!({ "name": given.role.name(), "help": given.help }));
    json!({
        "name": info.name,
        "summary": info.summary,
        "url": info.url,
        "targets": info.targets.iter().map(|&kind| target_name(kind)).collect::<Vec<_>>(),
        "options": options.collect::<Vec<_>>(),
        "tensors": tensors.collect::<Vec<_>>(),
        "reductions": Reduction::ALL.map(Reduction::name),
        "default_reduction": (info.new)().reduction().name(),
    })
}

fn loss_text(info: &Info) -> String {
    let mut rows = Vec::new();
    for option in info.options {
        rows.push([
            format!("--{}", dashed(option.name)),
            format!("{} [{}]", option.help, default_text(option)),
        ]);
    }
    for given in info.tensors {
        rows.push([format!("--{} FILE", dashed(given.role.name())), given.help.into()]);
    }
    let reductions = Reduction::ALL.map(Reduction::name).join(", ");
    rows.push([
        "--reduction".into(),
        format!("{reductions} [{}]", (info.new)().reduction().name()),
    ]);
    let targets: Vec<&str> = info.targets.iter().map(|&kind| target_name(kind)).collect();
    rows.push(["target".into(), targets.join(" or ")]);
    let rows: Vec<String> = rows.iter().map(|[name, text]| format!("  {name:<20} {text}")).collect();
    format!(
        "{}: {}\n{}\n  {}",
        dashed(info.name),
        info.summary,
        rows.join("\n"),
        info.url
    )
}
