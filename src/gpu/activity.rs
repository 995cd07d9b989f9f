//! What an engine has made and submitted on its device, counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::memory::Gauge;

/// What an engine has made and submitted on its device since it was opened: what two of these differ by shows whether
/// calls settle down to reuse.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Activity {
    /// Pipelines compiled.
    pub pipelines: u64,
    /// Calls planned. One like an earlier one is not planned again.
    pub plans: u64,
    /// Buffers made.
    pub buffers: u64,
    /// Bytes of those buffers.
    pub bytes: u64,
    /// Bytes of large results that lie where earlier ones did: no buffer was made for them, and none cleared.
    pub lent: u64,
    pub bind_groups: u64,
    /// Dispatches recorded.
    pub dispatches: u64,
    /// Bytes copied before and after dispatches that cannot bind their tensors where they lie: those that reach over
    /// the end of a buffer, and those whose bindings would meet in a buffer that is written to.
    pub copied: u64,
    /// Submissions, those of reading results back among them.
    pub submissions: u64,
    /// Bytes of tensors and scratch that somebody holds now.
    pub live: u64,
    /// The most of them at a time, since the engine was opened or [`Engine::forget_peak`](crate::Engine::forget_peak).
    pub peak: u64,
    /// Bytes that nobody holds, kept for results and scratch to come: [`Engine::release`](crate::Engine::release) lets
    /// them go.
    pub idle: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub pipelines: AtomicU64,
    pub plans: AtomicU64,
    pub buffers: AtomicU64,
    pub bytes: AtomicU64,
    pub lent: AtomicU64,
    pub bind_groups: AtomicU64,
    pub dispatches: AtomicU64,
    pub copied: AtomicU64,
    pub submissions: AtomicU64,
    pub gauge: Arc<Gauge>,
}

pub(crate) fn count(counter: &AtomicU64, more: u64) {
    counter.fetch_add(more, Ordering::Relaxed);
}

impl Counters {
    /// Beside so many bytes that are kept.
    pub fn read(&self, idle: u64) -> Activity {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Activity {
            pipelines: of(&self.pipelines),
            plans: of(&self.plans),
            buffers: of(&self.buffers),
            bytes: of(&self.bytes),
            lent: of(&self.lent),
            bind_groups: of(&self.bind_groups),
            dispatches: of(&self.dispatches),
            copied: of(&self.copied),
            submissions: of(&self.submissions),
            live: self.gauge.live(),
            peak: self.gauge.peak(),
            idle,
        }
    }
}
