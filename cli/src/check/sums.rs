//! Long sums against f64, in the order of either class of adapters.

use serde_json::{Value, json};
use wgloss::precision::{HARD_TERMS, SUM};
use wgloss::{L1, Loss, Nll, Reduce, ReduceOp, Reduction, Tensor, Tuning};
use wgloss_bench::tuned::reopen;
use wgloss_shell::{Failure, progress};

const TERMS: usize = 100_000_000;

/// A sum and how far it is off.
pub struct Sum {
    what: &'static str,
    terms: &'static str,
    tuning: &'static str,
    /// Relative to the sum of the terms' magnitudes.
    error: f64,
}

impl Sum {
    pub fn passes(&self) -> bool {
        self.error <= SUM
    }

    /// Of the error allowed.
    pub fn share(&self) -> f64 {
        self.error / SUM
    }

    pub fn json(&self) -> Value {
        json!({ "of": self.what, "terms": self.terms, "tuning": self.tuning, "error": self.error, "passed": self.passes() })
    }

    pub fn row(&self) -> Vec<String> {
        let case = format!("{} of {TERMS} terms, {}, {} tuning", self.what, self.terms, self.tuning);
        vec!["sums f32".into(), "loss".into(), format!("{:.3}", self.share()), case]
    }
}

/// The reduction, its mean, a loss of elements and one of rows.
pub fn run(adapter: &str, tuned: Option<Tuning>) -> Result<Vec<Sum>, Failure> {
    let mut engines = Vec::new();
    let tunings = [("software", Tuning::SOFTWARE), ("hardware", Tuning::HARDWARE)].into_iter();
    for (name, tuning) in tunings.chain(tuned.map(|tuning| ("tuned", tuning))) {
        engines.push((name, reopen(adapter, Some(tuning))?));
    }
    let mean = Reduce {
        op: ReduceOp::Mean,
        ..Default::default()
    };
    let (sum, reduction) = (Reduce::default(), Reduction::Sum);
    let l1 = L1 { reduction };
    let nll = Nll {
        reduction,
        ..Default::default()
    };
    let bar = progress::bar(HARD_TERMS.len());
    let zero = Tensor::new(&[0f32], &[1])?;
    let (rows, cols) = (TERMS / 4, 4);
    let labels = Tensor::new(&vec![1u8; rows], &[rows])?;
    let mut sums = Vec::new();
    for (terms, term) in HARD_TERMS {
        bar.set_message(format!("sums of {TERMS} terms, {terms}"));
        let data: Vec<f32> = (0..TERMS).map(|i| term(i, TERMS)).collect();
        let wide = || data.iter().map(|&x| f64::from(x));
        let (all, size) = (wide().sum::<f64>(), wide().map(f64::abs).sum::<f64>());
        let picked = || wide().skip(1).step_by(cols);
        let (picked, picked_size) = (picked().sum::<f64>(), picked().map(f64::abs).sum::<f64>());
        for (tuning, engine) in &engines {
            let error = |loss: &dyn Loss, tensors: &[&Tensor], want: f64, size: f64| -> Result<f64, wgloss::Error> {
                let got = loss.forward(engine, tensors)?.read(engine)?.scalar();
                Ok(got.map_or(f64::NAN, |got| (f64::from(got) - want).abs() / size))
            };
            let flat = engine.upload(&Tensor::new(&data, &[TERMS])?)?;
            let mut errors = vec![
                ("reduce sum", error(&sum, &[&flat], all, size)?),
                (
                    "reduce mean",
                    error(&mean, &[&flat], all / TERMS as f64, size / TERMS as f64)?,
                ),
                ("l1 sum", error(&l1, &[&flat, &zero], size, size)?),
            ];
            drop(flat);
            let table = engine.upload(&Tensor::new(&data, &[rows, cols])?)?;
            errors.push(("nll sum", error(&nll, &[&table, &labels], -picked, picked_size)?));
            sums.extend(errors.into_iter().map(|(what, error)| Sum {
                what,
                terms,
                tuning,
                error,
            }));
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(sums)
}
