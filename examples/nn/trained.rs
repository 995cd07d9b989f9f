//! What came of trainings, as a table and as a picture.

use std::path::Path;

use wgloss_shell::{fit, print};

use super::Done;
use super::curve::{self, Line, Panel};

/// The loss of each step, and the accuracy on what was not trained on after each epoch.
#[derive(Clone, Debug)]
pub struct Trained {
    pub name: String,
    pub losses: Vec<f32>,
    pub accuracies: Vec<f64>,
    pub seconds: f64,
}

impl Trained {
    fn per_epoch(&self) -> usize {
        (self.losses.len() / self.accuracies.len().max(1)).max(1)
    }

    /// The mean of the last epoch.
    pub fn loss(&self) -> f64 {
        let last = self.losses.rchunks(self.per_epoch()).next().unwrap_or_default();
        last.iter().map(|&loss| f64::from(loss)).sum::<f64>() / last.len() as f64
    }

    pub fn accuracy(&self) -> f64 {
        self.accuracies.last().copied().unwrap_or(f64::NAN)
    }

    fn row(&self, optimizer: &str) -> Vec<String> {
        let (loss, accuracy) = (format!("{:.4}", self.loss()), format!("{:.4}", self.accuracy()));
        [&self.name, optimizer, &loss, &accuracy, &format!("{:.1}", self.seconds)]
            .map(str::to_owned)
            .to_vec()
    }
}

/// A line for each.
pub fn table(optimizer: &str, all: &[Trained]) -> Done {
    let header = ["model", "optimizer", "loss", "test accuracy", "seconds"];
    let rows: Vec<_> = all.iter().map(|own| own.row(optimizer)).collect();
    print::line(&fit::table(&header, &rows, 2))
}

/// Losses on the left, accuracies on the right.
pub fn picture(place: &Path, title: &str, all: &[Trained]) -> Done {
    let names = all
        .iter()
        .map(|own| format!("{}: test accuracy {:.3}", own.name, own.accuracy()));
    let each = || all.iter().enumerate();
    let losses = each().flat_map(|(of, own)| curve::of_losses(of, &own.losses, own.per_epoch()));
    let accuracies = each().map(|(of, own)| Line::of(of, &own.accuracies, 1));
    let panels = [
        Panel::new("loss of each step, and the mean of each epoch", "epochs", losses).log(),
        Panel::new("accuracy on the test digits", "epochs", accuracies),
    ];
    curve::save(place, title, &names.collect::<Vec<_>>(), &panels)
}
