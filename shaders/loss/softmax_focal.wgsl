// Focal loss of a row of logits x with target t, p = softmax(x) (Lin et al. 2017, for many classes):
//
//   loss   = -alpha_t (1 - p_t)^gamma log p_t
//   grad_c = alpha_t (1 - p_t)^gamma (1 + gamma ratio) (p_c - [c = t]),   ratio = -log(p_t) p_t / (1 - p_t)
//
// since d log p_t / d x_c = [c = t] - p_c and d (1 - p) / d log p = -p. The textbook's gamma (1 - p_t)^(gamma - 1) is
// infinity times zero for gamma < 1 and p_t -> 1; the ratio lies in [0, 1].
//
// With the statistics of state/softmax.wgsl and e = exp(x_t - peak), 1 - p_t = miss / (1 + rest), where
//   miss = rest            at the peak, so ratio = log1p(rest) / rest
//   miss = 1 + (rest - e)  below it, at least 1: nothing cancels that matters

struct Focus {
    miss: f32,   // 1 - p_t
    factor: f32, // alpha_t (1 - p_t)^gamma
    cost: f32,   // -log p_t
    ratio: f32,
}

fn focus(row: Row, s: State) -> Focus {
    let cost = (s.peak - row.x_label) + log1p(s.rest);
    let e = exp(row.x_label - s.peak);
    let miss = select(1.0 + (s.rest - e), s.rest, row.x_label == s.peak);
    // p_t / (1 - p_t). Where all else vanishes beside the target, so do loss and gradient: a finite number will do.
    let odds = e / max(miss, 1e-37);
    let power = pow_unit(miss / (1.0 + s.rest), -log1p(odds), gamma());
    // The cost of a target that vanishes may be infinite.
    return Focus(miss / (1.0 + s.rest), row.weight * power, cost, select(cost * odds, 0.0, is_zero(e)));
}

fn row_loss(row: Row, s: State) -> f32 {
    if (row.kind == IGNORED) {
        return 0.0;
    }
    if ((row.kind == BAD) | is_poisoned(s)) {
        return params.nan;
    }
    let f = focus(row, s);
    return f.factor * f.cost;
}

struct Slope {
    peak: f32,
    share: f32, // the gradient of another class over exp(x - peak)
    hit: f32,   // the gradient of the target
}

fn row_slope(row: Row, s: State) -> Slope {
    let f = focus(row, s);
    let slope = select(f.factor * (1.0 + gamma() * f.ratio), params.nan, is_poisoned(s));
    return Slope(s.peak, slope / (1.0 + s.rest), -slope * f.miss);
}

fn row_grad4(row: Row, slope: Slope, column: u32, x: vec4<f32>, count: u32) -> vec4<f32> {
    return select(slope.share * exps4(x, slope.peak), vec4<f32>(slope.hit), at4(column, row.label));
}
