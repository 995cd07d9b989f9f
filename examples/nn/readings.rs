//! What the host hears of a loop without holding the device up.

use std::collections::VecDeque;

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

    /// Takes in what has arrived, without waiting, and says how many there are so far, with the last.
    pub fn arrived(&mut self, engine: &Engine) -> Result<(usize, Option<&Values>)> {
        while let Some(first) = self.under_way.front() {
            let Some(values) = first.try_read(engine)? else { break };
            self.values.push(values);
            self.under_way.pop_front();
        }
        Ok((self.values.len(), self.values.last()))
    }

    /// All of them, once the last is there.
    pub fn finish(mut self, engine: &Engine) -> Result<Vec<Values>> {
        for output in &self.under_way {
            self.values.push(output.read(engine)?);
        }
        Ok(self.values)
    }
}
