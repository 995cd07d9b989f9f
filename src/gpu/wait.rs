//! All that blocks its thread, or asks the device how far it is: opening, error scopes, polls, reads. In a browser,
//! where nothing may block, another file would stand in the place of this one.

use std::future::poll_fn;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures_intrusive::channel::shared::{OneshotReceiver, oneshot_channel};

use super::Gpu;
use crate::error::{Error, Result};

/// What a future comes to: the thread sleeps until that is there.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    pollster::block_on(future)
}

/// The adapters that an instance finds.
pub(super) fn adapters(instance: &wgpu::Instance, backends: wgpu::Backends) -> Vec<wgpu::Adapter> {
    block_on(instance.enumerate_adapters(backends))
}

/// Opens a device.
pub(super) fn open(
    adapter: &wgpu::Adapter,
    descriptor: &wgpu::DeviceDescriptor<'_>,
) -> Result<(wgpu::Device, wgpu::Queue)> {
    block_on(adapter.request_device(descriptor)).map_err(|e| Error::Device(e.to_string()))
}

/// What an error scope caught.
pub(super) fn caught(scope: wgpu::ErrorScopeGuard) -> Option<wgpu::Error> {
    at_hand(scope.pop())
}

/// What the compiler of shaders told of a module.
pub(super) fn compilation(module: &wgpu::ShaderModule) -> wgpu::CompilationInfo {
    at_hand(module.get_compilation_info())
}

/// What a future comes to that native backends have ready when it is made: nothing waits.
fn at_hand<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => block_on(future),
    }
}

impl Gpu {
    /// Waits until a submission, or all there are, is done.
    pub fn wait(&self, submission: Option<wgpu::SubmissionIndex>) -> Result<()> {
        let waited = self.device.poll(wgpu::PollType::Wait {
            submission_index: submission,
            timeout: None,
        });
        self.check()?;
        waited
            .map(|_| ())
            .map_err(|e| self.lost_or(Error::Device(e.to_string())))
    }

    /// Waits a second at most for all submissions, to hear what there is to be heard of the device.
    pub(super) fn settle(&self) {
        let _ = self.device.poll(wgpu::PollType::Wait {
            submission_index: None,
            timeout: Some(Duration::from_secs(1)),
        });
    }
}

/// A buffer on its way to where the host can read it.
pub(crate) struct Arrival(OneshotReceiver<std::result::Result<(), wgpu::BufferAsyncError>>);

impl Arrival {
    /// Asks for the first bytes of a buffer.
    pub fn of(staging: &wgpu::Buffer, bytes: u64) -> Self {
        let (sender, receiver) = oneshot_channel();
        staging.map_async(wgpu::MapMode::Read, ..bytes, move |result| {
            // The receiver is gone only where the caller dropped the future.
            let _ = sender.send(result);
        });
        Self(receiver)
    }

    /// Waits for it, and polls the device meanwhile.
    pub async fn arrived(self, gpu: &Gpu) -> Result<()> {
        let mut receiving = pin!(self.0.receive());
        let received = poll_fn(|context| {
            if let Poll::Ready(result) = receiving.as_mut().poll(context) {
                return Poll::Ready(Ok(result));
            }
            // Nobody else may be polling the device. Browsers do it themselves, and this is nothing there.
            if let Err(error) = gpu.device.poll(wgpu::PollType::Poll) {
                return Poll::Ready(Err(Error::Device(error.to_string())));
            }
            // A lost device may never answer.
            if let Err(error) = gpu.check() {
                return Poll::Ready(Err(error));
            }
            context.waker().wake_by_ref();
            Poll::Pending
        });
        match received.await.map_err(|error| gpu.lost_or(error))? {
            Some(Ok(())) => Ok(()),
            Some(Err(error)) => Err(gpu.lost_or(Error::Device(error.to_string()))),
            None => Err(gpu.lost_or(Error::Device("the readback was dropped".into()))),
        }
    }
}
