//! What a check has found, as JSON: printed by `--json`, and kept in a file loss by loss.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::{Value, json};
use wgloss::Tuning;
use wgloss_bench::tuned;
use wgloss_shell::{Failure, draft};

use super::run::{Effort, Outcome};
use super::sums::Sum;
use super::total;

/// Outcomes by the places of their jobs.
pub type Outcomes = BTreeMap<usize, Outcome>;

pub struct Record {
    pub adapter: String,
    pub tuning: Option<Tuning>,
    pub effort: Effort,
    /// Outcomes of a whole check.
    pub jobs: usize,
    pub file: Option<PathBuf>,
    /// There is an older one, which stays until the new one is whole.
    pub replaces: bool,
}

impl Record {
    pub fn json(&self, outcomes: &Outcomes, sums: &[Sum]) -> Value {
        let all: Vec<&Outcome> = outcomes.values().collect();
        let (cases, failed) = total(&all);
        let failed = failed + sums.iter().filter(|sum| !sum.passes()).count();
        let is_finished = all.len() == self.jobs;
        let of = |are_losses: bool| {
            let list = all.chunk_by(|a, b| a.name == b.name);
            let list = list.filter(|own| wgloss::find(own[0].name).is_some() == are_losses);
            list.map(subject).collect::<Vec<_>>()
        };
        let mut report = json!({
            "adapter": self.adapter,
            "seed": self.effort.seed,
            "finished": is_finished,
            "passed": is_finished && failed == 0,
            "losses": of(true),
            "optimizers": of(false),
        });
        if let Some(tuning) = self.tuning {
            report["tuning"] = tuned::json(&tuning).into();
        }
        if let Some(rounds) = self.effort.rounds {
            report["rounds"] = rounds.into();
            report["cases"] = (cases + sums.len()).into();
            report["sums"] = sums.iter().map(Sum::json).collect();
        }
        report
    }

    /// What there is when a job is done, for who is cut off. Where that fails, so does the whole record, which tells.
    pub fn keep(&self, outcomes: &Outcomes) {
        if !self.replaces {
            let _ = self.publish(outcomes, &[]);
        }
    }

    pub fn publish(&self, outcomes: &Outcomes, sums: &[Sum]) -> Result<(), Failure> {
        self.file.as_ref().map_or(Ok(()), |place| {
            let text = self.json(outcomes, sums).to_string();
            draft::publish(vec![draft::whole("--save", place, text.as_bytes())?])
        })
    }
}

/// A loss or an optimizer with its dtypes.
fn subject(outcomes: &[&Outcome]) -> Value {
    let (cases, failed) = total(outcomes);
    let dtypes = outcomes.iter().map(|own| (own.dtype.name().to_owned(), own.json()));
    json!({
        "name": outcomes.first().map(|own| own.name),
        "cases": cases,
        "failed": failed,
        "dtypes": dtypes.collect::<serde_json::Map<_, _>>(),
    })
}
