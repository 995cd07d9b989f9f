//! Large results lie in buffers that are used again: wgpu clears what is new, which takes as long as writing it. A
//! buffer is given back by the last handle of its memory, and lent to the next result of just its size. Whoever holds a
//! tensor, or what was recorded of it in a caller's encoder, holds the memory; what somebody had the raw buffer of
//! never comes back. What uses it was submitted before, and whatever comes is submitted later, on the one queue.

use std::sync::Mutex;

use super::lock;

/// Buffers that are kept at most: where sizes always differ, none is asked for again, and each costs a look.
const MOST_BUFFERS: usize = 64;

/// Buffers that nobody holds.
#[derive(Debug)]
pub(crate) struct Returned(Mutex<Free>);

#[derive(Debug)]
struct Free {
    /// The latest last.
    buffers: Vec<wgpu::Buffer>,
    /// Bytes that they may have in all.
    most: u64,
}

impl Free {
    /// The oldest that are too many.
    fn beyond(&mut self) -> Vec<wgpu::Buffer> {
        let mut bytes: u64 = self.buffers.iter().map(wgpu::Buffer::size).sum();
        let mut left = self.buffers.len();
        let is_beyond = |own: &&wgpu::Buffer| {
            let beyond = bytes > self.most || left > MOST_BUFFERS;
            if beyond {
                bytes -= own.size();
                left -= 1;
            }
            beyond
        };
        let count = self.buffers.iter().take_while(is_beyond).count();
        self.buffers.drain(..count).collect()
    }
}

impl Returned {
    /// Keeps so many bytes at most.
    pub fn new(most: u64) -> Self {
        let buffers = Vec::new();
        Self(Mutex::new(Free { buffers, most }))
    }

    pub fn most(&self) -> u64 {
        lock(&self.0).most
    }

    pub fn set_most(&self, most: u64) {
        let mut free = lock(&self.0);
        free.most = most;
        let gone = free.beyond();
        drop(free);
        drop(gone);
    }

    /// Bytes that it keeps.
    pub fn bytes(&self) -> u64 {
        lock(&self.0).buffers.iter().map(wgpu::Buffer::size).sum()
    }

    /// The latest of just this size.
    pub fn take(&self, size: u64) -> Option<wgpu::Buffer> {
        let mut free = lock(&self.0);
        let place = free.buffers.iter().rposition(|own| own.size() == size)?;
        Some(free.buffers.remove(place))
    }

    pub fn give(&self, buffers: impl IntoIterator<Item = wgpu::Buffer>) {
        let mut free = lock(&self.0);
        free.buffers.extend(buffers);
        let gone = free.beyond();
        drop(free);
        drop(gone);
    }

    /// Lets go of all.
    pub fn clear(&self) {
        let gone = std::mem::take(&mut lock(&self.0).buffers);
        drop(gone);
    }
}
