//! Bytes on a device that somebody holds, and the most of them at a time.

use std::sync::atomic::{AtomicU64, Ordering};

#[derive(Debug, Default)]
pub(crate) struct Gauge {
    live: AtomicU64,
    peak: AtomicU64,
}

impl Gauge {
    pub fn add(&self, bytes: u64) {
        let live = self.live.fetch_add(bytes, Ordering::AcqRel) + bytes;
        self.peak.fetch_max(live, Ordering::AcqRel);
    }

    /// Bytes that are about to be let go of, which nobody holds any more.
    pub fn restore(&self, bytes: u64) {
        self.live.fetch_add(bytes, Ordering::AcqRel);
    }

    pub fn sub(&self, bytes: u64) {
        self.live.fetch_sub(bytes, Ordering::AcqRel);
    }

    pub fn live(&self) -> u64 {
        self.live.load(Ordering::Acquire)
    }

    pub fn peak(&self) -> u64 {
        self.peak.load(Ordering::Acquire)
    }

    /// The most from now on.
    pub fn forget_peak(&self) {
        self.peak.store(self.live(), Ordering::Release);
    }
}
