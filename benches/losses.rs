//! The host's side of the rows of `wgloss bench`, small: planning, recording, and a call until its results are read. What
//! the kernels do with large inputs is `wgloss bench`'s to measure; this shows what a change adds to every call.
//!
//! `cargo bench`, or `cargo bench -- 'encode/cross_entropy'`. It runs on the first adapter.

#![allow(
    dead_code,
    reason = "the files shared with the command line have more than this uses"
)]

#[path = "../cli/src/fit.rs"]
mod fit;
#[path = "../cli/src/bench/inputs.rs"]
mod inputs;
#[path = "../cli/src/bench/rows.rs"]
mod rows;

use std::time::Duration;

use criterion::Criterion;
use inputs::{Inputs, Operands};
use wgloss::{Dtype, Engine, Loss, Mode, REGISTRY, Result};

/// A row on the device.
struct Row {
    name: String,
    loss: Box<dyn Loss>,
    operands: Operands,
}

fn main() {
    let engine = match Engine::new() {
        Ok(engine) => engine,
        Err(error) => return eprintln!("these benches need an adapter: {error}"),
    };
    println!("on {}", engine.name());
    if let Err(error) = all(&engine) {
        eprintln!("error: {error}");
        std::process::exit(1);
    }
}

fn all(engine: &Engine) -> Result<()> {
    let rows = rows(engine)?;
    let mut criterion = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(100))
        .measurement_time(Duration::from_millis(400))
        .configure_from_args();
    for row in &rows {
        let call = inputs::call(&row.operands, Mode::Fused);
        // What can go wrong shows here, and what is compiled or touched first is.
        row.loss.run(engine, &call)?.read(engine)?;
        criterion.bench_function(&format!("plan/{}", row.name), |bencher| {
            bencher.iter(|| engine.plan(row.loss.as_ref(), &call));
        });
        if let Some((device, _)) = engine.wgpu() {
            criterion.bench_function(&format!("encode/{}", row.name), |bencher| {
                let encoder = || device.create_command_encoder(&Default::default());
                let encode = |encoder: &mut wgpu::CommandEncoder| row.loss.encode(engine, encoder, &call);
                bencher.iter_batched_ref(encoder, encode, criterion::BatchSize::PerIteration);
            });
        }
        criterion.bench_function(&format!("run/{}", row.name), |bencher| {
            bencher.iter(|| row.loss.run(engine, &call).and_then(|output| output.read(engine)));
        });
    }
    criterion.final_summary();
    Ok(())
}

/// The rows of `wgloss bench`, loss and gradient, of few elements.
fn rows(engine: &Engine) -> Result<Vec<Row>> {
    let mut list: Vec<Row> = Vec::new();
    for info in REGISTRY {
        for shape in rows::shapes(info) {
            for options in rows::forms(info) {
                let shape = small(&shape);
                let words: String = options.iter().map(|(name, word)| format!(" {name}={word}")).collect();
                let name = format!("{}{words} {}", info.name, rows::shape_text(&shape));
                if list.iter().any(|row| row.name == name) {
                    continue;
                }
                let loss = inputs::make(info, options, Dtype::F32)?;
                let host = Inputs::new(loss.as_ref(), &shape, Dtype::F32)?.whole;
                let upload = host
                    .into_iter()
                    .map(|(role, tensor)| Ok((role, engine.upload(&tensor)?)));
                list.push(Row {
                    name,
                    operands: upload.collect::<Result<_>>()?,
                    loss,
                });
            }
        }
    }
    Ok(list)
}

/// A shape of the same kind with few elements: fewer items first, then less of each.
fn small(shape: &[usize]) -> Vec<usize> {
    let mut small = shape.to_vec();
    while small.iter().product::<usize>() > SMALL {
        let item: usize = small.iter().skip(1).product();
        if let Some(items) = small.first_mut().filter(|items| **items > 1) {
            *items = (SMALL / item).clamp(1, *items / 2);
        } else if let Some(longest) = small.iter_mut().max() {
            *longest = longest.div_ceil(2);
        }
    }
    small
}

/// Elements of a small shape, at most.
const SMALL: usize = 1 << 16;
