//! Cross-entropy: log-softmax and negative log-likelihood in one pass.

use super::math::{RowSoftmax, product};
use super::prelude::*;
use crate::definition::RowScratch;
use crate::problem::Divisor;

/// What the mean of nothing is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnEmpty {
    /// 0 / 0, as in PyTorch.
    #[default]
    Nan,
    Zero,
}

choice!(OnEmpty, "nan" => OnEmpty::Nan, "zero" => OnEmpty::Zero);

define! {
    /// Cross-entropy of logits and classes or class probabilities
    /// ([PyTorch](https://pytorch.org/docs/stable/generated/torch.nn.CrossEntropyLoss.html)).
    ///
    /// For a row of logits x over C classes (after the soft cap), with `lse = log Σ exp(x_c)`, class weights w,
    /// s = `label_smoothing` and z = `z_loss`:
    ///
    /// ```text
    /// x      = softcap tanh(input / softcap)              the input itself where softcap is 0
    /// loss   = Σ_c b_c (lse - x_c) + z lse^2
    /// grad_c = ((Σ_j b_j + 2 z lse) exp(x_c - lse) - b_c) dx_c / dinput_c
    /// class target t:       b_c = (1 - s) w_t [c = t] + s / C w_c
    /// probability target p: b_c = w_c ((1 - s) p_c + s / C)
    /// ```
    ///
    /// **Shapes.** Input (C), (N, C) or (N, C, d1, …, dk), a float type. Class target: the input's shape without C, u8,
    /// i32, u32 or i64. Probability target: the input's shape, f32 or the input's type; its gradient `(1 - s) w_c (lse
    /// - x_c)` is available. `sample_weight`: the input's shape without C.
    ///
    /// **Reductions.** `mean` divides by the sum of `sample_weight · weight[target]` over the rows kept (class target;
    /// NaN where that is 0) or of `sample_weight` over all rows (probability target); of the z-loss, by the sum of
    /// `sample_weight` over the rows kept. A `denominator` given by the caller, for micro-batches or several processes,
    /// takes the place of all of these. Of no rows at all, `on_empty` decides.
    ///
    /// **Statistics** ([`Stats`](crate::Stats) of the [`Call`]) come from the same pass over the logits: log-sum-exp,
    /// arg-max (u32, the first among equals in f32, which a soft cap may make of neighbours) and entropy of each row,
    /// in nats, of the soft-capped logits, of ignored rows too; the count of rows kept whose class is the arg-max
    /// (class target); and the z-loss by itself, wherever there is one.
    ///
    /// **Gradients of statistics.** A row's log-sum-exp and entropy H may have upstream gradients of their own, a
    /// number each ([`Call::grad_lse`], [`Call::grad_entropy`]): of what is made of a row's log-probability (minus its
    /// loss), log-sum-exp and entropy, one call has the gradient. With p = softmax(x) and `grad_output` g, which the
    /// reduction and all weights scale as they do without the others,
    ///
    /// ```text
    /// grad_input_c = g grad_c + (grad_lse p_c - grad_entropy p_c (log p_c + H)) dx_c / dinput_c
    /// ```
    ///
    /// The second term is divided by no denominator and weighed by nothing; ignored rows have it, too, and so have
    /// those whose label is out of range. Where both numbers of a row are 0, it is 0 whatever the logits are; else it
    /// is NaN for a row without probabilities. Times the logarithm of C, the numbers have to be within f32.
    ///
    /// **Edges.** Stable for every finite logit (with weights, label smoothing or a probability target, where the
    /// largest difference of two logits is finite in f32; the gradient of a z-loss ends at the largest f32): statistics
    /// are kept as the largest logit and the sum of the others' exponentials relative to it, so that a confident row
    /// keeps its relative accuracy. A logit of -inf has probability 0 (with a soft cap it is a logit of -softcap); NaN,
    /// +inf, or nothing but -inf makes the row's loss and gradient NaN. `ignore_index` is compared as i64, so -100
    /// never matches an unsigned label. An ignored row has loss, z-loss and gradient 0 whatever its logits; a row of
    /// `sample_weight` 0 has loss 0 also where it is infinite.
    ///
    /// **Differences from PyTorch.** A coefficient b_c of 0 on a logit of -inf contributes 0 (PyTorch: NaN). An ignored
    /// row with NaN logits has gradient 0 (PyTorch: NaN), where its statistics have none. A label out of range is an
    /// error of the read, not an assertion on the device. `z_loss`, `softcap`, `sample_weight`, `denominator`,
    /// `on_empty` and the statistics are ours.
    ///
    /// **Errors.** [`Error::Option`] for `label_smoothing` outside [0, 1], a negative `z_loss` or `softcap`, a
    /// `denominator` that is not above 0 or without reduction mean, or a non-negative `ignore_index` with a probability
    /// target; [`Error::Operand`] for shapes and dtypes; [`Error::BadLabels`] when reading.
    CrossEntropy, cross_entropy;
    summary: "log-softmax and negative log-likelihood, from logits and classes or probabilities";
    url: "https://pytorch.org/docs/stable/generated/torch.nn.CrossEntropyLoss.html";
    aliases: ["CrossEntropyLoss"];
    operands {
        input: Logit, true, "logits, (C), (N, C) or (N, C, d1, …)";
        target: IndexOrDistribution, true, "the class of each row, or a probability for each of its classes";
    }
    options {
        ignore_index: i64 = -100, "class index whose rows are left out of loss, gradient and denominator";
        label_smoothing: f64 = 0.0, "share of the target spread evenly over all classes, 0 to 1";
        z_loss: f64 = 0.0, "factor of the squared log-sum-exp that is added, at least 0";
        softcap: f64 = 0.0, "bound that tanh keeps the logits within, 0 for none";
        on_empty: OnEmpty = OnEmpty::Nan, "the mean of no rows at all";
        denominator: Option<f64> = None, "what mean divides by, instead of what the targets add up to";
    }
    tensors {
        weight: "a factor for each class, shape (C)";
        sample_weight: "a factor for each row";
    }
    scalars { label_smoothing, smooth_share = "label_smoothing / C", z_loss, softcap }
    reduction: Mean;
    reductions: REDUCED;
    statistics: true;
}

impl CrossEntropy {
    pub(super) fn check(&self) -> Result<()> {
        finite("label_smoothing", self.label_smoothing)?;
        if !(0.0..=1.0).contains(&self.label_smoothing) {
            return Err(Error::option(
                "label_smoothing",
                format!("{} given, expected 0 to 1", self.label_smoothing),
            ));
        }
        at_least("z_loss", self.z_loss, 0.0)?;
        at_least("softcap", self.softcap, 0.0)?;
        if let Some(denominator) = self.denominator {
            above("denominator", denominator, 0.0)?;
            if self.reduction != Reduction::Mean {
                return Err(Error::option(
                    "denominator",
                    format!(
                        "given with reduction {}, which divides by nothing",
                        self.reduction.name()
                    ),
                ));
            }
        }
        Ok(())
    }

    fn problem(&self, call: &Call<'_>) -> Result<Problem> {
        let input = call.input()?;
        let dim = class_dim(input)?;
        let cols = input.shape[dim];
        if cols == 0 {
            return Err(Error::operand(
                "input",
                format!("shape {:?} has 0 classes, expected at least 1", input.shape),
            ));
        }
        let full = call.tensors.get(1).is_some_and(|target| target.dtype().is_float());
        let (rows, numbers) = self.rows(cols, full);
        self.finish(rows.problem(self, call, dim, numbers)?, call, full)
    }

    /// Rows of so many classes, whatever they lie in; `full`: with a probability for each.
    pub(super) fn rows(&self, cols: usize, full: bool) -> (Rows, Scalars) {
        let is_smooth = !full && self.label_smoothing > 0.0;
        let caps = self.softcap > 0.0;
        // Only the label has a coefficient otherwise.
        let weighs_columns = full || is_smooth;
        let mut pieces = vec![piece!("loss/cross_entropy.wgsl")];
        if full {
            pieces.push(piece!("loss/cross_entropy_prob.wgsl"));
        }
        let rows = Rows {
            targets: if full {
                Targets::Full
            } else {
                Targets::Index {
                    ignore_index: Some(self.ignore_index),
                }
            },
            weighs_columns,
            keeps_exps: !weighs_columns && !caps,
            counts_weights: true,
            pieces,
            consts: vec![
                Const::Bool("IS_PROBABILITY", full),
                Const::Bool("EACH_COUNTS", weighs_columns),
                Const::Bool("CAPS", caps),
            ],
            kind: format!(
                "{}{}{}",
                if full { "prob" } else { "index" },
                if is_smooth { "_smooth" } else { "" },
                if caps { "_softcap" } else { "" },
            ),
            definition: RowDefinition::Loss(definition),
            alone: (self.z_loss == 0.0).then_some(0.0),
            ..Rows::default()
        };
        let numbers = Numbers {
            label_smoothing: self.label_smoothing,
            smooth_share: self.label_smoothing / cols as f64,
            z_loss: self.z_loss,
            softcap: self.softcap,
        };
        (rows, numbers.into())
    }

    /// What else the options say of a problem of such rows.
    pub(super) fn finish(&self, mut problem: Problem, call: &Call<'_>, full: bool) -> Result<Problem> {
        if full && call.stats.accuracy {
            return Err(Error::operand(
                "target",
                "accuracy is asked for, which needs class indices",
            ));
        }
        if full && self.ignore_index >= 0 {
            return Err(Error::option(
                "ignore_index",
                format!(
                    "{} given with a probability target, which has no index to ignore",
                    self.ignore_index
                ),
            ));
        }
        problem.stats = call.stats;
        problem.stats.z_loss = self.z_loss > 0.0 && call.mode.wants_loss();
        problem.zero_on_empty = self.on_empty == OnEmpty::Zero;
        if let Some(denominator) = self.denominator {
            problem.divisor = Divisor::Given(denominator);
        }
        Ok(problem)
    }
}

/// A gradient by the soft-capped logits as one by the input: times the cap's derivative, in the form that does not
/// cancel.
fn uncap(grad: &mut [f64], x: &[f64], cap: f64) {
    if cap != 0.0 {
        let both = grad.iter_mut().zip(x);
        both.for_each(|(g, x)| *g *= 1.0 / (x / cap).cosh().powi(2));
    }
}

fn definition(row: &Row<'_>, out: &mut RowLoss<'_>) {
    let Numbers {
        label_smoothing: smoothing,
        smooth_share: spread,
        z_loss: z,
        softcap: cap,
    } = row.scalars.into();
    let RowScratch { exps, mapped } = &mut *out.scratch;
    let x = if cap == 0.0 {
        row.x
    } else {
        mapped.clear();
        mapped.extend(row.x.iter().map(|x| cap * (x / cap).tanh()));
        mapped
    };
    let softmax = RowSoftmax::new(x, exps);
    let z_loss = if z == 0.0 {
        0.0
    } else {
        z * softmax.log_sum_exp().powi(2)
    };
    // b_c of the formula above; without smoothing only that of the label is not 0.
    let coefficient = |c: usize| {
        let own = match row.class {
            Some(t) => f64::from(u8::from(t == c)),
            None => row.p[c],
        };
        row.weight(c) * ((1.0 - smoothing) * own + spread)
    };
    let single = row.class.filter(|_| smoothing == 0.0);
    if let Some(loss) = &mut out.loss {
        let costs = |c: usize| -product(coefficient(c), softmax.log_p(c));
        // From 0.0, so that a certain row has loss 0 and not -0.
        **loss = row.z_ratio * z_loss
            + match single {
                Some(t) => 0.0 + costs(t),
                None => (0..x.len()).fold(0.0, |sum, c| sum + costs(c)),
            };
    }
    if let Some(grad) = &mut out.grad_input {
        let pull = if z == 0.0 {
            0.0
        } else {
            2.0 * z * row.z_ratio * softmax.log_sum_exp()
        };
        // (Σ_j b_j + 2 z lse) p_c - b_c, with b_c (1 - p_c) by itself: p_c may be 1 to the last bit.
        let slope = |total: f64, c: usize, b: f64| (total - b + pull) * softmax.p(c) - b * softmax.miss(c);
        if let Some(t) = single {
            let total = coefficient(t);
            grad.iter_mut()
                .zip(softmax.scaled(total + pull))
                .for_each(|(g, p)| *g = p);
            grad[t] = slope(total, t, total);
        } else {
            let total: f64 = (0..x.len()).map(coefficient).sum();
            grad.iter_mut()
                .enumerate()
                .for_each(|(c, g)| *g = slope(total, c, coefficient(c)));
        }
        uncap(grad, row.x, cap);
    }
    if let Some(StatsGrad {
        by_lse,
        by_entropy,
        grad,
    }) = &mut out.grad_stats
    {
        let entropy = softmax.entropy();
        // d lse / d x_c = p_c, d H / d x_c = -p_c (log p_c + H)
        let terms = softmax.scaled(1.0).zip(softmax.logs());
        for (g, (p, log_p)) in grad.iter_mut().zip(terms) {
            *g = p * *by_lse - (product(p, log_p) + p * entropy) * *by_entropy;
        }
        uncap(grad, row.x, cap);
    }
    if let Some(grad) = &mut out.grad_target {
        for (c, (g, log_p)) in grad.iter_mut().zip(softmax.logs()).enumerate() {
            *g = -product((1.0 - smoothing) * row.weight(c), log_p);
        }
    }
    if let Some(stats) = &mut out.stats {
        **stats = RowStats {
            lse: softmax.log_sum_exp(),
            argmax: softmax.argmax(),
            entropy: softmax.entropy(),
            z_loss,
        };
    }
}
