//! What was recorded into a caller's command encoder, from then until it is known whether that was submitted.

use std::fmt::Debug;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use super::lock;

/// What became of a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Its encoder, or the command buffer made of it, is still the caller's.
    Recorded,
    Submitted,
    /// Its encoder or command buffer was dropped, or submitted without what its operands come from: its results were
    /// not computed, and will not be.
    Dropped,
}

/// Anything that a recording uses.
pub(crate) trait Used: Debug + Send + Sync {}

impl<T: Debug + Send + Sync> Used for T {}

/// A recording, shared by all that has to know what became of it.
#[derive(Debug)]
pub(crate) struct Recording(Mutex<Inner>);

#[derive(Debug)]
struct Inner {
    fate: Fate,
    /// What no other call may have while the recording may still be submitted.
    uses: Vec<Box<dyn Used>>,
    /// Of memory that nobody but the recording has any more.
    taken: Vec<Arc<AtomicBool>>,
    /// A buffer that is mapped once it was submitted, until the fate is settled.
    marker: Option<wgpu::Buffer>,
    /// Recordings whose results it takes: where they are not submitted before it, it computes with what is not there.
    needs: Vec<Arc<Recording>>,
}

impl Inner {
    /// What it comes to, now that it was submitted.
    fn submitted(&self) -> Fate {
        match self.needs.iter().all(|own| own.fate() == Fate::Submitted) {
            true => Fate::Submitted,
            false => Fate::Dropped,
        }
    }
}

impl Recording {
    pub fn new(uses: Vec<Box<dyn Used>>, needs: Vec<Arc<Self>>, marker: Option<wgpu::Buffer>) -> Self {
        Self(Mutex::new(Inner {
            fate: Fate::Recorded,
            uses,
            taken: Vec::new(),
            marker,
            needs,
        }))
    }

    /// As far as the device has told, which it does when it is polled: whoever polls hears of the mapping a little
    /// later than it is there, maybe in another thread.
    pub fn fate(&self) -> Fate {
        let inner = lock(&self.0);
        let is_mapped = |marker: &wgpu::Buffer| marker.get_mapped_range(..).is_ok();
        match &inner.marker {
            // Under the lock: it is not unmapped meanwhile.
            Some(marker) if inner.fate == Fate::Recorded && is_mapped(marker) => inner.submitted(),
            _ => inner.fate,
        }
    }

    /// Learns what became of it. What is submitted later runs later: so its memory is free from now on.
    pub fn settle(&self, fate: Fate) {
        let mut inner = lock(&self.0);
        inner.fate = match fate {
            Fate::Submitted => inner.submitted(),
            other => other,
        };
        (inner.marker, inner.needs) = (None, Vec::new());
        let (uses, taken) = (std::mem::take(&mut inner.uses), std::mem::take(&mut inner.taken));
        drop(inner);
        for taken in taken {
            taken.store(false, Ordering::Release);
        }
        // Not under the lock: it may be the last handle of memory, whose end others hear of.
        drop(uses);
    }

    /// It uses this, too.
    pub fn hold(&self, used: Box<dyn Used>) {
        let mut inner = lock(&self.0);
        if inner.fate == Fate::Recorded {
            inner.uses.push(used);
        }
    }

    /// Frees memory that nobody else has, as soon as it can.
    pub fn free(&self, taken: &Arc<AtomicBool>) {
        let mut inner = lock(&self.0);
        match inner.fate {
            Fate::Recorded => inner.taken.push(Arc::clone(taken)),
            Fate::Submitted | Fate::Dropped => taken.store(false, Ordering::Release),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_free_once_the_fate_is_known() {
        for fate in [Fate::Submitted, Fate::Dropped] {
            let used = Arc::new(());
            let recording = Recording::new(vec![Box::new(Arc::clone(&used))], Vec::new(), None);
            let (before, after) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicBool::new(true)));
            recording.free(&before);
            assert!(before.load(Ordering::Acquire));
            assert_eq!((recording.fate(), Arc::strong_count(&used)), (Fate::Recorded, 2));
            recording.settle(fate);
            recording.free(&after);
            assert!(!before.load(Ordering::Acquire) && !after.load(Ordering::Acquire));
            assert_eq!((recording.fate(), Arc::strong_count(&used)), (fate, 1));
        }
    }

    #[test]
    fn what_takes_results_that_are_not_there_is_void() {
        let made = |needs: Vec<Arc<Recording>>| Arc::new(Recording::new(Vec::new(), needs, None));
        for (before, after) in [
            (Fate::Submitted, Fate::Submitted),
            (Fate::Dropped, Fate::Dropped),
            (Fate::Recorded, Fate::Dropped), // too late
        ] {
            let first = made(Vec::new());
            let second = made(vec![Arc::clone(&first)]);
            first.settle(before);
            second.settle(Fate::Submitted);
            first.settle(Fate::Submitted);
            assert_eq!(second.fate(), after);
        }
    }
}
