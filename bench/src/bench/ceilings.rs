//! What rows are held against: kernels that only read or copy, and three figures from outside of them.

use std::time::Instant;

use wgloss::{Engine, Error, Result, Role, Stopwatch, Tensor, Timing};

use super::measure::Samples;
use super::record::{Ceiling, Kind, Last, Memcpy, Record, is_close};

/// Ceilings move whole multiples of this: quads on both sides of a copy.
pub const STEP: u64 = 32;

/// The host copies no more at a time: its pace is the same beyond, and it would take seconds in each round.
const HOST_MOST: u64 = 512 << 20;

/// Fewer bytes are copied by one thread: starting more takes longer.
const THREADS_FROM: usize = 1 << 20;

/// A ceiling with what was measured of it so far.
struct Known {
    kind: Kind,
    bytes: u64,
    variant: Vec<String>,
    kernel: Samples,
    transfer: Samples,
    memcpy: Samples,
    threads: usize,
}

/// All ceilings of a run, and the memory that they go over.
#[derive(Default)]
pub struct Ceilings {
    known: Vec<Known>,
    device: Option<[Tensor; 2]>,
    host: [Vec<u8>; 2],
}

/// A ceiling ready to be measured beside a row: kernel, copy between buffers, and where its samples go.
pub struct Beside<'a> {
    pub kernel: Stopwatch<'a>,
    transfer: Stopwatch<'a>,
    index: usize,
    pub bytes: u64,
    pub kind: Kind,
    /// Of the rounds beside this row alone.
    pub samples: Samples,
}

impl Ceilings {
    /// Ceilings for rows of these byte counts, no two of which are close.
    pub fn beside<'a>(&mut self, engine: &'a Engine, wanted: &[(Kind, u64)]) -> Result<Vec<Beside<'a>>> {
        let mut list: Vec<(Kind, u64)> = Vec::new();
        for &(kind, bytes) in wanted {
            let is_same = |own: (Kind, u64)| own.0 == kind && is_close(own.1, bytes);
            if !list.iter().any(|own| is_same(*own)) {
                let known = self.known.iter().find(|own| is_same((own.kind, own.bytes)));
                list.push((kind, known.map_or(bytes.next_multiple_of(STEP), |own| own.bytes)));
            }
        }
        let half = |bytes: u64| (bytes / 2) as usize;
        let read = list.iter().filter(|own| own.0 == Kind::Read).map(|own| 2 * half(own.1));
        let sizes = [
            list.iter().map(|own| half(own.1)).chain(read).max(),
            list.iter().map(|own| half(own.1)).max(),
        ];
        let [from, to] = self.reserve(engine, sizes.map(Option::unwrap_or_default))?;
        let mut all = Vec::new();
        for (kind, bytes) in list {
            let len = half(bytes) / 4;
            let kernel = match kind {
                Kind::Read => engine.stopwatch_read(&from, 2 * len)?,
                Kind::Copy => engine.stopwatch_copy(&from, &to, len)?,
            };
            let index = self.index(kind, bytes);
            let index = match index {
                Some(index) => index,
                None => {
                    if kind == Kind::Read {
                        expect_sum(engine, "read kernel", &kernel, 2 * len)?;
                    }
                    self.add(kind, bytes, &kernel)
                }
            };
            all.push(Beside {
                index,
                transfer: engine.stopwatch_transfer(&from, &to, len)?,
                kernel,
                bytes,
                kind,
                samples: Samples::default(),
            });
        }
        Ok(all)
    }

    /// Memory of at least so many bytes each, all of it touched. The copy that touches the second is held against what
    /// it has to come to.
    fn reserve(&mut self, engine: &Engine, bytes: [usize; 2]) -> Result<[Tensor; 2]> {
        let holds = |own: &[Tensor; 2]| (0..2).all(|i| own[i].view().end() as usize >= bytes[i]);
        let had = match self.device.take() {
            Some(own) if holds(&own) => return Ok(self.device.insert(own).clone()),
            Some(own) => own.map(|tensor| tensor.view().end() as usize),
            None => [0; 2],
        };
        let tensor = |bytes: usize, x: f32| engine.upload(&Tensor::new(&vec![x; bytes / 4], &[bytes / 4])?);
        let [from, to] = [bytes[0].max(had[0]), bytes[1].max(had[1])];
        let own = [tensor(from, 1.0)?, tensor(to, 0.0)?];
        engine.stopwatch_copy(&own[0], &own[1], to / 4)?.once()?;
        expect_sum(engine, "copy kernel", &engine.stopwatch_read(&own[1], to / 4)?, to / 4)?;
        let host = to.min(HOST_MOST as usize);
        self.host = [vec![1; host], vec![2; host]];
        Ok(self.device.insert(own).clone())
    }

    /// The place of a ceiling among those known.
    fn index(&self, kind: Kind, bytes: u64) -> Option<usize> {
        let same = |own: &Known| own.kind == kind && is_close(own.bytes, bytes);
        self.known.iter().position(same)
    }

    fn add(&mut self, kind: Kind, bytes: u64, kernel: &Stopwatch<'_>) -> usize {
        let threads = self.threads(host_bytes(bytes));
        self.known.push(Known {
            kind,
            bytes,
            variant: super::measure::variant(kernel.plan()),
            kernel: Samples::default(),
            transfer: Samples::default(),
            memcpy: Samples::default(),
            threads,
        });
        self.known.len() - 1
    }

    /// As many threads as copy so many bytes fastest: one, or one for each core.
    fn threads(&mut self, bytes: usize) -> usize {
        let all = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        if bytes < THREADS_FROM {
            return 1;
        }
        let mut best = |threads| (0..3).map(|_| self.copy(bytes, threads)).fold(f64::INFINITY, f64::min);
        if best(all) < best(1) { all } else { 1 }
    }

    /// The nanoseconds of a copy in the host's memory.
    fn copy(&mut self, bytes: usize, threads: usize) -> f64 {
        let [from, to] = &mut self.host;
        let part = bytes.div_ceil(threads).max(1);
        let start = Instant::now();
        if threads == 1 {
            to[..bytes].copy_from_slice(&from[..bytes]);
        } else {
            std::thread::scope(|scope| {
                for (from, to) in from[..bytes].chunks(part).zip(to[..bytes].chunks_mut(part)) {
                    scope.spawn(|| to.copy_from_slice(from));
                }
            });
        }
        std::hint::black_box(to);
        start.elapsed().as_nanos() as f64
    }

    /// One round of the figures that are no kernels: they stand last, so that kernels follow kernels.
    pub fn outside(&mut self, beside: &Beside<'_>, keep: bool) -> Result<()> {
        let transfer = beside.transfer.once()?;
        let threads = self.known[beside.index].threads;
        let wall_ns = self.copy(host_bytes(beside.bytes), threads);
        let known = &mut self.known[beside.index];
        if keep {
            known.transfer.push(&transfer);
            known.memcpy.push(&Timing {
                wall_ns,
                device_ns: None,
            });
        }
        Ok(())
    }

    /// Keeps the samples of a ceiling beside a row.
    pub fn keep(&mut self, beside: &Beside<'_>) {
        self.known[beside.index].kernel.extend(&beside.samples);
    }

    /// All ceilings, beside those of earlier records, of which the first is the newest.
    pub fn list(&self, earlier: &[Record]) -> Vec<Ceiling> {
        let mut known: Vec<&Known> = self.known.iter().collect();
        known.sort_by_key(|own| (own.kind == Kind::Copy, own.bytes));
        let ceiling = |own: &Known| Ceiling {
            kind: own.kind,
            bytes: own.bytes,
            times: own.kernel.times(own.bytes),
            variant: own.variant.clone(),
            buffer_copy: own.transfer.times(own.bytes),
            memcpy: Memcpy {
                threads: own.threads,
                times: own.memcpy.times(2 * host_bytes(own.bytes) as u64),
            },
            last: earlier.iter().find_map(|record| of_last(record, own.kind, own.bytes)),
        };
        known.into_iter().map(ceiling).collect()
    }
}

/// What the host copies beside a ceiling of so many bytes, read and written.
fn host_bytes(bytes: u64) -> usize {
    (bytes / 2).min(HOST_MOST) as usize
}

/// A ceiling in an earlier record.
fn of_last(record: &Record, kind: Kind, bytes: u64) -> Option<Last> {
    let same = |own: &&Ceiling| own.kind == kind && is_close(own.bytes, bytes);
    record.ceilings.iter().find(same).map(|own| Last {
        gb_per_s: own.times.gb_per_s,
        date: record.date.clone(),
        driver: record.driver.clone(),
        commit: record.commit.clone(),
    })
}

/// Runs a kernel that adds up so many ones, and looks at what they come to: one that does not go through all of them is
/// neither a ceiling nor a baseline.
///
/// # Errors
/// [`Error::Device`] for another sum.
pub fn expect_sum(engine: &Engine, what: &str, kernel: &Stopwatch<'_>, ones: usize) -> Result<()> {
    kernel.once()?;
    let sum = match kernel.tensor(Role::Loss) {
        Some(tensor) => tensor.read::<f32>(engine)?.first().copied().unwrap_or(f32::NAN),
        None => f32::NAN,
    };
    if (f64::from(sum) / ones as f64 - 1.0).abs() <= 1e-6 {
        return Ok(());
    }
    Err(Error::Device(format!("{what}: {ones} ones add up to {sum}")))
}
