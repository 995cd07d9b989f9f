// The norm of everything: (sum |x|^p)^(1/p), the largest |x| for p = inf. NORM is p where it is 1 or 2, 0 for infinity,
// and 3 for what `power` of the params says. Elements count in units of the largest: no power of one over- or
// underflows f32, whatever the gradients' scale.
struct State {
    peak: f32, // the unit: the largest finite |x|, at least the smallest normal number
    sum: f32,  // of (|x| / peak)^p
    bits: u32, // the largest |x| as bits: tells infinity and NaN
}

const RESULT_WORDS: u32 = 1u;
const LEAST: f32 = 1.1754944e-38;

fn identity() -> State {
    return State(LEAST, 0.0, 0u);
}

// x^p for x in [0, 1].
fn powered(x: f32) -> f32 {
    if (NORM == 1u) {
        return x;
    }
    if (NORM == 2u) {
        return x * x;
    }
    return select(pow(max(x, 1e-30), params.power), 0.0, x < 1e-30);
}

// What x is multiplied by so that it counts in units of the peak: `one` of what is a sixteenth where the peak is near
// the end of f32, whose inverse would be subnormal. The first product is taken by itself: a compiler would join the
// factors, and have that inverse.
struct Unit {
    shrink: f32,
    one: f32,
}

fn unit(peak: f32) -> Unit {
    let shrink = select(1.0, 0.0625, peak > 1e37);
    return Unit(shrink, 1.0 / (peak * shrink));
}

fn merge(a: State, b: State) -> State {
    let peak = max(a.peak, b.peak);
    if (NORM == 0u) {
        return State(peak, 0.0, max(a.bits, b.bits));
    }
    let u = unit(peak);
    let sum = a.sum * powered(whole(a.peak * u.shrink) * u.one) + b.sum * powered(whole(b.peak * u.shrink) * u.one);
    return State(peak, sum, max(a.bits, b.bits));
}

// Four elements of which the first `count` are there; missing ones are given as 0.
fn push_quad(s: State, item: u32, given: vec4<f32>, count: u32) -> State {
    let bits = abs_bits(given);
    let kept = select(bitcast<vec4<f32>>(bits), vec4<f32>(0.0), bits >= vec4<i32>(0x7f800000));
    let peak = max(s.peak, max(max(kept.x, kept.y), max(kept.z, kept.w)));
    let seen = max(s.bits, most_bits(bits));
    if (NORM == 0u) {
        return State(peak, 0.0, seen);
    }
    let u = unit(peak);
    let x = whole4(kept * u.shrink) * u.one;
    let part = vec4<f32>(powered(x.x), powered(x.y), powered(x.z), powered(x.w));
    return State(peak, s.sum * powered(whole(s.peak * u.shrink) * u.one) + sum4(part), seen);
}

fn result(s: State) -> array<u32, 1> {
    var times = select(1.0, 0.0, s.peak <= LEAST);
    if (NORM == 1u) {
        times = s.sum;
    } else if (NORM == 2u) {
        times = sqrt(s.sum);
    } else if (NORM == 3u) {
        times = select(pow(max(s.sum, 1.0), 1.0 / params.power), 0.0, s.sum == 0.0);
    }
    // A norm beyond f32 is its largest number: infinite it is where an element is.
    var norm = bounded(s.peak * times);
    norm = select(norm, -params.neg_inf, s.bits == 0x7f800000u);
    return array<u32, 1>(bitcast<u32>(select(norm, params.nan, marks_nan(s.bits))));
}
