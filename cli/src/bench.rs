//! `wgloss bench`: the kernels beside a read and a copy of as many bytes, timed in the same run.

use std::collections::HashMap;

use clap::ArgMatches;
use rand::Rng;
use rand_pcg::Pcg64;
use serde_json::{Value, json};
use wgloss::{Call, Engine, Info, Mode, Reduction, TargetKind, Tensor, Timing, reference};

use crate::check::errors::{Worst, compare};
use crate::{Failure, args, print};

/// Times of one kernel, in milliseconds.
#[derive(Clone, Copy)]
struct Spread {
    median: f64,
    min: f64,
    max: f64,
}

#[derive(Clone, Copy)]
struct Times {
    wall: Spread,
    /// `None` where the adapter has no timestamps.
    device: Option<Spread>,
}

impl Times {
    /// The best clock there is.
    fn best(&self) -> Spread {
        self.device.unwrap_or(self.wall)
    }

    fn gb_per_s(&self, bytes: usize) -> f64 {
        bytes as f64 / 1e6 / self.best().median
    }
}

/// A kernel on a shape.
struct Row {
    loss: &'static str,
    shape: Vec<usize>,
    mode: Mode,
    bytes: usize,
    times: Times,
    ceiling: &'static str,
    ceiling_gb_per_s: f64,
}

/// Beside an input of so many bytes: what reading it and copying it achieve.
#[derive(Clone, Copy)]
struct Ceiling {
    read: f64,
    copy: f64,
}

pub fn run(matches: &ArgMatches) -> Result<(), Failure> {
    let adapter = matches.get_one::<String>("adapter").map_or("", String::as_str);
    let runs = matches.get_one::<u32>("runs").map_or(10, |&runs| runs as usize);
    let engine = Engine::open(adapter)?;
    let jobs: Vec<_> = args::chosen(matches)
        .into_iter()
        .flat_map(|info| shapes(info).into_iter().map(move |shape| (info, shape)))
        .collect();
    let bar = print::progress(jobs.len());
    let mut ceilings = HashMap::new();
    let mut rows = Vec::new();
    for (info, shape) in jobs {
        bar.set_message(format!("{} {}", info.name, shape_text(&shape)));
        bench_shape(&engine, info, &shape, runs, &mut ceilings, &mut rows)?;
        bar.inc(1);
    }
    bar.finish_and_clear();
    let driver = engine
        .adapter_info()
        .map(|info| format!("{} {}", info.driver, info.driver_info))
        .unwrap_or_default();
    if matches.get_flag("json") {
        let report = json!({
            "adapter": engine.name(),
            "driver": driver,
            "runs": runs,
            "rows": rows.iter().map(Row::json).collect::<Vec<_>>(),
        });
        return print::line(&report.to_string());
    }
    print::line(&report(&engine, &driver, runs, &rows))
}

fn shapes(info: &Info) -> Vec<Vec<usize>> {
    if info.targets.contains(&TargetKind::Element) {
        return vec![vec![4_194_304]];
    }
    vec![vec![1024, 32_000], vec![8192, 1000], vec![262_144, 10]]
}

fn shape_text(shape: &[usize]) -> String {
    shape.iter().map(usize::to_string).collect::<Vec<_>>().join("x")
}

/// Checks and times a loss on a shape, forward and fused.
fn bench_shape(
    engine: &Engine,
    info: &'static Info,
    shape: &[usize],
    runs: usize,
    ceilings: &mut HashMap<usize, Ceiling>,
    rows: &mut Vec<Row>,
) -> Result<(), Failure> {
    let mut loss = (info.new)();
    loss.set_reduction(Reduction::Mean);
    let (input, target) = operands(info, shape)?;
    let (on_input, on_target) = (engine.upload(&input)?, engine.upload(&target)?);
    let elements: usize = shape.iter().product();
    let input_bytes = 4 * elements;
    let target_bytes = target.view().len() as usize * target.dtype().bytes() as usize;

    // A kernel that is fast and wrong is not timed.
    let want = reference::run(loss.as_ref(), &Call::new(Mode::Fused, &input, &target))?;
    for mode in [Mode::Forward, Mode::Fused] {
        let got = loss
            .run(engine, &Call::new(mode, &on_input, &on_target))?
            .read(engine)?;
        for (got, want) in [(got.loss, &want.loss), (got.grad_input, &want.grad_input)] {
            if got.is_some_and(|got| compare(&got.data, want, &mut Worst::default()).is_some()) {
                let shape = shape_text(shape);
                return Err(Failure::Failed(format!(
                    "{} {shape} {}: wrong result, not timed",
                    info.name,
                    mode.name()
                )));
            }
        }
    }
    drop(want);

    let ceiling = match ceilings.get(&input_bytes) {
        Some(ceiling) => *ceiling,
        None => {
            let read = times(&engine.time_read(&on_input, runs + 1)?);
            let copy = times(&engine.time_copy(&on_input, runs + 1)?);
            let ceiling = Ceiling {
                read: read.gb_per_s(input_bytes),
                copy: copy.gb_per_s(2 * input_bytes),
            };
            *ceilings.entry(input_bytes).or_insert(ceiling)
        }
    };
    for mode in [Mode::Forward, Mode::Fused] {
        let timings = engine.time(loss.as_ref(), &Call::new(mode, &on_input, &on_target), runs + 1)?;
        let (name, gb_per_s) = if mode.wants_grad() {
            ("copy", ceiling.copy)
        } else {
            ("read", ceiling.read)
        };
        rows.push(Row {
            loss: info.name,
            shape: shape.to_vec(),
            mode,
            bytes: input_bytes + target_bytes + if mode.wants_grad() { input_bytes } else { 0 },
            times: times(&timings),
            ceiling: name,
            ceiling_gb_per_s: gb_per_s,
        });
    }
    Ok(())
}

/// Logits of a network that has learned something, and targets for them.
fn operands(info: &Info, shape: &[usize]) -> Result<(Tensor, Tensor), Failure> {
    let mut rng = Pcg64::new(1, 0);
    let count: usize = shape.iter().product();
    // The sum of uniform numbers is close to normal, and cheap.
    let mut logit = || (0..4).map(|_| rng.random::<f32>() - 0.5).sum::<f32>() * 5.0;
    let logits: Vec<f32> = (0..count).map(|_| logit()).collect();
    let input = Tensor::new(&logits, shape)?;
    let target = if info.targets.contains(&TargetKind::Element) {
        let targets: Vec<f32> = (0..count).map(|_| f32::from(u8::from(rng.random_bool(0.25)))).collect();
        Tensor::new(&targets, shape)?
    } else {
        let labels: Vec<i64> = (0..shape[0]).map(|_| rng.random_range(0..shape[1] as i64)).collect();
        Tensor::new(&labels, &shape[..1])?
    };
    Ok((input, target))
}

/// Without the first, which compiles and touches fresh memory.
fn times(timings: &[Timing]) -> Times {
    let kept = &timings[timings.len().min(1)..];
    let device: Option<Vec<f64>> = kept.iter().map(|timing| timing.device_ns).collect();
    Times {
        wall: spread(kept.iter().map(|timing| timing.wall_ns).collect()),
        device: device.map(spread),
    }
}

fn spread(mut ns: Vec<f64>) -> Spread {
    ns.sort_by(f64::total_cmp);
    let at = |index: usize| ns.get(index).map_or(f64::NAN, |ns| ns / 1e6);
    let last = ns.len().saturating_sub(1);
    Spread {
        median: (at(last / 2) + at(ns.len() / 2)) / 2.0,
        min: at(0),
        max: at(last),
    }
}

impl Spread {
    fn json(&self) -> Value {
        json!({ "median": self.median, "min": self.min, "max": self.max })
    }

    fn text(&self) -> String {
        format!("{:.3} ({:.3}–{:.3})", self.median, self.min, self.max)
    }
}

impl Row {
    fn gb_per_s(&self) -> f64 {
        self.times.gb_per_s(self.bytes)
    }

    fn share(&self) -> f64 {
        self.gb_per_s() / self.ceiling_gb_per_s
    }

    fn json(&self) -> Value {
        json!({
            "loss": self.loss,
            "shape": self.shape,
            "mode": self.mode.name(),
            "bytes": self.bytes,
            "device_ms": self.times.device.map(|spread| spread.json()),
            "wall_ms": self.times.wall.json(),
            "gb_per_s": self.gb_per_s(),
            "ceiling": self.ceiling,
            "ceiling_gb_per_s": self.ceiling_gb_per_s,
            "share": self.share(),
        })
    }
}

fn report(engine: &Engine, driver: &str, runs: usize, rows: &[Row]) -> String {
    let header = [
        "loss",
        "shape",
        "mode",
        "device ms",
        "wall ms",
        "MB",
        "GB/s",
        "read",
        "copy",
        "share",
    ];
    let cell = |row: &Row, name: &str| match row.ceiling == name {
        true => format!("{:.1}", row.ceiling_gb_per_s),
        false => String::new(),
    };
    let text = |row: &Row| {
        vec![
            row.loss.into(),
            shape_text(&row.shape),
            row.mode.name().into(),
            row.times.device.map_or("-".into(), |spread| spread.text()),
            row.times.wall.text(),
            format!("{:.1}", row.bytes as f64 / 1e6),
            format!("{:.1}", row.gb_per_s()),
            cell(row, "read"),
            cell(row, "copy"),
            format!("{:.0} %", 100.0 * row.share()),
        ]
    };
    let rows: Vec<Vec<String>> = rows.iter().map(text).collect();
    format!(
        "{}, {driver}, {runs} runs: median (min–max), reduction mean\n\n{}\n\n{}",
        engine.name(),
        print::table(&header, &rows, 3),
        "MB: each operand once, and the gradient where mode is fused. read and copy: GB/s of kernels that only read, or\n\
         copy (counted twice), as many bytes as the input. share: of that. GB/s are of the device's clock where it has one."
    )
}
