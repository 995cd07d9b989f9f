//! What the command line asks `wgloss bench` for, held against what there is before anything runs.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::builder::PossibleValuesParser;
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use wgloss::{Dtype, Mode};
use wgloss_shell::{Failure, args, place};

use super::measure::Job;
use super::products::SIZES;
use super::record::Record;
use super::rows::{self, shape_text};
use super::stepped::StepJob;
use crate::{fit, tuned};

/// Where records are kept, below the folder that the command runs in.
const RECORDS: &str = "benches/results";

/// A tensor of so many elements has no place anywhere.
const MOST_ELEMENTS: usize = 1 << 40;

pub fn command() -> Command {
    let file = |id: &'static str, name: &'static str| {
        Arg::new(id)
            .long(id)
            .value_name(name)
            .value_parser(value_parser!(OsString))
    };
    Command::new("bench")
        .about("Time the kernels beside a read and a copy of as many bytes, after checking their results")
        .after_help(
            "Rounds time every ceiling and every mode of a row once, in turn. Each row is compared with the f64 reference \
             first; one that is wrong is named, not timed, and the exit code is 1.",
        )
        .args([args::losses(), args::adapter(), args::tuned(), args::json()])
        .arg(
            Arg::new("shape")
                .long("shape")
                .value_name("N[xC…]")
                .action(ArgAction::Append)
                .value_parser(shape)
                .help(
                    "shape of the first tensor, as 1024x32000; of the parameter, where an optimizer is named; may be \
                     repeated [default: those of the loss, or 16777216]",
                ),
        )
        .arg(
            args::dtype("dtype of the float tensors; may be repeated")
                .action(ArgAction::Append)
                .default_value("f32"),
        )
        .arg(
            Arg::new("mode")
                .long("mode")
                .value_name("M")
                .action(ArgAction::Append)
                .value_parser(PossibleValuesParser::new(Mode::ALL.map(Mode::name)))
                .default_values(["forward", "fused"])
                .help("what to compute of losses; may be repeated"),
        )
        .arg(
            Arg::new("runs")
                .long("runs")
                .value_name("N")
                .value_parser(value_parser!(u32).range(1..=100_000))
                .default_value("10")
                .help("timed runs of each kernel, after one that is dropped"),
        )
        .arg(
            Arg::new("steps")
                .long("steps")
                .action(ArgAction::SetTrue)
                .conflicts_with_all(["loss", "shape", "svg"])
                .help("only a table of steps behind a scaler, of clipped gradients and of plain steps beside them \
                     (with all losses: always)"),
        )
        .arg(
            Arg::new("products")
                .long("products")
                .action(ArgAction::SetTrue)
                .conflicts_with_all(["loss", "mode", "steps", "svg", "compare"])
                .help(
                    "only products of matrices, as a linear layer has them, beside multiply-adds between registers \
                     alone, and the losses of such layers beside the product; --shape is rows x features x classes \
                     [default: 1024x512x32000, 4096x256x8192 and 4096x255x8192]",
                ),
        )
        .arg(
            Arg::new("csv")
                .long("csv")
                .action(ArgAction::SetTrue)
                .conflicts_with("json")
                .help("print CSV"),
        )
        .arg(file("svg", "FILE").help(
            "draw the shares of all rows, and GB/s against size, for which a sweep of sizes is measured, too",
        ))
        .arg(
            Arg::new("sweep_to")
                .long("sweep-to")
                .value_name("BYTES")
                .value_parser(args::bytes)
                .requires("svg")
                .default_value("128MiB")
                .help("the largest size of that sweep, from 64KiB on"),
        )
        .arg(file("compare", "OLD.json").help("print how much each row differs from a record of an earlier run"))
        .arg(
            Arg::new("record")
                .long("record")
                .action(ArgAction::SetTrue)
                .help("save the JSON as a new file in the folder of records"),
        )
        .arg(file("records", "DIR").help(format!(
            "the folder of records, of which the newest of this adapter gives the ceilings of before [default: {RECORDS}, \
             where there is one]"
        )))
}

/// `1024x32000`
fn shape(text: &str) -> Result<Vec<usize>, String> {
    let size = |word: &str| match word.parse::<usize>() {
        Ok(size @ 1..) => Ok(size),
        _ => Err(format!(
            "{word:?} is no size; expected whole numbers above 0 with x between them, as 1024x32000"
        )),
    };
    let sizes: Vec<usize> = text.split('x').map(size).collect::<Result<_, _>>()?;
    match sizes.iter().try_fold(1usize, |all, &n| all.checked_mul(n)) {
        Some(0..MOST_ELEMENTS) => Ok(sizes),
        _ => Err("expected fewer than 2^40 elements".into()),
    }
}

pub struct Request {
    pub adapter: String,
    pub is_tuned: bool,
    pub jobs: Vec<Job>,
    pub steps: Vec<StepJob>,
    /// Rows, features and classes of linear layers.
    pub products: Vec<([usize; 3], Dtype)>,
    pub modes: Vec<Mode>,
    pub runs: usize,
    pub json: bool,
    pub csv: bool,
    pub svg: Option<PathBuf>,
    /// For the picture.
    pub sweep: Vec<Job>,
    /// The earlier record, and its name.
    pub compare: Option<(String, Record)>,
    pub record: bool,
    pub records: Option<PathBuf>,
    /// Baselines stand beside the reductions.
    pub has_baselines: bool,
    /// Steps of optimizers stand beside all losses.
    pub has_steps: bool,
}

impl Request {
    /// # Errors
    /// Whatever can be found wrong before anything is measured.
    pub fn new(matches: &ArgMatches) -> Result<Self, Failure> {
        let words = |id: &str| -> Vec<&String> { matches.get_many(id).into_iter().flatten().collect() };
        let modes = Mode::ALL
            .into_iter()
            .filter(|mode| words("mode").iter().any(|word| *word == mode.name()));
        let dtypes = Dtype::FLOATS
            .into_iter()
            .filter(|dtype| words("dtype").iter().any(|word| *word == dtype.name()));
        let dtypes: Vec<Dtype> = dtypes.collect();
        let products = products(matches, &dtypes)?;
        let (jobs, steps) = match matches.get_flag("products") {
            true => (Vec::new(), Vec::new()),
            false => (jobs(matches, &dtypes)?, steps(matches, &dtypes)),
        };
        expect_modes(matches, jobs.is_empty() && !steps.is_empty())?;
        let file = |id: &str| matches.get_one::<OsString>(id);
        let svg = file("svg").map(|given| place::picture("svg", given)).transpose()?;
        let compare = file("compare").map(|given| {
            let name = given.to_string_lossy().into_owned();
            match Record::read(Path::new(given)) {
                Ok(record) => Ok((name, record)),
                Err(why) => Err(Failure::Failed(format!("--compare {name}: {why}"))),
            }
        });
        let record = matches.get_flag("record");
        Ok(Self {
            adapter: matches.get_one::<String>("adapter").cloned().unwrap_or_default(),
            is_tuned: tuned::is_asked(matches),
            has_baselines: matches.get_many::<Vec<usize>>("shape").is_none()
                && jobs.iter().any(|job| job.shape == [rows::REDUCED]),
            has_steps: products.is_empty()
                && matches.get_many::<Vec<usize>>("shape").is_none()
                && matches.get_many::<String>("loss").is_none(),
            jobs,
            steps,
            products,
            modes: modes.collect(),
            runs: matches.get_one::<u32>("runs").map_or(10, |&runs| runs as usize),
            json: matches.get_flag("json"),
            csv: matches.get_flag("csv"),
            sweep: match svg {
                Some(_) => sweep(matches.get_one::<u64>("sweep_to").copied().unwrap_or_default()),
                None => Vec::new(),
            },
            svg,
            compare: compare.transpose()?,
            record,
            records: records(file("records").map(PathBuf::from), record)?,
        })
    }
}

/// The folder of records: one that is named has to be there.
fn records(named: Option<PathBuf>, needed: bool) -> Result<Option<PathBuf>, Failure> {
    let default = PathBuf::from(RECORDS);
    match named {
        Some(folder) if !folder.is_dir() => Err(Failure::Failed(format!(
            "--records {}: there is no such folder",
            folder.display()
        ))),
        Some(folder) => Ok(Some(folder)),
        None if default.is_dir() => Ok(Some(default)),
        None if needed => Err(Failure::Failed(format!(
            "--record: there is no folder {RECORDS} here; name one with --records"
        ))),
        None => Ok(None),
    }
}

/// The rows asked for. A loss that is named has to take every shape that is named; of all losses, those count that do.
fn jobs(matches: &ArgMatches, dtypes: &[Dtype]) -> Result<Vec<Job>, Failure> {
    let given: Vec<&Vec<usize>> = matches.get_many("shape").into_iter().flatten().collect();
    let is_named = matches.get_many::<String>("loss").is_some();
    let mut jobs = Vec::new();
    if matches.get_flag("steps") {
        return Ok(jobs);
    }
    for (info, presets) in args::chosen(matches) {
        let forms: Vec<_> = match presets.as_slice() {
            [] => rows::forms(info).to_vec(),
            named => named.iter().map(|own| own.options).collect(),
        };
        let loss = (info.new)();
        let mut shapes = Vec::new();
        for &shape in &given {
            if fit::rule(loss.as_ref(), shape, true).is_some() {
                shapes.push(shape.clone());
            } else if is_named {
                return Err(Failure::Usage(format!(
                    "--shape {}: {} takes no such {} (see `wgloss losses`)",
                    shape_text(shape),
                    info.name,
                    info.operands.first().map_or("input", |own| own.role.name())
                )));
            }
        }
        if given.is_empty() {
            shapes = rows::shapes(info);
        }
        for shape in shapes {
            for &dtype in dtypes {
                jobs.extend(forms.iter().map(|&options| Job {
                    info,
                    options,
                    shape: shape.clone(),
                    dtype,
                }));
            }
        }
    }
    if jobs.is_empty() && !is_named {
        let shapes: Vec<String> = given.iter().map(|shape| shape_text(shape)).collect();
        return Err(Failure::Usage(format!(
            "--shape {}: no loss takes such a tensor",
            shapes.join(", ")
        )));
    }
    Ok(jobs)
}

/// The steps asked for: of a parameter of every shape that is named, where the optimizer is, too.
fn steps(matches: &ArgMatches, dtypes: &[Dtype]) -> Vec<StepJob> {
    let given: Vec<&Vec<usize>> = matches.get_many("shape").into_iter().flatten().collect();
    let is_named = matches.get_many::<String>("loss").is_some();
    if matches.get_flag("steps") || !given.is_empty() && !is_named {
        return Vec::new();
    }
    let shapes: Vec<Vec<usize>> = match given.is_empty() {
        true => vec![vec![rows::STEPPED]],
        false => given.into_iter().cloned().collect(),
    };
    let mut jobs = Vec::new();
    for info in args::chosen_optimizers(matches) {
        for shape in &shapes {
            for &dtype in dtypes {
                jobs.extend(rows::steps(info).iter().map(|&settings| StepJob {
                    info,
                    settings,
                    shape: shape.clone(),
                    dtype,
                }));
            }
        }
    }
    jobs
}

/// The layers whose products are asked for.
fn products(matches: &ArgMatches, dtypes: &[Dtype]) -> Result<Vec<([usize; 3], Dtype)>, Failure> {
    if !matches.get_flag("products") {
        return Ok(Vec::new());
    }
    let given = matches.get_many::<Vec<usize>>("shape");
    let sizes: Vec<[usize; 3]> = match given {
        None => SIZES.to_vec(),
        Some(given) => given
            .map(|own| {
                own.as_slice().try_into().map_err(|_| {
                    let own = shape_text(own);
                    Failure::Usage(format!(
                        "--shape {own}: expected rows x features x classes, as 1024x512x32000"
                    ))
                })
            })
            .collect::<Result<_, _>>()?,
    };
    Ok(sizes
        .into_iter()
        .flat_map(|sizes| dtypes.iter().map(move |&dtype| (sizes, dtype)))
        .collect())
}

/// Refuses modes of what has none.
fn expect_modes(matches: &ArgMatches, has_steps_alone: bool) -> Result<(), Failure> {
    let is_given = matches.value_source("mode") == Some(ValueSource::CommandLine);
    match is_given && has_steps_alone {
        true => Err(Failure::Usage(
            "--mode: optimizers have no modes, and no loss is named".into(),
        )),
        false => Ok(()),
    }
}

/// The modes of a sweep: one for each ceiling.
pub const SWEPT: [Mode; 2] = [Mode::Forward, Mode::Fused];

/// Rows of many sizes: a forward reads from 64 KiB to so many bytes.
fn sweep(most: u64) -> Vec<Job> {
    let sizes = (16..40)
        .map(|power| 1usize << power)
        .take_while(|&size| size as u64 <= most);
    let job = |name: &str, shape: Vec<usize>| {
        wgloss::find(name).map(|info| Job {
            info,
            options: &[],
            shape,
            dtype: Dtype::F32,
        })
    };
    let of = |bytes: usize| {
        [
            job("mse", vec![bytes / 8]),
            job("cross_entropy", vec![bytes / 4000, 1000]),
        ]
    };
    sizes.flat_map(of).flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_are_sizes_with_x_between() {
        assert_eq!(shape("1024x32000"), Ok(vec![1024, 32_000]));
        assert_eq!(shape("7"), Ok(vec![7]));
        for wrong in [
            "",
            "x",
            "3x",
            "0",
            "3x0",
            "-1",
            "2.5",
            "1 x 2",
            "99999999999999999999",
            "1048576x1048576",
        ] {
            assert!(shape(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn every_loss_has_rows_that_it_takes() {
        for info in wgloss::REGISTRY {
            for shape in rows::shapes(info) {
                assert!(
                    fit::rule((info.new)().as_ref(), &shape, true).is_some(),
                    "{} {shape:?}",
                    info.name
                );
            }
        }
        assert_eq!(sweep(128 << 20).len(), 24);
    }
}
