//! `wgloss plot`: a loss and its gradient over a number of its input, as a picture or as numbers.

mod curves;
mod picture;
mod setup;

use std::ffi::{OsStr, OsString};

use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use serde_json::{Map, Value, json};
use wgloss::{Engine, Info, OptionInfo, REGISTRY, Scalar, ScalarKind};
use wgloss_shell::{Failure, draft, place, print};

use crate::args::{self, dashed};
use setup::{Curve, Setting, Setup};

/// Curves of a picture: as many as there are colours.
const MOST: usize = picture::COLORS.len();
/// Steps of the axis.
const STEPS: usize = 480;

pub fn command() -> Command {
    Command::new("plot")
        .about("Draw a loss and its gradient over its input, for one or several values of its options")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand_value_name("LOSS")
        .subcommand_help_heading("Losses")
        .after_help(
            "wgloss plot sigmoid-focal --gamma 0,1,2,5\nwgloss plot huber --delta 0.5,1,2 --range=-4,4 --svg huber.svg",
        )
        .subcommands(REGISTRY.iter().map(|info| {
            match Setup::of(info) {
                Some(setup) => loss(info, &setup),
                // Whatever is behind it: `run` says that there is nothing to draw.
                None => Command::new(dashed(info.name)).hide(true).arg(
                    Arg::new("any")
                        .num_args(0..)
                        .trailing_var_arg(true)
                        .allow_hyphen_values(true),
                ),
            }
        }))
}

/// A loss, with lists of values for its options.
fn loss(info: &'static Info, setup: &Setup) -> Command {
    let mut command = Command::new(dashed(info.name)).about(info.summary).after_help(format!(
        "Options take lists, as --gamma 0,1,2: there is a curve for each value, at most {MOST} in all.\n{}",
        info.url
    ));
    command = command.args(setup.options().map(option));
    for own in setup.numbers() {
        let default = args::scalar_text(&setup.number(own, &[]));
        let arg = list(own.role.name(), &format!("{} [default: {default}]", own.help));
        command = command.arg(if own.kind.is_classes() {
            arg.value_name("CLASS,…").value_parser(value_parser!(i64))
        } else {
            arg.value_name("F,…").value_parser(number)
        });
    }
    if setup.has_classes() {
        command = command.arg(
            Arg::new("classes")
                .long("classes")
                .value_name("N")
                .value_parser(value_parser!(u64).range(2..=10_000))
                .default_value("3")
                .help("numbers of a row"),
        );
    }
    command
        .arg(
            Arg::new("range")
                .long("range")
                .value_name("LO,HI")
                .value_parser(range)
                .allow_hyphen_values(true)
                .help("from where to where the input goes"),
        )
        .arg(
            Arg::new("svg")
                .long("svg")
                .value_name("FILE")
                .value_parser(value_parser!(OsString))
                .help(format!("where the picture goes [default: {}.svg]", dashed(info.name))),
        )
        .arg(args::json().help("print the numbers as JSON; a picture is drawn beside it where --svg is given"))
}

fn option(option: &'static OptionInfo) -> Arg {
    let default = args::default_text(option).map_or(String::new(), |text| format!(" [default: {text}]"));
    let arg = list(option.name, &format!("{}{default}", option.help));
    match option.kind {
        ScalarKind::Float => arg.value_name("F,…").value_parser(value_parser!(f64)),
        ScalarKind::Int | ScalarKind::Ints => arg.value_name("I,…").value_parser(value_parser!(i64)),
        ScalarKind::Bool => arg.value_name("BOOL,…").value_parser(value_parser!(bool)),
        ScalarKind::Choice(words) => arg.value_name("WORD,…").value_parser(PossibleValuesParser::new(words)),
    }
}

/// An option that takes values between commas.
fn list(name: &'static str, help: &str) -> Arg {
    Arg::new(name)
        .long(dashed(name))
        .value_delimiter(',')
        .action(ArgAction::Append)
        // -1,0 is not what clap knows as a negative number.
        .allow_hyphen_values(true)
        .help(help.to_owned())
}

/// A number that a tensor can hold.
fn number(text: &str) -> Result<f64, String> {
    let number: f64 = text.parse().map_err(|_| "expected a number".to_owned())?;
    match (number as f32).is_finite() {
        true => Ok(number),
        false => Err("expected a finite number of f32".into()),
    }
}

fn range(text: &str) -> Result<(f64, f64), String> {
    let ends = text.split_once(',').ok_or("expected two numbers, LO,HI")?;
    let (low, high) = (number(ends.0.trim())?, number(ends.1.trim())?);
    match low < high {
        true => Ok((low, high)),
        false => Err("expected the lower end first, LO,HI".into()),
    }
}

pub fn run(matches: &ArgMatches) -> Result<(), Failure> {
    let Some((word, matches)) = matches.subcommand() else {
        return Err(Failure::Usage("a loss is missing; see --help".into()));
    };
    let info = wgloss::find(word).ok_or_else(|| Failure::Usage(format!("there is no loss {word}")))?;
    let setup = Setup::of(info).ok_or_else(|| {
        let why = "is no function of one number, so there is no curve to draw";
        Failure::Usage(format!("{word} {why}; `wgloss plot --help` lists what has one"))
    })?;

    let classes = matches.try_get_one("classes").ok().flatten().copied().unwrap_or(1u64) as usize;
    let settings = settings(&setup, matches, classes)?;
    let (low, high) = matches
        .get_one("range")
        .copied()
        .unwrap_or_else(|| setup.range(&settings));
    let axis: Vec<f32> = (0..=STEPS)
        .map(|step| (low + (high - low) * step as f64 / STEPS as f64) as f32)
        .collect();
    let as_json = matches.get_flag("json");
    let given = matches.get_one::<OsString>("svg").cloned();
    let file = given.or_else(|| (!as_json).then(|| format!("{word}.svg").into()));
    let place = file
        .as_deref()
        .map(|file: &OsStr| place::picture("svg", file))
        .transpose()?;

    let engine = Engine::cpu();
    let curves: Result<Vec<Curve>, _> = settings
        .iter()
        .map(|own| setup.curve(&engine, own, &axis, classes))
        .collect();
    let curves = curves.map_err(|error| match error {
        wgloss::Error::Option { .. } => Failure::Usage(error.to_string()),
        wgloss::Error::BadValues { .. } => Failure::Usage(format!(
            "--range, or a tensor, leaves what the loss is defined for: {error}"
        )),
        error => Failure::Failed(error.to_string()),
    })?;
    let is_finite = |own: &Curve| own.loss.iter().all(|x| x.is_finite());
    if place.is_some() && !curves.iter().all(is_finite) {
        let message =
            "--range: the loss is not finite in all of it, and would not be a curve; choose another, or --json";
        return Err(Failure::Usage(message.into()));
    }
    let drawn = picture::Drawn {
        info,
        setup: &setup,
        classes,
        axis: &axis,
        curves: &curves,
    };
    if let Some(place) = &place {
        let text = picture::svg(&drawn).map_err(|why| Failure::Failed(format!("--svg: {why}")))?;
        draft::publish(vec![draft::whole("--svg", place, text.as_bytes())?])?;
    }
    if as_json {
        print::line(&as_value(&drawn).to_string())?;
    }
    match file {
        Some(file) => print::report(&format!("{word} written to {}", file.display()), as_json),
        None => Ok(()),
    }
}

/// The options and the other tensors of each curve: all combinations of what is given.
fn settings(setup: &Setup, matches: &ArgMatches, classes: usize) -> Result<Vec<Vec<Setting>>, Failure> {
    let options = setup
        .options()
        .map(|own| (own.name, given(matches, own.name, own.kind)));
    let numbers = setup.numbers().map(|own| {
        let kind = if own.kind.is_classes() {
            ScalarKind::Int
        } else {
            ScalarKind::Float
        };
        (own.role.name(), given(matches, own.role.name(), kind))
    });
    let lists: Vec<(&'static str, Vec<Scalar>)> = options.chain(numbers).collect();
    for (name, list) in &lists {
        let twice = list.iter().enumerate().find(|(nth, own)| list[..*nth].contains(own));
        if let Some((_, own)) = twice {
            let message = format!("--{}: {own} is given twice, each value has one curve", dashed(name));
            return Err(Failure::Usage(message));
        }
    }
    let count = lists
        .iter()
        .map(|(_, list)| list.len().max(1))
        .fold(1usize, usize::saturating_mul);
    if count > MOST {
        let lists = lists.iter().filter(|(_, list)| list.len() > 1);
        let lists: Vec<String> = lists
            .map(|(name, list)| format!("{} of --{}", list.len(), dashed(name)))
            .collect();
        let lists = lists.join(" by ");
        return Err(Failure::Usage(format!(
            "{count} curves are asked for ({lists}), at most {MOST} can be told apart"
        )));
    }
    let mut all: Vec<Vec<Setting>> = vec![Vec::new()];
    for (name, values) in lists.iter().filter(|(_, values)| !values.is_empty()) {
        let with = |value: &Scalar| {
            all.iter()
                .map(|own| [&own[..], &[(*name, value.clone())]].concat())
                .collect()
        };
        all = values.iter().flat_map::<Vec<_>, _>(with).collect();
    }
    for own in &mut all {
        let missing = |own: &[Setting], name| !own.iter().any(|(given, _)| *given == name);
        for option in setup
            .options()
            .filter(|option| missing(own, option.name))
            .collect::<Vec<_>>()
        {
            own.extend((option.default)().map(|value| (option.name, value)));
        }
        for number in setup.numbers() {
            if missing(own, number.role.name()) {
                own.push((number.role.name(), setup.number(number, own)));
            }
            let class = own
                .iter()
                .find(|(name, _)| *name == number.role.name())
                .map(|(_, value)| value);
            if let Some(Scalar::Int(class)) = class.filter(|_| number.kind.is_classes())
                && !(0..classes as i64).contains(class)
            {
                let name = number.role.name();
                let expected = format!("expected a class of {classes}, 0 to {}", classes - 1);
                return Err(Failure::Usage(format!(
                    "--{name} {class}: {expected}; --classes N sets how many there are"
                )));
            }
        }
    }
    Ok(all)
}

/// The values of an option on the command line.
fn given(matches: &ArgMatches, name: &str, kind: ScalarKind) -> Vec<Scalar> {
    fn all<T: Clone + Send + Sync + 'static>(matches: &ArgMatches, name: &str, of: fn(T) -> Scalar) -> Vec<Scalar> {
        matches.get_many(name).into_iter().flatten().cloned().map(of).collect()
    }
    match kind {
        ScalarKind::Float => all(matches, name, Scalar::Float),
        ScalarKind::Int | ScalarKind::Ints => all(matches, name, Scalar::Int),
        ScalarKind::Bool => all(matches, name, Scalar::Bool),
        ScalarKind::Choice(_) => all(matches, name, Scalar::Choice),
    }
}

fn as_value(drawn: &picture::Drawn<'_>) -> Value {
    let numbers = |list: &[f32]| list.iter().map(|&x| print::json_f32(x)).collect::<Vec<_>>();
    let curves = drawn.curves.iter().map(|curve| {
        let settings = curve.settings.iter().map(|(name, value)| {
            let value = match value {
                Scalar::Float(value) => print::json_f64(*value),
                Scalar::Int(value) => (*value).into(),
                Scalar::Bool(value) => (*value).into(),
                value => value.to_string().into(),
            };
            ((*name).to_owned(), value)
        });
        json!({
            "settings": settings.collect::<Map<_, _>>(),
            "loss": numbers(&curve.loss),
            "gradient": numbers(&curve.gradient),
        })
    });
    json!({
        "loss": drawn.info.name,
        "axis": drawn.setup.axis(drawn.classes),
        "gradient_by": drawn.setup.by(),
        "x": numbers(drawn.axis),
        "curves": curves.collect::<Vec<_>>(),
    })
}
