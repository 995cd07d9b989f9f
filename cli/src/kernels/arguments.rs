//! The arguments of `shader` and `plan`: those of `compute` and `step`, with shapes and dtypes in the place of files.

use clap::builder::{PossibleValue, PossibleValuesParser};
use clap::{Arg, ArgAction, Command, value_parser};
use wgloss::optim::{self, OPTIMIZERS};
use wgloss::{Info, Mode, Preset, REGISTRY};

use super::device;
use super::spec::{self, Spec};
use crate::args::{self, dashed};
use crate::{operands, parts, step};

/// What a tensor's argument is called in the help.
const SPEC: &str = "SHAPE:DTYPE";

/// The statistics that a call can ask for; the z-loss comes wherever there is one.
pub const STATS: [&str; 4] = ["lse", "argmax", "entropy", "accuracy"];

/// Where the gradient of the first tensor goes.
pub const NEW: &str = "new";
pub const IN_PLACE: &str = "in-place";
pub const ADD: &str = "add";

/// A command with a subcommand for each loss and each optimizer, which has these arguments, too.
pub fn of_calls(name: &'static str, about: &'static str, own: fn() -> Vec<Arg>) -> Command {
    let all = move |command: Command| command.args(device::arguments()).args(own()).arg(args::json());
    Command::new(name)
        .about(about)
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand_value_name("LOSS|OPTIMIZER")
        .subcommand_help_heading("Losses and optimizers")
        .after_help(
            "No adapter is needed: the class, the limits, the size of subgroups and the conversions of f16 that \
             kernels are made for are arguments. Losses go by PyTorch's names, too, as in `compute`.",
        )
        .subcommands(REGISTRY.iter().map(|info| all(of_loss(info, None))))
        .subcommands(REGISTRY.iter().flat_map(|info| {
            let presets = info.presets.iter();
            presets.map(|preset| all(of_loss(info, Some(preset))).hide(true))
        }))
        .subcommands(OPTIMIZERS.iter().map(|info| all(of_optimizer(info))))
}

fn tensor(name: &'static str) -> Arg {
    Arg::new(name)
        .long(dashed(name))
        .value_name(SPEC)
        .value_parser(spec::parse)
}

fn shape(help: String) -> Arg {
    let shape = Arg::new("shape")
        .long("shape")
        .value_name(SPEC)
        .required(true)
        .help(help);
    shape.value_parser(|text: &str| match spec::parse(text) {
        Ok(Spec { shape: None, text, .. }) => Err(format!("{text} has no shape, expected one as 4096x1000")),
        parsed => parsed,
    })
}

fn of_loss(info: &'static Info, preset: Option<&'static Preset>) -> Command {
    let mut command = match preset {
        Some(preset) => Command::new(preset.name).about(format!("{} {}", dashed(info.name), args::set_text(preset))),
        None => Command::new(dashed(info.name)).about(info.summary),
    };
    command = command.after_help(format!(
        "A tensor is SHAPE, DTYPE or SHAPE:DTYPE, as 4096x1000, bf16 or 4096x1000:bf16; {} is the shape without dimensions. \
         What is left out follows from the first tensor's shape; class indices are i64, other numbers what --dtype says.\n{}",
        spec::SCALAR,
        info.url
    ));
    if wgloss_bench::fit::is_layer(info) {
        let help = "N×H×C: rows, their features, and classes; or of the input alone, with linear_weight by itself";
        command = command.arg(shape(help.into()));
    } else if let Some(first) = info.operands.first() {
        command = command.arg(shape(format!(
            "the first tensor, {}: {}",
            first.role.name(),
            first.help
        )));
    }
    command = command.arg(args::dtype(
        "of numbers that no other argument gives a dtype [default: the first tensor's, else f32]",
    ));
    for own in info.operands.iter().skip(1) {
        command = command.arg(tensor(own.role.name()).help(own.help));
    }
    let modes = Mode::ALL.map(Mode::name);
    command = command.arg(
        Arg::new("mode")
            .long("mode")
            .value_name("MODE")
            .value_parser(PossibleValuesParser::new(modes))
            .default_value("fused")
            .help("the loss, the gradient, or both in one call"),
    );
    for (_, role) in info.graded() {
        let name = role.name();
        let grad = format!("grad-{}", dashed(name));
        let help = format!("the gradient of {name}, too");
        command = command.arg(Arg::new(grad.clone()).long(grad).action(ArgAction::SetTrue).help(help));
    }
    command = command.arg(
        Arg::new("grad_to")
            .long("grad-to")
            .value_name("PLACE")
            .value_parser(PossibleValuesParser::new([
                PossibleValue::new(NEW).help("a tensor of its own"),
                PossibleValue::new(IN_PLACE).help("over the first tensor"),
                PossibleValue::new(ADD).help("on top of what its memory holds"),
            ]))
            .default_value(NEW)
            .help("where the gradient of the first tensor goes"),
    );
    if info.statistics {
        command = command.arg(
            Arg::new("stats")
                .long("stats")
                .value_name("WORD,…")
                .value_delimiter(',')
                .value_parser(PossibleValuesParser::new(STATS))
                .help("statistics of the rows, beside the loss"),
        );
    }
    for given in info.tensors {
        command = command.arg(tensor(given.role.name()).help(given.help));
    }
    let upstream = if parts::is_function(info) { "" } else { "0-d, or " };
    command
        .arg(tensor("grad_output").help(format!(
            "the upstream gradient, {upstream}of the shape of the result; 1 where it is left out"
        )))
        .args(operands::of_stats(info).map(|(role, what)| {
            tensor(role.name()).help(format!(
                "upstream gradients of the {what} of each row, beside that of the loss"
            ))
        }))
        .args(args::scalars(info, preset))
        .args(args::scratch(info))
        .args(args::checks())
}

fn of_optimizer(info: &'static optim::Info) -> Command {
    Command::new(info.name)
        .about(info.summary)
        .after_help(format!(
            "A tensor is SHAPE, DTYPE or SHAPE:DTYPE, as 1000000, bf16 or 1000000:bf16.\n{}",
            info.url
        ))
        .arg(shape("the parameter".into()))
        .arg(args::dtype(
            "of the parameter and its gradient, where they are given none [default: f32]",
        ))
        .arg(tensor("grad").help("the gradient"))
        .arg(
            Arg::new("steps")
                .long("steps")
                .value_name("N")
                .value_parser(value_parser!(u64))
                .default_value("0")
                .help("steps taken before, which leave a state behind"),
        )
        .args(info.options.iter().map(step::option))
}
