//! `wgloss compute`: files in, a loss and files out.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::ArgMatches;
use clap::parser::ValueSource;
use wgloss::problem::{Family, Problem};
use wgloss::{Call, Checks, Engine, Error, Info, Loss, Mode, OnNan, Preset, Role, Scalar, ScalarKind, Sink, Stats};
use wgloss_bench::tuned;
use wgloss_shell::draft::{self, Draft};
use wgloss_shell::{Failure, files, interrupt, print, progress};

use crate::operands::{self, Operands};
use crate::output::Outputs;
use crate::parts::{self, Part};
use crate::report::Report;
use crate::{args, output, streams};

pub fn run(matches: &ArgMatches) -> Result<(), Failure> {
    let Some((word, matches)) = matches.subcommand() else {
        return Err(Failure::Usage("a loss is missing; see --help".into()));
    };
    let (info, preset) = named(word).ok_or_else(|| Failure::Usage(format!("there is no loss {word}")))?;

    // What the command line alone can have wrong.
    let mut loss = (info.new)();
    set_options(loss.as_mut(), preset, matches)?;
    let backend = Backend::named(matches)?;
    let mut outputs = Outputs::default();
    for product in parts::products(info) {
        if let Some(file) = matches.get_one::<OsString>(&product.option) {
            outputs.add(product, file)?;
        }
    }
    for (_, file) in operands::named(info, matches) {
        outputs.spare(files::location(file).0)?;
    }
    check_numbers(info, &outputs, matches)?;
    // That of the first tensor: no other hangs on them.
    for (role, _) in operands::of_stats(info).filter(|_| !outputs.wants(Part::Grad(0))) {
        if matches.get_one::<OsString>(role.name()).is_some() {
            let option = args::dashed(role.name());
            return Err(Failure::Usage(format!(
                "--{option}: there is no gradient without --grad"
            )));
        }
    }

    // What the files have wrong, before a device is asked.
    let dtype = args::chosen_dtype(matches);
    let mut operands = Operands::open(info, matches, dtype)?;
    let wanted = Wanted::new(info, &outputs, &operands, checks(matches));
    let described = |operands: &Operands, error: Error| Failure::Failed(operands.describe(&error));
    let problem = operands
        .attach(loss.as_mut())
        .and_then(|()| loss.problem(&wanted.call(&operands)))
        .map_err(|error| described(&operands, error))?;
    outputs.check(&problem).map_err(|message| match dtype {
        Some(_) => Failure::Usage(message),
        None => Failure::Failed(message),
    })?;
    if outputs.wants(Part::ZLoss) && !problem.stats.z_loss {
        return Err(Failure::Usage("--z-loss-out: there is no z-loss, --z-loss is 0".into()));
    }
    for note in [broadcasts(&operands, &problem), constant(&problem)]
        .into_iter()
        .flatten()
    {
        print::note(&note);
    }
    // Both are on the host and, where there is one, on the device.
    let results: u64 = problem.results().map(|(_, view)| view.end()).sum();
    let memory = args::memory(matches);
    let whole = 2 * (operands.bytes() + results);
    let streams = whole > memory;
    let bar = progress::spinner("reading".into());
    operands.read(if streams { memory } else { u64::MAX })?;
    operands
        .attach(loss.as_mut())
        .map_err(|error| described(&operands, error))?;

    let mut engine = backend.open()?;
    if let Ok(Some(&bytes)) = matches.try_get_one::<u64>("scratch") {
        engine.set_scratch_bytes(bytes);
    }
    // Files that there is no room for show before anything is computed.
    let mut drafts = outputs.drafts(|part| {
        let view = problem.result(part.role())?;
        let shape = match part {
            Part::Grad(place) => operands
                .signature()
                .nth(place)
                .map(|(_, tensor)| tensor.shape().to_vec()),
            _ => None,
        };
        Some((view.dtype, shape.unwrap_or(view.shape)))
    })?;
    interrupt::arm();
    let start = Instant::now();
    bar.set_message(format!("computing {word}, {}", engine.name()));
    let (values, streamed) = if streams {
        bar.finish_and_clear(); // the stream has its own
        let call = wanted.call(&operands);
        match streams::run(&engine, loss.as_ref(), &call, &problem, &mut drafts, memory) {
            Ok((values, streamed)) => (values, Some(streamed)),
            Err(Error::Memory { least, .. }) => {
                let least = least_memory(
                    &engine,
                    loss.as_mut(),
                    &mut operands,
                    &wanted,
                    &problem,
                    &mut drafts,
                    least,
                )?;
                return Err(too_little(matches, least.min(whole)));
            }
            Err(error) => return Err(described(&operands, error)),
        }
    } else {
        operands
            .upload(&engine, &problem)
            .and_then(|()| operands.attach(loss.as_mut()))
            .map_err(|error| described(&operands, error))?;
        let values = loss
            .run(&engine, &wanted.call(&operands))
            .and_then(|output| output.read(&engine))
            .map_err(|error| described(&operands, error))?;
        (values, None)
    };
    let milliseconds = start.elapsed().as_secs_f64() * 1e3;

    for (part, draft) in &mut drafts {
        // What was streamed is there already.
        if let Some(stored) = part.of(info, &values) {
            draft.write_at(0, &stored.bytes).map_err(output::failed)?;
        }
    }
    draft::publish(drafts.into_iter().map(|(_, draft)| draft).collect())?;
    bar.finish_and_clear();
    let report = Report {
        loss: loss.as_ref(),
        problem: &problem,
        values: &values,
        engine: &engine,
        milliseconds,
        streamed,
    };
    let say = |text: &str| print::report(text, outputs.takes_stdout());
    if matches.get_flag("json") {
        return say(&report.json(&outputs).to_string());
    }
    say(&report.line())?;
    if let Some(line) = report.stream_line() {
        say(&line)?;
    }
    if let Some(cause) = report.nan() {
        print::note(&format!("warning: the loss is NaN: {cause}"));
    }
    for (product, file) in outputs.iter() {
        say(&format!("{} written to {file}", product.what))?;
    }
    Ok(())
}

/// The loss of a word, and the preset where the word is that of one.
pub fn named(word: &str) -> Option<(&'static Info, Option<&'static Preset>)> {
    let plain = wgloss::find(word).map(|info| (info, None));
    plain.or_else(|| wgloss::find_preset(word).map(|(info, preset)| (info, Some(preset))))
}

/// Sets the scalars and the reduction, and has the loss check them.
pub fn set_options(loss: &mut dyn Loss, preset: Option<&Preset>, matches: &ArgMatches) -> Result<(), Failure> {
    let usage = |error: Error| Failure::Usage(error.to_string());
    for (name, word) in preset.into_iter().flat_map(|preset| preset.options) {
        loss.set(name, &Scalar::Choice((*word).into())).map_err(usage)?;
    }
    for option in loss.info().options.iter().filter(|own| !args::is_set(preset, own)) {
        let name = option.name;
        if matches.value_source(name) != Some(ValueSource::CommandLine) {
            continue;
        }
        let value = match option.kind {
            ScalarKind::Float => matches.get_one(name).copied().map(Scalar::Float),
            ScalarKind::Int => matches.get_one(name).copied().map(Scalar::Int),
            ScalarKind::Ints => {
                let list = matches.get_many(name).into_iter().flatten();
                Some(Scalar::Ints(list.copied().collect()))
            }
            ScalarKind::Bool => matches.get_one(name).copied().map(Scalar::Bool),
            ScalarKind::Choice(_) => matches.get_one(name).cloned().map(Scalar::Choice),
        };
        if let Some(value) = value {
            loss.set(name, &value).map_err(usage)?;
        }
    }
    // Functions have nothing to reduce, and no such option.
    if let Ok(Some(name)) = matches.try_get_one::<String>("reduction") {
        loss.set_reduction(name.parse().map_err(usage)?);
    }
    loss.check().map_err(usage)
}

/// Refuses numbers that a tensor could not hold in their place, and gradients by them.
fn check_numbers(info: &Info, outputs: &Outputs, matches: &ArgMatches) -> Result<(), Failure> {
    for (place, own) in info.operands.iter().enumerate() {
        let number = operands::number_id(own).and_then(|id| matches.get_one::<f64>(&id).copied());
        let Some(number) = number else { continue };
        let name = args::dashed(own.role.name());
        if !(0.0..=f64::from(f32::MAX)).contains(&number) {
            let message = format!("--{name} {number}: expected a finite number of at least 0");
            return Err(Failure::Usage(message));
        }
        if outputs.wants(Part::Grad(place)) {
            let message = format!(
                "--grad-{name}: a number has no gradient; give {} as a file, of one number without dimensions",
                own.role.name().to_uppercase()
            );
            return Err(Failure::Usage(message));
        }
    }
    Ok(())
}

/// What of the values is to be inspected.
pub fn checks(matches: &ArgMatches) -> Checks {
    let on_nan = matches.get_one::<String>("on_nan").map(String::as_str);
    Checks {
        strict: matches.get_flag("strict"),
        nan: if on_nan == Some("error") {
            OnNan::Error
        } else {
            OnNan::Propagate
        },
    }
}

/// What of a call the output files, and the line that is printed, ask for.
struct Wanted {
    mode: Mode,
    grads: Vec<Role>,
    stats: Stats,
    checks: Checks,
}

impl Wanted {
    fn new(info: &Info, outputs: &Outputs, operands: &Operands, checks: Checks) -> Self {
        let all = std::iter::once(0).chain(info.graded().map(|(place, _)| place));
        let places: Vec<usize> = all.filter(|&place| outputs.wants(Part::Grad(place))).collect();
        let has_classes = operands
            .get(Role::Target)
            .is_some_and(|target| !target.dtype().is_float());
        Self {
            mode: if places.is_empty() { Mode::Forward } else { Mode::Fused },
            // The first tensor's comes in any case.
            grads: places
                .iter()
                .filter_map(|&place| info.role(place).filter(|_| place > 0))
                .collect(),
            stats: Stats {
                lse: outputs.wants(Part::Lse),
                argmax: outputs.wants(Part::Argmax),
                entropy: outputs.wants(Part::Entropy),
                accuracy: info.statistics && has_classes,
                z_loss: false, // comes wherever there is one
            },
            checks,
        }
    }

    fn call<'a>(&self, operands: &'a Operands) -> Call<'a> {
        Call {
            grads: self.grads.clone(),
            stats: self.stats,
            checks: self.checks,
            ..operands.call(self.mode)
        }
    }
}

/// The warning that PyTorch's plain regression losses give where shapes differ, of every loss whose operands broadcast.
fn broadcasts(operands: &Operands, problem: &Problem) -> Option<String> {
    if !matches!(problem.family, Family::Elements(_)) {
        return None;
    }
    // A variance has forms of its own.
    let of = operands.signature().filter(|(role, _)| *role != Role::Var);
    let shapes: Vec<_> = of.map(|(role, tensor)| (role.name(), tensor.shape())).collect();
    if shapes.windows(2).all(|pair| pair[0].1 == pair[1].1) {
        return None;
    }
    let texts: Vec<_> = shapes.iter().map(|(name, shape)| format!("{name} {shape:?}")).collect();
    Some(format!(
        "warning: {} differ in shape and broadcast to {:?}; is that meant?",
        texts.join(" and "),
        problem.terms
    ))
}

/// What is the same whatever the numbers are.
fn constant(problem: &Problem) -> Option<String> {
    let value = problem.constant()?;
    Some(format!(
        "note: each row of the input {:?} is a single number, of which {} is always {value}",
        problem.input().shape,
        problem.name
    ))
}

/// The least `--memory` that a call streams in, where one that asked for `least` did not do. More memory has more
/// tensors read whole, which counts.
fn least_memory(
    engine: &Engine,
    loss: &mut dyn Loss,
    operands: &mut Operands,
    wanted: &Wanted,
    problem: &Problem,
    drafts: &mut [(Part, Draft)],
    mut least: u64,
) -> Result<u64, Failure> {
    loop {
        operands.read(least)?;
        let next = operands
            .attach(loss)
            .and_then(|()| streams::least(engine, loss, &wanted.call(operands), problem, drafts));
        let next = next.map_err(|error| Failure::Failed(operands.describe(&error)))?;
        if next > least {
            least = next;
            continue;
        }
        // With a tensor less read whole, it would be another call.
        let is_same = operands.reads_alike(next, least);
        return Ok(if is_same { next } else { least });
    }
}

fn too_little(matches: &ArgMatches, least: u64) -> Failure {
    let given = matches
        .get_raw("memory")
        .and_then(|mut all| all.next())
        .unwrap_or_default();
    Failure::Failed(format!(
        "--memory {}: too little for this call, which takes at least {least} bytes",
        given.to_string_lossy()
    ))
}

/// What the command line says of where to compute.
pub struct Backend<'a> {
    kind: &'a str,
    adapter: Option<&'a str>,
    is_tuned: bool,
    pipelines: Option<&'a Path>,
}

impl<'a> Backend<'a> {
    pub fn named(matches: &'a ArgMatches) -> Result<Self, Failure> {
        let text = |id: &str| matches.get_one::<String>(id).map(String::as_str);
        let (kind, adapter) = (text("backend").unwrap_or("auto"), text("adapter"));
        if kind == "cpu" && adapter.is_some() {
            return Err(Failure::Usage(
                "--adapter names a GPU, --backend cpu asks for none".into(),
            ));
        }
        let is_tuned = tuned::is_asked(matches);
        if kind == "cpu" && is_tuned {
            return Err(Failure::Usage(
                "--tuned is how a GPU cuts its work, --backend cpu asks for none".into(),
            ));
        }
        Ok(Self {
            kind,
            adapter,
            is_tuned,
            pipelines: matches.get_one::<PathBuf>("pipeline-cache").map(PathBuf::as_path),
        })
    }

    /// The GPU asked for, or the processor.
    pub fn open(&self) -> Result<Engine, Failure> {
        if self.kind == "cpu" {
            return Ok(Engine::cpu());
        }
        match Engine::open(self.adapter.unwrap_or_default()) {
            // What is asked for by name is not replaced by something else.
            Err(Error::NoAdapter(_)) if self.kind == "auto" && self.adapter.is_none() && !self.is_tuned => {
                print::note("note: no GPU adapter found, computing on the processor with the f64 reference");
                Ok(Engine::cpu())
            }
            opened => {
                let mut engine = tuned::apply(opened?, self.is_tuned)?;
                if let Some(folder) = self.pipelines
                    && !engine.keep_pipelines(folder)?
                {
                    print::note("note: this adapter has no cache of pipelines, --pipeline-cache does nothing");
                }
                Ok(engine)
            }
        }
    }
}
