//! `wgloss bench`: the kernels beside a read and a copy of as many bytes, timed in the same run.

use std::collections::HashMap;

use clap::ArgMatches;
use rand::Rng;
use rand_pcg::Pcg64;
use serde_json::{Value, json};
use wgloss::problem::{Family, Problem};
use wgloss::{Call, Dtype, Engine, Info, Loss, Mode, OperandKind, Reduction, Role, Tensor, Timing, reference};

use crate::check::errors::{Worst, compare};
use crate::fit::{self, Rule};
use crate::{Failure, args, parts, print};

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
    let dtype = args::chosen_dtype(matches).unwrap_or(Dtype::F32);
    let jobs: Vec<_> = args::chosen(matches)
        .into_iter()
        .flat_map(|info| shapes(info).into_iter().map(move |shape| (info, shape)))
        .collect();
    let bar = print::progress(jobs.len());
    let mut bench = Bench {
        engine: &engine,
        dtype,
        runs,
        ceilings: HashMap::new(),
        rows: Vec::new(),
    };
    for (info, shape) in jobs {
        bar.set_message(format!("{} {}", info.name, shape_text(&shape)));
        bench.add(info, &shape)?;
        bar.inc(1);
    }
    bar.finish_and_clear();
    let rows = bench.rows;
    let driver = engine
        .adapter_info()
        .map(|info| format!("{} {}", info.driver, info.driver_info))
        .unwrap_or_default();
    if matches.get_flag("json") {
        let report = json!({
            "adapter": engine.name(),
            "driver": driver,
            "dtype": dtype.name(),
            "runs": runs,
            "rows": rows.iter().map(Row::json).collect::<Vec<_>>(),
        });
        return print::line(&report.to_string());
    }
    print::line(&report(&engine, &driver, dtype, runs, &rows))
}

/// Shapes that a loss is often called with.
fn shapes(info: &Info) -> Vec<Vec<usize>> {
    if fit::is_elementwise(info) {
        vec![vec![4_194_304]]
    } else if info.takes(OperandKind::IndexOrDistribution) {
        vec![vec![1024, 32_000], vec![8192, 1000], vec![262_144, 10]]
    } else if info.takes(OperandKind::IndexList) {
        vec![vec![65_536, 64]] // takes time in proportion to the square
    } else {
        vec![vec![8192, 1000]]
    }
}

fn shape_text(shape: &[usize]) -> String {
    shape.iter().map(usize::to_string).collect::<Vec<_>>().join("x")
}

/// The rows so far, and what they are held against.
struct Bench<'a> {
    engine: &'a Engine,
    dtype: Dtype,
    runs: usize,
    ceilings: HashMap<u64, Ceiling>,
    rows: Vec<Row>,
}

impl Bench<'_> {
    /// Checks and times a loss on a shape, forward and fused.
    fn add(&mut self, info: &'static Info, shape: &[usize]) -> Result<(), Failure> {
        let mut loss = (info.new)();
        if !parts::is_function(info) {
            loss.set_reduction(Reduction::Mean);
        }
        let host = operands(loss.as_ref(), shape, self.dtype)?;
        let upload = |(role, tensor): &(Role, Tensor)| Ok((*role, self.engine.upload(tensor)?));
        let device = host.iter().map(upload).collect::<wgloss::Result<Vec<_>>>()?;

        // A kernel that is fast and wrong is not timed.
        let want = reference::run(loss.as_ref(), &call(&host, Mode::Fused))?;
        for mode in [Mode::Forward, Mode::Fused] {
            let got = loss.run(self.engine, &call(&device, mode))?.read(self.engine)?;
            let grad = want.grad(Role::Grad(0)).unwrap_or_default();
            for (got, want) in [(got.loss, want.loss.as_slice()), (got.grad_input, grad)] {
                let miss = |got: wgloss::Array| compare(&got.data, got.dtype, want, None, &mut Worst::default());
                if got.and_then(miss).is_some() {
                    let (name, shape, mode) = (info.name, shape_text(shape), mode.name());
                    return Err(Failure::Failed(format!(
                        "{name} {shape} {mode}: wrong result, not timed"
                    )));
                }
            }
        }
        drop((want, host));

        let ceiling = self.ceiling(device[0].1.view().len() * self.dtype.bytes())?;
        for mode in [Mode::Forward, Mode::Fused] {
            let call = call(&device, mode);
            let timings = self.engine.time(loss.as_ref(), &call, self.runs + 1)?;
            let (name, gb_per_s) = if mode.wants_grad() {
                ("copy", ceiling.copy)
            } else {
                ("read", ceiling.read)
            };
            self.rows.push(Row {
                loss: info.name,
                shape: shape.to_vec(),
                mode,
                bytes: traffic(&loss.problem(&call)?) as usize,
                times: times(&timings),
                ceiling: name,
                ceiling_gb_per_s: gb_per_s,
            });
        }
        Ok(())
    }

    fn ceiling(&mut self, bytes: u64) -> Result<Ceiling, Failure> {
        if let Some(ceiling) = self.ceilings.get(&bytes) {
            return Ok(*ceiling);
        }
        let count = (bytes / 4) as usize;
        let tensor = self.engine.upload(&Tensor::new(&vec![1f32; count], &[count])?)?;
        let read = times(&self.engine.time_read(&tensor, self.runs + 1)?);
        let copy = times(&self.engine.time_copy(&tensor, self.runs + 1)?);
        let ceiling = Ceiling {
            read: read.gb_per_s(bytes as usize),
            copy: copy.gb_per_s(2 * bytes as usize),
        };
        self.ceilings.insert(bytes, ceiling);
        Ok(ceiling)
    }
}

/// The bytes that cannot be avoided: each operand once, and each result.
fn traffic(problem: &Problem) -> u64 {
    let bytes = |view: &wgloss::View| view.len() * view.dtype.bytes();
    // Some losses look at one class of a row.
    let reads_input = !matches!(&problem.family, Family::Rows(rows) if !rows.reads);
    let skipped = usize::from(!reads_input);
    let operands: u64 = problem.operands.iter().skip(skipped).map(|own| bytes(&own.view)).sum();
    let upstream = problem
        .grad_output
        .as_ref()
        .filter(|_| problem.mode.wants_grad())
        .map_or(0, bytes);
    let grads: u64 = problem.grads().map(|(_, _, view)| bytes(view)).sum();
    let terms = if problem.is_reduced() {
        1
    } else {
        problem.loss_shape().iter().product::<usize>() as u64
    };
    operands + upstream + grads + terms * problem.loss_dtype().bytes()
}

fn call(tensors: &[(Role, Tensor)], mode: Mode) -> Call<'_> {
    let find = |wanted: bool| {
        tensors
            .iter()
            .filter(move |(role, _)| (*role == Role::GradOutput) == wanted)
    };
    let signature: Vec<&Tensor> = find(false).map(|(_, tensor)| tensor).collect();
    Call {
        grad_output: find(true).map(|(_, tensor)| tensor).next(),
        ..Call::new(mode, &signature)
    }
}

/// Operands of a network that has learned something; for a function, an upstream gradient too.
fn operands(loss: &dyn Loss, shape: &[usize], dtype: Dtype) -> Result<Vec<(Role, Tensor)>, Failure> {
    let info = loss.info();
    let mut rng = Pcg64::new(1, 0);
    let rule = fit::rule(loss, shape, true).unwrap_or(Rule::Same);
    let cols = shape.get(fit::class_dim(shape)).copied().unwrap_or(1);
    let mut list = Vec::new();
    for (own, shape) in info.operands.iter().zip(fit::shapes(info, shape, rule)) {
        let count: usize = shape.iter().product();
        let tensor = if fit::is_index(own.kind, true) {
            // A list of classes ends after its fourth.
            let ended = |i: usize| own.kind == OperandKind::IndexList && i % cols >= 4;
            let class = |i: usize| if ended(i) { -1 } else { rng.random_range(0..cols as i64) };
            Tensor::new(&(0..count).map(class).collect::<Vec<_>>(), &shape)?
        } else {
            let numbers: Vec<f32> = (0..count).map(|_| number(own.kind, &mut rng)).collect();
            Tensor::new(&numbers, &shape)?.to_dtype(dtype)?
        };
        list.push((own.role, tensor));
    }
    if parts::is_function(info) {
        let tensors: Vec<&Tensor> = list.iter().map(|(_, tensor)| tensor).collect();
        let shape = loss.problem(&Call::new(Mode::Forward, &tensors))?.loss_shape().to_vec();
        let numbers: Vec<f32> = (0..shape.iter().product()).map(|_| rng.random()).collect();
        list.push((Role::GradOutput, Tensor::new(&numbers, &shape)?.to_dtype(dtype)?));
    }
    Ok(list)
}

/// A number that nothing is wrong with, and of whose like many add up to something.
fn number(kind: OperandKind, rng: &mut Pcg64) -> f32 {
    // The sum of uniform numbers is close to normal, and cheap.
    let mut normal = || (0..4).map(|_| rng.random::<f32>() - 0.5).sum::<f32>() * 5.0;
    match kind {
        OperandKind::Real => normal() + 2.0,
        OperandKind::LogProbability => -normal().abs(),
        OperandKind::UnitInterval | OperandKind::MaybeLogProbability => rng.random(),
        OperandKind::Count => rng.random_range(0..8u8).into(),
        OperandKind::Variance => 1.0 + rng.random::<f32>(),
        OperandKind::Sign => 1.0 - 2.0 * f32::from(u8::from(rng.random_bool(0.5))),
        _ => normal(),
    }
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

fn report(engine: &Engine, driver: &str, dtype: Dtype, runs: usize, rows: &[Row]) -> String {
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
        "{}, {driver}, {dtype}, {runs} runs: median (min–max), reduction mean\n\n{}\n\n{}",
        engine.name(),
        print::table(&header, &rows, 3),
        "MB: each operand and each result once. fused: loss and gradient of the first operand. read and copy: GB/s of kernels that only read, or\n\
         copy (counted twice), as many bytes as the input. share: of that. GB/s are of the device's clock where it has one."
    )
}
