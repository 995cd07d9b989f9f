// Triplet margin loss of an anchor a, a positive b and a negative c:
//
//   |x - y|  = (sum_i |x_i - y_i + eps|^p)^(1/p), or max_i |x_i - y_i + eps| for an infinite p
//   negative = |a - c|, or with SWAP min(|a - c|, |b - c|)
//   loss     = max(0, margin + |a - b| - negative)
//
// With d = x - y + eps, u(d)_i = d |d| / d d_i, and where the loss is not cut off:
//
//   u(d)_i = sign(d_i) (|d_i| / |d|)^(p - 1); 0 where d_i or |d| is 0
//            infinite p: sign(d_i) / n where |d_i| is one of n largest
//   grad_a = u(a - b) - u(a - c),  grad_b = -u(a - b),  grad_c = u(a - c)
//   with SWAP the smaller of the two distances takes the negative's part, of equals each half; u(b - c) goes to b and c.
//
// POWER is p where that is 1 or 2, INFINITE, or ANY.
const ANY: u32 = 0u;
const INFINITE: u32 = 3u;

// A norm in the making.
struct Norm {
    top: u32, // the largest |d| as bits, which order as the numbers do, NaN above all; where POWER is ANY or INFINITE
    sum: f32, // of |d|^p; ANY: of (|d| / top)^p; INFINITE: how many |d| are top
}

struct State {
    positive: Norm, // |a - b|
    negative: Norm, // |a - c|
    swapped: Norm,  // |b - c|
    bits: u32, // the largest number of the rows, as bits without a sign: tells infinities and NaN
}

fn identity() -> State {
    let none = Norm(0u, 0.0);
    return State(none, none, none, 0u);
}

fn value(bits: u32) -> f32 {
    return bitcast<f32>(bits);
}

// (y / top)^exponent for 0 <= y.
fn relative4(y: vec4<f32>, top: f32, exponent: f32) -> vec4<f32> {
    return exp2(exponent * log2(y / max(top, 1e-37)));
}

fn norm_merge(p: Norm, q: Norm) -> Norm {
    let top = max(p.top, q.top);
    if (POWER == INFINITE) {
        return Norm(top, select(0.0, p.sum, p.top == top) + select(0.0, q.sum, q.top == top));
    }
    if (POWER == ANY) {
        let r = relative4(vec4<f32>(value(p.top), value(q.top), 0.0, 0.0), value(top), power());
        return Norm(top, p.sum * r.x + q.sum * r.y);
    }
    return Norm(0u, p.sum + q.sum);
}

fn merge(p: State, q: State) -> State {
    return State(
        norm_merge(p.positive, q.positive),
        norm_merge(p.negative, q.negative),
        norm_merge(p.swapped, q.swapped),
        max(p.bits, q.bits),
    );
}

// Takes in |d| of up to four columns.
fn norm_push(n: Norm, d: vec4<f32>, live: vec4<bool>) -> Norm {
    let y = select(vec4<f32>(0.0), abs(d), live);
    if (POWER == INFINITE) {
        let top = bits4(y);
        let tops = select(vec4<f32>(0.0), vec4<f32>(1.0), live & (bitcast<vec4<u32>>(y) == vec4<u32>(top)));
        return norm_merge(n, Norm(top, sum4(tops)));
    }
    if (POWER == ANY) {
        let top = max(n.top, bits4(y));
        let old = relative4(vec4<f32>(value(n.top)), value(top), power()).x;
        return Norm(top, n.sum * old + sum4(relative4(y, value(top), power())));
    }
    return Norm(0u, n.sum + select(sum4(y), dot(y, y), POWER == 2u));
}

fn row_push4(s: State, a: vec4<f32>, b: vec4<f32>, c: vec4<f32>, count: u32) -> State {
    let live = QUAD < vec4<u32>(count);
    var t = s;
    t.bits = max(s.bits, most_bits(max(max(abs_bits(a), abs_bits(b)), abs_bits(c))));
    t.positive = norm_push(s.positive, (a - b) + eps(), live);
    t.negative = norm_push(s.negative, (a - c) + eps(), live);
    if (SWAP) {
        t.swapped = norm_push(s.swapped, (b - c) + eps(), live);
    }
    return t;
}

fn norm(n: Norm) -> f32 {
    if (POWER == 1u) {
        return n.sum;
    }
    if (POWER == 2u) {
        return sqrt(n.sum);
    }
    let top = value(n.top);
    if ((POWER == INFINITE) | (top == 0.0) | !is_finite(top)) {
        return top;
    }
    return top * pow(n.sum, 1.0 / power());
}

struct Distances {
    positive: f32,
    negative: f32,
    swapped: f32,
    short: f32, // margin + positive - the smaller of the others
}

fn distances(s: State) -> Distances {
    let positive = norm(s.positive);
    let negative = norm(s.negative);
    if (SWAP) {
        let swapped = norm(s.swapped);
        // Where one of them is NaN and the minimum is not, the positive distance is NaN or infinite, and so is the
        // minimum.
        return Distances(positive, negative, swapped, margin() + (positive - min(negative, swapped)));
    }
    return Distances(positive, negative, 0.0, margin() + (positive - negative));
}

fn row_loss(s: State, t: f32) -> f32 {
    let short = distances(s).short;
    return select(max(short, 0.0), short, is_nan(short));
}

// A norm whose derivatives are wanted, times `factor`.
struct Pull {
    size: f32,
    factor: f32,
    rest: f32, // of the columns that have no share: 0, or NaN
}

fn pull(n: Norm, size: f32, share: f32) -> Pull {
    let rest = select(0.0, share, is_nan(share));
    if (POWER == 1u) {
        return Pull(size, share, rest);
    }
    if (POWER == INFINITE) {
        return Pull(size, share / n.sum, rest);
    }
    return Pull(size, select(share / select(1.0, size, POWER == 2u), rest, size == 0.0), rest);
}

// u(d) of four columns.
fn pull4(p: Pull, d: vec4<f32>) -> vec4<f32> {
    if (POWER == 2u) {
        return p.factor * d;
    }
    let signed = p.factor * sign(d);
    if (POWER == 1u) {
        return signed;
    }
    if (POWER == INFINITE) {
        return select(vec4<f32>(p.rest), signed, abs(d) == vec4<f32>(p.size));
    }
    return select(signed * relative4(abs(d), p.size, power() - 1.0), vec4<f32>(p.rest), d == vec4<f32>(0.0));
}

struct Slope {
    positive: Pull,
    negative: Pull,
    swapped: Pull,
}

fn row_slope(s: State, t: f32) -> Slope {
    let d = distances(s);
    // The kink has no gradient, and what is not finite in a row leaves none of its: not every power of it would tell.
    let on = select(select(0.0, 1.0, d.short > 0.0), params.nan, is_nan(d.short) | (s.bits >= 0x7f800000u));
    var share = 1.0;
    if (SWAP) {
        share = select(select(0.0, 1.0, d.negative < d.swapped), 0.5, d.negative == d.swapped);
    }
    return Slope(
        pull(s.positive, d.positive, on),
        pull(s.negative, d.negative, on * share),
        pull(s.swapped, d.swapped, on * (1.0 - share)));
}

fn row_grad_a4(slope: Slope, a: vec4<f32>, b: vec4<f32>, c: vec4<f32>) -> vec4<f32> {
    return pull4(slope.positive, (a - b) + eps()) - pull4(slope.negative, (a - c) + eps());
}

fn row_grad_b4(slope: Slope, a: vec4<f32>, b: vec4<f32>, c: vec4<f32>) -> vec4<f32> {
    let g = -pull4(slope.positive, (a - b) + eps());
    if (SWAP) {
        return g - pull4(slope.swapped, (b - c) + eps());
    }
    return g;
}

fn row_grad_c4(slope: Slope, a: vec4<f32>, b: vec4<f32>, c: vec4<f32>) -> vec4<f32> {
    let g = pull4(slope.negative, (a - c) + eps());
    if (SWAP) {
        return g + pull4(slope.swapped, (b - c) + eps());
    }
    return g;
}
