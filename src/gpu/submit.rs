//! Plans submitted by the engine itself, in parts that no watchdog minds.

use std::ops::Range;
use std::time::{Duration, Instant};

use super::activity::count;
use super::wait::{UnderWay, Waiting};
use super::{Gpu, block_on};
use crate::error::Result;
use crate::limits::Limits;
use crate::memory::lock;
use crate::plan::Plan;
use crate::tensor::Tensor;
use crate::words::Role;

/// How many bytes one submission may touch: drivers end what runs for seconds (2 on Windows, 10 on Linux), and the
/// device with it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Pace {
    bytes: u64,
    most: u64,
}

/// The time that a part of a plan should take at most: an eighth of the shortest watchdog.
const GOAL: Duration = Duration::from_millis(250);
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
        let parts = plan.parts(lock(&self.pace).bytes());
        let scratch = match parts.len() {
            1 => self.shared_scratch(plan)?,
            _ => self.own_scratch(plan)?,
        };
        let recorded = self.in_parts(&parts, Waiting::Blocks, |encoder, part| {
            self.record_steps(encoder, &plan.steps[part], tensors, scratch.memory(), None)
        });
        block_on(recorded).map(|_| ())
    }

    /// Records and submits the parts of a plan. One part goes in one submission, and nothing waits. Of several, two are
    /// under way at a time, and each is timed; on a software adapter, which no watchdog minds, nothing waits either.
    /// Returns the last submission.
    pub async fn in_parts(
        &self,
        parts: &[(Range<usize>, u64)],
        waiting: Waiting,
        mut record: impl FnMut(&mut wgpu::CommandEncoder, Range<usize>) -> Result<()>,
    ) -> Result<wgpu::SubmissionIndex> {
        let mut send = |part: &Range<usize>| {
            self.guarded("submission", 0, || {
                let mut encoder = self.device.create_command_encoder(&Default::default());
                record(&mut encoder, part.clone())?;
                count(&self.counters.submissions, 1);
                Ok(self.queue.submit([encoder.finish()]))
            })?
        };
        let [before @ .., (part, _)] = parts else {
            return send(&(0..0)); // a plan has a part, if an empty one
        };
        let has_watchdog = self.info.device_type != wgpu::DeviceType::Cpu;
        let mut earlier: Option<(UnderWay, u64)> = None;
        let mut since = Instant::now();
        for (part, bytes) in before {
            let submission = send(part)?;
            if !has_watchdog {
                continue;
            }
            let own = (self.under_way(waiting, submission), *bytes);
            let Some((submission, bytes)) = earlier.replace(own) else {
                since = Instant::now(); // whatever was compiled was before
                continue;
            };
            self.done(submission).await?;
            self.observe(bytes, since.elapsed());
            since = Instant::now();
        }
        let last = send(part)?;
        if let Some((submission, bytes)) = earlier {
            self.done(submission).await?;
            self.observe(bytes, since.elapsed());
        }
        Ok(last)
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
