//! What the results of a row have to be: the f64 reference of its block, repeated as its operands are.

use wgloss::{Array, Dtype, Loss, Mode, Reduction, Result, Values, reference};

use super::inputs::{self, Inputs};
use crate::errors::{Miss, Worst, compare};

pub struct Truth {
    /// Of each term of the block, or the sum or mean of all terms.
    losses: Vec<f64>,
    /// Of the block.
    grad: Vec<f64>,
}

impl Truth {
    /// The reference of a loss, once for all modes.
    ///
    /// # Errors
    /// Those of the loss.
    pub fn new(mut loss: Box<dyn Loss>, inputs: &Inputs, modes: &[Mode]) -> Result<Self> {
        let reduction = loss.reduction();
        loss.set_reduction(Reduction::None);
        let mode = match modes.iter().any(|mode| mode.wants_grad()) {
            true => Mode::Fused,
            false => Mode::Forward,
        };
        let own = reference::run(loss.as_ref(), &inputs::call(&inputs.block, mode))?;
        let mut truth = Self {
            grad: own.grad_input.unwrap_or_default(),
            losses: own.loss,
        };
        if reduction != Reduction::None {
            truth.reduce(reduction, inputs);
        }
        Ok(truth)
    }

    /// The sum or mean of the blocks, of which the last may be cut. No row of a bench is ignored or weighs more than
    /// others, so every loss has the same mean.
    fn reduce(&mut self, reduction: Reduction, inputs: &Inputs) {
        let cut = self.losses.len() * (inputs.items % inputs.block_items) / inputs.block_items;
        let blocks = inputs.items / inputs.block_items;
        let sum: f64 = blocks as f64 * self.losses.iter().sum::<f64>() + self.losses[..cut].iter().sum::<f64>();
        let scale = match reduction {
            Reduction::Mean => 1.0 / (blocks * self.losses.len() + cut) as f64,
            _ => 1.0,
        };
        self.losses = vec![sum * scale];
        self.grad.iter_mut().for_each(|g| *g *= scale);
    }

    /// Compares all there is of the results.
    ///
    /// # Errors
    /// What is wrong first, in words.
    pub fn check(&self, got: Values) -> std::result::Result<(), String> {
        for (what, got, want) in [
            ("loss", got.loss, &self.losses),
            ("gradient", got.grad_input, &self.grad),
        ] {
            if let Some(got) = got {
                repeats(&got, want).map_err(|why| format!("wrong {what}, not timed: {why}"))?;
            }
        }
        Ok(())
    }
}

/// Compares an array with what it has to repeat, on all cores: there may be a billion elements.
///
/// # Errors
/// What is wrong first, in words.
pub fn repeats(got: &Array, want: &[f64]) -> std::result::Result<(), String> {
    let step = want.len().max(1);
    let chunks: Vec<&[f32]> = got.data.chunks(step).collect();
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let part = chunks.len().div_ceil(threads).max(1);
    let first = |(nth, chunks): (usize, &[&[f32]])| {
        let begin = nth * part * step;
        let all = chunks.iter().enumerate();
        all.into_iter()
            .find_map(|(nth, chunk)| miss(chunk, got.dtype, want, begin + nth * step))
    };
    let found = std::thread::scope(|scope| {
        let parts = chunks.chunks(part).enumerate();
        let all: Vec<_> = parts.map(|own| scope.spawn(move || first(own))).collect();
        let joined = all.into_iter().map(std::thread::ScopedJoinHandle::join);
        joined
            .map(|own| own.unwrap_or_else(|_| Some("a thread that compares died".into())))
            .collect::<Vec<_>>()
    });
    found.into_iter().flatten().next().map_or(Ok(()), Err)
}

/// What is wrong with a chunk that begins at an element.
fn miss(chunk: &[f32], dtype: Dtype, want: &[f64], begin: usize) -> Option<String> {
    let want = want.get(..chunk.len()).unwrap_or_default();
    match compare(chunk, dtype, want, None, &mut Worst::default())? {
        Miss::Length { got, want } => Some(format!("{got} elements, expected {want}")),
        Miss::Values { index, got, want, .. } => {
            Some(format!("element {} is {got:e}, expected {want:e}", begin + index))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::rows;

    /// The operands of every loss are made and computed, in blocks where it takes its items one by one.
    #[test]
    fn every_loss_has_operands() {
        for info in wgloss::REGISTRY {
            let shape: &[usize] = match rows::shapes(info)[0].len() {
                1 => &[1_200_000],
                2 => &[300, 3700],
                _ => &[300, 5, 3700],
            };
            let loss = || inputs::make(info, rows::forms(info)[0], Dtype::F32).unwrap();
            let inputs = Inputs::new(loss().as_ref(), shape, Dtype::F32).unwrap();
            let truth = Truth::new(loss(), &inputs, &[Mode::Forward]).unwrap();
            let engine = wgloss::Engine::cpu();
            let got = loss()
                .run(&engine, &inputs::call(&inputs.whole, Mode::Forward))
                .unwrap();
            let got = got.read(&engine).unwrap();
            assert_eq!(truth.check(got), Ok(()), "{}", info.name);
            assert!(
                inputs.block_items < inputs.items || info.name == "reduce",
                "{}: {} items",
                info.name,
                inputs.items
            );
        }
    }

    /// One wrong number anywhere is found, also behind the first block and in the last, which is cut.
    #[test]
    fn a_wrong_number_is_found_wherever_it_is() {
        let shape = [1_500_000, 2];
        for name in ["cross_entropy", "mse"] {
            let info = wgloss::find(name).unwrap();
            let loss = || inputs::make(info, rows::forms(info)[0], Dtype::F32).unwrap();
            let inputs = Inputs::new(loss().as_ref(), &shape, Dtype::F32).unwrap();
            assert!(inputs.block_items < inputs.items && !inputs.items.is_multiple_of(inputs.block_items));
            let truth = Truth::new(loss(), &inputs, &Mode::ALL).unwrap();
            let engine = wgloss::Engine::cpu();
            let call = inputs::call(&inputs.whole, Mode::Fused);
            let right = loss().run(&engine, &call).unwrap().read(&engine).unwrap();
            assert_eq!(truth.check(right.clone()), Ok(()));
            for place in [0, 1, 1_499_999, 2_999_999] {
                let mut wrong = right.clone();
                wrong.grad_input.as_mut().unwrap().data[place] *= 1.01;
                let why = truth.check(wrong).unwrap_err();
                assert!(why.starts_with("wrong gradient, not timed: element "), "{why}");
                assert!(why.contains(&format!("element {place} ")), "{why}");
            }
            let mut wrong = right;
            wrong.loss.as_mut().unwrap().data[0] *= 1.001;
            assert!(truth.check(wrong).unwrap_err().starts_with("wrong loss"), "{name}");
        }
    }
}
