//! Triplet margin loss.

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
    /// **Shapes.** All three of one shape (D), (N, D) or (…, D), a float type; distances are along the last dimension, and the
    /// loss has the shape without it.
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
    /// **Differences from PyTorch.** The tensors do not broadcast, and `p` = 0 and negative `p` are refused. There an infinity
    /// makes NaN of the gradients of some columns only, which ones depends on `p`.
    ///
    /// **Errors.** [`Error::Option`] for `margin` ≤ 0, `p` ≤ 0 or NaN, a number that is not finite elsewhere;
    /// [`Error::Operand`] for shapes and dtypes.
    TripletMargin, triplet_margin;
    summary: "how far an anchor is not nearer its positive than its negative, by a margin";
    url: "https://pytorch.org/docs/stable/generated/torch.nn.TripletMarginLoss.html";
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
            reference: PairReference {
                loss,
                grads: [Some(grad_a), Some(grad_b), Some(grad_c)],
            },
            ..Pairs::default()
        }
        .problem(
            self,
            call,
            [self.margin, self.p, self.eps, f64::from(u8::from(self.swap))],
        )
    }
}

fn differences<'a>(x: &'a [f64], y: &'a [f64], hyper: &'a [f64; 4]) -> impl Iterator<Item = f64> + 'a {
    x.iter().zip(y).map(|(x, y)| x - y + hyper[2])
}

/// |x - y|; its powers relative to the largest, which f64 may not hold either.
fn distance(x: &[f64], y: &[f64], hyper: &[f64; 4]) -> f64 {
    let p = hyper[1];
    let larger = |top: f64, d: f64| if d.is_nan() || d.abs() > top { d.abs() } else { top };
    let top = differences(x, y, hyper).fold(0.0, larger);
    if p.is_infinite() || top == 0.0 || !top.is_finite() {
        return top;
    }
    let sum: f64 = differences(x, y, hyper).map(|d| (d.abs() / top).powf(p)).sum();
    top * sum.powf(1.0 / p)
}

/// Adds `factor` times the derivatives of |x - y| by x.
fn add_slopes(grad: &mut [f64], factor: f64, x: &[f64], y: &[f64], hyper: &[f64; 4]) {
    let (p, size) = (hyper[1], distance(x, y, hyper));
    let largest = differences(x, y, hyper).filter(|d| d.abs() == size).count() as f64;
    for (g, d) in grad.iter_mut().zip(differences(x, y, hyper)) {
        let share = match p {
            _ if d == 0.0 => 0.0,
            f64::INFINITY if d.abs() == size => 1.0 / largest,
            f64::INFINITY => 0.0,
            _ => (d.abs() / size).powf(p - 1.0),
        };
        *g += factor * d.signum() * share;
    }
}

/// margin + |a - b| - the distance of the negative, and the shares of |a - c| and |b - c| in that.
fn shortfall(row: &PairRow<'_>) -> (f64, f64, f64) {
    let positive = distance(row.a, row.b, row.hyper);
    let negative = distance(row.a, row.c, row.hyper);
    let swapped = distance(row.b, row.c, row.hyper);
    let (nearer, own) = match negative.partial_cmp(&swapped) {
        _ if row.hyper[3] == 0.0 => (negative, 1.0),
        Some(std::cmp::Ordering::Less) => (negative, 1.0),
        Some(std::cmp::Ordering::Equal) => (negative, 0.5),
        Some(std::cmp::Ordering::Greater) => (swapped, 0.0),
        None => (f64::NAN, 0.5),
    };
    (row.hyper[0] + positive - nearer, own, 1.0 - own)
}

fn loss(row: &PairRow<'_>) -> f64 {
    let (short, ..) = shortfall(row);
    if short <= 0.0 { 0.0 } else { short }
}

/// The gradient of a row: factors times the derivatives of distances by the first of two rows.
fn grad(row: &PairRow<'_>, grad: &mut [f64], terms: [(f64, &[f64], &[f64]); 2]) {
    let (short, ..) = shortfall(row);
    let is_finite = [row.a, row.b, row.c]
        .iter()
        .all(|own| own.iter().all(|x| x.is_finite()));
    grad.fill(if is_finite { 0.0 } else { f64::NAN });
    if is_finite && short > 0.0 {
        for (factor, x, y) in terms.into_iter().filter(|(factor, ..)| *factor != 0.0) {
            add_slopes(grad, factor, x, y, row.hyper);
        }
    }
}

fn grad_a(row: &PairRow<'_>, out: &mut [f64]) {
    let (_, own, _) = shortfall(row);
    grad(row, out, [(1.0, row.a, row.b), (-own, row.a, row.c)]);
}

fn grad_b(row: &PairRow<'_>, out: &mut [f64]) {
    let (_, _, swapped) = shortfall(row);
    grad(row, out, [(-1.0, row.a, row.b), (-swapped, row.b, row.c)]);
}

// d |x - y| / d y = -d |x - y| / d x, and the distances of the negative are subtracted.
fn grad_c(row: &PairRow<'_>, out: &mut [f64]) {
    let (_, own, swapped) = shortfall(row);
    grad(row, out, [(own, row.a, row.c), (swapped, row.b, row.c)]);
}
