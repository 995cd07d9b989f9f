//! The command line of wgloss: arguments, files and printing. What is computed is the library's.

mod args;
mod check;
mod compute;
mod install;
mod kernels;
mod list;
mod operands;
mod output;
mod parts;
mod plot;
mod qualify;
mod report;
mod state;
mod step;
mod streams;
mod words;

use std::process::ExitCode;

use wgloss_bench::{bench, tune};
use wgloss_shell::{Failure, drivers, print};

fn main() -> ExitCode {
    drivers::quiet();
    let parse = |words| args::command().try_get_matches_from(words);
    let asked =
        words::given().map(|words| parse(words).unwrap_or_else(|error| words::without_wrong_tips(error).exit()));
    let Err(failure) = asked.and_then(|matches| run(&matches)) else {
        return ExitCode::SUCCESS;
    };
    let code = match failure {
        Failure::Closed => return ExitCode::SUCCESS,
        Failure::Failed(_) => 1,
        Failure::Usage(_) => 2,
    };
    print::note(&format!("error: {failure}"));
    ExitCode::from(code)
}

fn run(matches: &clap::ArgMatches) -> Result<(), Failure> {
    match matches.subcommand() {
        Some(("compute", matches)) => compute::run(matches),
        Some(("step", matches)) => step::run(matches),
        Some(("shader", matches)) => kernels::shader::run(matches),
        Some(("plan", matches)) => kernels::plan::run(matches),
        Some(("plot", matches)) => plot::run(matches),
        Some(("check", matches)) => check::run(matches),
        Some(("qualify", matches)) => qualify::run(matches),
        Some(("bench", matches)) => bench::run(matches),
        Some(("tune", matches)) => tune::run(matches),
        Some(("adapters", matches)) => list::adapters(matches.get_flag("json")),
        Some(("losses", matches)) => list::losses(matches.get_flag("json")),
        Some(("completions", matches)) => install::run_completions(matches),
        Some(("man", matches)) => install::run_man(matches),
        _ => Err(Failure::Usage("a command is missing; see --help".into())),
    }
}
