//! Memory for what a call has between its dispatches.
//!
//! A call writes its scratch before it reads it. So the calls whose dispatches are all in one command buffer, which the
//! device does not interrupt with another, share theirs, recorded and submitted in whatever order and from whatever
//! thread. A call in several submissions, between which others may come, has scratch for itself: until all is
//! submitted, for what is submitted later runs later.

use std::sync::{Arc, Mutex};

use super::Gpu;
use crate::error::Result;
use crate::memory::{Memory, lock};
use crate::plan::Plan;

#[derive(Debug, Default)]
pub(crate) struct Pool {
    /// By its place in a plan, each as large as the largest call so far wanted it.
    shared: Mutex<Vec<Memory>>,
    /// What calls in several submissions left behind, the latest last.
    free: Mutex<Vec<Memory>>,
}

/// Bytes that wait for the next call in several submissions, at most.
const MOST_FREE_BYTES: u64 = 256 << 20;
const MOST_FREE: usize = 16;
/// Larger scratch is made for its call alone. That of tiles is far smaller; that of gradients to be added up may not
/// be.
const MOST_SHARED_BYTES: u64 = 64 << 20;

impl Pool {
    /// Lets go of all.
    pub fn clear(&self) {
        let gone = (
            std::mem::take(&mut *lock(&self.shared)),
            std::mem::take(&mut *lock(&self.free)),
        );
        gone.1.iter().for_each(Memory::set_gone);
        drop(gone);
    }

    /// The smallest that is large enough and not much too large.
    fn take(&self, bytes: u64) -> Option<Memory> {
        let mut free = lock(&self.free);
        let fits = |own: &(usize, &Memory)| (bytes..=2 * bytes).contains(&own.1.bytes());
        let (nth, _) = free
            .iter()
            .enumerate()
            .filter(fits)
            .min_by_key(|(_, own)| own.bytes())?;
        let taken = free.remove(nth);
        taken.set_lent();
        Some(taken)
    }

    /// Bytes of scratch that waits.
    pub fn idle_bytes(&self) -> u64 {
        lock(&self.free).iter().map(Memory::bytes).sum()
    }

    fn give(&self, memory: Vec<Memory>) {
        memory.iter().for_each(|own| own.set_idle());
        let mut free = lock(&self.free);
        free.extend(memory);
        let mut gone = Vec::new();
        while free.len() > MOST_FREE || free.iter().map(Memory::bytes).sum::<u64>() > MOST_FREE_BYTES {
            gone.push(free.remove(0));
        }
        drop(free);
        gone.iter().for_each(Memory::set_gone);
    }
}

/// Scratch that nobody else has.
#[derive(Debug)]
pub(crate) struct Own {
    memory: Vec<Memory>,
    pool: Arc<Pool>,
}

impl Drop for Own {
    fn drop(&mut self) {
        self.pool.give(std::mem::take(&mut self.memory));
    }
}

/// The scratch of a call.
#[derive(Debug)]
pub(crate) enum Scratch {
    Shared(Vec<Memory>),
    Own(Own),
}

impl Scratch {
    pub fn memory(&self) -> &[Memory] {
        match self {
            Self::Shared(memory) | Self::Own(Own { memory, .. }) => memory,
        }
    }

    /// Bytes that it keeps from others.
    pub fn own_bytes(&self) -> u64 {
        match self {
            Self::Shared(_) => 0,
            Self::Own(own) => own.memory.iter().map(Memory::bytes).sum(),
        }
    }
}

/// Sizes in steps of an eighth, so that calls of about the same size want the same.
fn rounded(bytes: u64) -> u64 {
    let step = (bytes.next_power_of_two() / 8).clamp(4096, 1 << 20);
    bytes.next_multiple_of(step)
}

impl Gpu {
    /// Scratch of a plan whose steps are recorded into one command buffer.
    pub fn shared_scratch(&self, plan: &Plan) -> Result<Scratch> {
        let mut list = Vec::with_capacity(plan.scratch.len());
        for (nth, &bytes) in plan.scratch.iter().enumerate() {
            if bytes > MOST_SHARED_BYTES {
                list.push(self.memory("wgloss scratch", bytes, None)?);
                continue;
            }
            let held = lock(&self.pool.shared).get(nth).cloned();
            if let Some(held) = held.filter(|held| held.bytes() >= bytes) {
                list.push(held);
                continue;
            }
            // Not under the lock: where the device's memory is short, this lets go of the pool.
            let made = self.memory("wgloss scratch", rounded(bytes), None)?;
            let mut shared = lock(&self.pool.shared);
            let len = shared.len();
            match shared.get_mut(nth) {
                Some(own) if own.bytes() < made.bytes() => *own = made.clone(),
                None if len == nth => shared.push(made.clone()),
                _ => {} // another thread's is larger, or the pool was let go of
            }
            drop(shared);
            // What holds the smaller one lets it go.
            self.calls.unbind();
            list.push(made);
        }
        Ok(Scratch::Shared(list))
    }

    /// Scratch of a plan, of just the bytes that it takes: for who counts them.
    pub fn exact_scratch(&self, plan: &Plan) -> Result<Vec<Memory>> {
        let memory = |&bytes| self.memory("wgloss scratch", bytes, None);
        plan.scratch.iter().map(memory).collect()
    }

    /// Scratch of a plan that is submitted in parts.
    pub fn own_scratch(&self, plan: &Plan) -> Result<Scratch> {
        let mut own = Own {
            memory: Vec::with_capacity(plan.scratch.len()),
            pool: Arc::clone(&self.pool),
        };
        for &bytes in &plan.scratch {
            let bytes = rounded(bytes);
            own.memory.push(match self.pool.take(bytes) {
                Some(memory) => memory,
                None => self.memory("wgloss scratch", bytes, None)?,
            });
        }
        Ok(Scratch::Own(own))
    }
}
