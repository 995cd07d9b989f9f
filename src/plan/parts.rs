//! How the steps of a plan go into submissions. Drivers end what runs for seconds (2 on Windows, 10 on Linux), and the
//! device with it: so a call that touches much goes in parts. Parts grow as measured time allows, since each costs the
//! device a gap, and the host a wait.
//!
//! - What nothing is known of touches no more than a slow device of its class goes through in a quarter of a second
//!   ([`Limits::dispatch_bytes`](crate::Limits::dispatch_bytes)): the first two parts of a call, and any dispatch. A
//!   part may have many dispatches, so none of them hangs on the pace.
//! - Two parts are under way at a time: the device is busy with one while the other waits for it. Before a third is
//!   handed in, the first was seen to be done. The time from when it was handed in until then is no shorter than what
//!   the device took for it, however late the host looks: what follows from that is never too much.
//! - A part touches at most twice what the largest before it did, and what goes through in a quarter of a second.
//! - The same call begins next time with what it came to, and no more than goes through in a sixteenth of a second:
//!   its first two parts would stand a device that became eight times slower meanwhile.
//!
//! No clock and no queue are in here: who asks tells the time.

use std::collections::VecDeque;
use std::ops::Range;
use std::time::Duration;

/// The time that a part should take at most: an eighth of the shortest watchdog.
pub(crate) const GOAL: Duration = Duration::from_millis(250);
/// The same by what was measured in an earlier call.
const UNSEEN: Duration = Duration::from_micros(62_500);
/// Parts that are under way at a time.
const UNDER_WAY: usize = 2;

/// What a part of so many bytes may touch: a step that touches little is worth no submission of its own.
pub(crate) fn with_room(bytes: u64) -> u64 {
    bytes.saturating_add(bytes / 16)
}

/// What was learned of a call's steps.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Known {
    /// Bytes that they touch in a second.
    rate: f64,
    /// Bytes of the largest part so far.
    largest: u64,
}

/// The parts of one call, one after the other.
#[derive(Debug)]
pub struct Parts<'a> {
    /// Bytes that each step touches.
    steps: &'a [u64],
    /// The first that is in no part yet.
    next: usize,
    has_begun: bool,
    /// There are more parts than one.
    was_cut: bool,
    /// Bytes of a part of which nothing is known.
    first: u64,
    /// Somebody ends what takes long.
    is_watched: bool,
    known: Option<Known>,
    /// In this call.
    is_measured: bool,
    largest: u64,
    under_way: VecDeque<Part>,
    /// When the device was last known to be through with all that came before.
    through: Option<Duration>,
}

/// A part that was handed in.
#[derive(Clone, Copy, Debug)]
struct Part {
    bytes: u64,
    at: Duration,
}

impl<'a> Parts<'a> {
    /// Those of steps that touch so many bytes each.
    pub fn new(steps: &'a [u64], first: u64, known: Option<Known>, is_watched: bool) -> Self {
        Self {
            steps,
            next: 0,
            has_begun: false,
            was_cut: false,
            first,
            is_watched,
            known,
            is_measured: false,
            largest: 0,
            under_way: VecDeque::new(),
            through: None,
        }
    }

    /// Nothing that was handed in before is under way at this time.
    pub fn idle(&mut self, now: Duration) {
        self.through = Some(now);
    }

    /// The steps of the next part, with their bytes; a call has a part, if an empty one.
    pub fn next_part(&mut self) -> Option<(Range<usize>, u64)> {
        let first = self.next;
        if first == self.steps.len() && self.has_begun {
            return None;
        }
        let most = with_room(self.budget());
        let mut bytes = 0u64;
        for own in &self.steps[first..] {
            if self.next > first && bytes.saturating_add(*own) > most {
                break;
            }
            bytes = bytes.saturating_add(*own);
            self.next += 1;
        }
        self.has_begun = true;
        self.was_cut |= self.next < self.steps.len();
        self.largest = self.largest.max(bytes);
        Some((first..self.next, bytes))
    }

    /// All steps are in parts.
    pub fn is_last(&self) -> bool {
        self.next == self.steps.len()
    }

    fn budget(&self) -> u64 {
        let doubled = self.first.max(self.largest.saturating_mul(2));
        if !self.is_watched {
            return if self.has_begun { doubled } else { self.first };
        }
        let Some(known) = self.known else { return self.first };
        let within = |time: Duration| (known.rate * time.as_secs_f64()) as u64;
        let most = doubled.max(known.largest.saturating_mul(2));
        match self.is_measured {
            true => within(GOAL).min(most),
            false => within(UNSEEN).min(most).max(self.first),
        }
    }

    /// The last part was handed in at this time.
    pub fn handed_in(&mut self, bytes: u64, at: Duration) {
        if self.is_watched {
            self.under_way.push_back(Part { bytes, at });
        }
    }

    /// The oldest part under way is to be waited for: before the next is handed in, or, in a call of more than one part
    /// of which nothing is known, before it is over.
    pub fn has_to_wait(&self) -> bool {
        match self.is_last() {
            true => self.known.is_none() && self.was_cut && !self.under_way.is_empty(),
            false => self.under_way.len() == UNDER_WAY,
        }
    }

    /// The oldest part was seen to be done at this time. What it took, with its bytes, where it is known when the
    /// device began with it, or later.
    pub fn done(&mut self, now: Duration) -> Option<(u64, Duration)> {
        let own = self.under_way.pop_front()?;
        let since = self.through.replace(now).map(|through| through.max(own.at));
        let took = now.saturating_sub(own.at);
        let alone = since.map(|since| now.saturating_sub(since));
        // A small part takes as long as any submission does, which tells nothing.
        if own.bytes > self.first / 2 || alone.unwrap_or(took) > GOAL {
            self.is_measured = true;
            let rate = own.bytes as f64 / took.as_secs_f64().max(1e-9);
            // Where others may have kept the device, too, no more than half of what was known is believed of that.
            let least = self
                .known
                .filter(|_| alone.is_none())
                .map_or(0.0, |known| known.rate / 2.0);
            self.known = Some(Known {
                rate: rate.max(least),
                largest: self.largest,
            });
        }
        alone.map(|alone| (own.bytes, alone))
    }

    /// What was learned, for the next call like this.
    pub fn known(&self) -> Option<Known> {
        self.known.map(|own| Known {
            largest: own.largest.max(self.largest),
            ..own
        })
    }
}

/// How a call would go out.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Course {
    /// The steps of each submission, their bytes and the time that the device takes for them.
    pub parts: Vec<(Range<usize>, u64, Duration)>,
    /// How often the host waits for the device before the call is over.
    pub waits: usize,
}

impl Parts<'_> {
    /// How they would go out to a device that takes such a time for a part: its number and bytes, from when it begins.
    /// `late`: how much later the host sees a part done.
    pub fn course(
        mut self,
        mut takes: impl FnMut(usize, u64, Duration) -> Duration,
        mut late: impl FnMut(usize) -> Duration,
    ) -> (Course, Option<Known>) {
        let mut course = Course::default();
        let (mut host, mut device) = (Duration::ZERO, Duration::ZERO);
        let mut ends = VecDeque::new();
        self.idle(host);
        loop {
            while self.has_to_wait() {
                let (nth, end): (usize, Duration) = ends.pop_front().unwrap_or_default();
                host = host.max(end + late(nth));
                self.done(host);
                course.waits += 1;
            }
            let Some((steps, bytes)) = self.next_part() else {
                return (course, self.known());
            };
            let (nth, begin) = (course.parts.len(), device.max(host));
            self.handed_in(bytes, host);
            let took = takes(nth, bytes, begin);
            device = begin + took;
            ends.push_back((nth, device));
            course.parts.push((steps, bytes, took));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTEGRATED: u64 = 64 << 20;
    const DISCRETE: u64 = 1 << 30;
    /// The longest that a part may take on a device that is as fast as its class is taken for, or faster.
    const MOST: Duration = Duration::from_millis(500);

    /// 8192 rows of 128,256 columns in f32, fused: a few bytes for labels and states, and dispatches as plans cut them.
    fn steps(first: u64) -> Vec<u64> {
        let row = 2 * 4 * 128_256;
        let rows = first / row;
        let mut list = vec![100_000];
        list.extend((0..8192 / rows).map(|_| rows * row));
        list.extend([8192 % rows * row, 65_536]);
        list
    }

    fn slowest(first: u64) -> f64 {
        if first == DISCRETE { 4e9 } else { 250e6 }
    }

    /// A queue: so many bytes a second, and so long for each submission, whatever is in it.
    fn queue(rate: f64, each: Duration) -> impl FnMut(usize, u64, Duration) -> Duration {
        move |_, bytes, _| each + Duration::from_secs_f64(bytes as f64 / rate)
    }

    fn check(course: &Course, steps: &[u64], what: &str) {
        let mut next = 0;
        for (part, bytes, took) in &course.parts {
            assert_eq!(part.start, next, "{what}");
            next = part.end;
            assert_eq!(*bytes, steps[part.clone()].iter().sum::<u64>(), "{what}");
            assert!(*took <= MOST, "{what}: {bytes} bytes took {took:?}");
        }
        assert_eq!(next, steps.len(), "{what}");
    }

    /// From the slowest device of a class on, none gets a part that takes longer than half a second, in a call of which
    /// nothing is known and in the next, whatever a submission costs and however late the host looks; nor do rows that
    /// are read twice take that long.
    #[test]
    fn no_part_takes_long() {
        for first in [INTEGRATED, DISCRETE] {
            let steps = steps(first);
            for (nth, micros) in (0..60).flat_map(|nth| [0u64, 20, 1000, 20_000].map(|micros| (nth, micros))) {
                let rate = slowest(first) / 1.5 * 1.19f64.powi(nth);
                let each = Duration::from_micros(micros);
                for late in [0, 50, 30_000] {
                    let what = format!("{rate:.1e} bytes a second, {micros} and {late} us");
                    // Late now and then.
                    let late = |nth: usize| Duration::from_micros(late * (nth as u64 % 3));
                    let parts = Parts::new(&steps, first, None, true);
                    let (course, known) = parts.course(queue(rate, each), late);
                    check(&course, &steps, &what);
                    assert!(known.is_some());
                    let parts = Parts::new(&steps, first, known, true);
                    let (again, _) = parts.course(queue(rate, each), late);
                    check(&again, &steps, &what);
                    assert!(again.parts.len() <= course.parts.len(), "{what}");
                }
            }
        }
    }

    /// Few parts, and the device is never without one: it is through when the bytes are.
    #[test]
    fn fast_devices_get_few_parts() {
        for (first, rates, most) in [
            (INTEGRATED, [20e9, 60e9, 120e9, 400e9], 12),
            (DISCRETE, [20e9, 250e9, 1e12, 5e12], 6),
        ] {
            let steps = steps(first);
            for rate in rates {
                let each = Duration::from_micros(30);
                let parts = Parts::new(&steps, first, None, true);
                let (course, known) = parts.course(queue(rate, each), |_| Duration::from_micros(100));
                assert!(course.parts.len() <= most, "{rate:e}: {:?}", course.parts);
                assert!(course.waits <= course.parts.len() - 2, "{course:?}");
                let parts = Parts::new(&steps, first, known, true);
                let (again, _) = parts.course(queue(rate, each), |_| Duration::from_micros(100));
                assert!(again.parts.len() < most / 2 + 3, "{rate:e}: {:?}", again.parts);
            }
        }
    }

    /// A device that becomes slower on the way, by as much as is claimed: by half between any two parts, and eight
    /// times between two calls.
    #[test]
    fn a_device_that_becomes_slower_is_given_less() {
        for first in [INTEGRATED, DISCRETE] {
            let steps = steps(first);
            for (nth, at) in (0..30).flat_map(|nth| (0..12).map(move |at| (nth, at))) {
                let rate = 2.0 * slowest(first) * 1.4f64.powi(nth);
                let slows = |part: usize, bytes: u64, _| {
                    let rate = if part >= at { rate / 2.0 } else { rate };
                    Duration::from_secs_f64(bytes as f64 / rate)
                };
                let parts = Parts::new(&steps, first, None, true);
                let (course, _) = parts.course(slows, |_| Duration::ZERO);
                check(&course, &steps, &format!("{rate:.1e}, half of it from part {at} on"));
                let parts = Parts::new(&steps, first, None, true);
                let (_, known) = parts.course(queue(4.0 * rate, Duration::ZERO), |_| Duration::ZERO);
                let parts = Parts::new(&steps, first, known, true);
                let (course, _) = parts.course(queue(rate / 2.0, Duration::ZERO), |_| Duration::ZERO);
                check(
                    &course,
                    &steps,
                    &format!("{:.1e}, an eighth of it in the next call", 4.0 * rate),
                );
            }
        }
    }

    /// What nobody watches over grows by itself, and nothing waits for it.
    #[test]
    fn unwatched_parts_double() {
        let steps = [INTEGRATED; 40];
        let parts = Parts::new(&steps, INTEGRATED, None, false);
        let (course, known) = parts.course(queue(1e6, Duration::ZERO), |_| Duration::ZERO);
        let sizes: Vec<usize> = course.parts.iter().map(|(part, ..)| part.len()).collect();
        assert_eq!((sizes, course.waits, known), (vec![1, 2, 4, 8, 17, 8], 0, None));
    }

    /// What fits goes in one part, and an empty call has one, too; neither waits.
    #[test]
    fn small_calls_are_one_part() {
        for steps in [&[][..], &[5], &[INTEGRATED / 2, INTEGRATED / 2]] {
            let parts = Parts::new(steps, INTEGRATED, None, true);
            let (course, known) = parts.course(queue(250e6, Duration::ZERO), |_| Duration::ZERO);
            assert_eq!((course.parts.len(), course.waits, known), (1, 0, None), "{steps:?}");
        }
    }

    /// A call in two parts waits for the first, as long as nothing is known of it: a slow device would stay one that
    /// nobody knows. What is small tells nothing, unless it takes long.
    #[test]
    fn a_call_in_two_parts_learns_once() {
        let steps = [INTEGRATED; 2];
        let run = |known, rate| {
            let parts = Parts::new(&steps, INTEGRATED, known, true);
            parts.course(queue(rate, Duration::ZERO), |_| Duration::ZERO)
        };
        let (course, known) = run(None, 100e9);
        assert_eq!((course.parts.len(), course.waits), (2, 1));
        let (course, again) = run(known, 100e9);
        assert_eq!((course.parts.len(), course.waits), (1, 0));
        assert_eq!(again.map(|own| own.rate), known.map(|own| own.rate));

        let steps = [1, 2 * INTEGRATED, 1];
        for (millis, knows) in [(20, false), (300, true)] {
            let mut parts = Parts::new(&steps, INTEGRATED, None, true);
            parts.idle(Duration::ZERO);
            let (_, bytes) = parts.next_part().unwrap();
            parts.handed_in(bytes, Duration::ZERO);
            let seen = parts.done(Duration::from_millis(millis));
            assert_eq!(seen, Some((1, Duration::from_millis(millis))));
            assert_eq!(parts.known().is_some(), knows);
        }
    }

    /// What was under way before a call is no slowness of the call's.
    #[test]
    fn what_came_before_is_not_counted() {
        let steps = [INTEGRATED; 9];
        let mut parts = Parts::new(&steps, INTEGRATED, None, true);
        let millis = Duration::from_millis;
        for _ in 0..2 {
            let (_, bytes) = parts.next_part().unwrap();
            parts.handed_in(bytes, millis(0));
        }
        assert_eq!(parts.done(millis(900)), None);
        assert_eq!(parts.done(millis(910)), Some((INTEGRATED, millis(10))));
        // Nor is the time in which there was nothing to do.
        let (_, bytes) = parts.next_part().unwrap();
        parts.handed_in(bytes, millis(2000));
        assert_eq!(parts.done(millis(2010)), Some((bytes, millis(10))));
    }
}
