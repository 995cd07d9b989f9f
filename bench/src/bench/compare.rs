//! A run beside an earlier one.

use serde::{Deserialize, Serialize};

use super::record::{Median, Record, Row};

#[derive(Serialize, Deserialize)]
pub struct Comparison {
    /// The earlier record, as it was named.
    pub with: String,
    pub adapter: String,
    pub driver: String,
    pub commit: String,
    pub date: String,
    pub runs: usize,
    /// Both ran on the same adapter with the same driver.
    pub same_adapter: bool,
    /// What is cut otherwise than it was: `pack: 4, was 2`.
    #[serde(default)]
    pub tuning: Vec<String>,
    pub rows: Vec<Change>,
    /// Rows that the other run does not have.
    pub only_old: Vec<String>,
    pub only_new: Vec<String>,
}

/// A row that both runs have.
#[derive(Serialize, Deserialize)]
pub struct Change {
    pub row: String,
    /// New over old, of medians.
    pub time: Ratio,
    pub share: Ratio,
}

#[derive(Serialize, Deserialize)]
pub struct Ratio {
    pub old: f64,
    pub new: f64,
    pub ratio: f64,
    /// Neither median lies within what the samples of the other run lie between.
    pub marked: bool,
}

impl Ratio {
    fn new(old: &Median, new: &Median) -> Self {
        Self {
            old: old.median,
            new: new.median,
            ratio: new.median.max(1e-9) / old.median.max(1e-9),
            marked: !old.holds(new.median) && !new.holds(old.median),
        }
    }
}

impl Change {
    /// What has become of the row, where that is more than noise: its time, or else its share.
    pub fn verdict(&self) -> &'static str {
        match (self.time.marked, self.time.ratio < 1.0, self.share.marked) {
            (true, true, _) => "faster",
            (true, false, _) => "slower",
            (false, _, true) if self.share.ratio > 1.0 => "share up",
            (false, _, true) => "share down",
            (false, _, false) => "",
        }
    }
}

/// Two rows are one where loss, options, shape, dtype and mode are.
pub fn compare(old: &Record, new: &Record, with: &str) -> Comparison {
    let missing = |rows: &[Row], there: &[Row]| {
        let missing = rows
            .iter()
            .filter(|row| !there.iter().any(|own| own.name() == row.name()));
        missing.map(Row::name).collect()
    };
    let change = |row: &Row| {
        let before = old.rows.iter().find(|own| own.name() == row.name())?;
        // One clock for both.
        let time = match (before.times.device_ms, row.times.device_ms) {
            (Some(old), Some(new)) => Ratio::new(&old, &new),
            _ => Ratio::new(&before.times.wall_ms, &row.times.wall_ms),
        };
        Some(Change {
            row: row.name(),
            time,
            share: Ratio::new(&before.share, &row.share),
        })
    };
    Comparison {
        with: with.into(),
        adapter: old.adapter.clone(),
        driver: old.driver.clone(),
        commit: old.commit.clone(),
        date: old.date.clone(),
        runs: old.runs,
        same_adapter: old.adapter == new.adapter && old.driver == new.driver,
        tuning: retuned(&old.tuning, &new.tuning),
        rows: new.rows.iter().filter_map(change).collect(),
        only_old: missing(&old.rows, &new.rows),
        only_new: missing(&new.rows, &old.rows),
    }
}

/// The values that differ, of two tunings as records have them. One that the other does not have is none.
fn retuned(old: &str, new: &str) -> Vec<String> {
    fn values(text: &str) -> impl Iterator<Item = (&str, &str)> {
        let values = text.trim_start_matches("Tuning {").trim_end_matches('}').split(',');
        values
            .filter_map(|own| own.split_once(':'))
            .map(|(name, value)| (name.trim(), value.trim()))
    }
    let of = |text, name| {
        let found = values(text).find(|(own, _)| *own == name);
        found.map_or("none", |(_, value)| value)
    };
    let gone = values(old).filter(|(name, _)| values(new).all(|(own, _)| own != *name));
    let all = values(new)
        .chain(gone)
        .map(|(name, _)| (name, of(old, name), of(new, name)));
    all.filter(|(_, old, new)| old != new)
        .map(|(name, old, new)| format!("{name}: {new}, was {old}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_tuning_is_told_value_by_value() {
        let old = "Tuning { width: 8, pack: 4, past: 1 }";
        let new = "Tuning { width: 8, pack: 16, held: 0 }";
        let told = ["pack: 16, was 4", "held: 0, was none", "past: none, was 1"];
        assert_eq!(retuned(old, new), told);
        assert!(retuned(new, new).is_empty());
        let own = format!("{:?}", wgloss::Tuning::SOFTWARE);
        assert_eq!(retuned("", &own).len(), wgloss::Tuning::FIELDS.len());
    }

    #[test]
    fn a_ratio_is_marked_outside_of_both_spreads() {
        let spread = |min, median, max| Median { median, min, max };
        let marked = |old, new| Ratio::new(&old, &new).marked;
        assert!(marked(spread(9.0, 10.0, 11.0), spread(11.5, 12.0, 13.0)));
        // The new median is beyond the old samples, but a new sample was as fast as the old median.
        assert!(!marked(spread(9.0, 10.0, 11.0), spread(9.5, 12.0, 13.0)));
        assert!(!marked(spread(9.0, 10.0, 13.0), spread(11.5, 12.0, 13.0)));
    }
}
