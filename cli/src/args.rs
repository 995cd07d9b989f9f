//! The commands and their options. What concerns a loss is read from the registry.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::{PossibleValue, PossibleValuesParser};
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use wgloss::{Info, OptionInfo, REGISTRY, Reduction, ScalarKind, TargetKind};

/// PyTorch's word as the command line writes it.
pub fn dashed(name: &str) -> String {
    name.replace('_', "-")
}

/// The default of a scalar option, an integer without a point.
pub fn default_text(option: &OptionInfo) -> String {
    format!("{}", option.default)
}

pub fn command() -> Command {
    Command::new("wgloss")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Losses on the GPU: computed from files, checked against an f64 reference, timed")
        .after_help("Exit codes: 0 done, 1 a file, shape, device or check failed, 2 the command line is wrong.")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .max_term_width(120)
        .subcommand(compute())
        .subcommand(
            Command::new("check")
                .about("Compare the GPU with the f64 reference on generated hard data")
                .args([losses(), adapter(), json()])
                .arg(
                    Arg::new("seed")
                        .long("seed")
                        .value_name("N")
                        .value_parser(value_parser!(u64))
                        .default_value("1")
                        .help("seed of the generated data"),
                ),
        )
        .subcommand(
            Command::new("bench")
                .about("Time the kernels beside a read and a copy of as many bytes, after checking their results")
                .args([losses(), adapter(), json()])
                .arg(
                    Arg::new("runs")
                        .long("runs")
                        .value_name("N")
                        .value_parser(value_parser!(u32).range(1..=100_000))
                        .default_value("10")
                        .help("timed runs of each kernel, after one that is dropped"),
                ),
        )
        .subcommand(
            Command::new("adapters")
                .about("List the adapters of this machine, the best first")
                .arg(json()),
        )
        .subcommand(
            Command::new("losses")
                .about("List the losses with their options and tensors")
                .arg(json()),
        )
}

/// `compute`, with a subcommand for each loss.
fn compute() -> Command {
    Command::new("compute")
        .about("Compute a loss, and its gradients, from .npy or .safetensors files")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand_value_name("LOSS")
        .subcommand_help_heading("Losses")
        .subcommands(REGISTRY.iter().map(|info| compute_loss(info)))
}

fn compute_loss(info: &'static Info) -> Command {
    let reduction = (info.new)().reduction();
    let mut command = Command::new(dashed(info.name))
        .alias(info.name)
        .about(info.summary)
        .after_help(format!(
            "FILE is file.npy or file.safetensors:key, of f32, f64 (rounded to f32) or, for classes, integers.\n{}",
            info.url
        ))
        .arg(tensor("input").help("the logits").value_name("INPUT").required(true))
        .arg(
            tensor("target")
                .help(target_help(info))
                .value_name("TARGET")
                .required(true),
        );
    for option in info.options {
        let (parser, value) = match option.kind {
            ScalarKind::Float => (value_parser!(f64).into(), "F"),
            ScalarKind::Int => (clap::builder::ValueParser::from(value_parser!(i64)), "I"),
        };
        command = command.arg(
            Arg::new(option.name)
                .long(dashed(option.name))
                .value_name(value)
                .value_parser(parser)
                .allow_negative_numbers(true)
                .help(format!("{} [default: {}]", option.help, default_text(option))),
        );
    }
    for given in info.tensors {
        let name = given.role.name();
        command = command.arg(tensor(name).long(dashed(name)).help(given.help));
    }
    command = command
        .arg(
            Arg::new("reduction")
                .long("reduction")
                .value_name("R")
                .value_parser(PossibleValuesParser::new(Reduction::ALL.map(Reduction::name)))
                .help(format!(
                    "how the losses become the result [default: {}]",
                    reduction.name()
                )),
        )
        .arg(
            tensor("grad_output")
                .long("grad-output")
                .help("the upstream gradient: 0-d, or of the loss's shape under reduction none"),
        )
        .arg(path("out").help("write the loss here, .npy f32; 0-d for mean and sum"))
        .arg(path("grad").help("write the gradient of the input here, .npy f32"));
    if info.targets.contains(&TargetKind::Probability) {
        command = command.arg(path("grad-target").help("write the gradient of a probability target here, .npy f32"));
    }
    command
        .arg(
            Arg::new("backend")
                .long("backend")
                .value_name("B")
                .value_parser(PossibleValuesParser::new([
                    PossibleValue::new("auto").help("the GPU, or the processor where there is none"),
                    PossibleValue::new("gpu"),
                    PossibleValue::new("cpu").help("the f64 reference"),
                ]))
                .default_value("auto")
                .help("where to compute"),
        )
        .args([adapter(), json()])
}

fn target_help(info: &Info) -> String {
    let kinds = info.targets.iter().map(|kind| match kind {
        TargetKind::Index => "class indices",
        TargetKind::Probability => "class probabilities of the input's shape",
        TargetKind::Element => "numbers in [0, 1] of the input's shape",
    });
    kinds.collect::<Vec<_>>().join(", or ")
}

/// An operand read from a file.
fn tensor(id: &'static str) -> Arg {
    Arg::new(id).value_name("FILE").value_parser(value_parser!(OsString))
}

/// A file to write.
fn path(id: &'static str) -> Arg {
    Arg::new(id)
        .long(id)
        .value_name("FILE")
        .value_parser(value_parser!(PathBuf))
}

fn adapter() -> Arg {
    Arg::new("adapter")
        .long("adapter")
        .value_name("TEXT")
        .help("the best adapter whose name, backend or kind contains TEXT (see `wgloss adapters`)")
}

fn json() -> Arg {
    Arg::new("json")
        .long("json")
        .action(ArgAction::SetTrue)
        .help("print JSON")
}

fn losses() -> Arg {
    let names = REGISTRY
        .iter()
        .map(|info| PossibleValue::new(dashed(info.name)).alias(info.name));
    Arg::new("loss")
        .value_name("LOSS")
        .num_args(0..)
        .value_parser(PossibleValuesParser::new(names))
        .help("the losses concerned [default: all]")
}

/// The losses that a command names, or all.
pub fn chosen(matches: &ArgMatches) -> Vec<&'static Info> {
    let named: Vec<&String> = matches.get_many("loss").into_iter().flatten().collect();
    let wanted = |info: &&&Info| named.is_empty() || named.iter().any(|name| name.replace('-', "_") == info.name);
    REGISTRY.iter().filter(wanted).copied().collect()
}
