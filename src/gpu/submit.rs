//! Plans submitted by the engine itself, in parts that no watchdog minds.

use std::time::{Duration, Instant};

use super::activity::count;
use super::{Gpu, lock};
use crate::error::Result;
use crate::limits::Limits;
use crate::plan::{Plan, Step};
use crate::problem::Role;
use crate::tensor::Tensor;

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
        let in_time = bytes as f64 * GOAL.as_secs_f64() / took.as_secs_f64().max(1e-9);
        let wanted = if in_time < self.bytes as f64 {
            in_time as u64
        } else if bytes > self.bytes / 2 {
            self.bytes.saturating_mul(2).min(in_time as u64)
        } else {
            self.bytes // too little ran to tell
        };
        self.bytes = wanted.clamp(LEAST.min(self.most), self.most);
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

    /// Submits what was recorded.
    pub fn hand_in(&self, what: &str, encoder: wgpu::CommandEncoder) -> Result<wgpu::SubmissionIndex> {
        count(&self.counters.submissions, 1);
        self.guarded(what, 0, || self.queue.submit([encoder.finish()]))
    }

    /// Submits a plan. A small one goes in one submission, and nothing waits. One that touches more than the pace allows
    /// goes in parts, of which two are under way at a time, and each is timed.
    pub fn submit(&self, plan: &Plan, tensors: &[(Role, Tensor)]) -> Result<()> {
        let scratch = self.scratch(plan)?;
        let budget = lock(&self.pace).bytes();
        let parts = parts(plan, budget);
        let timed = parts.len() > 1;
        let mut under_way = std::collections::VecDeque::new();
        let mut since = Instant::now();
        for (steps, bytes) in parts {
            let mut encoder = self.device.create_command_encoder(&Default::default());
            self.record_steps(&mut encoder, steps, tensors, &scratch, None)?;
            let submission = self.hand_in("submission", encoder)?;
            if !timed {
                break;
            }
            if under_way.is_empty() {
                since = Instant::now(); // pipelines were compiled before
            }
            under_way.push_back((submission, bytes));
            if under_way.len() == 2
                && let Some((submission, bytes)) = under_way.pop_front()
            {
                self.wait(Some(submission))?;
                lock(&self.pace).observe(bytes, since.elapsed());
                since = Instant::now();
            }
        }
        Ok(())
    }
}

/// Runs of steps that touch no more than so many bytes each, or a single dispatch that touches more.
fn parts(plan: &Plan, budget: u64) -> Vec<(&[Step], u64)> {
    let mut list = Vec::new();
    let (mut first, mut bytes) = (0, 0u64);
    for (nth, step) in plan.steps.iter().enumerate() {
        let own = match step {
            Step::Dispatch(dispatch) => dispatch.bindings.iter().map(|binding| binding.size).sum(),
            Step::Copy(copy) => 2 * copy.size,
        };
        if nth > first && bytes.saturating_add(own) > budget {
            list.push((&plan.steps[first..nth], bytes));
            (first, bytes) = (nth, 0);
        }
        bytes += own;
    }
    list.push((&plan.steps[first..], bytes));
    list
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
