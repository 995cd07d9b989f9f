//! Stochastic gradient descent.

use super::define::define;
use super::{State, UpdateRule};
use crate::error::{Error, Result, at_least, finite};
use crate::scalars::scalars;
use crate::shader::piece;
use crate::words::Role;

scalars! { Numbers { lr, weight_decay, momentum, keep, take } }

define! {
    /// Stochastic gradient descent, with momentum where it is asked for
    /// ([PyTorch](https://pytorch.org/docs/stable/generated/torch.optim.SGD.html)). Of parameter p, gradient g and
    /// momentum buffer b:
    ///
    /// ```text
    /// g = -g                                 if maximize
    /// g = g + weight_decay p                 if weight_decay is not 0
    /// b = momentum b + (1 - dampening) g     if momentum is not 0; where there is no b yet, b = g, without dampening
    /// g = g + momentum b                     if nesterov, else b
    /// p = p - lr g
    /// ```
    ///
    /// **Shapes, dtypes and differences from PyTorch** are those of [all optimizers](crate::optim).
    ///
    /// **State.** `momentum_buffer`, with momentum alone. Where there is one, the step is not the first, whatever the
    /// count.
    ///
    /// **Errors.** [`Error::Option`] for an `lr`, `momentum` or `weight_decay` below 0, for anything not finite, and
    /// for `nesterov` without momentum or with dampening; [`Error::Operand`] for shapes and dtypes.
    Sgd, "sgd";
    summary: "stochastic gradient descent with momentum";
    url: "https://pytorch.org/docs/stable/generated/torch.optim.SGD.html";
    states: &[Role::MomentumBuffer];
    counts_steps: false;
    options {
        lr: f64 = 1e-3, "the learning rate, at least 0";
        momentum: f64 = 0.0, "how much of the momentum buffer is kept, at least 0";
        dampening: f64 = 0.0, "how much of the gradient stays out of the momentum buffer";
        weight_decay: f64 = 0.0, "how much of the parameter is added to its gradient, at least 0";
        nesterov: bool = false, "Nesterov's momentum: the gradient counts once more";
        maximize: bool = false, "go up along the gradient, not down";
    }
}

impl Sgd {
    fn check(&self) -> Result<()> {
        at_least("lr", self.lr, 0.0)?;
        at_least("momentum", self.momentum, 0.0)?;
        at_least("weight_decay", self.weight_decay, 0.0)?;
        finite("dampening", self.dampening)?;
        if self.nesterov && (self.momentum == 0.0 || self.dampening != 0.0) {
            let message = format!(
                "needs momentum above 0 and dampening 0, which are {} and {}",
                self.momentum, self.dampening
            );
            return Err(Error::option("nesterov", message));
        }
        Ok(())
    }

    fn rule(&self, state: &State) -> UpdateRule {
        let has_momentum = self.momentum != 0.0;
        // A buffer that is not there yet is zeros: then nothing is kept, and all is taken. Where a device counts the
        // steps, it knows which is the first.
        let is_first = state.get(Role::MomentumBuffer).is_none() && !state.is_counted();
        let (keep, take) = match is_first {
            true => (0.0, 1.0),
            false => (self.momentum, 1.0 - self.dampening),
        };
        UpdateRule {
            piece: piece!("update/sgd.wgsl"),
            flags: vec![
                ("MAXIMIZES", self.maximize),
                ("DECAYS", self.weight_decay != 0.0),
                ("HAS_MOMENTUM", has_momentum),
                ("NESTEROV", self.nesterov),
            ],
            scalars: Numbers {
                lr: self.lr,
                weight_decay: self.weight_decay,
                momentum: self.momentum,
                keep,
                take,
            }
            .into(),
            states: usize::from(has_momentum),
        }
    }

    fn element(&self, rule: &UpdateRule, param: f64, grad: f64, [buffer, ..]: &mut [f64; 3]) -> f64 {
        let Numbers {
            lr,
            weight_decay,
            momentum,
            keep,
            take,
        } = (&rule.scalars).into();
        let mut g = if self.maximize { -grad } else { grad };
        if weight_decay != 0.0 {
            g += weight_decay * param;
        }
        if momentum != 0.0 {
            *buffer = keep * *buffer + take * g;
            g = if self.nesterov { g + momentum * *buffer } else { *buffer };
        }
        param - lr * g
    }
}
