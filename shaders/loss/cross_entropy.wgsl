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
// The first term of a class target stands apart, as `hit`; the rest of b is the coefficient q of state/softmax.wgsl,
// which coefs4 supplies: 0 without label smoothing (EACH_COUNTS is false). Of a probability target no class stands
// apart, all of b is q: loss/cross_entropy_prob.wgsl has row_open, the probabilities and their gradient.
//
// The logits that the loss sees are, with a soft cap (CAPS), cap tanh(input / cap).

struct Row {
    kind: u32,  // KEPT, IGNORED or BAD
    label: u32, // the labelled class
    hit: f32,   // (1 - label_smoothing) w_t
    x_hit: f32, // its logit
    targets_at: u32, // where the row of a probability target begins
    of_p: f32,    // what its statistics' upstream gradients come to: see state/softmax_grads.wgsl // where STATS_GRADS
    of_heat: f32, // where STATS_GRADS
}

// The weights of four classes; past the last class, its weight again.
fn class_weight4(column: u32) -> vec4<f32> {
    let c = min(vec4<u32>(column) + QUAD, vec4<u32>(params.cols - 1u));
    return vec4<f32>(class_weight(c.x), class_weight(c.y), class_weight(c.z), class_weight(c.w));
}

// What stands before lse^2 in a row's loss, before the reduction.
fn z_share() -> f32 {
    return z_loss() * (z_scale() / reduction_scale());
}

// z lse, of which no compiler takes lse by itself for a factor: its square may be beyond f32 where z lse^2 is not.
fn z_pull(z: f32, lse: f32) -> f32 {
    return whole(z * lse);
}

fn z_loss_of(row: Row, s: State) -> f32 {
    if (row.kind == IGNORED) {
        return 0.0;
    }
    let lse = log_sum_exp(s);
    return z_pull(z_loss(), lse) * lse;
}

// Selected, without branches of its own: software adapters run both sides of one.
fn row_loss(row: Row, s: State) -> f32 {
    let above = log1p(s.rest); // lse - peak
    let lse = s.peak + above;
    var loss = s.pull + s.mass * above;
    loss += select(row.hit * ((s.peak - row.x_hit) + above), 0.0, is_zero(row.hit));
    loss += z_pull(z_share(), lse) * lse;
    loss = select(loss, params.nan, (row.kind == BAD) | is_poisoned(s));
    return select(loss, 0.0, row.kind == IGNORED);
}

// What stands before the probabilities in a row's gradient, sum_j b_j + 2 z lse, without `hit`: beside that it may be
// small, and is all that is left of a confident label.
fn slope_beside_hit(s: State) -> f32 {
    let pull = 2.0 * z_pull(z_share(), log_sum_exp(s));
    // An infinity would meet the probabilities that are 0; a NaN, of a weight or a probability, `bounded` may hide.
    return select(bounded(s.mass + pull), params.nan, is_poisoned(s) | is_nan(s.mass));
}

// Class targets. A row that is not kept looks at class 0 instead, for nothing: software adapters would run both sides
// of a branch.
// default
fn row_open(index: u32, slab: u32, inner: u32, input_at: u32) -> Row {
    let words = label_words(params.targets_base + (index - params.first_row));
    let kind = classify(words, params.ignore, params.cols);
    let label = select(0u, words.x, kind == KEPT);
    let hit = select(0.0, (1.0 - label_smoothing()) * class_weight(label), kind == KEPT);
    if (STATS_GRADS) {
        return Row(kind, label, hit, column1(input_at, label), 0u, 0.0, 0.0);
    }
    return Row(kind, label, hit, column1(input_at, label), 0u);
}

// Statistics are of every row; without them, rows that are ignored or have a bad label are passed over.
fn row_reads(row: Row) -> bool {
    return WANTS_STATS | (row.kind == KEPT);
}

// Of a probability target, its numbers of four columns.
// default
fn probabilities4(row: Row, column: u32, count: u32) -> vec4<f32> {
    return vec4<f32>(0.0);
}

// q of four columns.
fn coefs4(row: Row, column: u32, count: u32) -> vec4<f32> {
    if (IS_PROBABILITY) {
        let p = probabilities4(row, column, count);
        let q = class_weight4(column) * ((1.0 - label_smoothing()) * p + vec4<f32>(smooth_share()));
        return select(vec4<f32>(0.0), q, QUAD < vec4<u32>(count));
    }
    if (EACH_COUNTS) {
        return select(vec4<f32>(0.0), smooth_share() * class_weight4(column), QUAD < vec4<u32>(count));
    }
    return vec4<f32>(0.0);
}

// What the gradients of a row have in common, computed once.
struct Slope {
    peak: f32,
    beside: f32, // sum_j b_j + 2 z lse, less `hit`
    share: f32,  // with it, over sum_j exp(x_j - peak)
    hit: f32,    // the gradient of the labelled class, where that alone has a coefficient
    top: f32,    // share times `rest`: what a probability at the peak is short of 1
    sure: u32,   // 1 where the peak has more than half of the probability
}

fn row_slope(row: Row, s: State) -> Slope {
    let beside = slope_beside_hit(s);
    let share = (row.hit + beside) / (1.0 + s.rest);
    if (EACH_COUNTS) {
        return Slope(s.peak, beside, share, 0.0, share * s.rest, select(0u, 1u, s.rest < 1.0));
    }
    // Of the class at the peak, exp(x - lse) = 1 - rest / (1 + rest), so a confident row's gradient of its label does
    // not cancel. Where the rest is below a half, no other class is as near to the peak. The difference of near numbers
    // is exact, however large they are.
    let sure = (s.rest < 0.5) & (s.peak - row.x_hit < 0.5);
    let below = share * exp(row.x_hit - s.peak) - row.hit;
    return Slope(s.peak, beside, share, select(below, beside - share * s.rest, sure), 0.0, 0u);
}

// At the peak, exp(x - lse) = 1 - rest / (1 + rest), so a confident row's gradient does not cancel; that of a row of
// many peaks would, which keep the quotient.
fn row_grad4(row: Row, slope: Slope, column: u32, x: vec4<f32>, count: u32) -> vec4<f32> {
    let is_label = at4(column, row.label);
    if (EACH_COUNTS) {
        let q = coefs4(row, column, count);
        let hit = vec4<f32>(row.hit);
        let below = slope.share * exp(x - slope.peak) - (q + select(vec4<f32>(0.0), hit, is_label));
        let at_peak = ((slope.beside - q) + select(hit, vec4<f32>(0.0), is_label)) - slope.top;
        return select(below, at_peak, (x == vec4<f32>(slope.peak)) & vec4<bool>(slope.sure == 1u));
    }
    return select(slope.share * exps4(x, slope.peak), vec4<f32>(slope.hit), is_label);
}

// The record of a row: statistics of the logits, after the soft cap, of ignored rows too.
fn row_record(row: Row, s: State, loss: f32, weight: f32) -> Record {
    let poisoned = is_poisoned(s);
    let entropy = log1p(s.rest) + s.heat / (1.0 + s.rest);
    return Record(
        loss,
        weighed(weight, select(z_loss_of(row, s), params.nan, row.kind == BAD)),
        log_sum_exp(s),
        select(entropy, params.nan, poisoned),
        select(0.0, 1.0, (row.kind == KEPT) & (s.top == row.label)),
        // NaN is nowhere at the peak: such a row has the first class
        select(s.top, 0u, s.top == 0xffffffffu),
        0u,
        0u,
    );
}

// dx / dinput = sech^2(input / cap) = 1 - (x / cap)^2.
fn mapped1(x: f32) -> f32 {
    if (CAPS) {
        return softcap() * tanh_stable(x / softcap());
    }
    return x;
}

fn mapped4(x: vec4<f32>) -> vec4<f32> {
    return vec4<f32>(mapped1(x.x), mapped1(x.y), mapped1(x.z), mapped1(x.w));
}

fn map_slope4(x: vec4<f32>) -> vec4<f32> {
    if (CAPS) {
        let u = x / softcap();
        return vec4<f32>(sech2(u.x), sech2(u.y), sech2(u.z), sech2(u.w));
    }
    return vec4<f32>(1.0);
}
