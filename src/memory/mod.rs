//! The memory of a tensor on a device: one buffer, or several where one may not be so large. Plans prefer windows
//! within one buffer; a window that has to reach over an end is brought together in a buffer of its own before its
//! dispatch and taken back after it.

mod gauge;
mod loan;
mod recording;
mod returned;

use std::fmt::Debug;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

pub(crate) use gauge::Gauge;
pub(crate) use loan::{Loan, Reading};
pub(crate) use recording::{Fate, Recording, Used};
pub(crate) use returned::Returned;

/// A lock that a panic elsewhere does not take away: what it guards is whole between any two statements.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Who keeps something for a memory, and lets it go when that ends.
pub(crate) trait Watcher: Debug + Send + Sync {
    /// The memory of this number is no more.
    fn forget(&self, id: u64);
}

/// Bytes in a row of buffers, all but the last of which are `span` bytes long. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct Memory {
    shared: Arc<Shared>,
    /// Bytes of the buffer that come before it.
    base: u64,
    /// Of a result in memory that is used again: by whom it is lent.
    loan: Option<Arc<Loan>>,
    /// Where its copy begins in what the loan brings to the host.
    staged_at: u64,
    /// Of a result that a call recorded into the caller's encoder.
    recording: Option<Arc<Recording>>,
}

#[derive(Debug)]
struct Shared {
    /// Whose the buffers are.
    device: wgpu::Device,
    parts: Vec<wgpu::Buffer>,
    span: u64,
    /// Where the buffers go when nobody holds them any more.
    home: Option<Weak<Returned>>,
    /// What counts them as long as somebody does.
    gauge: Option<Arc<Gauge>>,
    /// Somebody has a buffer itself, and may use it at any time.
    is_exposed: AtomicBool,
    /// The buffer is the user's, who may destroy it.
    is_foreign: bool,
    /// No other memory of the process has, or had, this number.
    id: u64,
    /// Those who hold bind groups of it, and let them go with it.
    watchers: Mutex<Vec<Weak<dyn Watcher>>>,
}

impl Drop for Shared {
    fn drop(&mut self) {
        for watcher in lock(&self.watchers).drain(..).filter_map(|own| own.upgrade()) {
            watcher.forget(self.id);
        }
        if let Some(gauge) = &self.gauge {
            gauge.sub(self.parts.iter().map(wgpu::Buffer::size).sum());
        }
        // Of an engine that is gone they are nobody's.
        let home = self.home.as_ref().and_then(Weak::upgrade);
        if let Some(home) = home.filter(|_| !self.is_exposed.load(Ordering::Acquire)) {
            home.give(self.parts.drain(..));
        }
    }
}

/// A run of bytes within one buffer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Run<'a> {
    pub buffer: &'a wgpu::Buffer,
    pub offset: u64,
    pub size: u64,
}

impl Memory {
    /// Buffers of a device, of `span` bytes each but for the last.
    pub fn of(device: &wgpu::Device, parts: Vec<wgpu::Buffer>, span: u64) -> Self {
        Self::with(device, parts, span, false, None, None)
    }

    /// The same, which a gauge counts.
    pub fn counted(gauge: &Arc<Gauge>, device: &wgpu::Device, parts: Vec<wgpu::Buffer>, span: u64) -> Self {
        Self::with(device, parts, span, false, None, Some(gauge))
    }

    /// The same, which come back to where they are from.
    pub fn lent_by(
        home: &Arc<Returned>,
        gauge: &Arc<Gauge>,
        device: &wgpu::Device,
        parts: Vec<wgpu::Buffer>,
        span: u64,
    ) -> Self {
        Self::with(device, parts, span, false, Some(Arc::downgrade(home)), Some(gauge))
    }

    /// A buffer of the user's.
    pub fn foreign(device: &wgpu::Device, buffer: wgpu::Buffer) -> Self {
        Self::with(device, vec![buffer], u64::MAX, true, None, None)
    }

    fn with(
        device: &wgpu::Device,
        parts: Vec<wgpu::Buffer>,
        span: u64,
        is_foreign: bool,
        home: Option<Weak<Returned>>,
        gauge: Option<&Arc<Gauge>>,
    ) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        if let Some(gauge) = gauge {
            gauge.add(parts.iter().map(wgpu::Buffer::size).sum());
        }
        let shared = Shared {
            device: device.clone(),
            parts,
            span,
            home,
            gauge: gauge.cloned(),
            is_exposed: AtomicBool::new(false),
            is_foreign,
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            watchers: Mutex::default(),
        };
        Self {
            shared: Arc::new(shared),
            base: 0,
            loan: None,
            staged_at: 0,
            recording: None,
        }
    }

    pub fn parts(&self) -> &[wgpu::Buffer] {
        &self.shared.parts
    }

    /// It is of this device, as far as wgpu can tell: devices of two instances may be equal.
    pub fn is_of(&self, device: &wgpu::Device) -> bool {
        self.shared.device == *device
    }

    pub fn is_foreign(&self) -> bool {
        self.shared.is_foreign
    }

    pub fn id(&self) -> u64 {
        self.shared.id
    }

    pub fn bytes(&self) -> u64 {
        self.parts().iter().map(wgpu::Buffer::size).sum()
    }

    /// Nobody holds it, till the next call that it is lent to.
    pub fn set_idle(&self) {
        self.shared.gauge.iter().for_each(|gauge| gauge.sub(self.bytes()));
    }

    pub fn set_lent(&self) {
        self.shared.gauge.iter().for_each(|gauge| gauge.add(self.bytes()));
    }

    /// Idle memory that is let go of.
    pub fn set_gone(&self) {
        self.shared.gauge.iter().for_each(|gauge| gauge.restore(self.bytes()));
    }

    /// Tells a watcher when its last handle is dropped.
    pub fn watch<W: Watcher + 'static>(&self, watcher: &Arc<W>) {
        let mut watchers = lock(&self.shared.watchers);
        // By their addresses alone: a type may have several tables of methods.
        if !watchers
            .iter()
            .any(|own| std::ptr::addr_eq(own.as_ptr(), Arc::as_ptr(watcher)))
        {
            let own: Weak<W> = Arc::downgrade(watcher);
            watchers.push(own);
        }
    }

    /// The same, its copy for the host at a place of the loan's.
    pub fn staged(mut self, at: u64) -> Self {
        self.staged_at = at;
        self
    }

    /// The same but for its first bytes.
    pub fn behind(&self, bytes: u64) -> Self {
        Self {
            base: self.base + bytes,
            ..self.clone()
        }
    }

    /// The same, lent.
    pub fn lent(&self, loan: &Arc<Loan>) -> Self {
        Self {
            loan: Some(Arc::clone(loan)),
            ..self.clone()
        }
    }

    /// The same, as a result of a recording.
    pub fn recorded(&self, recording: &Arc<Recording>) -> Self {
        Self {
            recording: Some(Arc::clone(recording)),
            ..self.clone()
        }
    }

    /// The same, but for that recording.
    pub fn without_recording(&self, recording: &Arc<Recording>) -> Self {
        let mut own = self.clone();
        own.recording.take_if(|own| Arc::ptr_eq(own, recording));
        own
    }

    /// The recording whose result it is.
    pub fn recording(&self) -> Option<&Arc<Recording>> {
        self.recording.as_ref()
    }

    /// Another call may have it once its last handle is dropped.
    pub fn is_lent(&self) -> bool {
        self.loan.is_some() || self.shared.home.is_some()
    }

    /// Somebody holds its buffers from now on who may use them at any time: it is not used again.
    pub fn expose(&self) {
        self.shared.is_exposed.store(true, Ordering::Release);
        if let Some(loan) = &self.loan {
            loan.expose();
        }
    }

    /// It is written after the call whose result it is.
    pub fn touch(&self) {
        if let Some(loan) = &self.loan {
            loan.touch();
        }
    }

    /// The copy for the host that its call made, as far as that is still what it holds: by whom, and where.
    pub fn staged_copy(&self) -> Option<(&Arc<Loan>, u64)> {
        let loan = self.loan.as_ref().filter(|loan| loan.is_fresh());
        loan.map(|loan| (loan, self.staged_at))
    }

    /// The runs that a range of bytes consists of.
    pub fn runs(&self, offset: u64, size: u64) -> impl Iterator<Item = Run<'_>> {
        let (span, mut at, offset) = (self.shared.span, self.base + offset, self.base + offset);
        std::iter::from_fn(move || {
            let (nth, within) = (at / span, at % span);
            let size = (offset + size - at).min(span - within);
            let buffer = self.parts().get(nth as usize).filter(|_| size > 0)?;
            at += size;
            Some(Run {
                buffer,
                offset: within,
                size,
            })
        })
    }

    /// The range as one run, where it lies in one buffer.
    pub fn run(&self, offset: u64, size: u64) -> Option<Run<'_>> {
        self.runs(offset, size).next().filter(|run| run.size == size)
    }
}
