//! Adam, and AdamW, which differs in how weights decay.

use super::define::define;
use super::{State, UpdateRule};
use crate::error::{Error, Result, at_least};
use crate::scalars::scalars;
use crate::shader::piece;
use crate::words::Role;

scalars! {
    Numbers {
        decay = "1 - lr weight_decay of AdamW, weight_decay of Adam",
        beta1,
        rest1 = "1 - beta1",
        beta2,
        rest2 = "1 - beta2",
        step_size = "lr / (1 - beta1^t)",
        root = "sqrt(1 - beta2^t)",
        eps,
    }
}

const STATES: &[Role] = &[Role::ExpAvg, Role::ExpAvgSq, Role::MaxExpAvgSq];

define! {
    /// Adam ([PyTorch](https://pytorch.org/docs/stable/generated/torch.optim.Adam.html)). Of parameter p, gradient g,
    /// the running means m of g and v of g², and the peak w of v, at step t:
    ///
    /// ```text
    /// g = -g                          if maximize
    /// g = g + weight_decay p          if weight_decay is not 0
    /// m = m + (1 - beta1) (g - m)
    /// v = beta2 v + (1 - beta2) g²
    /// w = max(w, v)                   if amsgrad, else v
    /// p = p - lr / (1 - beta1^t) m / (sqrt(w) / sqrt(1 - beta2^t) + eps)
    /// ```
    ///
    /// **Shapes, dtypes and differences from PyTorch** are those of [all optimizers](crate::optim).
    ///
    /// **State.** `exp_avg` (m), `exp_avg_sq` (v) and, with `amsgrad`, `max_exp_avg_sq` (w), which begin as zeros.
    ///
    /// **Edges.** A gradient of NaN makes parameter and state NaN, also the peak. Gradients beyond about 1e19 have
    /// squares beyond f32, and no effect; below about 1e-19 their squares vanish beside `eps`, and with `eps` 0 the
    /// parameter can become NaN, as it does where all gradients were 0.
    ///
    /// **Errors.** [`Error::Option`] for an `lr`, `eps` or `weight_decay` below 0, for anything not finite and for
    /// `betas` outside [0, 1); [`Error::Operand`] for shapes and dtypes, and for state without its peak where `amsgrad`
    /// is asked for after the first step.
    Adam, "adam";
    summary: "Adam; weight decay is added to the gradient";
    url: "https://pytorch.org/docs/stable/generated/torch.optim.Adam.html";
    states: STATES;
    counts_steps: true;
    options {
        lr: f64 = 1e-3, "the learning rate, at least 0";
        betas: (f64, f64) = (0.9, 0.999), "how much is kept of the running means of gradient and square, in [0, 1)";
        eps: f64 = 1e-8, "added to the denominator, at least 0";
        weight_decay: f64 = 0.0, "how much of the parameter is added to its gradient, at least 0";
        amsgrad: bool = false, "divide by the largest mean of the square so far";
        maximize: bool = false, "go up along the gradient, not down";
    }
}

define! {
    /// AdamW ([PyTorch](https://pytorch.org/docs/stable/generated/torch.optim.AdamW.html)): [`Adam`], but weights decay
    /// by themselves, before the step and not through the gradient:
    ///
    /// ```text
    /// p = p (1 - lr weight_decay)     if weight_decay is not 0
    /// ```
    ///
    /// All else is as there.
    AdamW, "adamw";
    summary: "Adam whose weights decay by themselves";
    url: "https://pytorch.org/docs/stable/generated/torch.optim.AdamW.html";
    states: STATES;
    counts_steps: true;
    options {
        lr: f64 = 1e-3, "the learning rate, at least 0";
        betas: (f64, f64) = (0.9, 0.999), "how much is kept of the running means of gradient and square, in [0, 1)";
        eps: f64 = 1e-8, "added to the denominator, at least 0";
        weight_decay: f64 = 1e-2, "how much of the parameter is taken off, times lr, at least 0";
        amsgrad: bool = false, "divide by the largest mean of the square so far";
        maximize: bool = false, "go up along the gradient, not down";
    }
}

impl Adam {
    fn check(&self) -> Result<()> {
        at_least("lr", self.lr, 0.0)?;
        at_least("eps", self.eps, 0.0)?;
        at_least("weight_decay", self.weight_decay, 0.0)?;
        let (beta1, beta2) = self.betas;
        if [beta1, beta2].iter().all(|beta| (0.0..1.0).contains(beta)) {
            return Ok(());
        }
        let message = format!("{beta1} and {beta2} given, expected both in [0, 1)");
        Err(Error::option("betas", message))
    }

    fn rule(&self, state: &State) -> UpdateRule {
        self.rule_with(state, self.weight_decay, false)
    }

    /// `decay`: the factor by which the parameter enters, the gradient or, decoupled, itself.
    fn rule_with(&self, state: &State, decay: f64, decoupled: bool) -> UpdateRule {
        let (beta1, beta2) = self.betas;
        let correction = |beta: f64| 1.0 - beta.powf(state.step() as f64 + 1.0);
        // Where a device counts the steps, it corrects.
        let (step_size, root) = match state.is_counted() {
            true => (self.lr, 1.0),
            false => (self.lr / correction(beta1), correction(beta2).sqrt()),
        };
        UpdateRule {
            piece: piece!("update/adam.wgsl"),
            flags: vec![
                ("MAXIMIZES", self.maximize),
                ("DECAYS", self.weight_decay != 0.0),
                ("DECOUPLED", decoupled),
                ("AMSGRAD", self.amsgrad),
            ],
            scalars: Numbers {
                decay,
                beta1,
                rest1: 1.0 - beta1,
                beta2,
                rest2: 1.0 - beta2,
                step_size,
                root,
                eps: self.eps,
            }
            .into(),
            states: 2 + usize::from(self.amsgrad),
        }
    }

    fn element(&self, rule: &UpdateRule, param: f64, grad: f64, state: &mut [f64; 3]) -> f64 {
        // Without weight decay, `decay` is 0: only an infinite parameter could tell.
        let g = match self.weight_decay {
            0.0 => signed(grad, self.maximize),
            _ => signed(grad, self.maximize) + Numbers::from(&rule.scalars).decay * param,
        };
        self.moved(rule, param, g, state)
    }

    /// The parameter after its weights have decayed and `g` is what counts as its gradient.
    fn moved(&self, rule: &UpdateRule, param: f64, g: f64, [m, v, w]: &mut [f64; 3]) -> f64 {
        let Numbers {
            rest1,
            beta2,
            rest2,
            step_size,
            root,
            eps,
            ..
        } = (&rule.scalars).into();
        *m += rest1 * (g - *m);
        *v = beta2 * *v + rest2 * g * g;
        if self.amsgrad {
            *w = if v.is_nan() || *v > *w { *v } else { *w };
        }
        let peak = if self.amsgrad { *w } else { *v };
        param - step_size * *m / (peak.sqrt() / root + eps)
    }
}

impl AdamW {
    /// The same options, for what the two share.
    fn as_adam(&self) -> Adam {
        let &Self {
            lr,
            betas,
            eps,
            weight_decay,
            amsgrad,
            maximize,
        } = self;
        Adam {
            lr,
            betas,
            eps,
            weight_decay,
            amsgrad,
            maximize,
        }
    }

    fn check(&self) -> Result<()> {
        self.as_adam().check()
    }

    fn rule(&self, state: &State) -> UpdateRule {
        self.as_adam().rule_with(state, 1.0 - self.lr * self.weight_decay, true)
    }

    fn element(&self, rule: &UpdateRule, param: f64, grad: f64, state: &mut [f64; 3]) -> f64 {
        let decayed = match self.weight_decay {
            0.0 => param,
            _ => param * Numbers::from(&rule.scalars).decay,
        };
        self.as_adam().moved(rule, decayed, signed(grad, self.maximize), state)
    }
}

fn signed(grad: f64, maximize: bool) -> f64 {
    if maximize { -grad } else { grad }
}
