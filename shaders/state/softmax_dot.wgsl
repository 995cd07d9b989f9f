// The statistics of a row x and the gradient g that comes from above, for softmax and log-softmax as functions:
//
//   peak   = max_c x_c                 at = g of the column at the peak (of equals, of one of them)
//   rest   = sum exp(x_c - peak)       over the columns but that one
//   others = sum g_c                   over the columns but that one
//   dot    = sum (g_c - at) exp(x_c - peak)
//
// A gradient subtracts from g_c the mean of g, or a share of its sum: what the peak's own column adds to either would
// cancel against g_c there, so it stays out, and a row that is sure of one class keeps its relative accuracy.
struct State {
    peak: f32,
    at: f32,
    rest: f32,
    others: f32,
    dot: f32,
    bits: u32, // the largest |x| as bits: tells NaN without a floating-point comparison
}

fn identity() -> State {
    return State(params.neg_inf, 0.0, 0.0, 0.0, 0.0, 0u);
}

// The state seen from a higher peak, whose g is `at`. One that saw nothing, or nothing but -inf, has only `others`:
// what else it has may be NaN, and goes here.
fn lift(s: State, peak: f32, at: f32) -> State {
    let scale = exp(s.peak - peak);
    let blank = is_neg_inf(s.peak);
    return State(
        peak,
        at,
        select((s.rest + 1.0) * scale, 0.0, blank),
        s.others + s.at,
        select((s.dot + (s.at - at) * (s.rest + 1.0)) * scale, 0.0, blank),
        s.bits,
    );
}

fn merge(a: State, b: State) -> State {
    var high = a;
    var low = b;
    if (b.peak > a.peak) {
        high = b;
        low = a;
    }
    let seen = lift(low, high.peak, high.at);
    return State(
        high.peak,
        high.at,
        high.rest + seen.rest,
        high.others + seen.others,
        high.dot + seen.dot,
        max(high.bits, low.bits),
    );
}

// The first true one alone.
fn first4(m: vec4<bool>) -> vec4<bool> {
    return vec4<bool>(m.x, m.y & !m.x, m.z & !(m.x | m.y), m.w & !(m.x | m.y | m.z));
}

// Takes in four columns: missing ones have x = -inf and g = 0.
fn push_map4(s: State, x: vec4<f32>, g: vec4<f32>) -> State {
    let top = max(max(x.x, x.y), max(x.z, x.w));
    var t = s;
    var own = vec4<bool>(false);
    if (top > s.peak) {
        own = first4(x == vec4<f32>(top));
        t = lift(s, top, sum4(select(vec4<f32>(0.0), g, own)));
    }
    let e = select(exp(x - vec4<f32>(t.peak)), vec4<f32>(0.0), own);
    t.rest += sum4(e);
    t.others += sum4(select(g, vec4<f32>(0.0), own));
    t.dot += sum4((g - vec4<f32>(t.at)) * e);
    t.bits = max(t.bits, bits4(x));
    return t;
}

// NaN or +inf in the row, or nothing but -inf, leaves no probabilities.
fn is_poisoned(s: State) -> bool {
    return marks_nan(s.bits) | !is_finite(s.peak);
}
