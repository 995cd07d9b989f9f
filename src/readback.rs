//! The way of results to the host.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use crate::dtype::{Dtype, Element, floats};
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::gpu::{Arrival, Gpu, Waiting, block_on};
use crate::inspect::Check;
use crate::layout::{Control, from_words};
use crate::memory::{Memory, Reading, lock};
use crate::output::Output;
use crate::shapes::expect_dtype;
use crate::tensor::Tensor;
use crate::values::{Array, Values};
use crate::view::View;

impl Output {
    /// Waits for the results, and for nothing that was submitted after them. Call after submitting what
    /// [`crate::Loss::encode`] recorded.
    ///
    /// # Errors
    /// [`Error::BadLabels`] and [`Error::BadValues`], which carry the values; [`Error::NotSubmitted`];
    /// [`Error::Device`].
    pub fn read(&self, engine: &Engine) -> Result<Values> {
        self.values(block_on(download(engine, &self.tensors(), Waiting::Blocks))?)
    }

    /// The same as a future that never blocks its thread, and is woken when the results are there: a thread of the
    /// engine's polls the device meanwhile.
    ///
    /// # Errors
    /// As [`Output::read`].
    pub async fn read_async(&self, engine: &Engine) -> Result<Values> {
        self.values(download(engine, &self.tensors(), Waiting::Yields).await?)
    }

    /// The results, where they are there already; never waits. What results take more than a few KiB are fetched from
    /// the first time on that this is asked.
    ///
    /// # Errors
    /// As [`Output::read`].
    pub fn try_read(&self, engine: &Engine) -> Result<Option<Values>> {
        let tensors = self.tensors();
        let Some(gpu) = engine
            .gpu()
            .filter(|_| tensors.iter().any(|(_, own)| own.memory().is_some()))
        else {
            return self.read(engine).map(Some);
        };
        // Tensors may have been taken out meanwhile.
        let mut under_way = lock(&self.under_way);
        let before = under_way.take().and_then(|own| own.downcast::<Download>().ok());
        let mut download = match before.filter(|own| own.is_of(&tensors)) {
            Some(download) => download,
            None => Box::new(Download::start(gpu, &tensors)?),
        };
        gpu.listen();
        if gpu.are_there(&mut download.arrivals, &mut download.arrived)? {
            return self
                .values(download.bytes(gpu)?.into_iter().map(Cow::Owned).collect())
                .map(Some);
        }
        *under_way = Some(download);
        Ok(None)
    }

    /// Results from the bytes of [`Output::tensors`].
    fn values(&self, bytes: Vec<Cow<'_, [u8]>>) -> Result<Values> {
        let mut bytes = bytes.into_iter();
        // In the order of the list above.
        let mut next = |part: Option<&Tensor>| part.cloned().map(|tensor| (tensor, bytes.next().unwrap_or_default()));
        let mut floats = |part| next(part).map(|(tensor, bytes)| float_array(&tensor, &bytes));
        let [loss, grad_input, z_loss, lse, entropy, argmax, correct] = self.single();
        let (loss, grad_input, z_loss) = (floats(loss), floats(grad_input), floats(z_loss));
        let (lse, entropy) = (floats(lse), floats(entropy));
        let argmax = next(argmax).map(|(tensor, bytes)| Array {
            shape: tensor.view.shape.clone(),
            data: match tensor.dtype() {
                Dtype::I64 => bytemuck::pod_collect_to_vec(&bytes),
                _ => bytemuck::pod_collect_to_vec::<u8, u32>(&bytes)
                    .into_iter()
                    .map(i64::from)
                    .collect(),
            },
            dtype: tensor.dtype(),
        });
        let correct = next(correct).map(|(_, bytes)| u64::from(bytemuck::pod_read_unaligned::<u32>(&bytes)));
        let control: Control = match next(self.control.as_ref()) {
            Some((_, bytes)) => bytemuck::pod_read_unaligned(&bytes),
            None => Control::default(),
        };
        let grads = self.others().zip(bytes.by_ref());
        let counts = self.control.is_some() && !self.facts.lists;
        let weight = counts.then_some(f64::from(control.weight));
        let values = Values {
            weight,
            loss,
            exact: self.exact.clone(),
            grad_input,
            grads: grads
                .map(|((role, tensor), bytes)| (*role, float_array(tensor, &bytes)))
                .collect(),
            z_loss,
            lse,
            entropy,
            argmax,
            correct,
            terms: self.facts.terms,
            ignored: if self.facts.lists {
                0
            } else {
                u64::from(control.ignored)
            },
        };
        if control.bad > 0 {
            let (count, place) = (u64::from(control.bad), u64::from(control.first_bad));
            let value = from_words(control.bad_low, control.bad_high);
            return Err(self.facts.bad_labels(count, place, value, values));
        }
        let found = |((check, _), bytes): (&(Check, Tensor), Cow<'_, [u8]>)| {
            check.error(&bytemuck::pod_read_unaligned(&bytes), &values)
        };
        match self.faults.iter().zip(bytes).find_map(found) {
            Some(error) => Err(error),
            None => Ok(values),
        }
    }
}

/// Floats of any dtype as numbers.
fn float_array(tensor: &Tensor, bytes: &[u8]) -> Array {
    Array {
        shape: tensor.view.shape.clone(),
        data: without_gaps(&tensor.view, floats(tensor.dtype(), bytes)),
        dtype: tensor.dtype(),
    }
}

/// The elements of a window, without the gaps between its rows.
fn without_gaps<T: Copy>(view: &View, all: Vec<T>) -> Vec<T> {
    if view.is_contiguous() {
        return all;
    }
    all.chunks(view.row_stride)
        .flat_map(|row| &row[..view.slab()])
        .copied()
        .collect()
}

impl Tensor {
    /// Copies the elements to the host, from wherever they are.
    ///
    /// # Errors
    /// [`Error::Operand`] for another dtype, [`Error::Device`].
    pub fn read<T: Element>(&self, engine: &Engine) -> Result<Vec<T>> {
        if T::DTYPE != self.dtype() {
            return Err(Error::operand(
                "tensor",
                format!("holds {}, read as {}", self.dtype(), T::DTYPE),
            ));
        }
        let bytes = block_on(download(engine, &[("tensor", self)], Waiting::Blocks))?
            .pop()
            .unwrap_or_default();
        Ok(without_gaps(&self.view, bytemuck::pod_collect_to_vec(&bytes)))
    }

    /// Floats of any dtype as numbers, copied to the host from wherever they are.
    ///
    /// # Errors
    /// [`Error::Operand`] for a tensor of integers, [`Error::Device`].
    pub fn numbers(&self, engine: &Engine) -> Result<Array> {
        expect_dtype("tensor", &self.view, &Dtype::FLOATS)?;
        let bytes = block_on(download(engine, &[("tensor", self)], Waiting::Blocks))?;
        Ok(float_array(self, &bytes.concat()))
    }
}

/// Where the bytes of a tensor come to the host.
enum Way {
    /// In copies that its call made: where they begin.
    Copied(u64),
    /// In buffers of their own, one for each run.
    Staged(Vec<Staged>),
}

/// A run of bytes on its way to the host.
struct Staged {
    staging: wgpu::Buffer,
    bytes: u64,
    /// The tensor's own within it: copies take whole words, 16-bit windows may begin and end within one.
    own: std::ops::Range<usize>,
}

impl Tensor {
    /// The bytes from its first element to its last, in its memory.
    fn window(&self) -> std::ops::Range<u64> {
        self.view.offset..self.view.end().max(self.view.offset)
    }
}

/// A tensor with its name in messages.
type Named<'a> = (&'static str, &'a Tensor);

/// The bytes of each tensor's window.
async fn download<'a>(engine: &Engine, tensors: &[Named<'a>], waiting: Waiting) -> Result<Vec<Cow<'a, [u8]>>> {
    if tensors.iter().all(|(_, tensor)| tensor.memory().is_none()) {
        let host = |&(name, tensor): &Named<'a>| {
            let window = tensor.window().start as usize..tensor.window().end as usize;
            let bytes = tensor.host_bytes();
            bytes
                .map(|bytes| Cow::Borrowed(&bytes[window]))
                .ok_or_else(|| Error::operand(name, format!("is {}, not in memory", tensor.whereabouts())))
        };
        return tensors.iter().map(host).collect();
    }
    let gpu = engine.device()?;
    let mut download = Download::start(gpu, tensors)?;
    if let Some(submission) = download.submission.take().filter(|_| waiting == Waiting::Blocks) {
        gpu.wait(Some(submission))?; // else the device tells, a little later
    }
    gpu.arrive(&mut download.arrivals, waiting).await?;
    Ok(download.bytes(gpu)?.into_iter().map(Cow::Owned).collect())
}

/// The bytes of tensors on their way to the host: in the copies that their call made of them, else in some that a
/// submission of its own makes.
pub(crate) struct Download {
    /// The memory and the window of each.
    of: Vec<(u64, Range<u64>)>,
    ways: Vec<Way>,
    copied: Option<Reading>,
    /// What there is to wait for, where that is known: of copies made by us and by the call ours are the later ones.
    submission: Option<wgpu::SubmissionIndex>,
    arrivals: Vec<Arrival>,
    /// So many of them were there when they were last looked at.
    arrived: usize,
}

impl Download {
    fn identity(tensors: &[Named<'_>]) -> Vec<(u64, Range<u64>)> {
        let of = |(_, tensor): &Named<'_>| Some((tensor.memory()?.id(), tensor.window()));
        tensors.iter().filter_map(of).collect()
    }

    fn is_of(&self, tensors: &[Named<'_>]) -> bool {
        self.of == Self::identity(tensors)
    }

    fn start(gpu: &Gpu, tensors: &[Named<'_>]) -> Result<Self> {
        let mut copied: Option<Reading> = None;
        let mut encoder = None;
        let mut ways = Vec::with_capacity(tensors.len());
        for &(name, tensor) in tensors {
            let Some(memory) = tensor.memory() else {
                return Err(Error::operand(name, "some results are on the device, some are not"));
            };
            gpu.expect_own(name, tensor)?;
            gpu.expect_submitted("result", Some(memory), false)?;
            if let Some((loan, at)) = memory.staged_copy() {
                // One call's results have one loan. Where they come from several, the others go the long way.
                copied = copied.or_else(|| loan.read(&gpu.device));
                if copied.as_ref().is_some_and(|own| Arc::ptr_eq(&own.loan, loan)) {
                    ways.push(Way::Copied(at + tensor.window().start));
                    continue;
                }
            }
            let encoder = encoder.get_or_insert_with(|| gpu.device.create_command_encoder(&Default::default()));
            ways.push(Way::Staged(stage(gpu, encoder, name, memory, tensor.window())?));
        }
        let submission = match encoder {
            Some(encoder) => Some(gpu.hand_in("readback", encoder)?),
            None => copied.as_ref().and_then(|copied| copied.submission.clone()),
        };
        let staged = ways.iter().filter_map(|way| match way {
            Way::Copied(_) => None,
            Way::Staged(parts) => Some(parts),
        });
        let staged = staged.flatten().map(|part| (&part.staging, part.bytes));
        let arrivals = gpu.guarded("readback", 0, || {
            let copied = copied.as_ref().map(Arrival::of_copies);
            copied
                .into_iter()
                .chain(staged.map(|(staging, bytes)| Arrival::of(staging, bytes)))
                .collect()
        })?;
        Ok(Self {
            of: Self::identity(tensors),
            ways,
            copied,
            submission,
            arrivals,
            arrived: 0,
        })
    }

    /// The bytes of each, once all have arrived.
    fn bytes(self, gpu: &Gpu) -> Result<Vec<Vec<u8>>> {
        let mut results = Vec::with_capacity(self.ways.len());
        for (way, (_, window)) in self.ways.iter().zip(&self.of) {
            let mut bytes = Vec::new();
            match (way, &self.copied) {
                (Way::Staged(parts), _) => {
                    for part in parts {
                        let mapped = part.staging.slice(..part.bytes).get_mapped_range();
                        let mapped = mapped.map_err(|e| gpu.lost_or(Error::Device(e.to_string())))?;
                        bytes.extend_from_slice(&mapped[part.own.clone()]);
                    }
                }
                (Way::Copied(at), Some(copied)) => {
                    let mapped = copied.staging.slice(..).get_mapped_range();
                    let mapped = mapped.map_err(|e| gpu.lost_or(Error::Device(e.to_string())))?;
                    let len = window.end - window.start;
                    bytes.extend_from_slice(&mapped[*at as usize..(at + len) as usize]);
                }
                (Way::Copied(_), None) => {} // there is a reading where there are copies
            }
            results.push(bytes);
        }
        gpu.check()?;
        Ok(results)
    }
}

/// Records copies of a window into buffers that the host can map.
fn stage(
    gpu: &Gpu,
    encoder: &mut wgpu::CommandEncoder,
    name: &'static str,
    memory: &Memory,
    window: std::ops::Range<u64>,
) -> Result<Vec<Staged>> {
    let mut parts = Vec::new();
    for run in memory.runs(window.start, window.end - window.start) {
        if !run.buffer.usage().contains(wgpu::BufferUsages::COPY_SRC) {
            return Err(Error::operand(
                name,
                "its buffer cannot be read back: it lacks COPY_SRC usage",
            ));
        }
        let ahead = run.offset % 4;
        let bytes = (ahead + run.size).next_multiple_of(4);
        let usage = wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST;
        let staging = gpu.buffer("wgloss readback", bytes, usage)?;
        encoder.copy_buffer_to_buffer(run.buffer, run.offset - ahead, &staging, 0, bytes);
        parts.push(Staged {
            staging,
            bytes,
            own: ahead as usize..(ahead + run.size) as usize,
        });
    }
    Ok(parts)
}
