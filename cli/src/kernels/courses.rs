//! How a call goes out in submissions, at a pace that the device keeps.

use std::time::Duration;

use serde_json::{Value, json};
use wgloss::plan::{Course, Parts};
use wgloss_shell::Failure;

use super::call::Planned;
use super::shader::times;

/// How the call goes out when nothing is known of it.
pub struct Courses {
    /// Bytes a second.
    pace: f64,
    pub own: Course,
    /// The same on a device that is as slow as its class is taken for.
    slowest_pace: f64,
    slowest: Course,
    /// How it goes out the next time, at the first pace.
    again: Course,
}

/// What a submission takes beside its work.
const SUBMISSION: Duration = Duration::from_micros(30);

impl Courses {
    pub fn of(call: &Planned, given: Option<f64>) -> Result<Self, Failure> {
        // Beyond, times are no times of anything.
        if let Some(given) = given.filter(|own| !(1e-3..=1e6).contains(own)) {
            let expected = "expected GB/s from 0.001 to 1000000";
            return Err(Failure::Usage(format!("--pace {given}: {expected}")));
        }
        let device = &call.device;
        let (steps, first) = (call.plan.step_bytes(), device.limits.max_dispatch_bytes);
        let course = |known, pace: f64| {
            let parts = Parts::new(&steps, first, known, device.is_watched());
            let takes = |_, bytes: u64, _| SUBMISSION + Duration::from_secs_f64(bytes as f64 / pace);
            parts.course(takes, |_| Duration::ZERO)
        };
        let pace = given.unwrap_or(device.usual_pace()) * 1e9;
        let slowest_pace = 4.0 * first as f64;
        let (own, known) = course(None, pace);
        Ok(Self {
            pace,
            own,
            slowest_pace,
            slowest: course(None, slowest_pace).0,
            again: course(known, pace).0,
        })
    }

    /// The submission of a step, counted from 1.
    pub fn submission(&self, nth: usize) -> usize {
        let place = self.own.parts.iter().position(|(steps, ..)| steps.contains(&nth));
        1 + place.unwrap_or_default()
    }

    /// `8 submissions and 6 waits at 50 GB/s, 1 and 0 the next time; 127 and 125 at 0.27 GB/s, the slowest of its
    /// class`
    pub fn line(&self) -> String {
        let own = format!(
            "{} and {} at {} GB/s",
            times(self.own.parts.len(), "submission", "submissions"),
            times(self.own.waits, "wait", "waits"),
            self.pace / 1e9
        );
        let counts = |own: &Course| (own.parts.len(), own.waits);
        if [&self.slowest, &self.again]
            .iter()
            .all(|other| counts(other) == counts(&self.own))
        {
            return own;
        }
        let ((next, next_waits), (most, most_waits)) = (counts(&self.again), counts(&self.slowest));
        format!(
            "{own}, {next} and {next_waits} the next time; {most} and {most_waits} at {:.2} GB/s, the least that is \
             expected of its class",
            self.slowest_pace / 1e9
        )
    }

    pub fn json(&self) -> Value {
        let course = |own: &Course, pace: f64| {
            let submissions = own.parts.len();
            json!({ "bytes_per_s": pace, "submissions": submissions, "waits": own.waits })
        };
        json!({
            "first": course(&self.own, self.pace),
            "next": course(&self.again, self.pace),
            "slowest": course(&self.slowest, self.slowest_pace),
        })
    }
}
