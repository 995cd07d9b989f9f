//! How much of what a memory moves is wanted: sectors of 32 bytes that 32 lanes touch in one turn.

use std::collections::{BTreeMap, HashMap};

use super::trace::Site;

/// Lanes whose accesses go out together.
pub const TOGETHER: usize = 32;

/// Bytes that a memory moves at once.
pub const SECTOR: u64 = 32;

/// What was wanted of a binding, and the sectors that it took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub wanted: u64,
    pub sectors: u64,
}

impl Tally {
    /// Bytes wanted of those moved; nothing where nothing was.
    pub fn efficiency(self) -> Option<f64> {
        (self.sectors > 0).then(|| self.wanted as f64 / (SECTOR * self.sectors) as f64)
    }
}

impl std::ops::AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.wanted += other.wanted;
        self.sectors += other.sectors;
    }
}

impl std::iter::Sum for Tally {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), |mut sum, own| {
            sum += own;
            sum
        })
    }
}

/// The tallies of bindings, reads (false) and writes (true) apart. `lanes`: the site and the byte of each access, in
/// the order of the lane. `element`: bytes of an element of a binding.
///
/// Turn n of a site is the nth time that a lane comes by: a lane that passes a site over is not of that turn. Bytes
/// that several lanes want are wanted once.
pub fn tallies(
    sites: &[Site],
    lanes: &[Vec<(u32, u64)>],
    element: impl Fn(u32) -> u64,
) -> BTreeMap<(u32, bool), Tally> {
    let mut sums = BTreeMap::new();
    for group in lanes.chunks(TOGETHER) {
        let mut turns: HashMap<(u32, u32), Vec<u64>> = HashMap::new();
        for lane in group {
            let mut nth = vec![0u32; sites.len()];
            for &(site, address) in lane {
                let own = &mut nth[site as usize];
                turns.entry((site, *own)).or_default().push(address);
                *own += 1;
            }
        }
        for ((site, _), addresses) in turns {
            let own = sites[site as usize];
            let key = (own.binding, own.is_written);
            *sums.entry(key).or_insert_with(Tally::default) += turn(own, addresses, element(own.binding));
        }
    }
    sums
}

fn turn(site: Site, mut addresses: Vec<u64>, element: u64) -> Tally {
    let bytes = u64::from(site.bytes);
    let each = match site.is_element {
        true => bytes.min(element.max(1)),
        false => bytes,
    };
    let asked = each * addresses.len() as u64;
    addresses.sort_unstable();
    let (mut distinct, mut sectors, mut covered, mut last) = (0, 0, 0, None);
    for first in addresses {
        let end = first + bytes;
        distinct += end - first.max(covered).min(end);
        covered = covered.max(end);
        for sector in first / SECTOR..end.div_ceil(SECTOR) {
            sectors += u64::from(last.is_none_or(|last| sector > last));
            last = last.max(Some(sector));
        }
    }
    Tally {
        wanted: asked.min(distinct),
        sectors,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const READ: Site = Site {
        binding: 1,
        is_written: false,
        bytes: 4,
        is_element: true,
    };

    fn efficiency(site: Site, lanes: &[Vec<u64>], element: u64) -> f64 {
        let lanes: Vec<_> = lanes
            .iter()
            .map(|own| own.iter().map(|&address| (0, address)).collect())
            .collect();
        let all = tallies(&[site], &lanes, |_| element);
        assert_eq!(all.len(), 1);
        all[&(site.binding, site.is_written)].efficiency().unwrap()
    }

    #[test]
    fn known_patterns() {
        let lanes = |address: fn(u64) -> u64| (0..64).map(|lane| vec![address(lane)]).collect::<Vec<_>>();
        assert_eq!(efficiency(READ, &lanes(|lane| 4 * lane), 4), 1.0);
        assert_eq!(efficiency(READ, &lanes(|lane| 32 * lane), 4), 0.125);
        // Ten columns to a lane.
        assert_eq!(efficiency(READ, &lanes(|lane| 40 * lane), 4), 0.125);
        // All lanes of a group want the same.
        assert_eq!(efficiency(READ, &lanes(|_| 8), 4), 0.125);
        // A run that begins within a sector touches one more.
        assert_eq!(efficiency(READ, &lanes(|lane| 4 * lane + 16), 4), 0.8);
        // Halves of words, neighbours and not.
        assert_eq!(efficiency(READ, &lanes(|lane| 2 * lane / 4 * 4), 2), 1.0);
        assert_eq!(efficiency(READ, &lanes(|lane| 32 * lane), 2), 0.0625);
        let whole = Site { bytes: 16, ..READ };
        assert_eq!(efficiency(whole, &lanes(|lane| 16 * lane), 4), 0.25);
        let whole = Site {
            is_element: false,
            ..whole
        };
        assert_eq!(efficiency(whole, &lanes(|lane| 16 * lane), 4), 1.0);
    }

    #[test]
    fn turns_are_counted_by_lane() {
        // Lanes with a turn less: what is left of theirs is apart. 8 whole sectors, then 4 of one word each.
        let lanes: Vec<_> = (0..64u64)
            .map(|lane| match lane % 8 {
                0 => vec![4 * lane, 4096 + 32 * lane],
                _ => vec![4 * lane],
            })
            .collect();
        let all = (256.0 + 32.0) / (32.0 * (8.0 + 8.0));
        assert_eq!(efficiency(READ, &lanes, 4), all);
    }
}
