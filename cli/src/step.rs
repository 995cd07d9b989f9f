//! `wgloss step`: a parameter, its gradient and an optimizer's state in, parameter and state out.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command, value_parser};
use serde_json::json;
use wgloss::optim::{self, Info, OPTIMIZERS, OptionInfo, Setting, State};
use wgloss::{Array, Dtype, Error, Optimizer, Role, Sink, Tensor};
use wgloss_bench::tuned;
use wgloss_shell::draft::{self, Draft};
use wgloss_shell::numbers;
use wgloss_shell::{Failure, files, place, print, progress};

use crate::args::{self, dashed, tensor};
use crate::compute::Backend;
use crate::output::{self, Target};
use crate::parts::Stored;
use crate::state::{self, STEP};

/// The options that are true or false.
pub fn flags() -> impl Iterator<Item = &'static str> {
    let options = OPTIMIZERS.iter().flat_map(|info| info.options);
    options
        .filter(|option| matches!((option.default)(), Setting::Bool(_)))
        .map(|option| option.name)
}

pub fn command() -> Command {
    Command::new("step")
        .about("Take an optimizer's step: a parameter, its gradient and the state in, parameter and state out")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand_value_name("OPTIMIZER")
        .subcommand_help_heading("Optimizers")
        .subcommands(OPTIMIZERS.iter().map(|info| command_of(info)))
}

fn command_of(info: &'static Info) -> Command {
    let states: Vec<&str> = info.states.iter().map(|role| role.name()).collect();
    let tensors = [
        tensor("param")
            .value_name("PARAM")
            .required(true)
            .help("the parameter, of f32, f16, bf16 or f64, which is rounded to f32"),
        tensor("grad")
            .value_name("GRAD")
            .required(true)
            .help("its gradient, of any dtype, read as f32 where it has not that of PARAM"),
        tensor("out")
            .long("out")
            .required(true)
            .help("write the new parameter here, in its dtype; PARAM's file updates it"),
        tensor("state")
            .long("state")
            .help("the state that the step before wrote; without it, this is the first step"),
        tensor("state-out")
            .long("state-out")
            .help("write the new state here; the file of --state updates it"),
    ];
    Command::new(info.name)
        .about(info.summary)
        .after_help(format!(
            "FILE is file.npy, file.npz:key or file.safetensors:key; no .npz is written, and --out may be -, standard output. A \
             state is a .safetensors file with the keys {STEP} (one whole number of any dtype{}) and, as far as the options need \
             them, {} (of any float dtype); it is written with i64 and f32. Where --state and --state-out name one file that is not there yet, \
             this is the first step. No input is written over but PARAM by --out, where its file holds nothing else, and \
             --state by --state-out.\n{}",
            if info.counts_steps { "" } else { ", which may be missing" },
            states.join(", "),
            info.url
        ))
        .args(tensors)
        .args(info.options.iter().map(option))
        .args([
            args::backend(),
            args::adapter(),
            args::tuned(),
            args::pipeline_cache(),
            args::json(),
        ])
}

pub fn option(option: &OptionInfo) -> Arg {
    let default = (option.default)();
    let text = match default {
        Setting::Float(value) => args::float_text(value),
        other => other.to_string(),
    };
    let arg = Arg::new(option.name)
        .long(dashed(option.name))
        .help(format!("{} [default: {text}]", option.help));
    match default {
        Setting::Float(_) => args::float(arg),
        Setting::Pair(..) => arg
            .value_names(["B1", "B2"])
            .num_args(2)
            .value_parser(value_parser!(f64))
            .allow_negative_numbers(true),
        Setting::Bool(_) => args::flag(arg),
    }
}

pub fn run(matches: &ArgMatches) -> Result<(), Failure> {
    let Some((word, matches)) = matches.subcommand() else {
        return Err(Failure::Usage("an optimizer is missing; see --help".into()));
    };
    let info = optim::find(word).ok_or_else(|| Failure::Usage(format!("there is no optimizer {word}")))?;

    // What the command line alone can have wrong.
    let mut optimizer = (info.new)();
    set_options(optimizer.as_mut(), matches)?;
    let backend = Backend::named(matches)?;
    let files = Files::new(matches)?;

    // What the files have wrong, before a device is asked.
    let mut notes = Vec::new();
    let (param, dtype) = files.param(&mut notes)?;
    let grad = files.grad(param.dtype(), &mut notes)?;
    let mut state = files.state(info, &mut notes)?;
    let update = optimizer
        .update(param.view(), grad.view(), &state)
        .map_err(|error| files.describe(&error))?;
    let held = files.out.check(dtype, "");
    held.map_err(|why| Failure::Failed(format!("--out {}: {why}", files.out)))?;
    if !update.states.is_empty() && files.state_out.is_none() {
        notes.push(format!(
            "{word} keeps a state, which is not written without --state-out"
        ));
    }
    for note in &notes {
        print::note(&format!("note: {note}"));
    }

    let engine = backend.open()?;
    let bar = progress::spinner(format!("{word}, {}", engine.name()));
    let start = Instant::now();
    let stepped = optimizer
        .step(&engine, &param, &grad, &mut state)
        .and_then(|stepped| stepped.numbers(&engine))
        .map_err(|error| files.describe(&error))?;
    let milliseconds = start.elapsed().as_secs_f64() * 1e3;

    let mut written = vec![files.write_param(&stepped, dtype)?];
    if let Some(path) = &files.state_out {
        written.push(state::write(path, &state, &engine)?);
    }
    draft::publish(written)?;
    bar.finish_and_clear();

    let say = |text: &str| print::report(text, files.out == Target::Stdout);
    let backend = if engine.adapter_info().is_some() { "gpu" } else { "cpu" };
    if matches.get_flag("json") {
        let mut report = json!({
            "optimizer": info.name,
            "step": state.step(),
            "shape": stepped.shape,
            "dtype": dtype.name(),
            "backend": backend,
            "adapter": engine.name(),
            "milliseconds": print::json_ms(milliseconds),
            "notes": notes,
        });
        if let Some(tuning) = tuned::own(&engine) {
            report["tuning"] = tuned::json(&tuning).into();
        }
        return say(&report.to_string());
    }
    let (shape, dtype, engine) = (&stepped.shape, dtype.name(), tuned::name(&engine));
    say(&format!(
        "{word} step {}   {shape:?} {dtype}   {backend}: {engine}   {milliseconds:.1} ms",
        state.step()
    ))?;
    say(&format!("parameter written to {}", files.out))?;
    if let Some(path) = &files.state_out {
        say(&format!("state written to {}", path.display()))?;
    }
    Ok(())
}

/// Sets the options given, and has the optimizer check them.
pub fn set_options(optimizer: &mut dyn Optimizer, matches: &ArgMatches) -> Result<(), Failure> {
    let usage = |error: Error| Failure::Usage(error.to_string());
    for option in optimizer.info().options {
        let name = option.name;
        if matches.value_source(name) != Some(ValueSource::CommandLine) {
            continue;
        }
        let floats: Vec<f64> = match (option.default)() {
            Setting::Bool(_) => Vec::new(),
            _ => matches.get_many(name).into_iter().flatten().copied().collect(),
        };
        let setting = match floats.as_slice() {
            [] => matches.get_one(name).copied().map(Setting::Bool),
            [value] => Some(Setting::Float(*value)),
            [first, second, ..] => Some(Setting::Pair(*first, *second)),
        };
        if let Some(setting) = setting {
            optimizer.set(name, setting).map_err(usage)?;
        }
    }
    optimizer.check().map_err(usage)
}

/// The files that the command line names; those to be written are known to have a place.
struct Files<'a> {
    param: &'a OsStr,
    grad: &'a OsStr,
    state: Option<&'a Path>,
    out: Target,
    state_out: Option<PathBuf>,
}

impl<'a> Files<'a> {
    fn new(matches: &'a ArgMatches) -> Result<Self, Failure> {
        let given = |id: &str| matches.get_one::<OsString>(id).map(OsString::as_os_str);
        let (Some(param), Some(grad), Some(out)) = (given("param"), given("grad"), given("out")) else {
            return Err(Failure::Usage("PARAM, GRAD and --out are needed".into()));
        };
        for option in ["state", "state-out"] {
            if let Some(file) = given(option).filter(|file| !files::is_safetensors(Path::new(file))) {
                let file = file.to_string_lossy();
                return Err(Failure::Usage(format!(
                    "--{option} {file}: expected a file named .safetensors, without a key"
                )));
            }
        }
        let ((param_file, param_key), (grad_file, _)) = (files::location(param), files::location(grad));
        let own_key = || param_key.unwrap_or("param").to_owned();
        let files = Self {
            param,
            grad,
            state: given("state").map(Path::new),
            out: Target::new("out", out, own_key)?,
            state_out: given("state-out")
                .map(|file| place::place("state-out", file))
                .transpose()?,
        };

        let is = |input: Option<&Path>, place: Option<&Path>| {
            let input = input.and_then(|input| input.canonicalize().ok());
            input.is_some() && input.as_deref() == place
        };
        let spoils =
            |option: &str, input: &str| Err(Failure::Usage(format!("--{option} would overwrite the input {input}")));
        let (out, state_out) = (files.out.path(), files.state_out.as_deref());
        if state_out.is_some() && state_out == out {
            return Err(Failure::Usage("--out and --state-out name the same file".into()));
        }
        for (input, name) in [(Some(grad_file), "GRAD"), (files.state, "--state")] {
            if is(input, out) {
                return spoils("out", name);
            }
        }
        for (input, name) in [(param_file, "PARAM"), (grad_file, "GRAD")] {
            if is(Some(input), state_out) {
                return spoils("state-out", name);
            }
        }
        if is(Some(param_file), out) && files::is_safetensors(param_file) {
            let keys = files::keys(param_file).map_err(|message| Failure::Failed(format!("param: {message}")))?;
            if keys.len() > 1 {
                let message = format!("--out would overwrite PARAM's file, which holds {} tensors", keys.len());
                return Err(Failure::Usage(message));
            }
        }
        Ok(files)
    }

    /// The parameter, and its dtype in the file, which it keeps there.
    fn param(&self, notes: &mut Vec<String>) -> Result<(Tensor, numbers::Dtype), Failure> {
        let failed = |message: String| Failure::Failed(format!("param: {message}"));
        let source = files::open(self.param).map_err(failed)?;
        let stored = source.stored();
        if !stored.is_float() {
            return Err(failed(format!(
                "{}: holds {}, which has no room for a step; save it as f32, f16, bf16 or f64",
                source.name(),
                stored.name()
            )));
        }
        if stored == numbers::Dtype::F64 {
            notes.push(format!(
                "param ({}) is f64 in its file: it is rounded to f32 for the step, and the result is written as f64",
                source.name()
            ));
        }
        Ok((source.read_whole().map_err(failed)?, stored))
    }

    /// The gradient of a parameter of a dtype. What is not of that is read as f32, which holds all but f64 and large
    /// integers.
    fn grad(&self, param: Dtype, notes: &mut Vec<String>) -> Result<Tensor, Failure> {
        let failed = |message: String| Failure::Failed(format!("grad: {message}"));
        let mut source = files::open(self.grad).map_err(failed)?;
        if source.stored() == numbers::Dtype::F64 {
            notes.push(format!(
                "grad ({}) is f64 in its file: it is rounded to f32 for the step",
                source.name()
            ));
        }
        if source.dtype() != param {
            source = source.into_dtype(Dtype::F32);
        }
        source.read_whole().map_err(failed)
    }

    /// The state before the step.
    fn state(&self, info: &Info, notes: &mut Vec<String>) -> Result<State, Failure> {
        let Some(file) = self.state else {
            return Ok(State::default());
        };
        // The first step of a loop that updates one file.
        let updated = self
            .state_out
            .as_ref()
            .is_some_and(|out| place::place("state", file.as_os_str()).is_ok_and(|own| own == *out));
        if updated && !file.exists() {
            return Ok(State::default());
        }
        state::read(file, info, notes)
            .map_err(|message| Failure::Failed(format!("state: {}: {message}", file.display())))
    }

    /// The new parameter, in the dtype of the old one's file.
    fn write_param(&self, stepped: &Array, dtype: numbers::Dtype) -> Result<Draft, Failure> {
        let label = format!("--out {}", self.out);
        let mut draft = self.out.draft(label, dtype, &stepped.shape)?;
        let bytes = match dtype {
            numbers::Dtype::F64 => stepped.data.iter().flat_map(|&x| f64::from(x).to_le_bytes()).collect(),
            _ => Stored::floats(stepped).bytes,
        };
        draft.write_at(0, &bytes).map_err(output::failed)?;
        Ok(draft)
    }

    /// The error, with the file of the tensor concerned: `grad (g.npy): expected shape …`.
    fn describe(&self, error: &Error) -> Failure {
        let text = error.to_string();
        let state = self.state.map(Path::as_os_str).unwrap_or_default();
        let files = [(Role::Param, self.param), (Role::Grad(0), self.grad)].map(|(role, file)| (role.name(), file));
        let states = OPTIMIZERS
            .iter()
            .flat_map(|info| info.states)
            .map(|role| (role.name(), state))
            .chain([(STEP, state)]);
        let found = files.into_iter().chain(states).find_map(|(name, file)| {
            let rest = text.strip_prefix(name)?.strip_prefix(':')?;
            Some(format!("{name} ({}):{rest}", file.to_string_lossy()))
        });
        Failure::Failed(found.unwrap_or(text))
    }
}
