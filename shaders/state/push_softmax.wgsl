// The columns of a row into state/softmax.wgsl, with the coefficients that coefs4 gives them.

// The coefficients of four columns, of which the first `count` are there: none has one of its own.
// default
fn coefs4(row: Row, column: u32, count: u32) -> vec4<f32> {
    return vec4<f32>(0.0);
}

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

// The same of quads that may have fewer columns, or none: -inf stands for those that are missing, and adds nothing.
fn row_push16_masked(
    row: Row, s: State, c0: u32, c1: u32, c2: u32, c3: u32,
    x0: vec4<f32>, x1: vec4<f32>, x2: vec4<f32>, x3: vec4<f32>, counts: vec4<u32>,
) -> State {
    return push16(
        s, x0, x1, x2, x3,
        coefs4(row, c0, counts.x), coefs4(row, c1, counts.y), coefs4(row, c2, counts.z), coefs4(row, c3, counts.w),
        vec4<u32>(c0, c1, c2, c3));
}

// exp(x - peak) of four columns of a row, for its gradient: where a pack has kept them, x is that already.
fn exps4(x: vec4<f32>, peak: f32) -> vec4<f32> {
    if (KEEPS_EXPS) {
        return x;
    }
    return exp(x - peak);
}

// A row whose columns are all at hand: its peak is known before the first exponential, and nothing is lifted.
struct Fold {
    s: State, // with the peak of the row
    exps: vec4<f32>, // exp(x - peak) of the columns taken in last
    tops: vec4<f32>, // the largest of them so far, each of every fourth
    rest: vec4<f32>, // the others
    mass: vec4<f32>,
    pull: vec4<f32>,
}

// Of the largest columns and the largest |x| as bits, each of every fourth.
fn fold_of(tops: vec4<f32>, bits: vec4<i32>) -> Fold {
    var s = identity();
    s.peak = ranked4(tops).top;
    s.bits = most_bits(bits);
    let zero = vec4<f32>(0.0);
    return Fold(s, zero, zero, zero, zero, zero);
}

// Of the last quad's columns only those that there are: `count` and `column` are constants where a row is written out.
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
    let peak = f.s.peak;
    let q = coefs4(row, column, count);
    var r = f;
    // One exponential stays out, the largest, found as in a tournament: it is the 1 of the peak.
    r.exps = exps(x - peak, count);
    r.tops = max(f.tops, r.exps);
    r.rest += min(f.tops, r.exps);
    r.mass += q;
    r.pull += pulls(x, q, peak);
    if (WANTS_STATS) {
        r.s.top = first4(r.s.top, x, r.s.peak, column); // of nothing but -inf, the first
        r.s.heat += heat4(x, peak);
    }
    return r;
}

// What a pack keeps of the columns taken in last.
fn kept4(f: Fold, x: vec4<f32>) -> vec4<f32> {
    return f.exps;
}

fn folded(f: Fold) -> State {
    var s = f.s;
    s.rest = sum4(f.rest + vec4<f32>(ranked4(f.tops).others, 0.0));
    s.mass = sum4(f.mass);
    s.pull = sum4(f.pull);
    return s;
}
