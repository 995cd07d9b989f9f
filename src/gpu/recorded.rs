//! Whether what was recorded into a caller's encoder was submitted. wgpu tells nobody, but at submission it does what
//! the encoder was asked to do then, and drops that with an encoder that is dropped. So each recording asks for a small
//! buffer to be mapped that nothing uses: that is done at the first poll after the submission, whatever the device is
//! busy with.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use super::Gpu;
use crate::error::{Error, Result};
use crate::memory::{Fate, Memory, Recording, Used, lock};
use crate::tensor::Tensor;

/// The small buffers: those that no recording has.
#[derive(Debug, Default)]
pub(crate) struct Markers {
    free: Mutex<Vec<wgpu::Buffer>>,
    /// Recordings that nothing was heard of yet.
    open: AtomicUsize,
}

/// Who hears of a recording: called when it was submitted, dropped with its encoder else.
#[derive(Debug)]
pub(crate) struct Watch {
    recording: Arc<Recording>,
    markers: Arc<Markers>,
    marker: wgpu::Buffer,
    fate: Fate,
    is_mapped: bool,
}

impl Watch {
    pub fn recording(&self) -> &Arc<Recording> {
        &self.recording
    }

    /// The recording is in this encoder.
    pub fn begin(self, encoder: &wgpu::CommandEncoder) {
        let marker = self.marker.clone();
        let mut own = self;
        encoder.map_buffer_on_submit(&marker, wgpu::MapMode::Read, .., move |mapped| {
            own.fate = Fate::Submitted;
            own.is_mapped = mapped.is_ok();
            drop(own);
        });
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // First, for then nobody looks at the marker any more.
        self.recording.settle(self.fate);
        if self.is_mapped {
            self.marker.unmap();
        }
        // One that a lost device did not map is of no more use.
        if self.is_mapped || self.fate == Fate::Dropped {
            lock(&self.markers.free).push(self.marker.clone());
        }
        self.markers.open.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Gpu {
    /// Watches over a recording that is about to be made, with what it uses.
    pub fn watch<'a>(&self, uses: Vec<Box<dyn Used>>, operands: impl Iterator<Item = &'a Tensor>) -> Result<Watch> {
        let recordings = operands.filter_map(|tensor| tensor.memory()?.recording());
        let needs = recordings
            .filter(|own| own.fate() != Fate::Submitted)
            .cloned()
            .collect();
        let free = || lock(&self.markers.free).pop();
        let marker = match free().or_else(|| self.hear().then(free).flatten()) {
            Some(marker) => marker,
            None => {
                let usage = wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST;
                self.buffer("wgloss marker", 4, usage)?
            }
        };
        self.markers.open.fetch_add(1, Ordering::AcqRel);
        Ok(Watch {
            recording: Arc::new(Recording::new(uses, needs, Some(marker.clone()))),
            markers: Arc::clone(&self.markers),
            marker,
            fate: Fate::Dropped,
            is_mapped: false,
        })
    }

    /// Asks what became of recordings, where there are any that nothing was heard of.
    pub fn hear(&self) -> bool {
        let is_open = self.markers.open.load(Ordering::Acquire) > 0;
        if is_open {
            self.listen();
        }
        is_open
    }

    /// Refuses a result that was not computed. `or_recorded`: it may be computed before in the same encoder.
    pub fn expect_submitted(&self, name: &'static str, memory: Option<&Memory>, or_recorded: bool) -> Result<()> {
        let Some(recording) = memory.and_then(Memory::recording) else {
            return Ok(());
        };
        let mut fate = recording.fate();
        if fate == Fate::Recorded && !or_recorded {
            self.listen();
            fate = recording.fate();
        }
        match fate {
            Fate::Submitted => Ok(()),
            Fate::Recorded if or_recorded => Ok(()),
            Fate::Recorded | Fate::Dropped => Err(Error::NotSubmitted {
                name,
                dropped: fate == Fate::Dropped,
            }),
        }
    }

    /// What a recording keeps from others: operands that a call has lent.
    pub fn lent<'a>(tensors: impl Iterator<Item = &'a Tensor>) -> Vec<Box<dyn Used>> {
        let lent = tensors.filter_map(Tensor::memory).filter(|memory| memory.is_lent());
        lent.map(|memory| Box::new(memory.clone()) as Box<dyn Used>).collect()
    }
}
