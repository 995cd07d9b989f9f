//! `wgloss bench`: the kernels beside a read and a copy of as many bytes, timed in the same rounds.

mod baselines;
mod ceilings;
mod compare;
mod fixed;
pub mod inputs;
mod layers;
pub mod measure;
mod picture;
mod products;
pub mod ready;
pub mod record;
mod request;
pub mod rows;
mod sheet;
mod stepped;
mod steps;
pub mod tables;
mod truth;

use std::path::PathBuf;
use std::time::SystemTime;

use clap::ArgMatches;
use wgloss::Engine;
use wgloss_shell::{Failure, draft, interrupt, print, progress};

use crate::tuned;
use ceilings::Ceilings;
use record::{Record, SCHEMA};
use request::Request;
pub use request::command;

/// What a record says that is not whole yet.
const CUT_OFF: &str = "the rest, which was cut off";

pub fn run(matches: &ArgMatches) -> Result<(), Failure> {
    let request = Request::new(matches)?;
    interrupt::arm();
    let engine = tuned::apply(Engine::open(&request.adapter)?, request.is_tuned)?;
    let mut record = measure(&engine, &request)?;
    let saved = request.records.as_deref().filter(|_| request.record);
    let saved = saved.map(|folder| (record.file(folder), json(&record)));
    if let Some((name, old)) = &request.compare {
        record.compare = Some(compare::compare(old, &record, name));
    }
    // What took minutes to measure is printed even where a file cannot be written, and the other way round.
    let written = write(&request, &record, saved);
    if request.json {
        print::line(&json(&record))?;
    } else if request.csv {
        print::line(&sheet::csv(&record)?)?;
    } else {
        print::line(&tables::text(&record))?;
    }
    written?;
    if record.failed.is_empty() {
        return Ok(());
    }
    Err(Failure::Failed(format!("not measured: {}", record.failed.join("; "))))
}

/// Writes the files that are asked for, all or none.
fn write(request: &Request, record: &Record, saved: Option<(PathBuf, String)>) -> Result<(), Failure> {
    let mut drafts = Vec::new();
    if let Some(place) = &request.svg {
        let picture = picture::svg(record).map_err(|why| Failure::Failed(format!("--svg: {why}")))?;
        drafts.push(draft::whole("--svg", place, picture.as_bytes())?);
    }
    if let Some((place, text)) = &saved {
        drafts.push(draft::whole("--record", place, text.as_bytes())?);
    }
    draft::publish(drafts)?;
    let places = request.svg.iter().chain(saved.iter().map(|(place, _)| place));
    for place in places {
        print::note(&format!("written to {}", place.display()));
    }
    Ok(())
}

fn json(record: &Record) -> String {
    // Numbers, texts and lists of them: nothing that JSON does not have.
    serde_json::to_string_pretty(record).unwrap_or_default()
}

/// Everything that is asked for, measured.
fn measure(engine: &Engine, request: &Request) -> Result<Record, Failure> {
    let info = engine.adapter_info();
    let text = |of: fn(&wgpu::AdapterInfo) -> String| info.map(of).unwrap_or_default();
    let mut record = Record {
        schema: SCHEMA,
        version: env!("CARGO_PKG_VERSION").into(),
        commit: crate::COMMIT.into(),
        date: humantime::format_rfc3339_seconds(SystemTime::now()).to_string(),
        adapter: engine.name(),
        driver: text(|info| format!("{} {}", info.driver, info.driver_info)),
        backend: text(|info| format!("{:?}", info.backend)),
        timestamps: engine
            .wgpu()
            .is_some_and(|(device, _)| device.features().contains(wgpu::Features::TIMESTAMP_QUERY)),
        tuning: engine.tuning().map(|tuning| format!("{tuning:?}")).unwrap_or_default(),
        tuned: tuned::own(engine).is_some(),
        runs: request.runs,
        rows: Vec::new(),
        ceilings: Vec::new(),
        baselines: Vec::new(),
        steps: Vec::new(),
        products: Vec::new(),
        layers: Vec::new(),
        fixed: Vec::new(),
        sweep: Vec::new(),
        failed: Vec::new(),
        compare: None,
    };
    let folder = request.records.as_deref();
    let (earlier, others) = folder.map_or_else(Default::default, |folder| record::earlier(folder, &record.adapter));
    if let (Some(folder), false) = (folder, others.is_empty()) {
        print::note(&format!(
            "passed over in {}: {}, no records of schema {SCHEMA}",
            folder.display(),
            others.join(", ")
        ));
    }

    let jobs = request.jobs.len() + request.steps.len() + request.sweep.len() + request.products.len();
    let bar = progress::bar(jobs + 1);
    bar.set_message("fixed cost");
    record.fixed = fixed::measure(engine, &request.adapter, request.runs)?;
    bar.inc(1);
    let mut ceilings = Ceilings::default();
    let tell = |record: &mut Record, wrong: Vec<String>| {
        for why in &wrong {
            progress::note_above(&bar, &format!("failed: {why}"));
        }
        record.failed.extend(wrong);
        bar.inc(1);
    };
    let rows = request.jobs.iter().map(|job| (job, &request.modes[..], false));
    let sweep = request.sweep.iter().map(|job| (job, &request::SWEPT[..], true));
    for (job, modes, is_swept) in rows.chain(sweep) {
        bar.set_message(job.name());
        let (more, wrong) = measure::measure(engine, &mut ceilings, job, modes, request.runs);
        let list = if is_swept { &mut record.sweep } else { &mut record.rows };
        list.extend(more);
        tell(&mut record, wrong);
        record.so_far(ceilings.list(&earlier));
        keep(request, &mut record);
    }
    for job in &request.steps {
        bar.set_message(job.name());
        let (more, wrong) = stepped::measure(engine, &mut ceilings, job, request.runs);
        record.rows.extend(more);
        tell(&mut record, wrong);
        record.so_far(ceilings.list(&earlier));
        keep(request, &mut record);
    }
    for &(sizes, dtype) in &request.products {
        bar.set_message(format!("products of {} {dtype}", rows::shape_text(&sizes)));
        let wrong = match products::measure(engine, sizes, dtype, request.runs) {
            Ok(list) => {
                record.products.extend(list);
                Vec::new()
            }
            Err(why) => vec![why],
        };
        tell(&mut record, wrong);
        keep(request, &mut record);
        bar.set_message(format!("layer of {} {dtype}", rows::shape_text(&sizes)));
        let wrong = match layers::measure(engine, sizes, dtype, request.runs) {
            Ok(list) => {
                record.layers.extend(list);
                Vec::new()
            }
            Err(why) => vec![why],
        };
        tell(&mut record, wrong);
        keep(request, &mut record);
    }
    if request.has_baselines {
        bar.set_message("baselines");
        match baselines::measure(engine, request.runs) {
            Ok(list) => record.baselines = list,
            Err(error) => record.failed.push(format!("baselines: {error}")),
        }
    }
    if request.has_steps {
        bar.set_message("steps of optimizers");
        match steps::measure(engine, request.runs) {
            Ok(list) => record.steps = list,
            Err(error) => record.failed.push(format!("steps of optimizers: {error}")),
        }
    }
    bar.finish_and_clear();
    Ok(record)
}

/// Writes the record as far as it is, so that what took minutes stays where the rest is cut off. Where it cannot be
/// written, the end says so: the rest is measured, and printed.
fn keep(request: &Request, record: &mut Record) {
    let Some(folder) = request.records.as_deref().filter(|_| request.record) else {
        return;
    };
    record.failed.push(CUT_OFF.into());
    let text = json(record);
    record.failed.pop();
    let draft = draft::whole("--record", &record.file(folder), text.as_bytes());
    let _ = draft.and_then(|own| draft::publish(vec![own]));
}
