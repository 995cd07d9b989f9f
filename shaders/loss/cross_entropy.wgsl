// Cross-entropy of a row of logits x with classes c:
//
//   loss   = sum_c b_c (lse - x_c),   lse = log sum_c exp(x_c)
//   grad_c = (sum_j b_j) exp(x_c - lse) - b_c            since d lse / d x_c = exp(x_c - lse)
//
// Class target t:      b_c = (1 - label_smoothing) w_c [c = t] + label_smoothing / C w_c
// Probability target p: b_c = w_c ((1 - label_smoothing) p_c + label_smoothing / C)
//
// The first term of a class target stands apart, as `hit`; the rest of b is the coefficient q of
// monoid/softmax.wgsl, which a cross_entropy_coef piece supplies.

struct Row {
    kind: u32,  // KEPT, IGNORED or BAD
    label: u32, // the labelled class
    hit: f32,   // (1 - label_smoothing) w_t
    x_hit: f32, // its logit
    targets_at: u32, // where the row of a probability target begins
    grad_target_at: u32,
}

// The columns of a quad, to mask those beyond the last class.
const QUAD: vec4<u32> = vec4<u32>(0u, 1u, 2u, 3u);

fn label_smoothing() -> f32 {
    return params.hyper.x;
}

// label_smoothing / C, divided once on the host.
fn smooth_share() -> f32 {
    return params.hyper.y;
}

// The weights of four classes; past the last class, its weight again.
fn class_weight4(column: u32) -> vec4<f32> {
    let c = min(vec4<u32>(column) + QUAD, vec4<u32>(params.cols - 1u));
    return vec4<f32>(class_weight(c.x), class_weight(c.y), class_weight(c.z), class_weight(c.w));
}

fn row_reads(row: Row) -> bool {
    return row.kind == KEPT;
}

// NaN or +inf among the logits, or nothing but -inf, leaves no probabilities.
fn is_poisoned(s: State) -> bool {
    return s.bits > 0x7f800000u || !is_finite(s.peak);
}

fn row_loss(row: Row, s: State) -> f32 {
    if (row.kind == IGNORED) {
        return 0.0;
    }
    if (row.kind == BAD || is_poisoned(s)) {
        return params.nan;
    }
    let above = log1p(s.rest); // lse - peak
    var loss = s.pull + select(s.mass * above, 0.0, s.mass == 0.0);
    if (row.hit != 0.0) {
        loss += row.hit * ((s.peak - row.x_hit) + above);
    }
    return loss;
}

// What the gradients of a row have in common, computed once.
struct Slope {
    peak: f32,
    all: f32,   // sum_j b_j
    share: f32, // all / sum_j exp(x_j - peak)
    top: f32,   // all times 1 - exp(peak - lse)
}

fn row_slope(row: Row, s: State) -> Slope {
    let all = select(row.hit + s.mass, params.nan, is_poisoned(s));
    let share = all / (1.0 + s.rest);
    return Slope(s.peak, all, share, share * s.rest);
}

// At the peak, exp(x - lse) = 1 - rest / (1 + rest), so a confident row's gradient does not cancel.
fn row_grad(row: Row, slope: Slope, column: u32, x: f32, q: f32) -> f32 {
    let b = q + select(0.0, row.hit, column == row.label);
    return select(slope.share * exp(x - slope.peak) - b, (slope.all - b) - slope.top, x == slope.peak);
}
