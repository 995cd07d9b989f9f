//! Steps whose numbers differ from one to the next, such as those of optimizers: what is bound to their tensors is kept
//! by whoever takes them (the state of a parameter, the log of faults), and the numbers alone are written anew.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use super::record::Ready;
use super::submit::Way;
use super::wait::{Waiting, block_on};
use super::{Gpu, memory_of};
use crate::error::Result;
use crate::memory::{Memory, Recording, Used, Watcher, lock};
use crate::plan::{Dispatch, Origin, Plan, Step};
use crate::tensor::Tensor;
use crate::words::Role;

/// Steps of some parameters, taken together: the plan of each with the tensors that it names.
pub(crate) type Steps = Vec<(Plan, Vec<(Role, Tensor)>)>;

/// What is kept of steps on the same tensors. Several, where some are recorded and not submitted yet.
#[derive(Debug, Default)]
pub(crate) struct Places(Mutex<Vec<Arc<Place>>>);

/// Steps that are remembered, at most.
const MOST_PLACES: usize = 64;

/// Dispatches bound to their tensors, and the memory of their params.
#[derive(Debug)]
struct Place {
    /// The memory of the tensors, of all parameters in order.
    ids: Vec<u64>,
    dispatches: Vec<Dispatch>,
    params: wgpu::Buffer,
    ready: Vec<Ready>,
    way: Way,
    taken: Arc<AtomicBool>,
}

impl Place {
    /// The same dispatches on the same memory, but for the numbers of the step.
    fn is_of(&self, ids: &[u64], steps: &Steps) -> bool {
        let same = |(own, other): (&Dispatch, &Dispatch)| {
            (&own.variant, &own.bindings, own.groups) == (&other.variant, &other.bindings, other.groups)
                && own.params.len() == other.params.len()
        };
        let others = || steps.iter().flat_map(|(plan, _)| plan.dispatches());
        self.ids == ids && self.dispatches.len() == others().count() && self.dispatches.iter().zip(others()).all(same)
    }

    fn free(&self) {
        self.taken.store(false, Ordering::Release);
    }
}

impl Watcher for Places {
    fn forget(&self, id: u64) {
        let gone: Vec<_> = lock(&self.0).extract_if(.., |own| own.ids.contains(&id)).collect();
        drop(gone); // not under the lock: it may be the last handle of memory
    }
}

impl Places {
    fn take(&self, ids: &[u64], steps: &Steps, limit: u64) -> Option<Arc<Place>> {
        let places = lock(&self.0);
        let is_one = |own: &Place| own.way.holds(limit) && own.is_of(ids, steps);
        let is_free = |own: &&Arc<Place>| is_one(own) && !own.taken.swap(true, Ordering::AcqRel);
        places.iter().find(is_free).cloned()
    }

    fn keep(&self, place: &Arc<Place>) {
        let mut places = lock(&self.0);
        places.push(Arc::clone(place));
        let gone = (places.len() > MOST_PLACES).then(|| places.remove(0));
        drop(places);
        drop(gone);
    }
}

impl Gpu {
    /// Takes steps: submits them, and what is recorded `after` them.
    pub fn step(&self, steps: &Steps, places: &Arc<Places>, after: impl Fn(&mut wgpu::CommandEncoder)) -> Result<()> {
        let place = self.place_of(steps, places)?;
        // On one queue, what is written for a later step is written after this one has run.
        let submitted = self.send(&place, after);
        place.free();
        submitted
    }

    fn send(&self, place: &Place, after: impl Fn(&mut wgpu::CommandEncoder)) -> Result<()> {
        let recorded = self.in_parts(&place.way, Waiting::Blocks, |encoder, part| {
            let is_last = part.end == place.ready.len();
            self.encode_steps(encoder, place.ready[part].iter(), None);
            if is_last {
                after(encoder);
            }
            Ok(())
        });
        block_on(recorded).map(|_| ())
    }

    /// Records steps into the caller's encoder.
    pub fn encode_step(
        &self,
        encoder: &mut wgpu::CommandEncoder,
        steps: &Steps,
        places: &Arc<Places>,
    ) -> Result<Arc<Recording>> {
        let place = self.place_of(steps, places)?;
        let tensors = || {
            steps
                .iter()
                .flat_map(|(_, tensors)| tensors.iter().map(|(_, tensor)| tensor))
        };
        let mut uses = Self::lent(tensors());
        uses.push(Box::new(Arc::clone(&place)) as Box<dyn Used>);
        let watch = self.watch(uses, tensors()).inspect_err(|_| place.free())?;
        let recording = Arc::clone(watch.recording());
        recording.free(&place.taken);
        self.guarded("recording", 0, || self.encode_steps(encoder, place.ready.iter(), None))?;
        watch.begin(encoder);
        Ok(recording)
    }

    /// A place for steps that nobody else has, with their numbers in it.
    fn place_of(&self, steps: &Steps, places: &Arc<Places>) -> Result<Arc<Place>> {
        let named = steps.iter().flat_map(|(_, tensors)| tensors);
        self.expect_alive(named.map(|(role, tensor)| (role.name(), tensor)))?;
        let tensors = || {
            steps
                .iter()
                .flat_map(|(_, tensors)| tensors.iter().map(|(_, tensor)| tensor))
        };
        let memories: Vec<&Memory> = tensors().filter_map(Tensor::memory).collect();
        let ids: Vec<u64> = memories.iter().map(|memory| memory.id()).collect();
        let limit = self.paced_limits().max_dispatch_bytes;
        let again = || self.hear().then(|| places.take(&ids, steps, limit)).flatten();
        let place = match places.take(&ids, steps, limit).or_else(again) {
            Some(place) => place,
            None => {
                let place = Arc::new(self.make_place(steps, ids)?);
                places.keep(&place);
                memories.iter().for_each(|memory| memory.watch(places));
                place
            }
        };
        let (bytes, _) = self.uniforms(steps.iter().flat_map(|(plan, _)| &plan.steps));
        let written = self.guarded("params", 0, || self.queue.write_buffer(&place.params, 0, &bytes));
        written.inspect_err(|_| place.free())?;
        for (plan, tensors) in steps {
            let bindings = plan
                .dispatches()
                .flat_map(|own| &own.bindings)
                .filter(|own| own.written && matches!(own.source, Origin::Tensor(_)));
            for binding in bindings {
                memory_of(binding.source, tensors, &[])?.touch();
            }
        }
        Ok(place)
    }

    fn make_place(&self, steps: &Steps, ids: Vec<u64>) -> Result<Place> {
        let (bytes, offsets) = self.uniforms(steps.iter().flat_map(|(plan, _)| &plan.steps));
        let usage = wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST;
        let params = self.buffer("wgloss step", bytes.len() as u64, usage)?;
        let mut offsets = offsets.into_iter();
        let (mut ready, mut dispatches) = (Vec::new(), Vec::new());
        self.guarded("recording", 0, || {
            for (plan, tensors) in steps {
                let scratch = self.exact_scratch(plan)?;
                for dispatch in plan.dispatches() {
                    let pipeline = self.pipeline(&dispatch.variant)?;
                    let at = (&params, offsets.next().unwrap_or_default());
                    ready.push(self.ready_dispatch(dispatch, &pipeline, at, tensors, &scratch)?);
                    dispatches.push(dispatch.clone());
                }
            }
            Ok(())
        })??;
        let bytes = steps.iter().flat_map(|(plan, _)| &plan.steps).map(Step::bytes);
        Ok(Place {
            way: Way::new(bytes.collect(), self.paced_limits().max_dispatch_bytes),
            ids,
            dispatches,
            params,
            ready,
            taken: Arc::new(AtomicBool::new(true)),
        })
    }
}
