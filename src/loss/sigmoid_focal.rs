//! Sigmoid focal loss.

use super::math::Logistic;
use super::prelude::*;

define! {
    /// Sigmoid focal loss of logits x and targets t (Lin et al. 2017,
    /// [arXiv:1708.02002](https://arxiv.org/abs/1708.02002);
    /// [torchvision](https://pytorch.org/vision/stable/generated/torchvision.ops.sigmoid_focal_loss.html)).
    ///
    /// With s = sigmoid(x), `bce` the binary cross-entropy of x and t,
    /// `a_t = alpha t + (1 - alpha)(1 - t)` (1 where `alpha` is negative) and a its slope, `2 alpha - 1` (0 there):
    ///
    /// ```text
    /// miss = 1 - p_t = (1 - t) s + t (1 - s)
    /// loss = a_t miss^gamma bce
    /// grad = a_t miss^gamma (s - t + gamma bce (1 - 2 t) s (1 - s) / miss)
    ///        by t: miss^gamma (a bce + a_t (gamma bce (1 - 2 s) / miss - x))
    /// ```
    ///
    /// **Shapes.** Input of any shape; target of the same shape, in [0, 1].
    ///
    /// **Options.** `gamma` ≥ 0; 0 is the weighted cross-entropy. `alpha` ≤ 1.
    ///
    /// **Reductions.** The default is torchvision's, none. `mean` divides by the number of elements; of no elements it
    /// is NaN.
    ///
    /// **Edges.** No NaN for any finite logit. NaN in gives NaN out.
    ///
    /// **Differences from torchvision.** At x = -inf with t > 0 its loss is NaN, where this one is inf. For 0 < gamma <
    /// 1 with a saturated logit its gradients are NaN; here they are the limits.
    ///
    /// **Errors.** [`Error::Option`] for `gamma` < 0, `alpha` > 1 or a non-finite value; [`Error::Operand`] for shapes
    /// and dtypes.
    SigmoidFocal, sigmoid_focal;
    summary: "binary cross-entropy that passes over easy elements, from logits and targets in [0, 1]";
    url: "https://pytorch.org/vision/stable/generated/torchvision.ops.sigmoid_focal_loss.html";
    aliases: ["sigmoid_focal_loss"];
    operands {
        input: Logit, true, "logits";
        target: UnitInterval, true, "in [0, 1]";
    }
    options {
        alpha: f64 = 0.25, "weight of the positive part, at most 1; negative for none";
        gamma: f64 = 2.0, "exponent of 1 - p_t, at least 0";
    }
    tensors {}
    scalars { alpha, gamma }
    reduction: None;
    reductions: REDUCED;
}

impl SigmoidFocal {
    fn check(&self) -> Result<()> {
        finite("alpha", self.alpha)?;
        if self.alpha > 1.0 {
            let problem = format!("{} given, expected 0 to 1, or a negative number for none", self.alpha);
            return Err(Error::option("alpha", problem));
        }
        at_least("gamma", self.gamma, 0.0)
    }

    fn problem(&self, call: &Call<'_>) -> Result<Problem> {
        let whole = (0..=2u32).find(|whole| f64::from(*whole) == self.gamma);
        Elements {
            piece: piece!("loss/sigmoid_focal.wgsl"),
            consts: vec![Const::U32("WHOLE_GAMMA", whole.unwrap_or(u32::MAX))],
            branches: whole.is_none(),
            kind: whole.map_or(String::new(), |whole| format!("gamma{whole}")),
            definition: &Elementwise([true, true, false], definition),
            broadcasts: false,
            finite: true,
            ..Elements::default()
        }
        .problem(
            self,
            call,
            Numbers {
                alpha: self.alpha,
                gamma: self.gamma,
            },
        )
    }
}

fn definition(x: f64, t: f64, _: f64, scalars: &Scalars) -> At {
    let Numbers { alpha, gamma } = scalars.into();
    let Logistic {
        softplus: [no, yes],
        sigmoid: [p, q],
    } = Logistic::new(x);
    // a_t and its slope in t.
    let (balance, tilt) = if alpha < 0.0 {
        (1.0, 0.0)
    } else {
        (alpha * t + (1.0 - alpha) * (1.0 - t), 2.0 * alpha - 1.0)
    };
    let bce = t * yes + (1.0 - t) * no;
    // 1 - p_t
    let miss = (1.0 - t) * p + t * q;
    let power = match gamma {
        0.0 => 1.0,
        1.0 => miss,
        2.0 => miss * miss,
        _ => miss.powf(gamma),
    };
    let slope = (1.0 - t) * p - t * q;
    // Where f64 cannot hold 1 - p_t, the ratios to it have their limits: the odds cancel.
    let (turn, cost) = if miss == 0.0 {
        ((1.0 - 2.0 * t).signum(), 1.0)
    } else {
        ((1.0 - 2.0 * t) * p * q / miss, bce / miss)
    };
    // Of no power nothing is left, also where the other factor is infinite.
    let (focus, tilted) = if gamma == 0.0 {
        (0.0, 0.0)
    } else {
        (gamma * bce * turn, gamma * cost * (1.0 - 2.0 * p))
    };
    At {
        loss: balance * power * bce,
        grads: [
            balance * power * (slope + focus),
            power * (tilt * bce + balance * (tilted - x)),
            0.0,
        ],
    }
}
