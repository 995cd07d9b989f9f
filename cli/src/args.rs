//! The commands and their options. What concerns a loss is read from the registry.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::{PossibleValue, PossibleValuesParser};
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use wgloss::{Info, OptionInfo, Preset, REGISTRY, Scalar, ScalarKind};
use wgloss_bench::{bench, tune};

use crate::parts::Part;
use crate::{check, install, kernels, operands, parts, plot, qualify, step};
pub use wgloss_shell::args::{
    adapter, bytes, chosen, chosen_dtype, chosen_optimizers, dashed, dtype, json, losses, tuned,
};

/// The default of a scalar option as it is typed, where it has one.
pub fn default_text(option: &OptionInfo) -> Option<String> {
    Some(scalar_text(&(option.default)()?))
}

/// The value of a scalar option as it is typed.
pub fn scalar_text(value: &Scalar) -> String {
    match value {
        Scalar::Float(value) => float_text(*value),
        value => value.to_string(),
    }
}

/// A float as it is typed.
pub fn float_text(value: f64) -> String {
    if value != 0.0 && value.abs() < 1e-3 {
        return format!("{value:e}");
    }
    value.to_string()
}

/// `--flag true` becomes `--flag=true`: clap would take the word for a file.
pub fn joined(all: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let options = REGISTRY.iter().flat_map(|info| info.options);
    let flags = options
        .filter(|option| option.kind == ScalarKind::Bool)
        .map(|option| option.name);
    let flags: Vec<String> = flags
        .chain(step::flags())
        .map(|name| format!("--{}", dashed(name)))
        .collect();
    let mut list: Vec<OsString> = Vec::new();
    for word in all {
        match list.last_mut() {
            Some(flag) if (word == "true" || word == "false") && flags.iter().any(|own| own.as_str() == flag) => {
                flag.push("=");
                flag.push(word);
            }
            _ => list.push(word),
        }
    }
    list
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
        .subcommand(step::command())
        .subcommand(kernels::shader::command())
        .subcommand(kernels::plan::command())
        .subcommand(plot::command())
        .subcommand(check::command())
        .subcommand(qualify::command())
        .subcommand(bench::command())
        .subcommand(tune::command())
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
        .subcommand(install::completions())
        .subcommand(install::man())
}

/// `compute`, with a subcommand for each loss.
fn compute() -> Command {
    Command::new("compute")
        .about("Compute a loss, and its gradients, from .npy, .npz or .safetensors files")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand_value_name("LOSS")
        .subcommand_help_heading("Losses")
        .after_help(
            "Losses go by PyTorch's names, too (`l1_loss`, `L1Loss`, …), and reductions by their own: `compute amax X` is \
             `compute reduce X --op max`. `wgloss losses` lists all names.",
        )
        .subcommands(REGISTRY.iter().map(|info| compute_loss(info, None)))
        .subcommands(REGISTRY.iter().flat_map(|info| {
            let presets = info.presets.iter();
            presets.map(|preset| compute_loss(info, Some(preset)).hide(true))
        }))
}

/// A loss, or what it does under a preset, whose options are set then.
fn compute_loss(info: &'static Info, preset: Option<&'static Preset>) -> Command {
    let mut command = match preset {
        Some(preset) => Command::new(preset.name).about(format!("{} {}", dashed(info.name), set_text(preset))),
        None => Command::new(dashed(info.name)).about(info.summary),
    };
    command = command.after_help(format!(
        "Files read are file.npy, file.npz:key or file.safetensors:key, of f16, bf16, f32, f64 (rounded to f32), integers \
         or booleans (where floats are expected, as their values in f32). Files written are .npy (named so, or without an extension; one may be -, standard output), or \
         .safetensors: of one tensor, under the key `loss` for --out, else under the option's name (grad, grad_target, \
         lse, …) or the key named.\n{}",
        info.url
    ));
    for own in info.operands {
        let name = own.role.name();
        let arg = tensor(name).value_name(name.to_uppercase()).help(own.help);
        let Some(id) = operands::number_id(own) else {
            command = command.arg(arg.required(true));
            continue;
        };
        let help = format!("one number for all elements, in the place of {}", name.to_uppercase());
        let number = float(Arg::new(id.clone()).long(dashed(name)).conflicts_with(name).help(help));
        command = command.args([arg.required_unless_present(id), number]);
    }
    command = command.args(scalars(info, preset));
    for given in info.tensors {
        let name = given.role.name();
        command = command.arg(tensor(name).long(dashed(name)).help(given.help));
    }
    let upstream = if parts::is_function(info) { "" } else { "0-d, or " };
    command = command.arg(tensor("grad_output").long("grad-output").help(format!(
        "the upstream gradient, {upstream}of the shape of the result; 1 where it is left out"
    )));
    command = command.args(operands::of_stats(info).map(|(role, what)| {
        let help =
            format!("upstream gradients of the {what} of each row, beside that of the loss; 0 where they are left out");
        tensor(role.name()).long(dashed(role.name())).help(help)
    }));
    for product in parts::products(info) {
        let help = format!("write the {} here", product.what);
        let mut arg = tensor(product.option.clone()).long(product.option).help(help);
        if let (Part::Grad(0), Some(first)) = (product.part, info.operands.first()) {
            arg = arg.visible_alias(format!("grad-{}", dashed(first.role.name())));
        }
        command = command.arg(arg);
    }
    command
        .arg(dtype("convert float tensors to this first [default: as they are]"))
        .arg(
            Arg::new("memory")
                .long("memory")
                .value_name("BYTES")
                .value_parser(bytes)
                .default_value("1GiB")
                .help(
                    "what tensors may take on host and device together, as 750MB or 2GiB; where files and results are larger, \
                     they are streamed, to the same bits",
                ),
        )
        .args(scratch(info))
        .args(checks())
        .args([backend(), adapter(), tuned(), pipeline_cache(), json()])
}

/// The options of a loss that are no tensors: its scalars, but for those of a preset, and the reduction.
pub fn scalars(info: &'static Info, preset: Option<&'static Preset>) -> Vec<Arg> {
    let own = info.options.iter().filter(|own| !is_set(preset, own));
    let mut list: Vec<Arg> = own.map(scalar).collect();
    if !parts::is_function(info) {
        let default = (info.new)().reduction().name();
        list.push(
            Arg::new("reduction")
                .long("reduction")
                .value_name("R")
                .value_parser(PossibleValuesParser::new(info.reductions.iter().map(|own| own.name())))
                .help(format!("how the losses become the result [default: {default}]")),
        );
    }
    list
}

/// A preset sets the option.
pub fn is_set(preset: Option<&Preset>, option: &OptionInfo) -> bool {
    preset.is_some_and(|preset| preset.options.iter().any(|(name, _)| *name == option.name))
}

/// `--op max`
pub fn set_text(preset: &Preset) -> String {
    let options = preset.options.iter();
    let options: Vec<String> = options
        .map(|(name, word)| format!("--{} {word}", dashed(name)))
        .collect();
    options.join(" ")
}

/// The memory that a command may use.
pub fn memory(matches: &ArgMatches) -> u64 {
    matches.get_one("memory").copied().unwrap_or(1 << 30)
}

/// The scratch of a layer's logits.
pub fn scratch(info: &Info) -> Option<Arg> {
    let arg = Arg::new("scratch")
        .long("scratch")
        .value_name("BYTES")
        .value_parser(bytes);
    wgloss_bench::fit::is_layer(info).then(|| {
        arg.help(
            "what the logits that gradients are made of may take at a time, to the same bits: where those of enough \
             rows do not fit, they are computed twice [default: 64MiB]",
        )
    })
}

/// What of the values is inspected.
pub fn checks() -> [Arg; 2] {
    [
        Arg::new("strict").long("strict").action(ArgAction::SetTrue).help(
            "refuse probabilities of the target outside [0, 1], signs that are not 1 or -1, and weights that are negative \
             or NaN, which are computed with otherwise",
        ),
        Arg::new("on_nan")
            .long("on-nan")
            .value_name("WHAT")
            .value_parser(PossibleValuesParser::new([
                PossibleValue::new("propagate").help("they are computed with"),
                PossibleValue::new("error").help("they are counted, and the first is named"),
            ]))
            .default_value("propagate")
            .help("what becomes of NaN and infinities in the tensors"),
    ]
}

/// An option of a loss.
fn scalar(option: &OptionInfo) -> Arg {
    let default = default_text(option).map_or(String::new(), |text| format!(" [default: {text}]"));
    let arg = Arg::new(option.name)
        .long(dashed(option.name))
        .help(format!("{}{default}", option.help));
    match option.kind {
        ScalarKind::Float => float(arg),
        ScalarKind::Int => arg
            .value_name("I")
            .value_parser(value_parser!(i64))
            .allow_negative_numbers(true),
        ScalarKind::Ints => arg
            .value_name("I,…")
            .value_parser(value_parser!(i64))
            .value_delimiter(',')
            .action(ArgAction::Append)
            // -1,0 is not what clap knows as a negative number.
            .allow_hyphen_values(true),
        ScalarKind::Bool => flag(arg),
        ScalarKind::Choice(words) => {
            let of = |word: &'static str| {
                let others = option.aliases.iter().filter(move |(_, own)| *own == word);
                PossibleValue::new(word).aliases(others.map(|(alias, _)| *alias))
            };
            let words = words.iter().map(|&word| of(word));
            arg.value_name("WORD").value_parser(PossibleValuesParser::new(words))
        }
    }
}

pub fn float(arg: Arg) -> Arg {
    // -inf is not what clap knows as a negative number.
    arg.value_name("F")
        .value_parser(value_parser!(f64))
        .allow_hyphen_values(true)
}

pub fn flag(arg: Arg) -> Arg {
    // A file may follow: only what stands behind = is the value.
    arg.value_name("BOOL")
        .value_parser(value_parser!(bool))
        .num_args(0..=1)
        .require_equals(true)
        .default_missing_value("true")
}

/// A file with a tensor.
pub fn tensor(id: impl Into<clap::Id>) -> Arg {
    Arg::new(id).value_name("FILE").value_parser(value_parser!(OsString))
}

pub fn backend() -> Arg {
    Arg::new("backend")
        .long("backend")
        .value_name("B")
        .value_parser(PossibleValuesParser::new([
            PossibleValue::new("auto").help("the GPU, or the processor where there is none"),
            PossibleValue::new("gpu"),
            PossibleValue::new("cpu").help("the f64 reference"),
        ]))
        .default_value("auto")
        .help("where to compute")
}

pub fn pipeline_cache() -> Arg {
    Arg::new("pipeline-cache")
        .long("pipeline-cache")
        .value_name("DIR")
        .value_parser(value_parser!(PathBuf))
        .help("keep compiled pipelines in this folder, which only you can write to, for the next run (Vulkan)")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_word_behind_a_flag_is_its_value() {
        let words = |text: &str| text.split(' ').map(OsString::from).collect::<Vec<_>>();
        let given = words("poisson-nll true --log-input false --full x false --out true");
        let wanted = words("poisson-nll true --log-input=false --full x false --out true");
        assert_eq!(joined(given), wanted);
    }

    #[test]
    fn the_commands_are_sound() {
        command().debug_assert();
    }
}
