//! Units under way: arenas on the device, and for each unit in flight the buffers that it comes and goes by.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::units::{Transfer, Unit};
use super::{Stream, Streamed, paged};
use crate::error::{Error, Result};
use crate::gpu::{Gpu, Timer, count};
use crate::memory::Memory;
use crate::plan::{Origin, Step};
use crate::tensor::Tensor;
use crate::words::Role;

/// Units under way at a time: one computes while the host is busy with another.
pub(super) const IN_FLIGHT: usize = 2;

/// What units name their arenas by, before those get a number.
pub(super) const IN_ARENA: Origin = Origin::Scratch(usize::MAX);
pub(super) const OUT_ARENA: Origin = Origin::Scratch(usize::MAX - 1);

/// Bytes read from pages at a time.
const PIECE: usize = 256 << 10;

/// Bytes of the arenas that units need: for what comes, and for what goes.
pub(super) fn arenas(units: &[Unit]) -> (u64, u64) {
    let most = |bytes: fn(&Unit) -> u64| units.iter().map(bytes).max().unwrap_or_default();
    (most(|unit| unit.upload_bytes), most(|unit| unit.download_bytes))
}

/// Bytes of all buffers that flights need.
pub(super) fn bytes(units: &[Unit]) -> u64 {
    let (uploads, downloads) = arenas(units);
    (1 + IN_FLIGHT as u64) * (uploads + downloads) + PIECE as u64
}

/// What a unit comes and goes by.
struct Berth {
    staging: wgpu::Buffer,
    readback: wgpu::Buffer,
    timer: Option<Timer>,
}

/// A unit that was submitted.
struct Flight {
    berth: usize,
    submission: wgpu::SubmissionIndex,
    downloads: Vec<Transfer>,
    /// What its steps touch.
    bytes: u64,
    is_timed: bool,
}

pub(super) struct Flights<'a> {
    gpu: &'a Gpu,
    uploads: wgpu::Buffer,
    downloads: wgpu::Buffer,
    berths: Vec<Berth>,
    under_way: VecDeque<Flight>,
    /// The berth that the next unit takes.
    next: usize,
    piece: Vec<u8>,
}

impl<'a> Flights<'a> {
    pub fn new(gpu: &'a Gpu, units: &[Unit]) -> Result<Self> {
        use wgpu::BufferUsages as Usage;
        let (uploads, downloads) = arenas(units);
        let arena = |bytes| {
            gpu.buffer(
                "wgloss arena",
                bytes,
                Usage::STORAGE | Usage::COPY_SRC | Usage::COPY_DST,
            )
        };
        let berth = |_| {
            Ok(Berth {
                staging: gpu.mapped("wgloss staging", uploads, Usage::MAP_WRITE | Usage::COPY_SRC)?,
                readback: gpu.buffer("wgloss readback", downloads, Usage::MAP_READ | Usage::COPY_DST)?,
                timer: Timer::new(gpu)?,
            })
        };
        Ok(Self {
            gpu,
            uploads: arena(uploads)?,
            downloads: arena(downloads)?,
            berths: (0..IN_FLIGHT).map(berth).collect::<Result<_>>()?,
            under_way: VecDeque::new(),
            next: 0,
            piece: vec![0; PIECE],
        })
    }

    /// The arenas as scratch, in the order in which units number them.
    pub fn arenas(&self) -> [Memory; 2] {
        [&self.uploads, &self.downloads].map(|own| Memory::of(&self.gpu.device, vec![own.clone()], u64::MAX))
    }

    pub fn is_timed(&self) -> bool {
        self.berths.iter().all(|berth| berth.timer.is_some())
    }

    /// Reads the windows of a unit into its staging buffer.
    pub fn fill(&mut self, unit: &Unit, tensors: &[(Role, &Tensor)], report: &mut Streamed) -> Result<()> {
        let start = Instant::now();
        let staging = &self.berths[self.next].staging;
        if !unit.uploads.is_empty() {
            let mut mapped = staging
                .get_mapped_range_mut(..)
                .map_err(|e| self.gpu.lost_or(Error::Device(e.to_string())))?;
            for own in &unit.uploads {
                let pages = paged(tensors, own.role).and_then(Tensor::pages);
                let pages = pages.ok_or_else(|| Error::operand(own.role.name(), "has no pages"))?;
                let mut done = 0;
                while done < own.size {
                    let size = (own.size - done).min(PIECE as u64);
                    let piece = &mut self.piece[..size as usize];
                    pages.read_at(own.offset + done, piece).map_err(|source| Error::Io {
                        name: own.role.name(),
                        source,
                    })?;
                    let at = (own.at + done) as usize;
                    mapped.slice(at..at + piece.len()).copy_from_slice(piece);
                    done += size;
                }
                report.read_bytes += own.size;
            }
        }
        report.read_ns += start.elapsed().as_nanos() as f64;
        Ok(())
    }

    /// Submits a unit whose windows are in its staging buffer.
    pub fn send(&mut self, unit: &Unit, tensors: &[(Role, Tensor)], scratch: &[Memory]) -> Result<()> {
        let (gpu, berth) = (self.gpu, &self.berths[self.next]);
        let mut encoder = gpu.device.create_command_encoder(&Default::default());
        if unit.upload_bytes > 0 {
            encoder.copy_buffer_to_buffer(&berth.staging, 0, &self.uploads, 0, unit.upload_bytes);
        }
        let timer = berth.timer.as_ref().filter(|_| unit.dispatches());
        gpu.record_steps(&mut encoder, &unit.steps, tensors, scratch, timer)?;
        if let Some(timer) = timer {
            timer.resolve(&mut encoder);
        }
        if unit.download_bytes > 0 {
            encoder.copy_buffer_to_buffer(&self.downloads, 0, &berth.readback, 0, unit.download_bytes);
        }
        berth.staging.unmap();
        let submission = gpu.guarded("submission", 0, || {
            count(&gpu.counters.submissions, 1);
            let submission = gpu.queue.submit([encoder.finish()]);
            // What mapping comes to shows when the range is asked for.
            berth.staging.map_async(wgpu::MapMode::Write, .., |_| {});
            if unit.download_bytes > 0 {
                berth
                    .readback
                    .map_async(wgpu::MapMode::Read, ..unit.download_bytes, |_| {});
            }
            if let Some(timer) = timer {
                timer.map();
            }
            submission
        })?;
        self.under_way.push_back(Flight {
            berth: self.next,
            submission,
            downloads: unit.downloads.clone(),
            bytes: unit.steps.iter().map(Step::bytes).sum(),
            is_timed: timer.is_some(),
        });
        self.next = (self.next + 1) % IN_FLIGHT;
        Ok(())
    }

    /// Waits for the oldest unit where all berths are taken, and takes its results to their sinks.
    pub fn land(&mut self, stream: &mut Stream<'_>, report: &mut Streamed) -> Result<()> {
        match self.under_way.len() {
            IN_FLIGHT => self.land_one(stream, report),
            _ => Ok(()),
        }
    }

    /// Waits for all units.
    pub fn land_all(&mut self, stream: &mut Stream<'_>, report: &mut Streamed) -> Result<()> {
        while !self.under_way.is_empty() {
            self.land_one(stream, report)?;
        }
        Ok(())
    }

    fn land_one(&mut self, stream: &mut Stream<'_>, report: &mut Streamed) -> Result<()> {
        let Some(flight) = self.under_way.pop_front() else {
            return Ok(());
        };
        let start = Instant::now();
        self.gpu.wait(Some(flight.submission))?;
        report.wait_ns += start.elapsed().as_nanos() as f64;
        let berth = &self.berths[flight.berth];
        if let (Some(timer), Some(device_ns)) =
            (berth.timer.as_ref().filter(|_| flight.is_timed), &mut report.device_ns)
        {
            let own_ns = timer.read(self.gpu)?;
            *device_ns += own_ns;
            // Calls to come are cut by it. The clock on the wall would not do: between landings the host reads and
            // writes.
            self.gpu.observe(flight.bytes, Duration::from_nanos(own_ns as u64));
        }
        let start = Instant::now();
        if !flight.downloads.is_empty() {
            let mapped = berth
                .readback
                .get_mapped_range(..mapped_bytes(&flight.downloads))
                .map_err(|e| self.gpu.lost_or(Error::Device(e.to_string())))?;
            for own in &flight.downloads {
                let bytes = &mapped[own.at as usize..(own.at + own.size) as usize];
                stream.write(own.role, own.offset, bytes)?;
                report.written_bytes += own.size;
            }
            drop(mapped);
            berth.readback.unmap();
        }
        report.write_ns += start.elapsed().as_nanos() as f64;
        Ok(())
    }
}

/// The part of a readback buffer that downloads need, in whole words.
fn mapped_bytes(downloads: &[Transfer]) -> u64 {
    let end = downloads.iter().map(|own| own.at + own.size).max();
    end.unwrap_or_default().next_multiple_of(4)
}
