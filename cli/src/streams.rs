//! Calls on files that the memory does not hold: streamed, with a progress bar.

use std::ops::ControlFlow;

use wgloss::problem::Problem;
use wgloss::{Call, Engine, Loss, Progress, Result, Role, Sink, Stream, Streamed, Values};
use wgloss_shell::draft::Draft;
use wgloss_shell::progress;

use crate::parts::Part;

/// Computes a call whose large results go into drafts as they come.
pub fn run(
    engine: &Engine,
    loss: &dyn Loss,
    call: &Call<'_>,
    problem: &Problem,
    drafts: &mut [(Part, Draft)],
    memory: u64,
) -> Result<(Values, Streamed)> {
    let rows = problem.term_count();
    let bar = progress::bytes();
    let mut watch = |progress: Progress| {
        bar.set_length(progress.of_bytes);
        bar.set_position(progress.bytes);
        let share = progress.bytes as f64 / progress.of_bytes.max(1) as f64;
        bar.set_message(format!("{:.0} of {rows} rows", share * rows as f64));
        // Signals end the process: see `interrupt`.
        ControlFlow::Continue(())
    };
    let mut stream = Stream::within(memory);
    stream.sinks = sinks(problem, drafts);
    stream.progress = Some(&mut watch);
    let streamed = stream.run(engine, loss, call);
    bar.finish_and_clear();
    streamed
}

/// The least memory of such a call.
pub fn least(
    engine: &Engine,
    loss: &dyn Loss,
    call: &Call<'_>,
    problem: &Problem,
    drafts: &mut [(Part, Draft)],
) -> Result<u64> {
    let mut stream = Stream::within(0);
    stream.sinks = sinks(problem, drafts);
    stream.least(engine, loss, call)
}

/// The drafts of results that are not printed, too, as a single number is.
fn sinks<'a>(problem: &Problem, drafts: &'a mut [(Part, Draft)]) -> Vec<(Role, &'a mut dyn Sink)> {
    let is_large = |role| problem.result(role).is_some_and(|view| !view.shape.is_empty());
    let all = drafts
        .iter_mut()
        .map(|(part, draft)| (part.role(), draft as &mut dyn Sink));
    all.filter(|(role, _)| is_large(*role)).collect()
}
