//! `wgloss step`: a parameter, its gradient and an optimizer's state in, parameter and state out.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command, value_parser};
use serde_json::json;
use wgloss::optim::{self, Info, OPTIMIZERS, OptionInfo, Setting, State};
use wgloss::{Engine, Error, Optimizer, Role, Sink, Tensor};

use crate::args::{self, dashed, tensor};
use crate::compute::Backend;
use crate::draft::{self, Draft};
use crate::output::Target;
use crate::parts::Stored;
use crate::{Failure, files, keyed, output, print, tuned};

/// The key of the step count in a state file.
const STEP: &str = "step";

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
            .help("the parameter, of f32, f16 or bf16"),
        tensor("grad")
            .value_name("GRAD")
            .required(true)
            .help("its gradient, of its dtype or f32"),
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
            "FILE is file.npy or file.safetensors:key; --out may be -, standard output. A state is a .safetensors file with the keys {STEP} (i64) and, as \
             far as the options need them, {} (f32). Where --state and --state-out name one file that is not there yet, \
             this is the first step. No input is written over but PARAM by --out, where its file holds nothing else, and \
             --state by --state-out.\n{}",
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

fn option(option: &OptionInfo) -> Arg {
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
    let failed = |role: &str| {
        let role = role.to_owned();
        move |message: String| Failure::Failed(format!("{role}: {message}"))
    };
    let param = files::read(files.param).map_err(failed("param"))?;
    let grad = files::read(files.grad).map_err(failed("grad"))?;
    let mut state = files.state(info)?;
    let update = optimizer
        .update(param.view(), grad.view(), &state)
        .map_err(|error| files.describe(&error))?;
    let held = files.out.check(param.dtype(), "");
    held.map_err(|why| Failure::Failed(format!("--out {}: {why}", files.out)))?;
    if !update.states.is_empty() && files.state_out.is_none() {
        print::note(&format!(
            "note: {word} keeps a state, which is not written without --state-out"
        ));
    }

    let engine = backend.open()?;
    let start = Instant::now();
    let stepped = optimizer
        .step(&engine, &param, &grad, &mut state)
        .and_then(|stepped| stepped.numbers(&engine))
        .map_err(|error| files.describe(&error))?;
    let milliseconds = start.elapsed().as_secs_f64() * 1e3;

    let mut written = vec![files.write_param(&Stored::floats(&stepped))?];
    if let Some(path) = &files.state_out {
        written.push(write_state(path, &state, &engine)?);
    }
    draft::publish(written)?;

    let say = |text: &str| print::report(text, files.out == Target::Stdout);
    let backend = if engine.adapter_info().is_some() { "gpu" } else { "cpu" };
    if matches.get_flag("json") {
        let mut report = json!({
            "optimizer": info.name,
            "step": state.step,
            "shape": stepped.shape,
            "dtype": stepped.dtype.name(),
            "backend": backend,
            "adapter": engine.name(),
            "milliseconds": print::json_ms(milliseconds),
        });
        if let Some(tuning) = tuned::own(&engine) {
            report["tuning"] = tuned::json(&tuning).into();
        }
        return say(&report.to_string());
    }
    let (shape, dtype, engine) = (&stepped.shape, stepped.dtype, tuned::name(&engine));
    say(&format!(
        "{word} step {}   {shape:?} {dtype}   {backend}: {engine}   {milliseconds:.1} ms",
        state.step
    ))?;
    say(&format!("parameter written to {}", files.out))?;
    if let Some(path) = &files.state_out {
        say(&format!("state written to {}", path.display()))?;
    }
    Ok(())
}

/// Sets the options given, and has the optimizer check them.
fn set_options(optimizer: &mut dyn Optimizer, matches: &ArgMatches) -> Result<(), Failure> {
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
                .map(|file| output::place("state-out", file))
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

    /// The state before the step.
    fn state(&self, info: &Info) -> Result<State, Failure> {
        let Some(file) = self.state else {
            return Ok(State::default());
        };
        // The first step of a loop that updates one file.
        let updated = self
            .state_out
            .as_ref()
            .is_some_and(|out| output::place("state", file.as_os_str()).is_ok_and(|own| own == *out));
        if updated && !file.exists() {
            return Ok(State::default());
        }
        read_state(file, info).map_err(|message| Failure::Failed(format!("state: {}: {message}", file.display())))
    }

    fn write_param(&self, stored: &Stored<'_>) -> Result<Draft, Failure> {
        let mut draft = self
            .out
            .draft(format!("--out {}", self.out), stored.dtype, stored.shape)?;
        draft.write_at(0, &stored.bytes).map_err(output::failed)?;
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
            .map(|role| (role.name(), state));
        let found = files.into_iter().chain(states).find_map(|(name, file)| {
            let rest = text.strip_prefix(name)?.strip_prefix(':')?;
            Some(format!("{name} ({}):{rest}", file.to_string_lossy()))
        });
        Failure::Failed(found.unwrap_or(text))
    }
}

/// The step count and the tensors of a state file.
fn read_state(file: &Path, info: &Info) -> Result<State, String> {
    let role_of = |key: &str| info.states.iter().copied().find(|role| role.name() == key);
    let read = |key: &str| {
        let mut keyed = file.as_os_str().to_owned();
        keyed.push(":");
        keyed.push(key);
        files::read(&keyed)
    };
    let keys = files::keys(file)?;
    if !keys.iter().any(|key| key == STEP) {
        return Err(format!("has no key {STEP:?}; its keys: {}", keys.join(", ")));
    }
    let mut state = State::after(step_count(&read(STEP)?)?);
    for key in keys.iter().filter(|key| *key != STEP) {
        let role = role_of(key).ok_or_else(|| format!("has a key {key:?}, which is no state of {}", info.name))?;
        state.attach(role, read(key)?);
    }
    Ok(state)
}

/// PyTorch has it as a float.
fn step_count(tensor: &Tensor) -> Result<u64, String> {
    let whole = |x: f32| (x >= 0.0 && x.fract() == 0.0).then_some(x as i64);
    let first = |slice: Option<&[i64]>| slice.and_then(|all| all.first()).copied();
    let count = first(tensor.as_slice())
        .or_else(|| tensor.as_slice::<i32>()?.first().map(|&x| x.into()))
        .or_else(|| whole(*tensor.as_slice::<f32>()?.first()?));
    let count = count
        .filter(|_| tensor.view().len() == 1)
        .and_then(|count| u64::try_from(count).ok());
    count.ok_or_else(|| {
        format!(
            "{STEP} is {} {:?}, expected one whole number, at least 0",
            tensor.dtype(),
            tensor.shape()
        )
    })
}

fn write_state(path: &Path, state: &State, engine: &Engine) -> Result<Draft, Failure> {
    let mut arrays = Vec::new();
    for (role, tensor) in state.tensors() {
        arrays.push((role.name(), tensor.numbers(engine)?));
    }
    let count = Stored {
        dtype: wgloss::Dtype::I64,
        shape: &[],
        bytes: (state.step as i64).to_le_bytes().to_vec().into(),
    };
    let mut list = vec![(STEP, count)];
    list.extend(arrays.iter().map(|(key, array)| (*key, Stored::floats(array))));

    let label = format!("--state-out {}", path.display());
    let header: Vec<_> = list.iter().map(|(key, own)| (*key, own.dtype, own.shape)).collect();
    let header = keyed::header(&header).map_err(|why| Failure::Failed(format!("{label}: {why}")))?;
    let length = list.iter().map(|(_, own)| own.bytes.len() as u64).sum();
    let mut draft = Draft::new(label, path, &header, length).map_err(Failure::Failed)?;
    let mut at = 0;
    for (_, own) in &list {
        draft.write_at(at, &own.bytes).map_err(output::failed)?;
        at += own.bytes.len() as u64;
    }
    Ok(draft)
}
