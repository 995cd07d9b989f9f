//! Small results lie in memory that is used again: lent to one output at a time, and free when its last tensor is
//! dropped. Their copies for the host are made by the submission that computes them, so that reading takes no other.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use super::{Fate, Recording, lock};

/// How what makes the results comes to the device.
#[derive(Debug)]
enum Sending {
    /// Submitted by its call.
    Own(OnceLock<wgpu::SubmissionIndex>),
    /// Recorded into the caller's encoder.
    Recorded(Arc<Recording>),
}

/// One output's hold on memory that is used again.
#[derive(Debug)]
pub(crate) struct Loan {
    /// Of the memory: somebody has it.
    taken: Arc<AtomicBool>,
    /// Where the copies for the host are.
    staging: Option<wgpu::Buffer>,
    /// Whose submission makes them.
    device: wgpu::Device,
    sending: Sending,
    /// The caller holds a buffer: the memory is never free again.
    exposed: AtomicBool,
    /// The results may no longer be what was copied.
    touched: AtomicBool,
    /// Somebody reads the copies.
    reading: AtomicBool,
}

impl Loan {
    /// Of results that their call will submit, or has recorded.
    pub fn new(
        taken: Arc<AtomicBool>,
        staging: Option<wgpu::Buffer>,
        device: wgpu::Device,
        recording: Option<&Arc<Recording>>,
    ) -> Self {
        Self {
            taken,
            staging,
            device,
            sending: match recording {
                Some(recording) => Sending::Recorded(Arc::clone(recording)),
                None => Sending::Own(OnceLock::new()),
            },
            exposed: AtomicBool::new(false),
            touched: AtomicBool::new(false),
            reading: AtomicBool::new(false),
        }
    }

    pub fn expose(&self) {
        self.exposed.store(true, Ordering::Release);
    }

    pub fn touch(&self) {
        self.touched.store(true, Ordering::Release);
    }

    /// The copies were submitted.
    pub fn submitted(&self, submission: wgpu::SubmissionIndex) {
        if let Sending::Own(own) = &self.sending {
            let _ = own.set(submission); // nobody else sets it
        }
    }

    /// There are copies, of what the results hold.
    pub fn is_fresh(&self) -> bool {
        let is_submitted = match &self.sending {
            Sending::Own(submission) => submission.get().is_some(),
            Sending::Recorded(recording) => recording.fate() == Fate::Submitted,
        };
        self.staging.is_some()
            && is_submitted
            && !self.exposed.load(Ordering::Acquire)
            && !self.touched.load(Ordering::Acquire)
    }

    /// The right to read the copies, where nobody has it, on their device.
    pub fn read(self: &Arc<Self>, device: &wgpu::Device) -> Option<Reading> {
        let submission = match &self.sending {
            Sending::Own(submission) => Some(submission.get()?.clone()),
            Sending::Recorded(_) => None,
        };
        let staging = self.staging.clone()?;
        let free = *device == self.device && !self.reading.swap(true, Ordering::AcqRel);
        free.then(|| Reading {
            staging,
            submission,
            loan: Arc::clone(self),
            mapping: Arc::new(Mutex::new(Mapping::NotAsked)),
        })
    }

    /// Gives back the right to map the copies, which are mapped.
    fn unmap(&self, staging: &wgpu::Buffer) {
        // Of a device that is gone the buffer may be, too, which is nobody's error.
        let scope = self.device.push_error_scope(wgpu::ErrorFilter::Validation);
        staging.unmap();
        drop(scope);
        self.reading.store(false, Ordering::Release);
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        if self.exposed.load(Ordering::Acquire) {
            return;
        }
        match &self.sending {
            // What reads or writes the memory was submitted, and whatever comes is submitted later.
            Sending::Own(_) => self.taken.store(false, Ordering::Release),
            Sending::Recorded(recording) => recording.free(&self.taken),
        }
    }
}

/// Somebody's right to map the copies.
#[derive(Debug)]
pub(crate) struct Reading {
    pub staging: wgpu::Buffer,
    /// Where it is known: a caller submits without telling us.
    pub submission: Option<wgpu::SubmissionIndex>,
    pub loan: Arc<Loan>,
    mapping: Arc<Mutex<Mapping>>,
}

/// How far the mapping is. One that is under way is not called off: unmapping races with who polls (wgpu-core 30).
#[derive(Clone, Copy, Debug, PartialEq)]
enum Mapping {
    NotAsked,
    UnderWay,
    There,
    /// It is under way, and nobody waits for it.
    Unwanted,
}

impl Reading {
    /// The mapping is asked for; what is returned is called when it is there, or will not be.
    pub fn asked(&self) -> impl FnOnce() + Send + 'static {
        *lock(&self.mapping) = Mapping::UnderWay;
        let (mapping, staging, loan) = (Arc::clone(&self.mapping), self.staging.clone(), Arc::clone(&self.loan));
        move || {
            let before = std::mem::replace(&mut *lock(&mapping), Mapping::There);
            if before == Mapping::Unwanted {
                loan.unmap(&staging);
            }
        }
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        let mut mapping = lock(&self.mapping);
        match *mapping {
            Mapping::UnderWay => *mapping = Mapping::Unwanted,
            Mapping::There => self.loan.unmap(&self.staging),
            Mapping::NotAsked | Mapping::Unwanted => self.loan.reading.store(false, Ordering::Release),
        }
    }
}
