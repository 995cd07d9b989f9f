//! What an optimizer remembers of a parameter, and what a step takes.

use std::sync::Arc;

use crate::dtype::Dtype;
use crate::engine::Engine;
use crate::error::Result;
use crate::gpu::Places;
use crate::memory::{Fate, Recording};
use crate::tensor::Tensor;
use crate::update::Gating;
use crate::words::Role;

/// What an optimizer remembers of one parameter: nothing before its first step. A clone shares the memory, which on a
/// device the next step of either updates.
#[derive(Clone, Debug, Default)]
pub struct State {
    /// Steps taken, but for those of `recorded`.
    step: u64,
    tensors: Vec<(Role, Tensor)>,
    /// Steps that may be yet to be submitted.
    recorded: Vec<Recorded>,
    /// What is bound to the tensors of steps.
    places: Arc<Places>,
    /// The count of steps on a device, which skips some of them: two words, read and written in turns.
    count: Option<Count>,
}

/// A count on a device.
#[derive(Clone, Debug)]
struct Count {
    words: Tensor,
    /// The count with which the state begins; all ones where it was there before.
    first: u32,
    /// No step was taken with it.
    is_new: bool,
}

/// A step that was recorded into a caller's encoder.
#[derive(Clone, Debug)]
struct Recorded {
    recording: Arc<Recording>,
    /// The tensors that it was the first to write.
    made: Vec<Role>,
}

impl Recorded {
    fn is_dropped(&self) -> bool {
        self.recording.fate() == Fate::Dropped
    }
}

impl State {
    /// The most steps that there can be: PyTorch's files, and ours, count in i64.
    pub const MAX_STEP: u64 = i64::MAX as u64;

    /// A state after so many steps, whose tensors are yet to be attached.
    pub fn after(step: u64) -> Self {
        Self {
            step,
            ..Self::default()
        }
    }

    /// Steps taken, up to [`State::MAX_STEP`]: those that were submitted or are recorded in an encoder that may still
    /// be, not those whose encoder was dropped. Of a [`GradScaler`](super::GradScaler) on a device, which skips steps,
    /// those that were tried: see [`State::taken`].
    pub fn step(&self) -> u64 {
        self.step + self.recorded.iter().filter(|own| !own.is_dropped()).count() as u64
    }

    /// Steps that were taken and not skipped, which on a device waits for them.
    ///
    /// # Errors
    /// [`Error::NotSubmitted`](crate::Error::NotSubmitted) and [`Error::Device`](crate::Error::Device).
    pub fn taken(&self, engine: &Engine) -> Result<u64> {
        let Some(count) = &self.count else {
            return Ok(self.step());
        };
        let words = count.words.read::<u32>(engine)?;
        Ok(words.get(self.turn() as usize).copied().unwrap_or_default().into())
    }

    /// A device counts its steps.
    pub(super) fn is_counted(&self) -> bool {
        self.count.is_some()
    }

    /// State that is missing may be made: SGD's buffer begins whenever it is asked for first.
    pub(super) fn may_begin(&self) -> bool {
        self.count.as_ref().is_none_or(|own| own.is_new)
    }

    /// Recorded steps may yet be dropped, so that nobody knows the count.
    pub(super) fn is_pending(&self) -> bool {
        !self.recorded.is_empty()
    }

    pub(super) fn count(&self) -> Option<&Tensor> {
        self.count.as_ref().map(|own| &own.words)
    }

    /// Has a device count from the steps that there were.
    pub(super) fn count_by(&mut self, words: Tensor, steps: u32) {
        self.count = Some(Count {
            words,
            first: if self.tensors.is_empty() { steps } else { u32::MAX },
            is_new: true,
        });
    }

    /// No step was taken with the count.
    pub(super) fn forget_new_count(&mut self) {
        self.count.take_if(|own| own.is_new);
    }

    /// The word of the count that holds it.
    fn turn(&self) -> u32 {
        (self.step() % 2) as u32
    }

    pub(super) fn gating(&self) -> Gating {
        match &self.count {
            Some(own) => Gating::Counted {
                turn: self.turn(),
                first: own.first,
            },
            None => Gating::Open,
        }
    }

    /// The tensors that there are, under PyTorch's names; on the device of an engine that has one.
    pub fn tensors(&self) -> &[(Role, Tensor)] {
        &self.tensors
    }

    pub fn get(&self, role: Role) -> Option<&Tensor> {
        let is_void = |own: &Recorded| own.made.contains(&role) && own.is_dropped();
        if self.recorded.iter().any(is_void) {
            return None;
        }
        self.tensors
            .iter()
            .find(|(own, _)| *own == role)
            .map(|(_, tensor)| tensor)
    }

    /// Gives a tensor, in place of one of the same role: a step on a device writes over it, where it lies there. One of
    /// f16 or bf16 on the host becomes f32, which holds the same numbers.
    pub fn attach(&mut self, role: Role, tensor: Tensor) {
        let wide = if tensor.dtype().is_half() {
            tensor.to_dtype(Dtype::F32).ok()
        } else {
            None
        };
        let tensor = wide.unwrap_or(tensor); // what stays is refused by the step
        self.tensors.retain(|(own, _)| *own != role);
        self.tensors.push((role, tensor));
        for recorded in &mut self.recorded {
            recorded.made.retain(|own| *own != role);
        }
    }

    pub(super) fn places(&self) -> &Arc<Places> {
        &self.places
    }

    /// Forgets the recordings whose fate is known: steps that were submitted count for good; of those that were not
    /// nothing stays, neither tensors that they would have been the first to write nor their claim on others.
    pub(super) fn settle(&mut self) {
        let known: Vec<Recorded> = self
            .recorded
            .extract_if(.., |own| own.recording.fate() != Fate::Recorded)
            .collect();
        for own in known {
            if own.recording.fate() == Fate::Submitted {
                self.step += 1;
                continue;
            }
            self.tensors.retain(|(role, _)| !own.made.contains(role));
            self.count.take_if(|_| own.made.contains(&Role::Count));
            let states = self.tensors.iter_mut().map(|(_, tensor)| tensor);
            for tensor in states.chain(self.count.as_mut().map(|own| &mut own.words)) {
                *tensor = tensor.without_recording(&own.recording);
            }
        }
    }
}

/// A parameter with what a step of it takes.
#[derive(Debug)]
pub struct Parameter<'a> {
    /// Where the new one takes the place of the old: on a device the same memory.
    pub tensor: &'a mut Tensor,
    pub grad: &'a Tensor,
    pub state: &'a mut State,
}

impl<'a> Parameter<'a> {
    pub fn new(tensor: &'a mut Tensor, grad: &'a Tensor, state: &'a mut State) -> Self {
        Self { tensor, grad, state }
    }

    /// Keeps what a step has left: the tensors that it named.
    pub(super) fn commit(&mut self, tensors: Vec<(Role, Tensor)>, recording: Option<&Arc<Recording>>) {
        let state = &mut *self.state;
        let is_new = |role: &Role| state.tensors.iter().all(|(own, _)| own != role);
        let states = tensors
            .iter()
            .map(|(role, _)| *role)
            .filter(|role| !matches!(role, Role::Param | Role::Grad(_) | Role::Gate | Role::Count));
        let mut made: Vec<Role> = states.filter(is_new).collect();
        if let Some(count) = &mut state.count {
            made.extend(count.is_new.then_some(Role::Count));
            count.is_new = false;
        }
        for (role, tensor) in tensors {
            let tensor = match recording {
                Some(recording) => tensor.recorded(recording),
                None => tensor,
            };
            match role {
                Role::Param => *self.tensor = tensor,
                Role::Grad(_) | Role::Gate => {}
                Role::Count => state.count.iter_mut().for_each(|own| own.words = tensor.clone()),
                _ => state.attach(role, tensor),
            }
        }
        match recording {
            Some(recording) => state.recorded.push(Recorded {
                recording: Arc::clone(recording),
                made,
            }),
            None => state.step += 1,
        }
    }
}
