//! What the host hears of a loop without holding the device up.

use std::collections::VecDeque;

use indicatif::ProgressBar;
use wgloss::{Engine, Output, Result, Values};

/// Results of many calls, in their order: those on their way, and those that are there.
#[derive(Default)]
pub struct Readings {
    under_way: VecDeque<Output>,
    values: Vec<Values>,
}

impl Readings {
    pub fn push(&mut self, output: Output) {
        self.under_way.push_back(output);
    }

    /// Takes in what has arrived, without waiting, and shows how far the device has come.
    pub fn show(&mut self, engine: &Engine, bar: &ProgressBar, what: &str) -> Result<()> {
        while let Some(first) = self.under_way.front() {
            let Some(values) = first.try_read(engine)? else { break };
            self.values.push(values);
            self.under_way.pop_front();
        }
        bar.set_position(self.values.len() as u64);
        if let Some(loss) = self.values.last().and_then(Values::scalar) {
            bar.set_message(format!("{what}loss {loss:.3}"));
        }
        Ok(())
    }

    /// All of them, once the last is there.
    pub fn finish(mut self, engine: &Engine) -> Result<Vec<Values>> {
        for output in &self.under_way {
            self.values.push(output.read(engine)?);
        }
        Ok(self.values)
    }
}
