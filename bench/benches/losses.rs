//! The rows of `wgloss bench` for criterion: planning, recording, and a call until its results are read.
//!
//! `cargo bench`, or `cargo bench -- 'cross_entropy.*/encode'`. It runs on the first adapter.

use std::cell::OnceCell;
use std::time::Duration;

use criterion::{BatchSize, Criterion, SamplingMode};
use wgloss::{Call, Dtype, Engine, Info, Loss, Mode, REGISTRY, Result};
use wgloss_bench::bench::inputs::{self, Inputs, Operands};
use wgloss_bench::bench::rows::{self, Options};

/// A row on the device.
struct Row {
    loss: Box<dyn Loss>,
    operands: Operands,
}

fn main() {
    let engine = sure(Engine::new());
    println!("on {}", engine.name());
    let mut criterion = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(100))
        .measurement_time(Duration::from_millis(400))
        .configure_from_args();
    for info in REGISTRY {
        for shape in rows::shapes(info) {
            for options in rows::forms(info) {
                measure(&mut criterion, &engine, (info, options, &shape));
            }
        }
    }
    criterion.final_summary();
}

/// What is wrong ends the process: a row that fails has no time.
fn sure<T>(result: Result<T>) -> T {
    result.unwrap_or_else(|error| {
        eprintln!("error: {error}");
        std::process::exit(1)
    })
}

/// Loss and gradient of a row, in f32.
fn measure(criterion: &mut Criterion, engine: &Engine, (info, options, shape): (&Info, Options, &[usize])) {
    let words: String = options.iter().map(|(name, word)| format!(" {name}={word}")).collect();
    let mut group = criterion.benchmark_group(format!("{}{words} {}", info.name, rows::shape_text(shape)));
    // Few samples of as many calls each: a call may take a second.
    group.sampling_mode(SamplingMode::Flat);
    // Hundreds of megabytes, which only those rows need that criterion's arguments ask for.
    let known = OnceCell::new();
    let row = || -> &Row { known.get_or_init(|| sure(Row::new(engine, info, options, shape))) };
    group.bench_function("plan", |bencher| {
        let (row, call) = (row(), row().call());
        bencher.iter(|| sure(engine.plan(row.loss.as_ref(), &call)));
    });
    if let Some((device, _)) = engine.wgpu() {
        group.bench_function("encode", |bencher| {
            let (row, call) = (row(), row().call());
            let encoder = || device.create_command_encoder(&Default::default());
            let encode = |encoder: &mut wgpu::CommandEncoder| sure(row.loss.encode(engine, encoder, &call));
            bencher.iter_batched_ref(encoder, encode, BatchSize::PerIteration);
        });
    }
    group.bench_function("run", |bencher| {
        let (row, call) = (row(), row().call());
        bencher.iter(|| sure(row.loss.run(engine, &call).and_then(|output| output.read(engine))));
    });
    group.finish();
}

impl Row {
    fn new(engine: &Engine, info: &Info, options: Options, shape: &[usize]) -> Result<Self> {
        let loss = inputs::make(info, options, Dtype::F32)?;
        let host = Inputs::new(loss.as_ref(), shape, Dtype::F32)?.whole;
        let upload = host
            .into_iter()
            .map(|(role, tensor)| Ok((role, engine.upload(&tensor)?)));
        let own = Self {
            operands: upload.collect::<Result<_>>()?,
            loss,
        };
        // What is compiled or touched first is.
        own.loss.run(engine, &own.call())?.read(engine)?;
        Ok(own)
    }

    fn call(&self) -> Call<'_> {
        inputs::call(&self.operands, Mode::Fused)
    }
}
