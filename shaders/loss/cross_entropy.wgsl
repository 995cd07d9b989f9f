// Cross-entropy of a row of logits x with classes c:
//
//   loss   = sum_c b_c (lse - x_c) + z lse^2,   lse = log sum_c exp(x_c)
//   grad_c = (sum_j b_j + 2 z lse) exp(x_c - lse) - b_c            since d lse / d x_c = exp(x_c - lse)
//
// z is z_loss times the ratio of the two terms' denominators, which differ where classes have weights.
//
// Class target t:      b_c = (1 - label_smoothing) w_c [c = t] + label_smoothing / C w_c
// Probability target p: b_c = w_c ((1 - label_smoothing) p_c + label_smoothing / C)
//
// The first term of a class target stands apart, as `hit`; the rest of b is the coefficient q of
// monoid/softmax.wgsl, which coefs4 supplies; a cross_entropy_grad piece has the gradient.

struct Row {
    kind: u32,  // KEPT, IGNORED or BAD
    label: u32, // the labelled class
    hit: f32,   // (1 - label_smoothing) w_t
    x_hit: f32, // its logit
    targets_at: u32, // where the row of a probability target begins
}

// The weights of four classes; past the last class, its weight again.
fn class_weight4(column: u32) -> vec4<f32> {
    let c = min(vec4<u32>(column) + QUAD, vec4<u32>(params.cols - 1u));
    return vec4<f32>(class_weight(c.x), class_weight(c.y), class_weight(c.z), class_weight(c.w));
}

// What stands before lse^2 in a row's loss, before the reduction.
fn z_share() -> f32 {
    let z = z_loss();
    // Of nothing but ignored rows the denominators have no ratio.
    return select(z * (z_scale() / reduction_scale()), 0.0, z == 0.0);
}

// z lse, clamped so that no compiler takes lse by itself for a factor: its square may be beyond f32 where z lse^2 is not.
fn z_pull(z: f32, lse: f32) -> f32 {
    return clamp(z * lse, LOWEST, -LOWEST);
}

fn z_loss_of(row: Row, s: State) -> f32 {
    if ((row.kind == IGNORED) | (z_loss() == 0.0)) {
        return 0.0;
    }
    let lse = log_sum_exp(s);
    return select(z_pull(z_loss(), lse) * lse, lse, is_nan(lse));
}

// Selected, without branches of its own: software adapters run both sides of one.
fn row_loss(row: Row, s: State) -> f32 {
    let above = log1p(s.rest); // lse - peak
    let lse = s.peak + above;
    let z = z_share();
    var loss = s.pull + select(s.mass * above, 0.0, s.mass == 0.0);
    loss += select(row.hit * ((s.peak - row.x_hit) + above), 0.0, row.hit == 0.0);
    loss += select(z_pull(z, lse) * lse, 0.0, z == 0.0);
    loss = select(loss, params.nan, (row.kind == BAD) | is_poisoned(s));
    return select(loss, 0.0, row.kind == IGNORED);
}

// What stands before the probabilities in a row's gradient, sum_j b_j + 2 z lse, without `hit`: beside that it may be small,
// and is all that is left of a confident label.
fn slope_beside_hit(s: State) -> f32 {
    let z = z_share();
    let pull = select(2.0 * z_pull(z, log_sum_exp(s)), 0.0, z == 0.0);
    // An infinity would meet the probabilities that are 0.
    return select(clamp(s.mass + pull, LOWEST, -LOWEST), params.nan, is_poisoned(s));
}
