//! Which candidate is taken: a rule over times, and nothing else.
//!
//! A candidate is held against the value before (the class's, or what won at the end of an earlier ladder) in the same
//! rounds, on the rows that the two run differently. It wins where the median of the rounds is at least [`GAIN`]
//! faster, it was faster in [`MOST`] of the rounds, and on no row the median is [`GAIN`] slower. Of several that win,
//! the one that gains most over all rows is measured once more, alone with the value before, and has to win again:
//! among thirty some are lucky once.

use std::fmt;

use crate::bench::record::Median;

/// What is less may be noise.
pub const GAIN: f64 = 0.05;

/// The share of the rounds that has to agree.
pub const MOST: f64 = 0.75;

/// The rule, as it is printed.
pub const RULE: &str = "a candidate is taken that is at least 5 % faster (median of the rounds) than the value before, in three \
                        of four\nrounds, on no row 5 % slower, and all of that once more, alone with the value before.";

/// The times of a candidate on one row, over those of the value before in the same rounds; `None` where both run the
/// same.
pub type Ratios = Option<Vec<f64>>;

/// How a candidate stands beside the value before.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Standing {
    /// Median over the rounds, of the mean over the rows that differ.
    pub share: f64,
    /// Rounds that the candidate was faster in, of so many.
    pub faster: usize,
    pub rounds: usize,
    /// The median on the row where it stands worst.
    worst: f64,
    /// Over all rows, those that do not differ included.
    overall: f64,
}

impl Standing {
    /// `None` of a candidate that runs all rows as the value before does.
    pub fn of(rows: &[Ratios]) -> Option<Self> {
        let differing: Vec<&Vec<f64>> = rows.iter().flatten().collect();
        let rounds = differing.iter().map(|row| row.len()).min()?;
        let of_round = |round: usize| mean(differing.iter().map(|row| row[round]));
        let shares: Vec<f64> = (0..rounds).map(of_round).collect();
        let medians = differing.iter().map(|row| Median::of(row).median);
        Some(Self {
            share: Median::of(&shares).median,
            faster: shares.iter().filter(|share| **share < 1.0).count(),
            rounds,
            worst: medians.clone().fold(0.0, f64::max),
            overall: mean(medians.chain(std::iter::repeat_n(1.0, rows.len() - differing.len()))),
        })
    }

    pub fn wins(&self) -> bool {
        self.share <= 1.0 - GAIN && self.faster as f64 >= MOST * self.rounds as f64 && self.worst < 1.0 + GAIN
    }
}

/// `12 % faster, in 6 of 7 rounds`
impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = 100.0 * (1.0 - self.share).abs();
        let word = if self.share < 1.0 { "faster" } else { "slower" };
        write!(
            f,
            "{percent:.0} % {word}, faster in {} of {} rounds",
            self.faster, self.rounds
        )?;
        match self.share <= 1.0 - GAIN && self.worst >= 1.0 + GAIN {
            true => write!(f, ", but {:.0} % slower on a row", 100.0 * (self.worst - 1.0)),
            false => Ok(()),
        }
    }
}

/// The geometric mean of ratios.
fn mean(ratios: impl Iterator<Item = f64>) -> f64 {
    let (count, sum) = ratios.fold((0u32, 0.0), |(count, sum), ratio| (count + 1, sum + ratio.ln()));
    (sum / f64::from(count)).exp()
}

/// The candidate that wins and gains most, if any does.
pub fn best(standings: &[Option<Standing>]) -> Option<usize> {
    let winners = standings.iter().enumerate();
    let winners = winners.filter_map(|(nth, own)| own.filter(Standing::wins).map(|own| (nth, own.overall)));
    winners.min_by(|a, b| a.1.total_cmp(&b.1)).map(|(nth, _)| nth)
}

/// Why the value before stays, where no candidate wins: the one that came nearest.
pub fn why_kept(values: &[u64], standings: &[Option<Standing>]) -> String {
    let all = values.iter().zip(standings);
    let nearest = all
        .filter_map(|(value, own)| own.map(|own| (value, own)))
        .min_by(|a, b| a.1.share.total_cmp(&b.1.share));
    match nearest {
        Some((value, own)) => format!("kept: {value} is {own}"),
        None => "kept: all candidates run these rows alike; more --elements may tell them apart".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of one row.
    fn standing(ratios: &[f64]) -> Standing {
        Standing::of(&[Some(ratios.to_vec())]).unwrap()
    }

    #[test]
    fn who_wins_is_faster_by_more_than_noise() {
        for (ratios, wins) in [
            (&[0.9; 8][..], true),
            (&[0.95; 8], true),
            // Too little.
            (&[0.96; 8], false),
            (&[1.0; 8], false),
            (&[1.2; 8], false),
            // Three of four rounds, and fewer.
            (&[0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 1.5, 1.5], true),
            (&[0.5, 0.5, 0.5, 0.5, 0.5, 1.5, 1.5, 1.5], false),
            // One round that was interrupted is none of the candidate's.
            (&[0.9, 0.9, 0.9, 0.9, 0.9, 0.9, 0.9, 9.0], true),
            (&[0.9], true),
        ] {
            assert_eq!(standing(ratios).wins(), wins, "{ratios:?}");
        }
    }

    #[test]
    fn rows_that_do_not_differ_neither_help_nor_hide() {
        let ratios = Some(vec![0.9; 4]);
        let alone = standing(&[0.9; 4]);
        let among = Standing::of(&[None, ratios.clone(), None]).unwrap();
        assert_eq!(
            (among.share, among.faster, among.wins()),
            (alone.share, alone.faster, true)
        );
        assert_eq!(Standing::of(&[None, None]), None);
        assert_eq!(Standing::of(&[]), None);
        // But what gains on more rows gains more.
        let wider = Standing::of(&[Some(vec![0.92; 4]), ratios.clone()]).unwrap();
        let narrow = Standing::of(&[None, ratios]).unwrap();
        assert!(wider.share > narrow.share);
        assert_eq!(best(&[Some(narrow), None, Some(wider)]), Some(2));
    }

    #[test]
    fn a_gain_on_one_row_excuses_no_loss_on_another() {
        let mixed = Standing::of(&[Some(vec![0.5; 4]), Some(vec![1.06; 4])]).unwrap();
        assert!(mixed.share < 0.8 && !mixed.wins());
        assert!(mixed.to_string().ends_with("but 6 % slower on a row"), "{mixed}");
        let within = Standing::of(&[Some(vec![0.5; 4]), Some(vec![1.04; 4])]).unwrap();
        assert!(within.wins());
    }

    #[test]
    fn nobody_is_best_where_nobody_wins() {
        let [good, better, even] = [&[0.9; 4], &[0.8; 4], &[0.99; 4]].map(|ratios| Some(standing(ratios)));
        assert_eq!(best(&[good, None, better, even]), Some(2));
        assert_eq!(best(&[even, None]), None);
        assert_eq!(best(&[]), None);
        let why = why_kept(&[4, 8, 16], &[Some(standing(&[1.1; 4])), None, even]);
        assert_eq!(why, "kept: 16 is 1 % faster, faster in 4 of 4 rounds");
        assert_eq!(
            why_kept(&[8], &[None]),
            "kept: all candidates run these rows alike; more --elements may tell them apart"
        );
    }
}
