//! Windows of one dispatch that lie in one buffer. wgpu binds a buffer that a shader writes to through writable
//! bindings alone, and a browser refuses two of them that have bytes in common. What counts are the bytes that are
//! bound, which begin at multiples of the device's alignment and may belong to neighbours. So operands that are only
//! read are bound `read_write` beside an output of the same buffer
//! ([`Variant::sharing`](crate::shader::Variant::sharing)), and where bindings meet, one of them lies in a buffer of its
//! own instead: its window is copied there before the dispatch, and what was written is taken back after it.

use std::ops::Range;

/// A window where its tensor lies.
#[derive(Clone, Debug)]
pub struct Place {
    /// A number for each buffer.
    pub buffer: usize,
    /// The bytes of the buffer that are bound.
    pub bound: Range<u64>,
    /// Those of the tensor's own elements within that.
    pub own: Range<u64>,
    pub written: bool,
}

impl Place {
    fn meets(&self, other: &Self) -> bool {
        let alike = self.buffer == other.buffer && (self.written || other.written);
        alike && meet(&self.bound, &other.bound)
    }

    /// Bytes to be copied where it lies in a buffer of its own.
    fn cost(&self) -> u64 {
        (self.bound.end - self.bound.start) * (1 + u64::from(self.written))
    }
}

fn meet(a: &Range<u64>, b: &Range<u64>) -> bool {
    a.start < b.end && b.start < a.end
}

/// Whole words: what can be copied.
pub fn words(bytes: &Range<u64>) -> Range<u64> {
    bytes.start / 4 * 4..bytes.end.next_multiple_of(4)
}

/// How a window is bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// Where it lies, read or written.
    There,
    /// Where it lies, as if it were written.
    Writable,
    /// In a buffer of its own.
    Apart,
}

/// How the windows of a dispatch are bound; `None` where they have nothing to do with each other.
///
/// # Errors
/// The numbers of two windows that are written and have elements in one word: neither could be taken back without what
/// the other wrote there.
pub fn bind(places: &[Place]) -> Result<Option<Vec<Bound>>, (usize, usize)> {
    let pairs = || (0..places.len()).flat_map(|n| (0..n).map(move |m| (m, n)));
    let shares = |(m, n): &(usize, usize)| {
        let (a, b): (&Place, &Place) = (&places[*m], &places[*n]);
        a.buffer == b.buffer && (a.written || b.written)
    };
    if !pairs().any(|pair| shares(&pair)) {
        return Ok(None);
    }
    let mut bound = vec![Bound::There; places.len()];
    for (m, n) in pairs().filter(|&(m, n)| places[m].meets(&places[n])) {
        let (a, b) = (&places[m], &places[n]);
        if a.written && b.written && meet(&words(&a.own), &words(&b.own)) {
            return Err((m, n));
        }
        if bound[m] == Bound::There && bound[n] == Bound::There {
            // Where it makes no difference, what is read.
            let second = (b.cost(), b.written) <= (a.cost(), a.written);
            bound[if second { n } else { m }] = Bound::Apart;
        }
    }
    for n in 0..places.len() {
        let beside = |m: usize| m != n && bound[m] != Bound::Apart && places[m].written;
        if bound[n] == Bound::There && !places[n].written {
            let is_shared = (0..places.len()).any(|m| beside(m) && places[m].buffer == places[n].buffer);
            bound[n] = if is_shared { Bound::Writable } else { Bound::There };
        }
    }
    Ok(Some(bound))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(buffer: usize, bound: Range<u64>, own: Range<u64>, written: bool) -> Place {
        Place {
            buffer,
            bound,
            own,
            written,
        }
    }

    #[test]
    fn buffers_of_their_own_are_let_alone() {
        let read = |buffer| place(buffer, 0..64, 0..64, false);
        let all = [read(0), read(0), read(1), place(2, 0..64, 0..64, true)];
        assert_eq!(bind(&all), Ok(None));
    }

    #[test]
    fn operands_beside_an_output_are_bound_like_it() {
        let all = [
            place(0, 0..256, 0..256, false),
            place(0, 256..300, 256..300, false),
            place(1, 0..256, 0..256, false),
            place(0, 512..768, 512..768, true),
        ];
        let want = vec![Bound::Writable, Bound::Writable, Bound::There, Bound::There];
        assert_eq!(bind(&all), Ok(Some(want)));
    }

    #[test]
    fn the_smaller_of_two_that_meet_is_bound_apart() {
        // The labels behind the logits begin within their last 256 bytes; the gradient lies behind both.
        let all = [
            place(0, 0..1000, 0..1000, false),
            place(0, 768..1040, 1000..1040, true),
            place(0, 1024..2000, 1040..2000, false),
        ];
        let want = vec![Bound::Writable, Bound::There, Bound::Apart];
        // Of 1000 bytes read, 2 * 272 written and 976 read the second is the cheapest.
        assert_eq!(bind(&all), Ok(Some(vec![Bound::There, Bound::Apart, Bound::There])));
        // With more to be taken back, the operands go.
        let mut all = all;
        (all[1].bound, all[2].bound) = (768..3000, 2816..3100);
        assert_eq!(bind(&all), Ok(Some(vec![Bound::Apart, Bound::There, Bound::Apart])));
        (all[0].bound, all[2].bound) = (0..768, 2816..3100);
        assert_eq!(bind(&all), Ok(Some(want)));
    }

    /// What a browser checks.
    #[test]
    fn no_two_bindings_meet() {
        let mut lot = 1u64;
        let mut draw = |below: u64| {
            lot = lot.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (lot >> 33) % below
        };
        let (mut apart, mut writable, mut refused) = (0, 0, 0);
        for _ in 0..20_000 {
            let mut places = Vec::new();
            for _ in 0..2 + draw(6) {
                let (first, len) = (draw(1200), 1 + draw(400));
                let own = first..first + len;
                places.push(place(
                    draw(2) as usize,
                    first / 256 * 256..own.end.next_multiple_of(4),
                    own,
                    draw(3) == 0,
                ));
            }
            let Ok(found) = bind(&places) else {
                refused += 1;
                continue;
            };
            let found = found.unwrap_or(vec![Bound::There; places.len()]);
            for (n, (a, of_a)) in places.iter().zip(&found).enumerate() {
                assert!(!(a.written && *of_a == Bound::Writable));
                for (b, of_b) in places.iter().zip(&found).take(n) {
                    if a.buffer != b.buffer || *of_a == Bound::Apart || *of_b == Bound::Apart {
                        continue;
                    }
                    let is_writable = |own: &Place, how: &Bound| own.written || *how == Bound::Writable;
                    assert_eq!(is_writable(a, of_a), is_writable(b, of_b), "{places:?} {found:?}");
                    assert!(
                        !a.written && !b.written || !meet(&a.bound, &b.bound),
                        "{places:?} {found:?}"
                    );
                }
            }
            apart += found.iter().filter(|own| **own == Bound::Apart).count();
            writable += found.iter().filter(|own| **own == Bound::Writable).count();
        }
        assert!(
            apart > 1000 && writable > 1000 && refused > 100,
            "{apart} {writable} {refused}"
        );
    }

    #[test]
    fn outputs_in_one_word_are_refused() {
        let all = [place(0, 0..8, 0..6, true), place(0, 0..16, 6..16, true)];
        assert_eq!(bind(&all), Err((0, 1)));
        let all = [place(0, 0..8, 0..8, true), place(0, 0..16, 8..16, true)];
        assert_eq!(bind(&all), Ok(Some(vec![Bound::Apart, Bound::There])));
    }
}
