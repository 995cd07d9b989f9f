//! Triplet margin loss.

use std::cmp::Ordering;

use super::prelude::*;

define! {
    /// Triplet margin loss of anchors, positives and negatives
    /// ([PyTorch](https://pytorch.org/docs/stable/generated/torch.nn.TripletMarginLoss.html)).
    ///
    /// For rows a, b, c of `anchor`, `positive` and `negative`, with |x - y| = (Σ_i |x_i - y_i + eps|^p)^(1/p):
    ///
    /// ```text
    /// loss   = max(0, margin + |a - b| - |a - c|)         with swap: min(|a - c|, |b - c|) in the place of |a - c|
    /// d |d| / d d_i = sign(d_i) (|d_i| / |d|)^(p - 1)     p infinite: sign(d_i) / n where |d_i| is one of n largest
    /// ```
    ///
    /// **Shapes.** All three of one shape (D), (N, D) or (…, D), a float type; distances are along the last dimension,
    /// and the loss has the shape without it.
    ///
    /// **Options.** `margin` > 0; `p` > 0, infinity included; `eps` any finite number; `swap`.
    ///
    /// **Reductions.** `mean` divides by the number of rows.
    ///
    /// **Edges.** Where the maximum's two arguments are equal the gradient is 0, where two distances to the negative
    /// are equal each gets half, and the gradient of a distance is 0 where the distance or the difference is 0, all as
    /// in PyTorch. For a `p` other than 1 and 2 the sum is taken relative to its largest term, so that powers neither
    /// overflow nor vanish; with p = 2, distances beyond 1e19 overflow, with others those beyond f32. NaN or an
    /// infinity in a row of any of the three makes all its gradients NaN, and NaN its loss; an infinity leaves its loss
    /// what the distances make of it.
    ///
    /// **Differences from PyTorch.** The tensors do not broadcast, and `p` = 0 and negative `p` are refused. There an
    /// infinity makes NaN of the gradients of some columns only, which ones depends on `p`.
    ///
    /// **Errors.** [`Error::Option`] for `margin` ≤ 0, `p` ≤ 0 or NaN, a number that is not finite elsewhere;
    /// [`Error::Operand`] for shapes and dtypes.
    TripletMargin, triplet_margin;
    summary: "how far an anchor is not nearer its positive than its negative, by a margin";
    url: "https://pytorch.org/docs/stable/generated/torch.nn.TripletMarginLoss.html";
    aliases: ["triplet_margin_loss", "TripletMarginLoss"];
    operands {
        anchor: Real, true, "rows, (…, D)";
        positive: Real, true, "rows that should be near";
        negative: Real, true, "rows that should be far";
    }
    options {
        margin: f64 = 1.0, "how much farther the negative should be than the positive, above 0";
        p: f64 = 2.0, "which norm the distance is, above 0, infinity included";
        eps: f64 = 1e-6, "added to each difference";
        swap: bool = false, "take the distance of positive and negative where that is smaller than the anchor's";
    }
    tensors { }
    scalars { margin, power = "p", eps, swap }
    reduction: Mean;
    reductions: REDUCED;
}

impl TripletMargin {
    fn check(&self) -> Result<()> {
        above("margin", self.margin, 0.0)?;
        if self.p.is_nan() || self.p <= 0.0 {
            return Err(Error::option("p", format!("{} given, expected more than 0", self.p)));
        }
        finite("eps", self.eps)
    }

    fn problem(&self, call: &Call<'_>) -> Result<Problem> {
        // POWER of the shader.
        let (power, name) = match self.p {
            1.0 => (1, "p1"),
            2.0 => (2, "p2"),
            f64::INFINITY => (3, "max"),
            _ => (0, "p"),
        };
        Pairs {
            piece: piece!("loss/triplet_margin.wgsl"),
            consts: vec![Const::U32("POWER", power), Const::Bool("SWAP", self.swap)],
            kind: format!("{name}{}", if self.swap { "_swap" } else { "" }),
            definition,
            ..Pairs::default()
        }
        .problem(
            self,
            call,
            Numbers {
                margin: self.margin,
                power: self.p,
                eps: self.eps,
                swap: flag(self.swap),
            },
        )
    }
}

fn differences<'a>(x: &'a [f64], y: &'a [f64], eps: f64) -> impl Iterator<Item = f64> + 'a {
    x.iter().zip(y).map(move |(x, y)| x - y + eps)
}

/// |x - y|; its powers relative to the largest, which f64 may not hold either.
fn distance(x: &[f64], y: &[f64], Numbers { power: p, eps, .. }: Numbers) -> f64 {
    let larger = |top: f64, d: f64| if d.is_nan() || d.abs() > top { d.abs() } else { top };
    let top = differences(x, y, eps).fold(0.0, larger);
    if p.is_infinite() || top == 0.0 || !top.is_finite() {
        return top;
    }
    let relative = differences(x, y, eps).map(|d| d.abs() / top);
    match p {
        1.0 => top * relative.sum::<f64>(),
        2.0 => top * relative.map(|d| d * d).sum::<f64>().sqrt(),
        _ => top * relative.map(|d| d.powf(p)).sum::<f64>().powf(1.0 / p),
    }
}

/// Adds `factor` times the derivatives of |x - y|, which is `size`, by x.
fn add_slopes(grad: &mut [f64], factor: f64, x: &[f64], y: &[f64], size: f64, Numbers { power: p, eps, .. }: Numbers) {
    let largest = differences(x, y, eps).filter(|d| d.abs() == size).count() as f64;
    for (g, d) in grad.iter_mut().zip(differences(x, y, eps)) {
        let share = match p {
            _ if d == 0.0 => 0.0,
            f64::INFINITY if d.abs() == size => 1.0 / largest,
            f64::INFINITY => 0.0,
            1.0 => 1.0,
            2.0 => d.abs() / size,
            _ => (d.abs() / size).powf(p - 1.0),
        };
        *g += factor * d.signum() * share;
    }
}

fn definition(row: &PairRow<'_>, out: &mut PairOut<'_>) {
    let (a, b, c, numbers) = (row.a, row.b, row.c, Numbers::from(row.scalars));
    let (near, far) = (distance(a, b, numbers), distance(a, c, numbers));
    // The distance of the negative, and the shares of |a - c| and |b - c| in that.
    let swapped = if numbers.swap == 0.0 {
        f64::INFINITY
    } else {
        distance(b, c, numbers)
    };
    let (nearer, own, other) = match far.partial_cmp(&swapped) {
        _ if numbers.swap == 0.0 => (far, 1.0, 0.0),
        Some(Ordering::Less) => (far, 1.0, 0.0),
        Some(Ordering::Equal) => (far, 0.5, 0.5),
        Some(Ordering::Greater) => (swapped, 0.0, 1.0),
        None => (f64::NAN, 0.5, 0.5),
    };
    let short = numbers.margin + near - nearer;
    out.loss = if short <= 0.0 { 0.0 } else { short };
    let is_finite = [a, b, c].iter().all(|own| own.iter().all(|x| x.is_finite()));
    // The distances of which each row is an end, with their factors: d |x - y| / d y = -d |x - y| / d x, and those of
    // the negative are subtracted.
    let ends = [
        [(1.0, a, b, near), (-own, a, c, far)],
        [(-1.0, a, b, near), (-other, b, c, swapped)],
        [(own, a, c, far), (other, b, c, swapped)],
    ];
    for (grad, ends) in out.grads.iter_mut().zip(ends) {
        let Some(grad) = grad else { continue };
        grad.fill(if is_finite { 0.0 } else { f64::NAN });
        if is_finite && short > 0.0 {
            for (factor, x, y, size) in ends.into_iter().filter(|(factor, ..)| *factor != 0.0) {
                add_slopes(grad, factor, x, y, size, numbers);
            }
        }
    }
}
