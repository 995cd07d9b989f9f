//! Adagrad.

use super::define::define;
use super::{State, UpdateRule};
use crate::error::{Result, at_least};
use crate::scalars::scalars;
use crate::shader::piece;
use crate::words::Role;

scalars! {
    Numbers {
        rate = "lr / (1 + (t - 1) lr_decay); where a device counts the steps, lr",
        lr_decay,
        weight_decay,
        begin = "initial_accumulator_value of a sum that is not there yet, else 0",
        eps,
    }
}

define! {
    /// Adagrad ([PyTorch](https://pytorch.org/docs/stable/generated/torch.optim.Adagrad.html)). Of parameter p,
    /// gradient g and the sum s of its squares, at step t:
    ///
    /// ```text
    /// g = -g                          if maximize
    /// g = g + weight_decay p          if weight_decay is not 0
    /// s = s + g²
    /// p = p - lr / (1 + (t - 1) lr_decay) g / (sqrt(s) + eps)
    /// ```
    ///
    /// **Shapes, dtypes and differences from PyTorch** are those of [all optimizers](crate::optim).
    ///
    /// **State.** `sum` (s), which begins as `initial_accumulator_value`.
    ///
    /// **Edges.** A gradient of NaN makes parameter and sum NaN. Gradients beyond about 1e19 have squares beyond f32,
    /// and no effect, then or later. With `eps` 0 the parameter is NaN where all gradients were 0, as in PyTorch.
    ///
    /// **Errors.** [`Error::Option`](crate::Error::Option) for an option below 0 or not finite;
    /// [`Error::Operand`](crate::Error::Operand) for shapes and dtypes, and for state without its sum after the first
    /// step.
    Adagrad, "adagrad";
    summary: "steps divided by the root of the sum of squared gradients";
    url: "https://pytorch.org/docs/stable/generated/torch.optim.Adagrad.html";
    states: &[Role::Sum];
    counts_steps: true;
    options {
        lr: f64 = 1e-2, "the learning rate, at least 0";
        lr_decay: f64 = 0.0, "how fast the learning rate falls with the steps, at least 0";
        weight_decay: f64 = 0.0, "how much of the parameter is added to its gradient, at least 0";
        initial_accumulator_value: f64 = 0.0, "what the sum of squares begins with, at least 0";
        eps: f64 = 1e-10, "added to the denominator, at least 0";
        maximize: bool = false, "go up along the gradient, not down";
    }
}

impl Adagrad {
    fn check(&self) -> Result<()> {
        at_least("lr", self.lr, 0.0)?;
        at_least("lr_decay", self.lr_decay, 0.0)?;
        at_least("weight_decay", self.weight_decay, 0.0)?;
        at_least("initial_accumulator_value", self.initial_accumulator_value, 0.0)?;
        at_least("eps", self.eps, 0.0)
    }

    fn rule(&self, state: &State) -> UpdateRule {
        UpdateRule {
            piece: piece!("update/adagrad.wgsl"),
            flags: vec![("MAXIMIZES", self.maximize), ("DECAYS", self.weight_decay != 0.0)],
            scalars: Numbers {
                rate: match state.is_counted() {
                    true => self.lr,
                    false => self.lr / (1.0 + state.step() as f64 * self.lr_decay),
                },
                lr_decay: self.lr_decay,
                weight_decay: self.weight_decay,
                begin: match state.get(Role::Sum) {
                    Some(_) if !state.is_counted() => 0.0,
                    _ => self.initial_accumulator_value,
                },
                eps: self.eps,
            }
            .into(),
            states: 1,
        }
    }

    fn element(&self, rule: &UpdateRule, param: f64, grad: f64, [sum, ..]: &mut [f64; 3]) -> f64 {
        let Numbers {
            rate,
            weight_decay,
            begin,
            eps,
            ..
        } = (&rule.scalars).into();
        let mut g = if self.maximize { -grad } else { grad };
        if weight_decay != 0.0 {
            g += weight_decay * param;
        }
        *sum += begin + g * g;
        param - rate * g / (sum.sqrt() + eps)
    }
}
