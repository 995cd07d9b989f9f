//! The options of the examples.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::{Arg, ArgMatches, Command, value_parser};
use wgloss::Optimizer;
use wgloss::optim::{self, OPTIMIZERS, Setting};
use wgloss_shell::{Failure, place};

use super::Done;

fn arg(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).help(help)
}

pub fn number(name: &'static str, default: &'static str, help: &'static str) -> Arg {
    let parser = value_parser!(u32).range(1..=10_000);
    arg(name, help).value_parser(parser).default_value(default)
}

pub fn path(name: &'static str, help: &'static str) -> Arg {
    arg(name, help).value_parser(value_parser!(OsString))
}

pub fn one_of(name: &'static str, names: impl IntoIterator<Item = &'static str>, help: &'static str) -> Arg {
    let names = clap::builder::PossibleValuesParser::new(names);
    arg(name, help).value_parser(names)
}

pub fn seed() -> Arg {
    let parser = value_parser!(u64);
    arg("seed", "what all random numbers follow from")
        .value_parser(parser)
        .default_value("0")
}

pub fn svg() -> Arg {
    path("svg", "where the learning curve goes")
}

pub fn optimizer() -> Arg {
    let names = OPTIMIZERS.iter().map(|info| info.name);
    one_of("optimizer", names, "what takes the steps").default_value("adam")
}

/// What was asked for.
pub struct Asked(ArgMatches);

impl Asked {
    /// Ends the process where the command line is wrong, or asks for help.
    pub fn parse(command: Command, arguments: impl IntoIterator<Item = OsString>) -> Self {
        Self(
            command
                .try_get_matches_from(arguments)
                .unwrap_or_else(|error| error.exit()),
        )
    }

    pub fn word(&self, name: &str) -> Option<&str> {
        self.0.get_one::<String>(name).map(String::as_str)
    }

    pub fn number(&self, name: &str) -> usize {
        self.0.get_one::<u32>(name).map_or(1, |&own| own as usize)
    }

    pub fn seed(&self) -> u64 {
        self.0.get_one("seed").copied().unwrap_or_default()
    }

    pub fn path(&self, name: &str) -> Option<&Path> {
        self.0.get_one::<OsString>(name).map(Path::new)
    }

    /// Where a picture goes. What is wrong with that is found before anything is computed.
    pub fn picture(&self, name: &str) -> Done<Option<PathBuf>> {
        let given = self.path(name).map(Path::as_os_str);
        given.map(|given| place::picture(name, given)).transpose()
    }

    pub fn optimizer(&self) -> Done<Box<dyn Optimizer>> {
        optimizer_of(self.word("optimizer").unwrap_or("adam"))
    }
}

/// An optimizer by its name, with a learning rate (and, of sgd, a momentum) that suits networks as small as these.
pub fn optimizer_of(name: &str) -> Done<Box<dyn Optimizer>> {
    let info = optim::find(name).ok_or_else(|| Failure::Usage(format!("there is no optimizer {name}")))?;
    let mut own = (info.new)();
    let rate = match info.name {
        "sgd" | "adagrad" => 0.1,
        _ => 0.02,
    };
    own.set("lr", Setting::Float(rate))?;
    if info.name == "sgd" {
        own.set("momentum", Setting::Float(0.9))?;
    }
    Ok(own)
}
