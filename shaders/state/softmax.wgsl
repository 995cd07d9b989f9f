// The statistics of a row for every loss of the softmax family, in one pass over its columns.
//
//   peak = max_c x_c
//   rest = sum_c exp(x_c - peak), less the 1 of one column at the peak
//   mass = sum_c q_c,  pull = sum_c q_c (peak - x_c)      for the loss's own coefficients q
//
// so log sum exp = peak + log1p(rest), and a row that is sure of its class keeps its relative accuracy: with the 1
// inside the sum, a rest below 2^-24 would be rounded away. The terms of `pull` all have the sign of their q:
// nothing cancels, whatever the logits' offset. A coefficient of 0 contributes 0, also on a logit of -inf.
//
// The peak is found as in a tournament, and its losers are what is summed: for the sum, no column is compared with the
// peak.
//
// Where WANTS_STATS says so, also
//   top  = the first column at the peak
//   heat = sum_c exp(x_c - peak) (peak - x_c)             so the entropy is log1p(rest) + heat / (1 + rest)
struct State {
    peak: f32,
    rest: f32,
    mass: f32,
    pull: f32,
    bits: u32, // the largest |x| as bits: tells NaN without a floating-point comparison
    top: u32,
    heat: f32,
}

// The words of a state, as product/states.wgsl keeps them, and the state of them.
fn state_words(s: State) -> array<vec4<u32>, 2> {
    return array<vec4<u32>, 2>(
        bitcast<vec4<u32>>(vec4<f32>(s.peak, s.rest, s.mass, s.pull)),
        vec4<u32>(s.bits, s.top, bitcast<u32>(s.heat), 0u),
    );
}

fn state_of(a: vec4<u32>, b: vec4<u32>) -> State {
    let x = bitcast<vec4<f32>>(a);
    return State(x.x, x.y, x.z, x.w, b.x, b.y, bitcast<f32>(b.z));
}

fn identity() -> State {
    return State(params.neg_inf, 0.0, 0.0, 0.0, 0u, 0xffffffffu, 0.0);
}

// The state seen from a higher peak. A state that saw nothing, or nothing but -inf, adds nothing to `rest`, and its
// `pull` is 0 or infinite already. What its other sums have become (exp(-inf + inf) is NaN) is told by nobody: it goes
// when the state is lifted, and a row of nothing but -inf has no sums.
fn lift(s: State, peak: f32) -> State {
    let step = peak - s.peak;
    let nothing = is_neg_inf(s.peak);
    var t = State(
        peak,
        select((s.rest + 1.0) * exp(-step), 0.0, nothing),
        s.mass,
        s.pull + select(s.mass * step, 0.0, is_zero(s.mass) | nothing),
        s.bits,
        s.top,
        0.0,
    );
    if (WANTS_STATS) {
        // exp(-step) step, which has gone to 0 long before step overflows
        t.heat = select(s.heat * exp(-step) + t.rest * min(step, 1e4), 0.0, nothing);
    }
    return t;
}

// The sum of exp(x - peak) (peak - x): 0 where the exponential is.
fn heat4(x: vec4<f32>, peak: f32) -> f32 {
    let step = min(peak - x, vec4<f32>(1e4));
    return sum4(exp(-step) * step);
}

// The first of four columns at the peak, and of those seen before.
fn first4(first: u32, x: vec4<f32>, peak: f32, column: u32) -> u32 {
    let none = vec4<u32>(0xffffffffu);
    let at = select(none, vec4<u32>(column) + vec4<u32>(0u, 1u, 2u, 3u), x == vec4<f32>(peak));
    return min(first, min(min(at.x, at.y), min(at.z, at.w)));
}

// The terms of `pull`: infinite at -inf, also where the peak is.
fn pulls(x: vec4<f32>, q: vec4<f32>, peak: f32) -> vec4<f32> {
    return select(q * (floored(peak) - x), vec4<f32>(0.0), is_zero4(q));
}

fn pull4(x: vec4<f32>, q: vec4<f32>, peak: f32) -> f32 {
    return sum4(pulls(x, q, peak));
}

// Four columns as the largest and the three others, for a row's peak stays out of the sum of exponentials: what loses
// against it goes in, its equals too, without a look at where it stands.
struct Ranked {
    top: f32,
    others: vec3<f32>,
}

fn ranked4(x: vec4<f32>) -> Ranked {
    let a = max(x.x, x.y);
    let b = max(x.z, x.w);
    return Ranked(max(a, b), vec3<f32>(min(x.x, x.y), min(x.z, x.w), min(a, b)));
}

// The state before columns whose largest is `top` are taken in. No branch: software
// adapters run both of its sides, and each would have an exponential for every column.
fn raise(s: State, top: f32) -> State {
    let lifts = top > s.peak;
    let peak = max(s.peak, top);
    let t = lift(s, peak);
    var r = s;
    r.peak = peak;
    // One column at the new peak stays out; the old peak's joins, where there was one.
    r.rest = select(s.rest, t.rest, lifts);
    r.pull = select(s.pull, t.pull, lifts);
    if (WANTS_STATS) {
        r.heat = select(s.heat, t.heat, lifts);
        r.top = select(s.top, 0xffffffffu, lifts);
    }
    return r;
}

// Their exponentials, without the 1 of the peak where it is theirs.
fn terms4(r: Ranked, peak: f32, lifts: bool) -> vec4<f32> {
    return vec4<f32>(exp(r.others - peak), select(exp(r.top - peak), 0.0, lifts));
}

// Takes in four columns from `column` on, with their coefficients.
fn push4(s: State, x: vec4<f32>, q: vec4<f32>, column: u32) -> State {
    let ranked = ranked4(x);
    var t = raise(s, ranked.top);
    t.rest += sum4(terms4(ranked, t.peak, ranked.top > s.peak));
    t.pull += pull4(x, q, t.peak);
    t.mass += sum4(q);
    t.bits = max(s.bits, bits4(x));
    if (WANTS_STATS) {
        t.top = first4(t.top, x, t.peak, column);
        t.heat += heat4(x, t.peak);
    }
    return t;
}

// Sixteen columns at once: four loads in flight, one look at the peak.
fn push16(
    s: State,
    x0: vec4<f32>, x1: vec4<f32>, x2: vec4<f32>, x3: vec4<f32>,
    q0: vec4<f32>, q1: vec4<f32>, q2: vec4<f32>, q3: vec4<f32>,
    columns: vec4<u32>,
) -> State {
    // Of each place in the quads, and then of the four places, the largest and the others.
    let high01 = max(x0, x1);
    let high23 = max(x2, x3);
    let ranked = ranked4(max(high01, high23));
    var t = raise(s, ranked.top);
    let peak = t.peak;
    t.rest += sum4((exp(min(x0, x1) - peak) + exp(min(x2, x3) - peak))
        + (exp(min(high01, high23) - peak) + terms4(ranked, peak, ranked.top > s.peak)));
    t.pull += (pull4(x0, q0, t.peak) + pull4(x1, q1, t.peak)) + (pull4(x2, q2, t.peak) + pull4(x3, q3, t.peak));
    t.mass += (sum4(q0) + sum4(q1)) + (sum4(q2) + sum4(q3));
    let bits = max(max(abs_bits(x0), abs_bits(x1)), max(abs_bits(x2), abs_bits(x3)));
    t.bits = max(s.bits, most_bits(bits));
    if (WANTS_STATS) {
        let first = first4(t.top, x0, t.peak, columns.x);
        let second = first4(first, x1, t.peak, columns.y);
        t.top = first4(first4(second, x2, t.peak, columns.z), x3, t.peak, columns.w);
        t.heat += (heat4(x0, t.peak) + heat4(x1, t.peak)) + (heat4(x2, t.peak) + heat4(x3, t.peak));
    }
    return t;
}

fn merge(a: State, b: State) -> State {
    var high = a;
    var low = b;
    if (b.peak > a.peak) {
        high = b;
        low = a;
    }
    // The lower state sees its columns from the higher peak; its own peak joins the rest.
    let seen = lift(low, high.peak);
    return State(
        high.peak,
        high.rest + seen.rest,
        high.mass + low.mass,
        high.pull + seen.pull,
        max(high.bits, low.bits),
        select(high.top, min(high.top, low.top), high.peak == low.peak),
        high.heat + seen.heat,
    );
}

// NaN or +inf among the logits, or nothing but -inf, leaves no probabilities.
fn is_poisoned(s: State) -> bool {
    return marks_nan(s.bits) | !is_finite(s.peak);
}

// The logarithm of the sum of the exponentials: NaN if one was, -inf of nothing but -inf, +inf of a +inf.
fn log_sum_exp(s: State) -> f32 {
    if (marks_nan(s.bits)) {
        return params.nan;
    }
    if (!is_finite(s.peak)) {
        return s.peak;
    }
    return s.peak + log1p(s.rest);
}
