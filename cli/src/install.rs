//! What a system is given along with the program: completions for its shell, and manual pages.

use std::ffi::OsString;
use std::path::Path;

use clap::builder::{PossibleValue, PossibleValuesParser};
use clap::{Arg, ArgMatches, Command, value_parser};
use clap_complete::Shell;
use clap_mangen::Man;
use wgloss::REGISTRY;
use wgloss_shell::{Failure, draft, place, print};

use crate::args::{self, dashed};

pub fn completions() -> Command {
    Command::new("completions")
        .about("Print completions for a shell: commands, losses and their options")
        .after_help(
            "bash: wgloss completions bash > ~/.local/share/bash-completion/completions/wgloss\n\
             zsh: wgloss completions zsh > FOLDER/_wgloss, a folder of $fpath\n\
             fish: wgloss completions fish > ~/.config/fish/completions/wgloss.fish\n\
             PowerShell: wgloss completions powershell >> $PROFILE",
        )
        .arg(
            Arg::new("shell")
                .value_name("SHELL")
                .required(true)
                .value_parser(value_parser!(Shell))
                .help("whose completions"),
        )
}

pub fn man() -> Command {
    Command::new("man")
        .about("Print the manual page of a command, or write those of all")
        .after_help(
            "wgloss man compute huber | man -l -\n\
             mkdir -p ~/.local/share/man/man1; wgloss man --out ~/.local/share/man/man1",
        )
        .arg(
            Arg::new("command")
                .value_name("COMMAND")
                .num_args(0..)
                .help("the command, as `compute huber` [default: wgloss itself]"),
        )
        .arg(
            Arg::new("out")
                .long("out")
                .value_name("FOLDER")
                .value_parser(value_parser!(OsString))
                .conflicts_with("command")
                .help("write a page for each command into this folder"),
        )
}

pub fn run_completions(matches: &ArgMatches) -> Result<(), Failure> {
    let Some(&shell) = matches.get_one::<Shell>("shell") else {
        return Err(Failure::Usage("a shell is missing; see --help".into()));
    };
    let names = REGISTRY.iter().map(|info| dashed(info.name));
    let losses = PossibleValuesParser::new(names.map(PossibleValue::new).collect::<Vec<_>>());
    // Where a loss is an argument, any of its names is taken; one of them is offered.
    let mut command = args::command().mut_subcommands(|own| {
        let has_losses = own.get_arguments().any(|arg| arg.get_id() == "loss");
        match has_losses {
            true => own.mut_arg("loss", |arg| arg.value_parser(losses.clone())),
            false => own,
        }
    });
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut command, "wgloss", &mut text);
    print::line(String::from_utf8_lossy(&text).trim_end())
}

pub fn run_man(matches: &ArgMatches) -> Result<(), Failure> {
    // The pages of `help` would say what their commands' say.
    let mut root = args::command().disable_help_subcommand(true);
    root.build();
    let Some(folder) = matches.get_one::<OsString>("out").map(Path::new) else {
        let mut page = &root;
        let mut path = root.get_name().to_owned();
        for word in matches.get_many::<String>("command").into_iter().flatten() {
            let unknown = || Failure::Usage(format!("{path} has no command {word:?}; see {path} --help"));
            page = page.find_subcommand(dashed(word)).ok_or_else(unknown)?;
            path = format!("{path} {}", page.get_name());
        }
        return print::line(&text(page)?);
    };
    if !folder.is_dir() {
        let folder = folder.display();
        return Err(Failure::Failed(format!(
            "--out {folder}: expected a folder that exists"
        )));
    }
    let mut drafts = Vec::new();
    let mut left = vec![&root];
    while let Some(command) = left.pop() {
        let is_own = |own: &&Command| !own.is_hide_set() && own.get_name() != "help";
        left.extend(command.get_subcommands().filter(is_own));
        let file = folder.join(Man::new(command.clone()).get_filename());
        let place = place::place("out", file.as_os_str())?;
        drafts.push(draft::whole("--out", &place, text(command)?.as_bytes())?);
    }
    let count = drafts.len();
    draft::publish(drafts)?;
    print::line(&format!("{count} pages written to {}", folder.display()))
}

/// The page, in the language of `man`.
fn text(command: &Command) -> Result<String, Failure> {
    let mut bytes = Vec::new();
    let page = Man::new(command.clone()).source(concat!("wgloss ", env!("CARGO_PKG_VERSION")));
    page.render(&mut bytes)
        .map_err(|error| Failure::Failed(format!("the page: {error}")))?;
    Ok(String::from_utf8_lossy(&bytes).trim_end().to_owned())
}
