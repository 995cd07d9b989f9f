//! `wgloss compute`: files in, a loss and files out.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Instant;

use clap::ArgMatches;
use clap::parser::ValueSource;
use serde_json::{Value, json};
use wgloss::{Array, Call, Engine, Error, Loss, Mode, Reduction, Role, Scalar, ScalarKind, TargetKind, Tensor, Values};

use crate::output::Outputs;
use crate::print::{self, significant};
use crate::{Failure, files};

pub fn run(matches: &ArgMatches) -> Result<(), Failure> {
    let Some((word, matches)) = matches.subcommand() else {
        return Err(Failure::Usage("a loss is missing; see --help".into()));
    };
    let info = wgloss::find(word).ok_or_else(|| Failure::Usage(format!("there is no loss {word}")))?;

    // What the command line alone can have wrong.
    let mut loss = (info.new)();
    set_options(loss.as_mut(), matches)?;
    let text = |id: &str| matches.get_one::<String>(id).map(String::as_str);
    let (backend, adapter) = (text("backend").unwrap_or("auto"), text("adapter"));
    if backend == "cpu" && adapter.is_some() {
        return Err(Failure::Usage(
            "--adapter names a GPU, --backend cpu asks for none".into(),
        ));
    }
    let mut outputs = Outputs::default();
    let path = |id: &str| matches.try_get_one::<PathBuf>(id).ok().flatten();
    for option in ["out", "grad", "grad-target"] {
        if let Some(path) = path(option) {
            outputs.add(option, path)?;
        }
    }

    for role in roles(loss.as_ref()) {
        if let Some(file) = matches.get_one::<OsString>(role.name()) {
            outputs.spare(files::location(file).0)?;
        }
    }

    let (files, tensors) = read(loss.as_ref(), matches)?;
    let fail = |error: Error| Failure::Failed(files.describe(&error));
    let engine = open(backend, adapter)?;
    // Each host tensor is dropped when it is uploaded.
    let upload = |(role, tensor): (Role, Tensor)| engine.upload(&tensor).map(|tensor| (role, tensor)).map_err(fail);
    let mut tensors = tensors.into_iter().map(upload).collect::<Result<Vec<_>, _>>()?;
    let mut take = |role: Role| {
        let index = tensors.iter().position(|(own, _)| *own == role)?;
        Some(tensors.swap_remove(index).1)
    };
    for given in info.tensors {
        if let Some(tensor) = take(given.role) {
            loss.attach(given.role, tensor).map_err(fail)?;
        }
    }
    let (Some(input), Some(target)) = (take(Role::Input), take(Role::Target)) else {
        return Err(Failure::Usage("input and target are needed".into()));
    };
    let grad_output = take(Role::GradOutput);
    let wants_grad_target = path("grad-target").is_some();
    let wants_grad = path("grad").is_some() || wants_grad_target;
    let call = Call {
        grad_output: grad_output.as_ref(),
        grad_target: wants_grad_target,
        ..Call::new(if wants_grad { Mode::Fused } else { Mode::Forward }, &input, &target)
    };

    let start = Instant::now();
    let values = loss
        .run(&engine, &call)
        .and_then(|output| output.read(&engine))
        .map_err(fail)?;
    let milliseconds = start.elapsed().as_secs_f64() * 1e3;

    outputs.write(|option| match option {
        "out" => values.loss.as_ref(),
        "grad" => values.grad_input.as_ref(),
        _ => values.grad_target.as_ref(),
    })?;
    let report = Report {
        loss: loss.as_ref(),
        input: &input,
        target: &target,
        values: &values,
        engine: &engine,
        milliseconds,
    };
    if matches.get_flag("json") {
        return print::line(&report.json(path("out").is_some()).to_string());
    }
    print::line(&report.line())?;
    if let Some(cause) = report.nan() {
        print::note(&format!("warning: the loss is NaN: {cause}"));
    }
    for (option, what) in [
        ("out", "loss"),
        ("grad", "gradient"),
        ("grad-target", "gradient of the target"),
    ] {
        if let Some(path) = path(option) {
            print::line(&format!("{what} written to {}", path.display()))?;
        }
    }
    Ok(())
}

/// Sets the scalars and the reduction, and has the loss check them.
fn set_options(loss: &mut dyn Loss, matches: &ArgMatches) -> Result<(), Failure> {
    let usage = |error: Error| Failure::Usage(error.to_string());
    for option in loss.info().options {
        if matches.value_source(option.name) != Some(ValueSource::CommandLine) {
            continue;
        }
        let value = match option.kind {
            ScalarKind::Float => matches.get_one(option.name).copied().map(Scalar::Float),
            ScalarKind::Int => matches.get_one(option.name).copied().map(Scalar::Int),
        };
        if let Some(value) = value {
            loss.set(option.name, value).map_err(usage)?;
        }
    }
    if let Some(name) = matches.get_one::<String>("reduction") {
        loss.set_reduction(name.parse().map_err(usage)?);
    }
    loss.check().map_err(usage)
}

/// The GPU asked for, or the processor.
fn open(backend: &str, adapter: Option<&str>) -> Result<Engine, Failure> {
    if backend == "cpu" {
        return Ok(Engine::cpu());
    }
    match Engine::open(adapter.unwrap_or_default()) {
        // An adapter asked for by name is not replaced by something else.
        Err(Error::NoAdapter(_)) if backend == "auto" && adapter.is_none() => {
            print::note("note: no GPU adapter found, computing on the processor with the f64 reference");
            Ok(Engine::cpu())
        }
        opened => Ok(opened?),
    }
}

/// All tensors that a loss can be given.
fn roles(loss: &dyn Loss) -> Vec<Role> {
    let mut roles = vec![Role::Input, Role::Target];
    roles.extend(loss.info().tensors.iter().map(|given| given.role));
    roles.push(Role::GradOutput);
    roles
}

/// The tensors that the command line names, and the files they came from.
fn read(loss: &dyn Loss, matches: &ArgMatches) -> Result<(Files, Vec<(Role, Tensor)>), Failure> {
    let (mut names, mut tensors) = (Vec::new(), Vec::new());
    for role in roles(loss) {
        if let Some(file) = matches.get_one::<OsString>(role.name()) {
            let tensor = files::read(file).map_err(|message| Failure::Failed(format!("{}: {message}", role.name())))?;
            names.push((role, file.clone()));
            tensors.push((role, tensor));
        }
    }
    Ok((Files(names), tensors))
}

/// Which file each tensor came from.
struct Files(Vec<(Role, OsString)>);

impl Files {
    /// The error, with the file of the tensor concerned: `target (labels.npy): expected shape …`.
    fn describe(&self, error: &Error) -> String {
        let text = error.to_string();
        let of = |(role, file): &(Role, OsString)| {
            let rest = text.strip_prefix(role.name())?.strip_prefix(':')?;
            Some(format!("{} ({}):{rest}", role.name(), file.to_string_lossy()))
        };
        self.0.iter().find_map(of).unwrap_or(text.clone())
    }
}

/// What is told of a call.
struct Report<'a> {
    loss: &'a dyn Loss,
    input: &'a Tensor,
    target: &'a Tensor,
    values: &'a Values,
    engine: &'a Engine,
    milliseconds: f64,
}

impl Report<'_> {
    fn backend(&self) -> &'static str {
        if self.engine.adapter_info().is_some() {
            "gpu"
        } else {
            "cpu"
        }
    }

    fn json(&self, loss_in_file: bool) -> Value {
        let loss = match (&self.values.loss, self.values.scalar()) {
            (_, Some(scalar)) => print::json_f32(scalar),
            (Some(array), None) if !loss_in_file => array.data.iter().copied().map(print::json_f32).collect(),
            _ => Value::Null,
        };
        json!({
            "loss": loss,
            "loss_name": self.loss.info().name,
            "reduction": self.loss.reduction().name(),
            "shape": self.input.shape(),
            "rows": self.values.terms,
            "ignored": self.values.ignored,
            "backend": self.backend(),
            "adapter": self.engine.name(),
            "milliseconds": print::json_ms(self.milliseconds),
        })
    }

    /// Why the reduced loss is NaN, where it is.
    fn nan(&self) -> Option<&'static str> {
        if !self.values.scalar()?.is_nan() {
            return None;
        }
        Some(if self.values.terms == self.values.ignored {
            "the mean of no rows"
        } else {
            "a NaN or an infinity among the operands, or weights that add up to 0"
        })
    }

    /// `cross_entropy (mean) 0.123192   1797 rows, 10 classes, 0 ignored   gpu: …   12.3 ms`
    fn line(&self) -> String {
        let loss = match (&self.values.loss, self.loss.reduction()) {
            (Some(array), Reduction::None) => summary(array),
            (Some(array), _) => array.data.iter().map(|&x| significant(f64::from(x))).collect(),
            (None, _) => String::new(),
        };
        let shape = self.input.shape();
        let size = if self.loss.info().targets.contains(&TargetKind::Element) {
            format!("{} elements", self.values.terms)
        } else {
            let classes = shape.get(1).or(shape.first()).copied().unwrap_or_default();
            let ignored = match self.target.dtype().is_float() {
                true => String::new(),
                false => format!(", {} ignored", self.values.ignored),
            };
            format!("{} rows, {classes} classes{ignored}", self.values.terms)
        };
        format!(
            "{} ({}) {loss}   {size}   {}: {}   {:.1} ms",
            self.loss.info().name,
            self.loss.reduction().name(),
            self.backend(),
            self.engine.name(),
            self.milliseconds
        )
    }
}

/// Unreduced losses in a line: how many, and their range and mean without the NaN among them.
fn summary(array: &Array) -> String {
    let numbers: Vec<f64> = array
        .data
        .iter()
        .map(|&x| f64::from(x))
        .filter(|x| !x.is_nan())
        .collect();
    let nans = array.data.len() - numbers.len();
    let least = numbers.iter().copied().fold(f64::INFINITY, f64::min);
    let largest = numbers.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let mean = numbers.iter().sum::<f64>() / numbers.len() as f64;
    let range = if numbers.is_empty() {
        String::new()
    } else {
        let [least, mean, largest] = [least, mean, largest].map(significant);
        format!(": min {least}, mean {mean}, max {largest}")
    };
    format!("{} losses{range}, {nans} NaN", array.data.len())
}
