//! Results: tensors that belong to the returned handle, and their way back to the host.

use std::future::Future;
use std::task::Poll;

use futures_intrusive::channel::shared::oneshot_channel;

use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::layout::{Control, from_words};
use crate::problem::Problem;
use crate::tensor::{Element, Tensor, View};

/// What a call computes, where it was computed. No later call touches it. `read` brings all of it to the host: take a
/// tensor out (`output.grad_input.take()`) to leave it where it is.
#[derive(Clone, Debug)]
#[must_use = "the results are in here"]
pub struct Output {
    pub loss: Option<Tensor>,
    pub grad_input: Option<Tensor>,
    pub grad_target: Option<Tensor>,
    /// Counts and faults of class targets: 8 words, `Control` in `src/layout.rs`.
    pub(crate) control: Option<Tensor>,
    pub(crate) facts: Facts,
}

/// What a report of the results needs to know of the problem.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Facts {
    terms: u64,
    classes: u64,
    ignore_index: Option<i64>,
}

impl From<&Problem> for Facts {
    fn from(problem: &Problem) -> Self {
        let classes = match &problem.family {
            crate::problem::Family::Rows(rows) => rows.cols as u64,
            crate::problem::Family::Elements(_) => 0,
        };
        Self {
            terms: problem.terms(),
            classes,
            ignore_index: problem.ignore_index(),
        }
    }
}

/// An array on the host, in row-major order.
#[derive(Clone, Debug, PartialEq)]
pub struct Array<T = f32> {
    pub shape: Vec<usize>,
    pub data: Vec<T>,
}

/// Results as numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct Values {
    /// 0-d for `mean` and `sum`.
    pub loss: Option<Array>,
    pub grad_input: Option<Array>,
    pub grad_target: Option<Array>,
    /// Losses before the reduction: rows, or elements.
    pub terms: u64,
    /// Rows left out by `ignore_index`.
    pub ignored: u64,
}

impl Values {
    /// The loss of `mean` or `sum`.
    pub fn scalar(&self) -> Option<f32> {
        match &self.loss {
            Some(Array { shape, data }) if shape.is_empty() => data.first().copied(),
            _ => None,
        }
    }
}

impl Output {
    /// Waits for the results. Call after submitting what [`crate::Loss::encode`] recorded.
    ///
    /// # Errors
    /// [`Error::BadLabels`], which carries the values; [`Error::Device`].
    pub fn read(&self, engine: &Engine) -> Result<Values> {
        pollster::block_on(self.values(engine, Waiting::Blocks))
    }

    /// The same as a future that never blocks its thread: each poll of it polls the device, and it asks to be polled
    /// again until the results are there.
    ///
    /// # Errors
    /// As [`Output::read`].
    pub async fn read_async(&self, engine: &Engine) -> Result<Values> {
        self.values(engine, Waiting::Polls).await
    }

    async fn values(&self, engine: &Engine, waiting: Waiting) -> Result<Values> {
        let parts = [&self.loss, &self.grad_input, &self.grad_target, &self.control];
        let tensors: Vec<&Tensor> = parts.iter().filter_map(|part| part.as_ref()).collect();
        let mut bytes = download(engine, &tensors, waiting).await?.into_iter();
        let mut array = |part: &Option<Tensor>| {
            part.as_ref().map(|tensor| Array {
                shape: tensor.view.shape.clone(),
                data: elements(&tensor.view, &bytes.next().unwrap_or_default()),
            })
        };
        let (loss, grad_input, grad_target) = (array(&self.loss), array(&self.grad_input), array(&self.grad_target));
        let control: Control = match (&self.control, bytes.next()) {
            (Some(_), Some(bytes)) => bytemuck::pod_read_unaligned(&bytes),
            _ => Control::default(),
        };
        let values = Values {
            loss,
            grad_input,
            grad_target,
            terms: self.facts.terms,
            ignored: u64::from(control.ignored),
        };
        if control.bad > 0 {
            return Err(Error::BadLabels {
                count: u64::from(control.bad),
                rows: self.facts.terms,
                first_row: u64::from(control.first_bad),
                value: from_words(control.bad_low, control.bad_high),
                classes: self.facts.classes,
                ignore_index: self.facts.ignore_index.unwrap_or_default(),
                values: Box::new(values),
            });
        }
        Ok(values)
    }
}

/// The elements of a window, without the gaps between its rows.
fn elements<T: Element>(view: &View, bytes: &[u8]) -> Vec<T> {
    let all: Vec<T> = bytemuck::pod_collect_to_vec(bytes);
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
        let bytes = pollster::block_on(download(engine, &[self], Waiting::Blocks))?
            .pop()
            .unwrap_or_default();
        Ok(elements(&self.view, &bytes))
    }
}

/// How a readback waits for the device.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Waiting {
    /// The thread sleeps until the submission is done.
    Blocks,
    /// The device is asked at each poll.
    Polls,
}

/// The bytes of each tensor's window, by one submission that follows all earlier ones.
async fn download(engine: &Engine, tensors: &[&Tensor], how: Waiting) -> Result<Vec<Vec<u8>>> {
    let window = |tensor: &Tensor| tensor.view.offset..tensor.view.end();
    let on_device = tensors.iter().any(|tensor| tensor.buffer().is_some());
    if !on_device {
        let host = |tensor: &&Tensor| {
            let bytes = tensor.host_bytes().unwrap_or_default();
            bytes[window(tensor).start as usize..window(tensor).end as usize].to_vec()
        };
        return Ok(tensors.iter().map(host).collect());
    }
    let gpu = engine.device()?;
    let mut encoder = gpu.device.create_command_encoder(&Default::default());
    let mut staged = Vec::new();
    for tensor in tensors {
        let (Some(buffer), range) = (tensor.buffer(), window(tensor)) else {
            return Err(Error::operand("tensor", "some results are on the device, some are not"));
        };
        if !buffer.usage().contains(wgpu::BufferUsages::COPY_SRC) {
            return Err(Error::operand(
                "tensor",
                "its buffer cannot be read back: it lacks COPY_SRC usage",
            ));
        }
        let bytes = range.end - range.start;
        let usage = wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST;
        let staging = gpu.buffer("wgloss readback", bytes, usage)?;
        if bytes > 0 {
            // Elements have four bytes or eight: what copies ask for.
            encoder.copy_buffer_to_buffer(buffer, range.start, &staging, 0, bytes);
        }
        staged.push((staging, bytes));
    }
    let submission = gpu.queue.submit([encoder.finish()]);
    let mut waiting = Vec::new();
    for (staging, bytes) in &staged {
        let (sender, receiver) = oneshot_channel();
        if *bytes > 0 {
            staging.map_async(wgpu::MapMode::Read, ..*bytes, move |result| {
                // The receiver is gone only where the caller dropped the future.
                let _ = sender.send(result);
            });
            waiting.push(Some(receiver));
        } else {
            waiting.push(None);
        }
    }
    if how == Waiting::Blocks {
        gpu.device
            .poll(wgpu::PollType::Wait {
                submission_index: Some(submission),
                timeout: None,
            })
            .map_err(|e| Error::Device(e.to_string()))?;
    }
    let mut results = Vec::new();
    for ((staging, bytes), receiver) in staged.iter().zip(waiting) {
        let Some(receiver) = receiver else {
            results.push(Vec::new());
            continue;
        };
        let mut receiving = std::pin::pin!(receiver.receive());
        let received = std::future::poll_fn(|context| {
            if let Poll::Ready(result) = receiving.as_mut().poll(context) {
                return Poll::Ready(Ok(result));
            }
            // Nobody else may be polling the device. Browsers do it themselves, and this is nothing there.
            if let Err(error) = gpu.device.poll(wgpu::PollType::Poll) {
                return Poll::Ready(Err(Error::Device(error.to_string())));
            }
            context.waker().wake_by_ref();
            Poll::Pending
        });
        match received.await? {
            Some(Ok(())) => {}
            Some(Err(error)) => return Err(Error::Device(error.to_string())),
            None => return Err(Error::Device("the readback was dropped".into())),
        }
        let mapped = staging
            .slice(..*bytes)
            .get_mapped_range()
            .map_err(|e| Error::Device(e.to_string()))?;
        results.push(mapped.to_vec());
    }
    gpu.check()?;
    Ok(results)
}
