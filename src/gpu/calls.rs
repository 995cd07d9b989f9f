//! Calls like earlier ones: found again by all that decides how they are computed, and not planned again.
//!
//! What a plan follows from is written out and compared in full. Bind groups are found by the numbers of the tensors'
//! memory, which no two memories of a process share, and go when the memory does. Results up to 64 KiB, and their
//! copies for the host, lie in memory that is lent (`memory/loan`): to one output at a time, until its last tensor is
//! dropped, and never again once somebody had its raw buffer. Larger ones lie in buffers that come back in the same
//! way, whatever call they are lent to next (`memory/returned`). What a caller's encoder has recorded keeps all of
//! that, and operands that are lent, until it was submitted or dropped (`recorded`). Calls in one command buffer share
//! scratch, which each writes before it reads; those in several have their own. What is kept is bounded in number and
//! bytes, and goes where memory is short (`Engine::release`).

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use super::call::{Bound, Prepared};
use crate::call::{Key, Place};
use crate::memory::{Watcher, lock};

/// The calls that an engine remembers.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    kept: Mutex<HashMap<Box<[u8]>, Entry>>,
    /// Counts uses, to tell which was the last.
    clock: AtomicU64,
}

#[derive(Debug)]
struct Entry {
    prepared: Arc<Prepared>,
    /// The same call on different tensors, or while earlier results are held; the latest last.
    bound: Vec<Arc<Bound>>,
    used: u64,
}

/// What is remembered goes, the longest unused first, beyond so many calls, ...
const MOST_CALLS: usize = 256;
/// ... so many sets of tensors for each, ...
const MOST_BOUND: usize = 8;
/// ... or so many bytes of our own that those hold, in all.
const MOST_BYTES: u64 = 256 << 20;

/// What is no longer remembered, dropped by the caller once nothing is locked: it may be the last handle of memory,
/// whose end is heard here.
type Gone = (Option<Arc<Prepared>>, Vec<Arc<Bound>>);

impl Calls {
    /// A call like this one, as far as it holds under a limit of bytes; and, bound to this memory, one that nobody
    /// uses, which then is the caller's.
    pub fn find<'a>(
        &self,
        key: &Key,
        limit: u64,
        places: impl Iterator<Item = Option<Place>> + Clone + 'a,
    ) -> (Option<Arc<Prepared>>, Option<Arc<Bound>>) {
        let mut kept = lock(&self.kept);
        let Some(entry) = kept.get_mut(key.bytes()).filter(|entry| entry.prepared.holds(limit)) else {
            return (None, None);
        };
        entry.used = self.clock.fetch_add(1, Ordering::Relaxed);
        let bound = entry
            .bound
            .iter()
            .rev()
            .find(|own| own.fits(places.clone()) && own.take());
        (Some(Arc::clone(&entry.prepared)), bound.cloned())
    }

    /// Remembers a call, in place of one that no longer holds.
    pub fn keep(&self, key: &Key, prepared: &Arc<Prepared>) {
        let mut gone: Vec<Gone> = Vec::new();
        let mut kept = lock(&self.kept);
        let entry = Entry {
            prepared: Arc::clone(prepared),
            bound: Vec::new(),
            used: self.clock.fetch_add(1, Ordering::Relaxed),
        };
        let before = kept.insert(key.bytes().into(), entry);
        gone.extend(before.map(|entry| (Some(entry.prepared), entry.bound)));
        while kept.len() > MOST_CALLS {
            gone.extend(remove_oldest(&mut kept, prepared));
        }
        drop(kept);
    }

    /// Remembers what a call is bound to, as long as the call itself is.
    pub fn keep_bound(&self, key: &Key, prepared: &Arc<Prepared>, bound: &Arc<Bound>) {
        let mut gone: Vec<Gone> = Vec::new();
        let mut kept = lock(&self.kept);
        if let Some(entry) = kept.get_mut(key.bytes())
            && Arc::ptr_eq(&entry.prepared, prepared)
        {
            entry.bound.push(Arc::clone(bound));
            if entry.bound.len() > MOST_BOUND {
                gone.push((None, vec![entry.bound.remove(0)]));
            }
            let bytes = |kept: &HashMap<_, Entry>| -> u64 {
                let all = kept.values().flat_map(|entry: &Entry| &entry.bound);
                all.map(|own| own.bytes).sum()
            };
            // The one just made stays, however large: the next call is like it.
            while bytes(&kept) > MOST_BYTES {
                let oldest = remove_oldest(&mut kept, prepared).or_else(|| {
                    let own = &mut kept.get_mut(key.bytes())?.bound;
                    (own.len() > 1).then(|| (None, vec![own.remove(0)]))
                });
                let Some(oldest) = oldest else { break };
                gone.push(oldest);
            }
        }
        drop(kept);
    }

    /// Lets go of all memory; plans stay.
    pub fn unbind(&self) {
        let mut gone = Vec::new();
        for entry in lock(&self.kept).values_mut() {
            gone.append(&mut entry.bound);
        }
    }

    /// Forgets everything.
    pub fn clear(&self) {
        let gone = std::mem::take(&mut *lock(&self.kept));
        drop(gone);
    }
}

impl Watcher for Calls {
    /// Lets go of whatever is bound to a memory that is no more, and of what is bound to the results of that: one after
    /// the other, where each drop calling the next would take as much stack as the chain is long.
    fn forget(&self, id: u64) {
        let (mut ended, mut gone) = (vec![id], Vec::new());
        let mut kept = lock(&self.kept);
        while let Some(id) = ended.pop() {
            for entry in kept.values_mut() {
                for own in entry
                    .bound
                    .extract_if(.., |own| own.places.iter().any(|own| own.memory == id))
                {
                    ended.extend(own.result_ids());
                    gone.push(own);
                }
            }
        }
        drop(kept);
    }
}

fn remove_oldest(kept: &mut HashMap<Box<[u8]>, Entry>, but: &Arc<Prepared>) -> Option<Gone> {
    let others = kept.iter().filter(|(_, entry)| !Arc::ptr_eq(but, &entry.prepared));
    let oldest = others.min_by_key(|(_, entry)| entry.used)?.0.clone();
    kept.remove(&oldest).map(|entry| (Some(entry.prepared), entry.bound))
}
