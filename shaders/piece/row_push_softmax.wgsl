// The columns of a row into monoid/softmax.wgsl, with the coefficients that a coefs4 piece gives them.
fn row_push4(row: Row, s: State, column: u32, x: vec4<f32>, count: u32) -> State {
    return push4(s, x, coefs4(row, column, count), column);
}

fn row_push16(
    row: Row, s: State, c0: u32, c1: u32, c2: u32, c3: u32,
    x0: vec4<f32>, x1: vec4<f32>, x2: vec4<f32>, x3: vec4<f32>,
) -> State {
    return push16(
        s, x0, x1, x2, x3,
        coefs4(row, c0, 4u), coefs4(row, c1, 4u), coefs4(row, c2, 4u), coefs4(row, c3, 4u),
        vec4<u32>(c0, c1, c2, c3));
}

// A row whose columns are all at hand: its peak is known before the first exponential, and nothing is lifted.
struct Fold {
    s: State, // with the peak of the row
    below: vec4<f32>, // exponentials of the columns below the peak
    at: vec4<f32>, // columns at the peak
    mass: vec4<f32>,
    pull: vec4<f32>,
}

// Of the largest columns and the largest |x| as bits, each of every fourth.
fn fold_of(tops: vec4<f32>, bits: vec4<i32>) -> Fold {
    var s = identity();
    s.peak = top4(tops);
    s.bits = most_bits(bits);
    let zero = vec4<f32>(0.0);
    return Fold(s, zero, zero, zero, zero);
}

// Of the last quad's columns only those that there are: `count` is a constant where a row is written out.
fn exps(x: vec4<f32>, count: u32) -> vec4<f32> {
    if (count == 4u) {
        return exp(x);
    }
    var e = vec4<f32>(exp(x.x), 0.0, 0.0, 0.0);
    if (count > 1u) { e.y = exp(x.y); }
    if (count > 2u) { e.z = exp(x.z); }
    return e;
}

fn fold4(row: Row, f: Fold, column: u32, x: vec4<f32>, count: u32) -> Fold {
    let peak = max(f.s.peak, LOWEST);
    let at = x == vec4<f32>(peak);
    let q = coefs4(row, column, count);
    var r = f;
    r.below += select(exps(x - peak, count), vec4<f32>(0.0), at);
    r.at += select(vec4<f32>(0.0), vec4<f32>(1.0), at);
    r.mass += q;
    r.pull += pulls(x, q, peak);
    if (WANTS_STATS) {
        r.s.top = first4(r.s.top, x, r.s.peak, column); // of nothing but -inf, the first
        r.s.heat += heat4(x, peak);
    }
    return r;
}

fn folded(f: Fold) -> State {
    var s = f.s;
    // One column at the peak stays out; of nothing but -inf there is none.
    s.rest = sum4(f.below) + max(sum4(f.at) - 1.0, 0.0);
    s.mass = sum4(f.mass);
    s.pull = sum4(f.pull);
    return s;
}
