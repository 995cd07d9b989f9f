//! Arguments that several commands have: what names losses, an adapter, a dtype.

use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgAction, ArgMatches};
use wgloss::optim::{self, OPTIMIZERS};
use wgloss::{Dtype, Info, Preset, REGISTRY};

use crate::names;

/// PyTorch's word as the command line writes it.
pub fn dashed(name: &str) -> String {
    name.replace('_', "-")
}

/// A number of bytes, with a unit or without.
pub fn bytes(text: &str) -> Result<u64, String> {
    let size: bytesize::ByteSize = text.parse()?;
    match size.as_u64() {
        0 => Err("expected at least one byte".into()),
        bytes => Ok(bytes),
    }
}

pub fn dtype(help: &'static str) -> Arg {
    Arg::new("dtype")
        .long("dtype")
        .value_name("D")
        .value_parser(PossibleValuesParser::new(Dtype::FLOATS.map(Dtype::name)))
        .help(help)
}

/// The float dtype that a command names.
pub fn chosen_dtype(matches: &ArgMatches) -> Option<Dtype> {
    let name = matches.get_one::<String>("dtype")?;
    Dtype::FLOATS.into_iter().find(|dtype| dtype.name() == name)
}

pub fn adapter() -> Arg {
    Arg::new("adapter")
        .long("adapter")
        .value_name("TEXT")
        .help("the best adapter whose name, backend or kind contains TEXT (see `wgloss adapters`)")
}

pub fn tuned() -> Arg {
    Arg::new("tuned")
        .long("tuned")
        .action(ArgAction::SetTrue)
        .help("cut the work as `wgloss tune --save` found best on this adapter; the last bits of results differ")
}

pub fn json() -> Arg {
    Arg::new("json")
        .long("json")
        .action(ArgAction::SetTrue)
        .help("print JSON")
}

pub fn losses() -> Arg {
    Arg::new("loss")
        .value_name("LOSS")
        .num_args(0..)
        .value_parser(names::loss_or_optimizer)
        .help(
            "the losses concerned, by any of their names (see `wgloss losses`), and the optimizers (sgd, adam, adamw, \
             adagrad) [default: all]",
        )
}

/// The losses that a command names, or all; and the presets where it names those of a loss, but not the loss itself.
pub fn chosen(matches: &ArgMatches) -> Vec<(&'static Info, Vec<&'static Preset>)> {
    let named: Vec<&String> = matches.get_many("loss").into_iter().flatten().collect();
    let of = |info: &'static Info| {
        if named.is_empty() || named.iter().any(|name| info.name == dashes_undone(name)) {
            return Some((info, Vec::new()));
        }
        let presets = info
            .presets
            .iter()
            .filter(|own| named.iter().any(|name| *name == own.name));
        let presets: Vec<_> = presets.collect();
        (!presets.is_empty()).then_some((info, presets))
    };
    REGISTRY.iter().filter_map(|info| of(info)).collect()
}

/// The optimizers that a command names, or all.
pub fn chosen_optimizers(matches: &ArgMatches) -> Vec<&'static optim::Info> {
    let named: Vec<&String> = matches.get_many("loss").into_iter().flatten().collect();
    let is_chosen = |info: &&&optim::Info| named.is_empty() || named.iter().any(|name| *name == info.name);
    OPTIMIZERS.iter().filter(is_chosen).copied().collect()
}

/// The library's name from the command line's.
fn dashes_undone(name: &str) -> String {
    name.replace('-', "_")
}
