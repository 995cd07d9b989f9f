//! Plans submitted by the engine itself, in parts that no watchdog minds.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::activity::count;
use super::wait::Waiting;
use super::{Gpu, block_on};
use crate::error::Result;
use crate::limits::Limits;
use crate::memory::lock;
use crate::plan::parts::{GOAL, with_room};
use crate::plan::{Known, Parts, Plan};
use crate::tensor::Tensor;
use crate::words::Role;

/// How many bytes one dispatch may touch, and a part of a call of which nothing is known: as many as the limits allow,
/// or fewer on a device that was slow with them. How parts grow beyond that is in `plan/parts.rs`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Pace {
    bytes: u64,
    most: u64,
}

/// Less is not worth a submission.
const LEAST: u64 = 1 << 20;

impl Pace {
    pub fn new(limits: &Limits) -> Self {
        Self {
            bytes: limits.max_dispatch_bytes,
            most: limits.max_dispatch_bytes,
        }
    }

    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Learns what a part took. Slowness is believed at once, speed step by step.
    pub fn observe(&mut self, bytes: u64, took: Duration) {
        // A small part takes as long as any submission does, which tells nothing.
        if took <= GOAL && bytes <= self.bytes / 2 {
            return;
        }
        let in_time = bytes as f64 * GOAL.as_secs_f64() / took.as_secs_f64().max(1e-9);
        let wanted = self.bytes.saturating_mul(2).min(in_time as u64);
        // In steps of two, since for each a call is planned anew.
        self.bytes = match wanted < self.most {
            true => (1 << wanted.max(1).ilog2()).clamp(LEAST.min(self.most), self.most),
            false => self.most,
        };
    }
}

/// The way of a plan's steps to the device.
#[derive(Debug)]
pub(crate) struct Way {
    /// The bytes that each of them touches.
    steps: Vec<u64>,
    /// Bytes of a part of which nothing is known.
    first: u64,
    /// What was learned when they went it.
    known: Mutex<Option<Known>>,
}

impl Way {
    pub fn new(steps: Vec<u64>, first: u64) -> Self {
        Self {
            steps,
            first,
            known: Mutex::default(),
        }
    }

    pub fn bytes(&self) -> u64 {
        self.steps.iter().sum()
    }

    /// All goes in one submission, whatever the pace.
    pub fn is_one(&self) -> bool {
        self.bytes() <= with_room(self.first)
    }

    /// It would be the same under this limit, which one that touches less does not come to.
    pub fn holds(&self, limit: u64) -> bool {
        limit == self.first || self.bytes() <= with_room(limit.min(self.first))
    }
}

impl Gpu {
    /// The limits of a plan that is submitted in parts.
    pub fn paced_limits(&self) -> Limits {
        Limits {
            max_dispatch_bytes: lock(&self.pace).bytes(),
            ..self.limits
        }
    }

    /// Learns what so many bytes took on the device.
    pub fn observe(&self, bytes: u64, took: Duration) {
        lock(&self.pace).observe(bytes, took);
    }

    /// Submits what was recorded.
    pub fn hand_in(&self, what: &str, encoder: wgpu::CommandEncoder) -> Result<wgpu::SubmissionIndex> {
        count(&self.counters.submissions, 1);
        self.guarded(what, 0, || self.queue.submit([encoder.finish()]))
    }

    /// Submits a plan.
    pub fn submit(&self, plan: &Plan, tensors: &[(Role, Tensor)]) -> Result<()> {
        let way = Way::new(plan.step_bytes(), lock(&self.pace).bytes());
        let scratch = match way.is_one() {
            true => self.shared_scratch(plan)?,
            false => self.own_scratch(plan)?,
        };
        let recorded = self.in_parts(&way, Waiting::Blocks, |encoder, part| {
            self.record_steps(encoder, &plan.steps[part], tensors, scratch.memory(), None)
        });
        block_on(recorded).map(|_| ())
    }

    /// Records and submits the parts of a plan, as `plan/parts.rs` has it. One part goes in one submission, and nothing
    /// waits. On a software adapter, which no watchdog minds, nothing waits either. Returns the last submission.
    pub async fn in_parts(
        &self,
        way: &Way,
        waiting: Waiting,
        mut record: impl FnMut(&mut wgpu::CommandEncoder, Range<usize>) -> Result<()>,
    ) -> Result<wgpu::SubmissionIndex> {
        let start = Instant::now();
        let mut send = |part: Range<usize>| {
            self.guarded("submission", 0, || {
                let mut encoder = self.device.create_command_encoder(&Default::default());
                record(&mut encoder, part)?;
                count(&self.counters.submissions, 1);
                let commands = encoder.finish();
                let at = start.elapsed();
                Ok((self.queue.submit([commands]), at))
            })?
        };
        if way.is_one() {
            return send(0..way.steps.len()).map(|(submission, _)| submission);
        }
        let is_watched = self.info.device_type != wgpu::DeviceType::Cpu;
        let known = *lock(&way.known);
        let mut parts = Parts::new(&way.steps, way.first, known, is_watched);
        if is_watched && known.is_none() {
            // The first part is waited for in any case; so its time is its own.
            self.idle(waiting).await?;
            parts.idle(start.elapsed());
        }
        let mut under_way = VecDeque::new();
        let mut last = None;
        loop {
            while parts.has_to_wait() {
                let Some(oldest) = under_way.pop_front() else { break };
                self.done(oldest).await?;
                if let Some((bytes, took)) = parts.done(start.elapsed()) {
                    self.observe(bytes, took);
                }
            }
            let Some((part, bytes)) = parts.next_part() else { break };
            let (submission, at) = send(part)?;
            parts.handed_in(bytes, at);
            if is_watched {
                under_way.push_back(self.under_way(waiting, submission.clone()));
            }
            last = Some(submission);
        }
        *lock(&way.known) = parts.known();
        match last {
            Some(submission) => Ok(submission),
            None => send(0..0).map(|(submission, _)| submission), // a call has a part
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> Limits {
        Limits::new(&wgpu::Limits::default())
    }

    /// An adapter of so many bytes a second, under a watchdog of two.
    fn survives(speed: f64, bytes: u64) -> Pace {
        let mut pace = Pace::new(&limits());
        let mut left = bytes;
        while left > 0 {
            let part = pace.bytes().min(left);
            let took = Duration::from_secs_f64(part as f64 / speed);
            assert!(took < Duration::from_secs(2), "{part} bytes took {took:?}");
            pace.observe(part, took);
            left -= part;
        }
        pace
    }

    #[test]
    fn a_slow_adapter_is_given_less_at_a_time() {
        let pace = survives(40e6, 500 << 20);
        assert!(pace.bytes() <= 10_000_000, "{pace:?}");
    }

    /// An overhead of some milliseconds is no slowness, a quarter of a second is.
    #[test]
    fn small_parts_tell_nothing_unless_they_take_long() {
        let mut pace = Pace::new(&limits());
        pace.observe(64 << 10, Duration::from_millis(20));
        assert_eq!(pace, Pace::new(&limits()));
        pace.observe(8 << 20, Duration::from_secs(1));
        assert_eq!(pace.bytes(), 2 << 20);
    }

    #[test]
    fn a_fast_adapter_is_given_all_that_the_limits_allow() {
        assert_eq!(survives(4e12, 500 << 20), Pace::new(&limits()));
    }

    #[test]
    fn one_slow_part_is_made_up_for() {
        let mut pace = Pace::new(&limits());
        pace.observe(pace.bytes(), Duration::from_secs(60));
        assert_eq!(pace.bytes(), LEAST);
        for _ in 0..20 {
            pace.observe(pace.bytes(), Duration::from_millis(1));
        }
        assert_eq!(pace, Pace::new(&limits()));
    }
}
