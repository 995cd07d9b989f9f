//! Streams: calls on tensors that lie elsewhere, window by window.
//!
//! A stream is the plan of the whole call, cut so small that its windows fit into a stated memory. Before each dispatch
//! the windows of tensors in [`Pages`](crate::Pages) are brought into an arena on the device, and after it those of
//! results with a [`Sink`] are taken out of another. Since a cut changes no bits, the results are those of the call in
//! memory. While the device computes one part, the host reads the next and writes the one before.
//!
//! On the processor a stream is a loop over slices of the first dimension (`host.rs`).

mod flight;
mod host;
mod units;

use std::ops::ControlFlow;
use std::time::Instant;

use crate::call::{Call, operands};
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::gpu::Gpu;
use crate::limits::Limits;
use crate::loss::Loss;
use crate::pages::Sink;
use crate::plan::{Plan, plan};
use crate::problem::Problem;
use crate::tensor::Tensor;
use crate::values::Values;
use crate::words::Role;
use flight::Flights;
use units::{Unit, units};

/// What a stream may use, where its results go, and who watches it.
pub struct Stream<'a> {
    /// Bytes of buffers, on host and device together, that the stream makes.
    pub memory: u64,
    /// The results that go elsewhere, [`Role::Grad`] for the gradient of an operand by its place in the signature. All
    /// others stay in memory.
    pub sinks: Vec<(Role, &'a mut dyn Sink)>,
    /// Told after each part; [`ControlFlow::Break`] ends the stream with [`Error::Interrupted`].
    pub progress: Option<&'a mut dyn FnMut(Progress) -> ControlFlow<()>>,
}

/// How far a stream is.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Progress {
    /// Bytes read from pages and written to sinks.
    pub bytes: u64,
    /// Of so many.
    pub of_bytes: u64,
}

/// What a stream did, and how long it took.
#[derive(Clone, Copy, Debug, Default)]
pub struct Streamed {
    /// Parts, each submitted by itself.
    pub parts: u64,
    /// Parts under way at a time.
    pub in_flight: usize,
    /// Bytes read from pages; more than once where the plan passes over a tensor again.
    pub read_bytes: u64,
    pub written_bytes: u64,
    /// Bytes of buffers made.
    pub memory: u64,
    /// The time that the host read and uploaded.
    pub read_ns: f64,
    /// The time that the host took results to their sinks.
    pub write_ns: f64,
    /// The time that the host stood waiting for the device.
    pub wait_ns: f64,
    /// The time between the first and the last dispatch of each part, where the device has timestamps.
    pub device_ns: Option<f64>,
    pub wall_ns: f64,
}

impl Streamed {
    /// How much of the shorter of the two, moving data and computing, went on beside the other: 1 where it is hidden
    /// entirely. `None` without timestamps.
    pub fn overlap(&self) -> Option<f64> {
        let (moved, computed) = (self.read_ns + self.write_ns, self.device_ns?);
        let shorter = moved.min(computed);
        (shorter > 0.0).then(|| ((moved + computed - self.wall_ns) / shorter).clamp(0.0, 1.0))
    }
}

impl Stream<'_> {
    /// A stream within so many bytes, with all results in memory.
    pub fn within(memory: u64) -> Self {
        Self {
            memory,
            sinks: Vec::new(),
            progress: None,
        }
    }

    /// Computes a call of which some tensors lie elsewhere ([`Tensor::from_pages`]), and waits. The bits of the results
    /// are those of [`Loss::run`].
    ///
    /// # Errors
    /// As [`Loss::run`] and [`Output::read`](crate::Output::read); [`Error::Memory`] where the memory is too small for
    /// one part and what stays in memory; [`Error::Io`] of pages and sinks; [`Error::Interrupted`].
    pub fn run(&mut self, engine: &Engine, loss: &dyn Loss, call: &Call<'_>) -> Result<(Values, Streamed)> {
        run(engine, loss, call, self)
    }

    /// The least [`Stream::memory`] that a call takes, with the sinks that there are.
    ///
    /// # Errors
    /// Those of [`Loss::problem`]; [`Error::Limit`] where no memory would do.
    pub fn least(&self, engine: &Engine, loss: &dyn Loss, call: &Call<'_>) -> Result<u64> {
        least(engine, loss, call, self)
    }

    /// Tells the watcher how far it is, and asks whether to go on.
    fn tell(&mut self, report: &Streamed, of_bytes: u64) -> Result<()> {
        let progress = Progress {
            bytes: report.read_bytes + report.written_bytes,
            of_bytes,
        };
        let flow = self.progress.as_mut().map(|watch| watch(progress));
        match flow {
            Some(ControlFlow::Break(())) => Err(Error::Interrupted),
            _ => Ok(()),
        }
    }

    fn has(&self, role: Role) -> bool {
        self.sinks.iter().any(|(own, _)| *own == role)
    }

    fn write(&mut self, role: Role, offset: u64, bytes: &[u8]) -> Result<()> {
        let name = role.name();
        let sink = self.sinks.iter_mut().find(|(own, _)| *own == role);
        let (_, sink) = sink.ok_or_else(|| Error::operand(name, "has no sink"))?;
        sink.write_at(offset, bytes)
            .map_err(|source| Error::Io { name, source })
    }

    fn goes_elsewhere(&self) -> Vec<Role> {
        self.sinks.iter().map(|(role, _)| *role).collect()
    }
}

/// Parts of more bytes gain nothing: reading and computing overlap less.
const MOST_PART_BYTES: u64 = 64 << 20;
/// Logits of fewer bytes likewise.
const LEAST_SCRATCH_BYTES: u64 = 1 << 20;
/// Parts of fewer bytes are all overhead.
const LEAST_PART_BYTES: u64 = 64 << 10;

fn run(engine: &Engine, loss: &dyn Loss, call: &Call<'_>, stream: &mut Stream<'_>) -> Result<(Values, Streamed)> {
    let start = Instant::now();
    let problem = loss.problem(call)?.streamed();
    let given = loss.tensors();
    check(&problem, call, stream)?;
    let Some(gpu) = engine.gpu() else {
        return host::run(engine, loss, call, stream);
    };
    let elsewhere = stream.goes_elsewhere();
    let all = operands(&problem, call, &given);
    let taken = taken_as_floats(&problem, &all)?;
    let all = replaced(&all, &taken);
    let cut = cut_of(gpu, &problem, &all, &elsewhere, stream.memory)?;

    let resident: Vec<_> = resident(&all).collect();
    let mut tensors = gpu.place(&resident, Some(&problem))?;
    let output = gpu.outputs(&problem, call, &mut tensors, &elsewhere)?;
    let mut scratch = gpu.exact_scratch(&cut.plan)?;
    let mut flights = Flights::new(gpu, &cut.units)?;
    scratch.extend(flights.arenas());
    let total = cut.units.iter().map(Unit::moved).sum();
    let mut report = Streamed {
        parts: cut.units.len() as u64,
        in_flight: flight::IN_FLIGHT,
        memory: cut.bytes,
        device_ns: flights.is_timed().then_some(0.0),
        ..Default::default()
    };
    for unit in &cut.units {
        flights.land(stream, &mut report)?;
        flights.fill(unit, &all, &mut report)?;
        flights.send(unit, &tensors, &scratch)?;
        stream.tell(&report, total)?;
    }
    flights.land_all(stream, &mut report)?;
    let values = output.read(engine);
    report.wall_ns = start.elapsed().as_nanos() as f64;
    Ok((values?, report))
}

/// The tensors that stay where they are.
fn resident<'a>(all: &[(Role, &'a Tensor)]) -> impl Iterator<Item = (Role, &'a Tensor)> {
    all.iter().copied().filter(|(_, tensor)| tensor.pages().is_none())
}

/// The plan of a call on these tensors, whose results of these roles go elsewhere.
fn cut_of(gpu: &Gpu, problem: &Problem, all: &[(Role, &Tensor)], elsewhere: &[Role], memory: u64) -> Result<Cut> {
    let is_paged = |role: Role| elsewhere.contains(&role) || paged(all, role).is_some();
    let tensors: u64 = resident(all).map(|(_, tensor)| tensor.view().end()).sum();
    cut(gpu, problem, tensors + outputs(problem, elsewhere), memory, &is_paged)
}

/// The least memory of a call: what a stream without any says that it lacks.
fn least(engine: &Engine, loss: &dyn Loss, call: &Call<'_>, stream: &Stream<'_>) -> Result<u64> {
    let problem = loss.problem(call)?.streamed();
    let given = loss.tensors();
    check(&problem, call, stream)?;
    let lacking = match engine.gpu() {
        Some(gpu) => {
            let all = operands(&problem, call, &given);
            cut_of(gpu, &problem, &all, &stream.goes_elsewhere(), 0).map(drop)
        }
        None => host::fits(problem, 0),
    };
    match lacking {
        Err(Error::Memory { least, .. }) => Ok(least),
        other => other.map(|()| 0),
    }
}

/// The same tensors, with others in the place of some.
fn replaced<'a>(all: &[(Role, &'a Tensor)], others: &'a [(Role, Tensor)]) -> Vec<(Role, &'a Tensor)> {
    let own = all.iter();
    own.map(|&(role, tensor)| (role, paged(others, role).unwrap_or(tensor)))
        .collect()
}

fn paged<T: std::borrow::Borrow<Tensor>>(all: &[(Role, T)], role: Role) -> Option<&Tensor> {
    let found = all.iter().find(|(own, _)| *own == role);
    found
        .map(|(_, tensor)| tensor.borrow())
        .filter(|tensor| tensor.pages().is_some())
}

/// The tensors in pages that hold integers where floats are expected, as floats.
fn taken_as_floats(problem: &Problem, all: &[(Role, &Tensor)]) -> Result<Vec<(Role, Tensor)>> {
    let mut taken = Vec::new();
    for &(role, tensor) in all {
        let dtype = problem.dtype_of(role).unwrap_or(tensor.dtype());
        if tensor.pages().is_some() && dtype != tensor.dtype() {
            taken.push((role, tensor.taken_as(dtype)?.into_owned()));
        }
    }
    Ok(taken)
}

/// A plan in parts that fit into the memory.
struct Cut {
    plan: Plan,
    units: Vec<Unit>,
    /// Bytes of all buffers.
    bytes: u64,
}

/// Plans a problem with parts as large as the memory lets them be.
fn cut(gpu: &Gpu, problem: &Problem, held: u64, memory: u64, is_paged: &dyn Fn(Role) -> bool) -> Result<Cut> {
    let mut part = gpu.paced_limits().max_dispatch_bytes.min(MOST_PART_BYTES);
    let mut too_large: Option<Cut> = None;
    loop {
        let limits = Limits {
            // What lies elsewhere lies in no buffer.
            max_buffer_bytes: u64::MAX,
            max_dispatch_bytes: part,
            scratch_bytes: gpu.limits.scratch_bytes.min(part.max(LEAST_SCRATCH_BYTES)),
            ..gpu.limits
        };
        let plan = plan(problem, &limits, &gpu.tuning)?;
        let units = match units(&plan, &limits, is_paged) {
            // Larger parts are none too small.
            Err(Error::Limit(_)) if too_large.is_some() => break,
            units => units?,
        };
        let bytes = held + plan.scratch.iter().sum::<u64>() + flight::bytes(&units);
        let arenas = flight::arenas(&units);
        let cut = Cut { plan, units, bytes };
        if arenas.0.max(arenas.1) <= gpu.limits.max_buffer_bytes {
            if bytes <= memory {
                return Ok(cut);
            }
            if too_large.as_ref().is_none_or(|least| bytes < least.bytes) {
                too_large = Some(cut);
            }
        }
        if part <= LEAST_PART_BYTES {
            break;
        }
        part /= 2;
    }
    let Some(least) = too_large else {
        return Err(Error::Limit(format!(
            "the windows of one part of the stream exceed the {} bytes of a buffer",
            gpu.limits.max_buffer_bytes
        )));
    };
    Err(Error::Memory {
        least: least.bytes,
        given: memory,
        what: format!(
            "{held} bytes for what stays in memory, {} of scratch, the rest for the windows of the smallest parts",
            least.plan.scratch.iter().sum::<u64>()
        ),
    })
}

/// Bytes of the results that stay in memory, and of their way back to the host.
fn outputs(problem: &Problem, elsewhere: &[Role]) -> u64 {
    let stays = problem.results().filter(|(role, _)| !elsewhere.contains(role));
    2 * stays.map(|(_, view)| view.end()).sum::<u64>()
}

/// Refuses what a stream cannot do.
fn check(problem: &Problem, call: &Call<'_>, stream: &Stream<'_>) -> Result<()> {
    let roles = stream.goes_elsewhere();
    for (nth, role) in roles.iter().enumerate() {
        if roles[..nth].contains(role) {
            return Err(Error::operand(role.name(), "has two sinks"));
        }
        if problem.result(*role).is_none() {
            return Err(Error::operand(
                role.name(),
                "has a sink, and the call gives no such result",
            ));
        }
    }
    let grad = call.grad_input.tensor().map(|_| Role::Grad(0));
    let others = call.result_places().map(|(role, _)| problem.result_role(role));
    match grad.into_iter().chain(others).find(|role| roles.contains(role)) {
        Some(role) => Err(Error::operand(
            problem.place_name(role),
            "has a sink and a tensor to be written into",
        )),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::dtype::Dtype;
    use crate::loss::Mse;
    use crate::memory::lock;
    use crate::pages::Pages;
    use crate::words::Mode;

    #[derive(Debug)]
    struct Zeros;

    impl Pages for Zeros {
        fn read_at(&self, _: u64, out: &mut [u8]) -> std::io::Result<()> {
            out.fill(0);
            Ok(())
        }
    }

    /// An adapter that was slow once, and is given more at a time by a stream whose parts it is quick with.
    #[test]
    fn a_stream_learns_the_pace() {
        let Ok(engine) = Engine::open("") else { return };
        let Some(gpu) = engine
            .gpu()
            .filter(|gpu| gpu.device.features().contains(wgpu::Features::TIMESTAMP_QUERY))
        else {
            return;
        };
        let bytes = || lock(&gpu.pace).bytes();
        gpu.observe(1 << 20, Duration::from_secs(60));
        let slow = bytes();
        let far = Tensor::from_pages(Arc::new(Zeros), Dtype::F32, &[1 << 22]).unwrap();
        let call = Call::new(Mode::Forward, &[&far, &far]);
        Stream::within(64 << 20).run(&engine, &Mse::default(), &call).unwrap();
        assert!(bytes() > slow, "{} bytes at a time, {slow} before", bytes());
    }
}
