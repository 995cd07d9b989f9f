//! `wgloss shader`: the shaders of a call, as text or in files.

use std::ffi::OsString;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};

use clap::builder::{PossibleValue, PossibleValuesParser};
use clap::{Arg, ArgMatches, Command, value_parser};
use serde_json::{Map, Value, json};
use wgloss::Sink;
use wgloss::plan::Plan;
use wgloss::shader::{Const, Variant};
use wgloss_shell::draft::{self, Draft};
use wgloss_shell::{Failure, place, print};

use super::arguments;
use super::call::{Planned, planned};
use super::compile::{Compiled, Kind};
use super::write::{Format, written};
use crate::output;

pub fn command() -> Command {
    let about = "Show the shaders of a call: each with its constants and the text that its files make together";
    arguments::of_calls("shader", about, own)
}

fn own() -> Vec<Arg> {
    let formats = Format::ALL.map(|own| PossibleValue::new(own.name()).help(own.help()));
    vec![
        Arg::new("format")
            .long("format")
            .value_name("FORMAT")
            .value_parser(PossibleValuesParser::new(formats))
            .default_value(Format::Wgsl.name())
            .help("the language"),
        Arg::new("pipeline")
            .long("pipeline")
            .value_name("N")
            .value_parser(value_parser!(u64).range(1..))
            .help("only the Nth pipeline of the call, as `wgloss plan` numbers them [default: all]"),
        Arg::new("out")
            .long("out")
            .value_name("DIR")
            .value_parser(value_parser!(OsString))
            .help("write a file for each pipeline into this folder, which is made where there is none"),
    ]
}

/// The variants of a plan in the order in which they come up, each once, with how many dispatches run it.
pub fn variants(plan: &Plan) -> Vec<(&Variant, usize)> {
    let mut list: Vec<(&Variant, usize)> = Vec::new();
    for dispatch in plan.dispatches() {
        match list.iter_mut().find(|(own, _)| **own == dispatch.variant) {
            Some((_, count)) => *count += 1,
            None => list.push((&dispatch.variant, 1)),
        }
    }
    list
}

/// A shader to be shown.
struct Shown<'a> {
    /// Its number in the call.
    nth: usize,
    variant: &'a Variant,
    dispatches: usize,
    compiled: Compiled,
    bytes: Vec<u8>,
}

pub fn run(matches: &ArgMatches) -> Result<(), Failure> {
    let call = planned(matches)?;
    let Some((_, matches)) = matches.subcommand() else {
        return Ok(()); // `planned` has refused it
    };
    let name = matches.get_one::<String>("format").map(String::as_str);
    let format = Format::ALL.into_iter().find(|own| Some(own.name()) == name);
    let format = format.unwrap_or(Format::Wgsl);
    let all = variants(&call.plan);
    let chosen = matches.get_one::<u64>("pipeline").map(|&nth| nth as usize);
    if let Some(nth) = chosen.filter(|&nth| nth > all.len()) {
        let message = format!("--pipeline {nth}: the call has {} pipelines", all.len());
        return Err(Failure::Usage(message));
    }
    let count = all.len();
    let numbered = all
        .into_iter()
        .zip(1..)
        .filter(|(_, nth)| chosen.is_none_or(|own| own == *nth));
    let as_json = matches.get_flag("json");
    let folder = matches.get_one::<OsString>("out");
    if format == Format::Spirv && folder.is_none() && !as_json {
        binary_to_stdout(if chosen.is_some() { 1 } else { count })?;
    }
    let mut shown = Vec::new();
    for ((variant, dispatches), nth) in numbered {
        let compiled = Compiled::new(variant, &call.device)?;
        let bytes = written(&compiled, format, call.device.has_subgroups())?;
        shown.push(Shown {
            nth,
            variant,
            dispatches,
            compiled,
            bytes,
        });
    }

    let files = match folder {
        Some(folder) => Some(write_files(folder, &shown, format)?),
        None => None,
    };
    if as_json {
        return print::line(&json_of(&call, &shown, format, files.as_deref()).to_string());
    }
    if let Some(files) = files {
        for (own, path) in shown.iter().zip(&files) {
            print::line(&format!("{} written to {}", own.variant.label, path.display()))?;
        }
        return Ok(());
    }
    if format == Format::Spirv {
        let mut stdout = std::io::stdout().lock();
        let all = shown.iter().try_for_each(|own| stdout.write_all(&own.bytes));
        return all
            .and_then(|()| stdout.flush())
            .map_err(|error| print::failed("stdout", &error));
    }
    let device = call.device.line().replacen("; ", "\n// ", 1);
    print::line(&format!("// {}\n// {device}\n// {count} pipelines", call.line()))?;
    for own in &shown {
        print::line(&own.text(format, count))?;
    }
    Ok(())
}

/// Refuses a standard output that SPIR-V would be lost on.
fn binary_to_stdout(pipelines: usize) -> Result<(), Failure> {
    let cure = "name a folder with --out";
    if std::io::stdout().is_terminal() {
        return Err(Failure::Usage(format!(
            "--format spirv: standard output is a terminal, and SPIR-V is no text; {cure}, or send one --pipeline on with > or |"
        )));
    }
    match pipelines {
        1 => Ok(()),
        _ => Err(Failure::Usage(format!(
            "--format spirv: the call has {pipelines} pipelines, each a file of its own; {cure}, or choose one with --pipeline"
        ))),
    }
}

impl Shown<'_> {
    /// The shader under a heading of comments.
    fn text(&self, format: Format, count: usize) -> String {
        let (compiled, variant) = (&self.compiled, self.variant);
        let mut heading = format!(
            "\n// {}\n// pipeline {} of {count}, in {}: workgroups of {}, {} bytes of workgroup memory\n",
            "-".repeat(100),
            self.nth,
            times(self.dispatches, "dispatch", "dispatches"),
            compiled.width(),
            compiled.workgroup_bytes(),
        );
        if format != Format::Wgsl {
            // The composed text begins with them.
            heading += &format!("// {}\n", variant.label);
            for (name, own) in variant.constants() {
                heading += &format!("// {name} = {}\n", const_text(own));
            }
        }
        heading + String::from_utf8_lossy(&self.bytes).trim_end()
    }

    fn json(&self, format: Format, file: Option<&Path>) -> Value {
        let (variant, compiled) = (self.variant, &self.compiled);
        let consts = variant.constants().into_iter();
        let consts: Map<String, Value> = consts.map(|(name, own)| (name, const_json(own))).collect();
        let segments =
            compiled.source.segments.iter().map(
                |own| json!({ "line": own.first, "file": format!("shaders/{}", own.path), "line_of_file": own.line }),
            );
        let bound = compiled.bound().into_iter().map(|own| {
            json!({
                "group": own.binding.group,
                "binding": own.binding.binding,
                "kind": if own.kind == Kind::Uniform { "uniform" } else { "storage" },
                "reads": own.is_read,
                "writes": own.is_written,
            })
        });
        let mut json = json!({
            "pipeline": self.nth,
            "label": variant.label,
            "dispatches": self.dispatches,
            "invocations": compiled.width(),
            "workgroup_bytes": compiled.workgroup_bytes(),
            "constants": consts,
            "segments": segments.collect::<Vec<_>>(),
            "bindings": bound.collect::<Vec<_>>(),
            "format": format.name(),
        });
        match (file, format) {
            (Some(path), _) => json["file"] = path.to_string_lossy().into(),
            (None, Format::Spirv) => {
                let word = |own: &[u8]| u32::from_le_bytes([own[0], own[1], own[2], own[3]]);
                json["words"] = self.bytes.chunks_exact(4).map(word).collect();
            }
            (None, _) => json["text"] = String::from_utf8_lossy(&self.bytes).into(),
        }
        json
    }

    /// `02-cross_entropy-fused-….spv`
    fn file_name(&self, format: Format) -> String {
        let keeps = |c: char| {
            if c.is_ascii_alphanumeric() || "_-.".contains(c) {
                c
            } else {
                '-'
            }
        };
        let label: String = self.variant.label.chars().map(keeps).collect();
        let short: String = label.chars().take(200).collect();
        format!("{:02}-{short}.{}", self.nth, format.extension())
    }
}

fn json_of(call: &Planned, shown: &[Shown<'_>], format: Format, files: Option<&[PathBuf]>) -> Value {
    let file = |nth: usize| files.and_then(|files| files.get(nth)).map(PathBuf::as_path);
    let pipelines = shown.iter().enumerate().map(|(nth, own)| own.json(format, file(nth)));
    let mut json = call.json();
    json["pipelines"] = pipelines.collect();
    json
}

/// Writes all files or none.
fn write_files(folder: &OsString, shown: &[Shown<'_>], format: Format) -> Result<Vec<PathBuf>, Failure> {
    let failed = |why: String| Failure::Failed(format!("--out {}: {why}", folder.to_string_lossy()));
    let path = Path::new(folder);
    if path.exists() && !path.is_dir() {
        return Err(failed("is a file, expected a folder".into()));
    }
    if !path.exists() {
        std::fs::create_dir(path).map_err(|error| failed(error.to_string()))?;
    }
    let (mut drafts, mut files) = (Vec::new(), Vec::new());
    for own in shown {
        let file = path.join(own.file_name(format));
        let place = place::place("out", file.as_os_str())?;
        let label = format!("--out {}", file.display());
        let mut draft = Draft::new(label, &place, &[], own.bytes.len() as u64).map_err(Failure::Failed)?;
        draft.write_at(0, &own.bytes).map_err(output::failed)?;
        drafts.push(draft);
        files.push(file);
    }
    draft::publish(drafts)?;
    Ok(files)
}

fn const_json(own: Const) -> Value {
    match own {
        Const::U32(_, value) => value.into(),
        Const::Bool(_, value) => value.into(),
        Const::Scalar(_, place) => place.into(),
    }
}

fn const_text(own: Const) -> String {
    match own {
        Const::U32(_, value) => value.to_string(),
        Const::Bool(_, value) => value.to_string(),
        Const::Scalar(_, place) => place.into(),
    }
}

/// `1 dispatch`, `3 dispatches`
pub fn times(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}
