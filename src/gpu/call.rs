//! Calls of losses on a device. What of a call can be used again is kept beside it: its plan, pipelines and params,
//! and, for the same tensors, its bind groups with small results and scratch.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::activity::count;
use super::record::{self, Ready};
use super::scratch::Scratch;
use super::submit::Way;
use super::wait::Waiting;
use super::{Gpu, foreign, outputs};
use crate::call::{Asked, Key, Place};
use crate::error::Result;
use crate::limits::Limits;
use crate::memory::{Loan, Memory, Recording};
use crate::output::Output;
use crate::plan::{Origin, Plan, Step, plan};
use crate::problem::Problem;
use crate::tensor::{Storage, Tensor};
use crate::words::Role;

/// A call on tensors of these layouts, planned.
#[derive(Debug)]
pub(crate) struct Prepared {
    problem: Problem,
    plan: Plan,
    /// How its steps go to the device.
    way: Way,
    pipelines: Vec<wgpu::ComputePipeline>,
    params: (wgpu::Buffer, Vec<u64>),
}

/// Operands on the device, some of them uploaded for their call.
type Placed = Vec<(Role, Tensor)>;

/// Longer plans are not worth the host's memory.
const MOST_STEPS: usize = 256;
/// Results of up to so many bytes lie in memory that is used again.
const SMALL: u64 = 64 << 10;

impl Prepared {
    /// It would be the same under this limit, which one that touches less does not come to.
    pub fn holds(&self, limit: u64) -> bool {
        self.way.holds(limit)
    }

    /// The steps that are wanted, with all that recording them needs.
    fn ready(
        &self,
        gpu: &Gpu,
        wanted: impl Fn(usize, &Step) -> bool,
        tensors: &[(Role, Tensor)],
        scratch: &[Memory],
    ) -> Result<Vec<Option<Ready>>> {
        let tensors: Vec<_> = tensors
            .iter()
            .map(|(role, own)| (*role, own.behind_base(gpu.limits.step())))
            .collect();
        let mut dispatches = self.pipelines.iter().zip(&self.params.1);
        let steps = self.plan.steps.iter().enumerate();
        let ready = steps.map(|(nth, step)| {
            let of = dispatches.by_ref();
            let own = match step {
                Step::Dispatch(dispatch) => of.next().map(|of| (dispatch, of)),
                Step::Copy(_) => None,
            };
            if !wanted(nth, step) {
                return Ok(None);
            }
            match (step, own) {
                (Step::Copy(copy), _) => gpu.ready_copy(copy, &tensors, scratch).map(Some),
                (_, Some((dispatch, (pipeline, offset)))) => {
                    let params = (&self.params.0, *offset);
                    gpu.ready_dispatch(dispatch, pipeline, params, &tensors, scratch)
                        .map(Some)
                }
                _ => Ok(None), // every dispatch has a pipeline
            }
        });
        gpu.guarded("recording", 0, || ready.collect())?
    }
}

/// A planned call with the memory that it computes on. Those of the caller's tensors it holds by their buffers alone,
/// and is let go of when the last tensor is.
#[derive(Debug)]
pub(crate) struct Bound {
    /// Where the caller's tensors lie, in their order.
    pub places: Vec<Place>,
    /// Bytes of memory that it keeps from others.
    pub bytes: u64,
    /// Somebody has it: an output lives.
    taken: Arc<AtomicBool>,
    /// The small results.
    results: Vec<(Role, Tensor)>,
    /// The way of those to the host.
    staging: Option<wgpu::Buffer>,
    copies: Ready,
    scratch: Scratch,
    /// Some results are large, and new each time.
    has_large: bool,
    /// But for those that touch a large result.
    steps: Vec<Option<Ready>>,
}

impl Bound {
    /// The memory of its own that callers see.
    pub fn result_ids(&self) -> impl Iterator<Item = u64> {
        self.results
            .iter()
            .filter_map(|(_, tensor)| tensor.memory().map(Memory::id))
    }

    pub fn fits(&self, mut places: impl Iterator<Item = Option<Place>>) -> bool {
        self.places.iter().all(|own| places.next() == Some(Some(*own))) && places.next().is_none()
    }

    /// Takes it, where nobody has it.
    pub fn take(&self) -> bool {
        !self.taken.swap(true, Ordering::AcqRel)
    }

    /// Nobody has it any more.
    fn free(&self) {
        self.taken.store(false, Ordering::Release);
    }

    /// The steps of a part, of which `large` are those that touch large results.
    fn steps_of<'a>(&'a self, large: &'a [Option<Ready>], part: Range<usize>) -> impl Iterator<Item = &'a Ready> {
        part.filter_map(|nth| self.steps[nth].as_ref().or_else(|| large.get(nth)?.as_ref()))
    }
}

/// What is kept of a call.
#[derive(Debug)]
pub(crate) enum Found {
    Planned(Planned),
    /// Nothing: to be planned.
    New(New),
}

/// A planned call, and what is bound to its tensors, where that is kept.
#[derive(Debug)]
pub(crate) struct Planned {
    key: Option<Key>,
    prepared: Arc<Prepared>,
    bound: Option<Arc<Bound>>,
}

impl Planned {
    /// What is bound is not wanted after all.
    fn free(&self) {
        self.bound.iter().for_each(|own| own.free());
    }
}

/// A call to be planned under these limits, and kept under this key.
#[derive(Debug)]
pub(crate) struct New {
    key: Option<Key>,
    limits: Limits,
}

impl Gpu {
    /// What is kept of a call to be submitted.
    pub fn find(&self, asked: &Asked<'_>, key: Option<Key>) -> Found {
        self.find_within(self.paced_limits(), asked, key)
    }

    /// What is kept of a call to be recorded.
    pub fn find_whole(&self, asked: &Asked<'_>, key: Option<Key>) -> Found {
        self.find_within(self.limits, asked, key)
    }

    fn find_within(&self, limits: Limits, asked: &Asked<'_>, key: Option<Key>) -> Found {
        let find = |key: &Key| self.calls.find(key, limits.max_dispatch_bytes, asked.places());
        match key.as_ref().map(find) {
            Some((Some(prepared), bound)) => {
                // What is bound to the same tensors may be free, and nobody has heard of it.
                let again = || key.as_ref().filter(|_| self.hear()).and_then(|key| find(key).1);
                let bound = bound.or_else(again);
                Found::Planned(Planned { key, prepared, bound })
            }
            _ => Found::New(New { key, limits }),
        }
    }

    /// Plans a call, and keeps it.
    pub fn plan(&self, new: New, problem: Problem) -> Result<Planned> {
        let New { key, limits } = new;
        self.expect_compute()?;
        let problem = problem.behind_bases(limits.step());
        let plan = plan(&problem, &limits, &self.tuning)?;
        count(&self.counters.plans, 1);
        let pipelines = plan.dispatches().map(|own| self.pipeline(&own.variant));
        let prepared = Arc::new(Prepared {
            pipelines: pipelines.collect::<Result<_>>()?,
            params: self.params(&plan.steps)?,
            way: Way::new(plan.step_bytes(), limits.max_dispatch_bytes),
            problem,
            plan,
        });
        if let Some(key) = key.as_ref().filter(|_| prepared.plan.steps.len() <= MOST_STEPS) {
            self.calls.keep(key, &prepared);
        }
        Ok(Planned {
            key,
            prepared,
            bound: None,
        })
    }

    /// Computes a call: submits it, and returns.
    pub async fn run(&self, asked: &Asked<'_>, planned: Planned, waiting: Waiting) -> Result<Output> {
        let prepared = Arc::clone(&planned.prepared);
        self.expect_computed(asked, &prepared.problem, false)
            .inspect_err(|_| planned.free())?;
        let (bound, tensors) = self.bound(asked, planned)?;
        let loan = self.loan(&bound, None);
        let (output, large) = self.lay_out(&prepared, &bound, asked, tensors, &loan, None)?;
        let last = prepared.plan.steps.len();
        let submitted = self.in_parts(&prepared.way, waiting, |encoder, part| {
            let copies = (part.end == last).then_some(&bound.copies);
            self.encode_steps(encoder, bound.steps_of(&large, part).chain(copies), None);
            Ok(())
        });
        match submitted.await {
            Ok(submission) => {
                loan.submitted(submission);
                Ok(output)
            }
            Err(error) => {
                loan.expose(); // what is bound may be what failed: the next call binds anew
                Err(self.blame(error, asked, &prepared.problem))
            }
        }
    }

    /// Records a call into the caller's encoder. What it uses is its own until that was submitted or dropped.
    pub fn encode(&self, encoder: &mut wgpu::CommandEncoder, asked: &Asked<'_>, planned: Planned) -> Result<Output> {
        let prepared = Arc::clone(&planned.prepared);
        let computed = self.expect_computed(asked, &prepared.problem, true);
        let is_foreign = planned.bound.is_some() && asked.tensors().filter_map(Tensor::memory).any(Memory::is_foreign);
        computed
            .and_then(|()| match is_foreign {
                true => self.expect_alive(foreign::named(asked, &prepared.problem)),
                false => Ok(()),
            })
            .inspect_err(|_| planned.free())?;
        let (bound, tensors) = self.bound(asked, planned)?;
        let mut uses = Self::lent(asked.tensors());
        uses.push(Box::new(Arc::clone(&bound)));
        // Whatever can fail comes first: the encoder is the caller's.
        let watch = match self.watch(uses, asked.tensors()) {
            Ok(watch) => watch,
            Err(error) => {
                bound.free();
                return Err(error);
            }
        };
        let loan = self.loan(&bound, Some(watch.recording()));
        let (mut output, large) = self.lay_out(&prepared, &bound, asked, tensors, &loan, Some(watch.recording()))?;
        let steps = bound.steps_of(&large, 0..prepared.plan.steps.len());
        self.guarded("recording", 0, || {
            self.encode_steps(encoder, steps.chain([&bound.copies]), None);
        })?;
        output.recorded(watch.recording());
        watch.begin(encoder);
        Ok(output)
    }

    /// Refuses operands that were recorded and will not have been computed.
    fn expect_computed(&self, asked: &Asked<'_>, problem: &Problem, or_recorded: bool) -> Result<()> {
        let is_recorded = |tensor: &Tensor| tensor.memory().is_some_and(|own| own.recording().is_some());
        if !asked.tensors().any(is_recorded) {
            return Ok(());
        }
        let mut operands = asked.operands(problem).into_iter();
        operands.try_for_each(|(role, tensor)| self.expect_submitted(role.name(), tensor.memory(), or_recorded))
    }

    /// What a call is bound to, which is the caller's from now on, and the operands placed for it, where they were.
    fn bound(&self, asked: &Asked<'_>, planned: Planned) -> Result<(Arc<Bound>, Option<Placed>)> {
        let Planned { key, prepared, bound } = planned;
        if let Some(bound) = bound {
            return Ok((bound, None));
        }
        let problem = &prepared.problem;
        let tensors = self.place(&asked.operands(problem), Some(problem))?;
        let bound = self.bind(&prepared, asked, &tensors);
        let bound = Arc::new(bound.map_err(|error| self.blame(error, asked, problem))?);
        // What was uploaded for this call does not come again.
        if let Some(key) = key.filter(|_| asked.places().all(|own| own.is_some())) {
            self.calls.keep_bound(&key, &prepared, &bound);
            for memory in asked.tensors().filter_map(Tensor::memory) {
                memory.watch(&self.calls);
            }
        }
        Ok((bound, Some(tensors)))
    }

    fn loan(&self, bound: &Bound, recording: Option<&Arc<Recording>>) -> Arc<Loan> {
        let (taken, staging) = (Arc::clone(&bound.taken), bound.staging.clone());
        Arc::new(Loan::new(taken, staging, self.device.clone(), recording))
    }

    /// Binds a call to its tensors, which are placed, and makes what is its own.
    fn bind(&self, prepared: &Prepared, asked: &Asked<'_>, tensors: &[(Role, Tensor)]) -> Result<Bound> {
        let (problem, plan) = (&prepared.problem, &prepared.plan);
        let mut all = tensors.to_vec();
        for (role, own) in outputs::places(problem, asked.call, tensors)? {
            let name = problem.place_name(role);
            self.expect_own(name, own)?;
            self.expect_usable(name, own.parts())?;
            all.push((role, own.clone()));
        }
        let placed = all.len();
        let (mut results, mut staged, mut has_large) = (Vec::new(), 0, false);
        for (role, view) in outputs::results(problem, asked.call) {
            if all[tensors.len()..placed].iter().any(|(own, _)| *own == role) {
                continue;
            }
            if view.end() > SMALL {
                has_large = true;
                continue;
            }
            let memory = self.memory("wgloss result", view.end(), None)?.staged(staged);
            staged += view.end().next_multiple_of(4);
            let storage = Storage::Device(memory);
            results.push((role, Tensor { storage, view }));
        }
        all.extend(results.iter().cloned());
        let (staging, copies) = self.way_back(&results, staged)?;
        // Between two submissions of one call others may come.
        let scratch = match prepared.way.is_one() {
            true => self.shared_scratch(plan)?,
            false => self.own_scratch(plan)?,
        };
        let is_there = |source: Origin| match source {
            Origin::Scratch(_) => true,
            Origin::Tensor(role) => all.iter().any(|(own, _)| *own == role),
        };
        let whole = |_, step: &Step| match step {
            Step::Copy(copy) => is_there(copy.from) && is_there(copy.to),
            Step::Dispatch(dispatch) => dispatch.bindings.iter().all(|own| is_there(own.source)),
        };
        let steps = prepared.ready(self, whole, &all, scratch.memory())?;
        let bridges: u64 = steps.iter().flatten().map(|step| step.bridges).sum();
        Ok(Bound {
            places: asked.places().flatten().collect(),
            bytes: 2 * staged + scratch.own_bytes() + bridges,
            taken: Arc::new(AtomicBool::new(true)),
            results,
            staging,
            copies,
            scratch,
            has_large,
            steps,
        })
    }

    /// A buffer that brings small results to the host, and the copies into it.
    fn way_back(&self, results: &[(Role, Tensor)], bytes: u64) -> Result<(Option<wgpu::Buffer>, Ready)> {
        if bytes == 0 {
            return Ok((None, Ready::default()));
        }
        let usage = wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST;
        let staging = self.buffer("wgloss readback", bytes, usage)?;
        let mut copies = Vec::new();
        let mut at = 0;
        for (tensor, memory) in results
            .iter()
            .filter_map(|(_, tensor)| Some((tensor, tensor.memory()?)))
        {
            let bytes = tensor.view.end().next_multiple_of(4);
            for run in memory.runs(0, bytes) {
                let (from, to) = ((run.buffer.clone(), run.offset), (staging.clone(), at));
                copies.push(record::moved(from, to, run.size));
                at += run.size;
            }
        }
        Ok((Some(staging), Ready::copies(copies)))
    }

    /// The results of a call that is bound, where they will be, and the steps that touch large ones. `tensors`: those
    /// placed for it, where there are others than the caller's. `recording`: what keeps large results from others.
    fn lay_out(
        &self,
        prepared: &Prepared,
        bound: &Bound,
        asked: &Asked<'_>,
        tensors: Option<Placed>,
        loan: &Arc<Loan>,
        recording: Option<&Arc<Recording>>,
    ) -> Result<(Output, Vec<Option<Ready>>)> {
        let problem = &prepared.problem;
        let mut output = Output::empty(problem);
        for (role, own) in asked.call.places(problem) {
            if let Some(memory) = own.memory() {
                memory.touch();
            }
            output.put_placed(problem, role, own);
        }
        for (role, tensor) in &bound.results {
            output.put(problem, *role, tensor.lent(loan));
        }
        let large = match bound.has_large {
            true => self.with_large(prepared, bound, asked, tensors, (&mut output, recording))?,
            false => Vec::new(),
        };
        Ok((output, large))
    }

    /// Makes the large results of a call, and the steps that touch them.
    fn with_large(
        &self,
        prepared: &Prepared,
        bound: &Bound,
        asked: &Asked<'_>,
        tensors: Option<Placed>,
        (output, recording): (&mut Output, Option<&Arc<Recording>>),
    ) -> Result<Vec<Option<Ready>>> {
        let problem = &prepared.problem;
        let mut all = match tensors {
            Some(tensors) => tensors,
            None => self.place(&asked.operands(problem), Some(problem))?,
        };
        let places = asked.call.places(problem);
        all.extend(places.into_iter().map(|(role, own)| (role, own.clone())));
        all.extend(bound.results.iter().cloned());
        for (role, view) in outputs::results(problem, asked.call) {
            if all.iter().all(|(own, _)| *own != role) {
                let tensor = self.result(view.dtype, &view.shape)?;
                if let (Some(recording), Some(memory)) = (recording, tensor.memory()) {
                    recording.hold(Box::new(memory.clone()));
                }
                output.put(problem, role, tensor.clone());
                all.push((role, tensor));
            }
        }
        prepared.ready(self, |nth, _| bound.steps[nth].is_none(), &all, bound.scratch.memory())
    }
}
