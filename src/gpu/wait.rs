//! All that blocks its thread, or asks the device how far it is: opening, error scopes, polls, reads. In a browser,
//! where nothing may block, another file would stand in the place of this one.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use futures_intrusive::channel::shared::oneshot_channel;

use super::{Gpu, Troubles};
use crate::error::{Error, Result};
use crate::memory::{Reading, lock};

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

/// What a small buffer holds, once what was submitted so far is done: opening a device waits for it. (Where nothing may
/// block, nothing is proved, and plans take the other way.)
pub(super) fn words(gpu: &Gpu, staging: &wgpu::Buffer, bytes: u64) -> Result<Vec<u32>> {
    gpu.block_for(&mut [Arrival::of(staging, bytes)])?;
    let mapped = staging
        .get_mapped_range(..bytes)
        .map_err(|e| gpu.lost_or(Error::Device(e.to_string())))?;
    Ok(bytemuck::pod_collect_to_vec(&mapped))
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
        let since = Instant::now();
        while !self.listen() && since.elapsed() < Duration::from_secs(1) {
            std::thread::sleep(pause(since));
        }
    }
}

/// How whoever needs what the device is at work on waits for it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Waiting {
    /// The thread sleeps.
    Blocks,
    /// As a future, which is polled again when there is something to see.
    Yields,
}

/// What the device will say when it is through with something.
pub(crate) struct Arrival(Pin<Box<dyn Future<Output = Option<Told>> + Send>>);

type Told = std::result::Result<(), wgpu::BufferAsyncError>;

impl Arrival {
    fn new() -> (impl FnOnce(Told) + Send + 'static, Self) {
        let (sender, receiver) = oneshot_channel();
        let tell = move |told| {
            // The receiver is gone only where nobody waits any more.
            let _ = sender.send(told);
        };
        (tell, Self(Box::pin(async move { receiver.receive().await })))
    }

    /// The first bytes of a buffer come to where the host can read them.
    pub fn of(staging: &wgpu::Buffer, bytes: u64) -> Self {
        let (tell, own) = Self::new();
        staging.map_async(wgpu::MapMode::Read, ..bytes, tell);
        own
    }

    /// The copies of a call's results do.
    pub fn of_copies(copies: &Reading) -> Self {
        let (tell, own) = Self::new();
        let is_there = copies.asked();
        copies.staging.map_async(wgpu::MapMode::Read, .., move |told| {
            is_there();
            tell(told);
        });
        own
    }

    /// All that was submitted so far is done.
    fn of_all(queue: &wgpu::Queue) -> Self {
        let (tell, own) = Self::new();
        queue.on_submitted_work_done(move || tell(Ok(())));
        own
    }

    /// What the device has said so far, for who polls it.
    pub fn arrived(&mut self, gpu: &Gpu, context: &mut Context<'_>) -> Poll<Result<()>> {
        self.0.as_mut().poll(context).map(|told| match told {
            Some(Ok(())) => Ok(()),
            Some(Err(error)) => Err(gpu.lost_or(Error::Device(error.to_string()))),
            None => Err(gpu.lost_or(Error::Device("the readback was dropped".into()))),
        })
    }
}

/// Pauses between two looks at the device are a part of what was waited so far, so that what is done soon is seen soon,
/// and no longer than this. (The device's own waits with a timeout fail in wgpu-core 30 where two threads wait.)
const SHORTEST: Duration = Duration::from_micros(20);
const LONGEST: Duration = Duration::from_millis(1);
/// Far longer than it takes a thread to tell of what it has heard.
const PATIENCE: Duration = Duration::from_secs(10);

fn pause(since: Instant) -> Duration {
    (since.elapsed() / 8).clamp(SHORTEST, LONGEST)
}

impl Gpu {
    /// Lets the device tell what it is through with; waits for nothing. Whether it is through with all.
    pub fn listen(&self) -> bool {
        // Of its loss the callback tells.
        let polled = self.device.poll(wgpu::PollType::Poll);
        polled.is_ok_and(|status| status.is_queue_empty())
    }

    /// Waits until all arrivals are there, and for nothing that was submitted after what they wait for, as far as the
    /// device tells.
    pub async fn arrive(&self, arrivals: &mut [Arrival], waiting: Waiting) -> Result<()> {
        match waiting {
            Waiting::Blocks => self.block_for(arrivals),
            Waiting::Yields => self.yield_for(arrivals).await,
        }
    }

    /// All that there are, as far as they are there.
    fn all(&self, arrivals: &mut [Arrival], next: &mut usize, context: &mut Context<'_>) -> Poll<Result<()>> {
        while let Some(own) = arrivals.get_mut(*next) {
            match own.arrived(self, context) {
                Poll::Ready(Ok(())) => *next += 1,
                other => return other,
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Whether all arrivals are there, as far as the device has told.
    pub fn are_there(&self, arrivals: &mut [Arrival], next: &mut usize) -> Result<bool> {
        match self.all(arrivals, next, &mut Context::from_waker(Waker::noop())) {
            Poll::Ready(all) => all.map(|()| true),
            Poll::Pending => self.check().map(|()| false),
        }
    }

    fn block_for(&self, arrivals: &mut [Arrival]) -> Result<()> {
        let (mut next, since) = (0, Instant::now());
        let mut idle: Option<Instant> = None;
        loop {
            let is_idle = self.listen();
            if self.are_there(arrivals, &mut next)? {
                return Ok(());
            }
            // Where it is idle, another thread's poll has it, and is about to tell.
            if is_idle && idle.get_or_insert_with(Instant::now).elapsed() > PATIENCE {
                return Err(self.lost_or(Error::Device("the readback did not come".into())));
            }
            std::thread::sleep(pause(since));
        }
    }

    async fn yield_for(&self, arrivals: &mut [Arrival]) -> Result<()> {
        let attention = self.poller.attend(&self.device, &self.troubles);
        let mut next = 0;
        poll_fn(|context| {
            attention.wake(context.waker());
            if !attention.is_attended {
                self.listen(); // there is no thread to be had
                context.waker().wake_by_ref();
            }
            match self.all(arrivals, &mut next, context) {
                // A lost device may never answer.
                Poll::Pending => match self.check() {
                    Ok(()) => Poll::Pending,
                    Err(error) => Poll::Ready(Err(error)),
                },
                all => all,
            }
        })
        .await
    }

    /// What to wait for until the last submission is done.
    pub fn under_way(&self, waiting: Waiting, last: wgpu::SubmissionIndex) -> UnderWay {
        match waiting {
            Waiting::Blocks => UnderWay::Submission(last),
            Waiting::Yields => UnderWay::Told(Arrival::of_all(&self.queue)),
        }
    }

    /// Waits for all that was submitted so far.
    pub async fn idle(&self, waiting: Waiting) -> Result<()> {
        match waiting {
            Waiting::Blocks => self.wait(None),
            Waiting::Yields => self.yield_for(&mut [Arrival::of_all(&self.queue)]).await,
        }
    }

    pub async fn done(&self, own: UnderWay) -> Result<()> {
        match own {
            UnderWay::Submission(submission) => self.wait(Some(submission)),
            UnderWay::Told(arrival) => self.yield_for(&mut [arrival]).await,
        }
    }
}

/// A submission that somebody will wait for.
pub(crate) enum UnderWay {
    Submission(wgpu::SubmissionIndex),
    Told(Arrival),
}

/// Who polls the device while futures wait for it: a thread that sleeps when none does. In a browser, which polls by
/// itself, there would be none.
#[derive(Debug, Default)]
pub(crate) struct Poller(Arc<Attended>);

#[derive(Debug, Default)]
struct Attended {
    state: Mutex<Attending>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Attending {
    /// Futures that wait.
    waiting: usize,
    /// Those to be woken where the device is lost, which may answer none of them.
    wakers: Vec<Waker>,
    has_thread: bool,
    /// The engine is gone.
    ended: bool,
}

impl Poller {
    /// Polls a device as long as what is returned lives.
    fn attend(&self, device: &wgpu::Device, troubles: &Arc<Troubles>) -> Attention {
        let mut state = lock(&self.0.state);
        state.waiting += 1;
        if !state.has_thread {
            let (own, device, troubles) = (Arc::clone(&self.0), device.clone(), Arc::clone(troubles));
            let poller = std::thread::Builder::new().name("wgloss poller".into());
            state.has_thread = poller.spawn(move || own.poll(&device, &troubles)).is_ok();
        }
        self.0.changed.notify_one();
        Attention {
            // A browser polls by itself.
            is_attended: state.has_thread || cfg!(target_arch = "wasm32"),
            attended: Arc::clone(&self.0),
        }
    }
}

impl Drop for Poller {
    fn drop(&mut self) {
        lock(&self.0.state).ended = true;
        self.0.changed.notify_one();
    }
}

impl Attended {
    fn poll(&self, device: &wgpu::Device, troubles: &Troubles) {
        loop {
            let mut state = lock(&self.state);
            while state.waiting == 0 && !state.ended {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            if state.ended {
                return;
            }
            drop(state);
            let since = Instant::now();
            loop {
                let is_lost = device.poll(wgpu::PollType::Poll).is_err() || lock(&troubles.lost).is_some();
                let mut state = lock(&self.state);
                if is_lost {
                    state.wakers.drain(..).for_each(Waker::wake);
                }
                if state.waiting == 0 || state.ended {
                    break;
                }
                let _ = self.changed.wait_timeout(state, pause(since));
            }
        }
    }
}

/// The poller's, for one future.
struct Attention {
    attended: Arc<Attended>,
    is_attended: bool,
}

impl Attention {
    fn wake(&self, waker: &Waker) {
        let mut state = lock(&self.attended.state);
        if !state.wakers.iter().any(|own| own.will_wake(waker)) {
            state.wakers.push(waker.clone());
        }
    }
}

impl Drop for Attention {
    fn drop(&mut self) {
        let mut state = lock(&self.attended.state);
        state.waiting -= 1;
        if state.waiting == 0 {
            state.wakers.clear();
        }
    }
}
