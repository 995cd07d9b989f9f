//! Cross-entropy of logits that are a product, which nobody has in memory.

use super::cross_entropy::{CrossEntropy, OnEmpty};
use super::prelude::*;

define! {
    /// Cross-entropy of the logits of a linear layer, without the logits
    /// ([PyTorch](https://docs.pytorch.org/docs/main/generated/torch.nn.functional.linear_cross_entropy.html)).
    ///
    /// Of a row h of the input, with the matrix W and the bias b of the layer,
    ///
    /// ```text
    /// logits_c = Σ_k h_k W_ck + b_c
    /// loss     = cross_entropy(logits, target)
    /// grad_h   = Σ_c g_c W_c,   grad_W_c = Σ_rows g_c h,   grad_b_c = Σ_rows g_c,   g = d loss / d logits
    /// ```
    ///
    /// with the formula, the options, the reductions, the statistics and the gradients of statistics of
    /// [`CrossEntropy`], whose gradients and statistics are those of the logits. The logits of a large vocabulary are
    /// the largest tensor of a training step, and their gradient as much again: here neither exists. Forward, tiles of
    /// the product go from registers into the sums that a row's loss is made of. With gradients, the logits of some
    /// rows at a time lie in a scratch of fixed size ([`Engine::set_scratch_bytes`](crate::Engine::set_scratch_bytes)),
    /// where their gradient goes over them.
    ///
    /// **Shapes.** Input (N, H) or (H), `linear_weight` (C, H), `linear_bias` (C), class target (N) or (), probability
    /// target (N, C) or (C). Of a head of several dimensions `linear_weight` is (C, d1, …, dk, H), `linear_bias` (C,
    /// d1, …, dk), the class target (N, d1, …, dk), the probability target (N, C, d1, …, dk): each place of the head is
    /// a layer of its own. Input and `linear_weight` are of any float type each, `linear_bias` of that of
    /// `linear_weight` or f32; sums are in f32. Gradients are of the types of their tensors.
    ///
    /// **Order.** A logit is a sum along H in order, then the bias; a gradient of the input one along C, a gradient
    /// of `linear_weight` and `linear_bias` one along the rows. So the bits do not hang on the size of the scratch, on
    /// limits or on how a call is cut.
    ///
    /// **Filter.** With `filter_eps` above 0, runs of 64 columns of a row (from columns 0, 64, …), in which each entry
    /// of the logits' gradient g is below it in magnitude, add nothing to the gradients of input, matrix and bias, and
    /// where such runs of 64 rows meet, no product is made. The gradients are off by at most `filter_eps Σ_c |W_ck|`,
    /// `filter_eps Σ_rows |h_k|` and `filter_eps` times the rows, whatever the target and the smoothing; the loss and a
    /// probability target's gradient are what they are.
    ///
    /// **Edges.** As those of [`CrossEntropy`] for the logits that the product comes to. The gradient of a row that is
    /// ignored is 0.
    ///
    /// **Differences from PyTorch.** Those of [`CrossEntropy`].
    ///
    /// **Errors.** As [`CrossEntropy`]; the gradient of the input cannot go over the input, which the gradient of
    /// `linear_weight` needs.
    LinearCrossEntropy, linear_cross_entropy;
    summary: "cross_entropy of a linear layer's logits, without the logits in memory";
    url: "https://docs.pytorch.org/docs/main/generated/torch.nn.functional.linear_cross_entropy.html";
    aliases: ["LinearCrossEntropyLoss"];
    operands {
        input: Real, true, "what the layer is applied to, (H) or (N, H)";
        linear_weight: Real, true, "the layer's matrix, (C, H) or (C, d1, …, H)";
        target: IndexOrDistribution, true, "the class of each row, or a probability for each of its classes";
    }
    options {
        ignore_index: i64 = -100, "class index whose rows are left out of loss, gradient and denominator";
        label_smoothing: f64 = 0.0, "share of the target spread evenly over all classes, 0 to 1";
        z_loss: f64 = 0.0, "factor of the squared log-sum-exp that is added, at least 0";
        softcap: f64 = 0.0, "bound that tanh keeps the logits within, 0 for none";
        on_empty: OnEmpty = OnEmpty::Nan, "the mean of no rows at all";
        denominator: Option<f64> = None, "what mean divides by, instead of what the targets add up to";
        filter_eps: f64 = 0.0, "magnitude below which runs of the logits' gradient add nothing to others, 0 for none";
    }
    tensors {
        linear_bias: "what the layer adds to the logits, (C) or (C, d1, …)", grad true;
        weight: "a factor for each class, shape (C)";
        sample_weight: "a factor for each row";
    }
    reduction: Mean;
    reductions: REDUCED;
    statistics: true;
}

impl LinearCrossEntropy {
    /// The loss of the logits.
    fn of_logits(&self) -> CrossEntropy {
        CrossEntropy {
            ignore_index: self.ignore_index,
            label_smoothing: self.label_smoothing,
            z_loss: self.z_loss,
            softcap: self.softcap,
            on_empty: self.on_empty,
            denominator: self.denominator,
            weight: self.weight.clone(),
            sample_weight: self.sample_weight.clone(),
            reduction: self.reduction,
        }
    }

    fn check(&self) -> Result<()> {
        at_least("filter_eps", self.filter_eps, 0.0)?;
        self.of_logits().check()
    }

    fn problem(&self, call: &Call<'_>) -> Result<Problem> {
        let own = self.of_logits();
        let cols = call.tensors.get(1).and_then(|matrix| matrix.shape().first().copied());
        let full = call.tensors.get(2).is_some_and(|target| target.dtype().is_float());
        let (rows, numbers) = own.rows(cols.unwrap_or(0), full);
        own.finish(
            rows.linear_problem(self, call, numbers, self.filter_eps as f32)?,
            call,
            full,
        )
    }
}
