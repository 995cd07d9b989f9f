// Stable scalar functions, each written once. Nothing here names a buffer.

// A row's weight times its loss, which may be infinite: a row of weight 0 counts nothing. NaN stays.
fn weighed(weight: f32, loss: f32) -> f32 {
    return select(weight * loss, 0.0, is_zero(weight) & !is_nan(loss));
}

// 2 atanh(z) = log((1 + z) / (1 - z)) for |z| <= 1/3, by the polynomial in z^2 whose largest relative error is least:
// 5.4e-9, a tenth of what rounding to f32 does. The series needs three more terms for that.
fn twice_atanh(z: f32) -> f32 {
    let v = z * z;
    return 2.0 * z * (1.0 + v * (0.33333209 + v * (0.20010763 + v * (0.14000902 + v * 0.14005996))));
}

// log(1 + y) for y in [0, 1], to a few ulps also where 1 + y rounds to 1.
// No `(1 + y) - 1` appears, which fast math would fold away.
fn log1p_unit(y: f32) -> f32 {
    return twice_atanh(y / (2.0 + y));
}

// log(1 + y) for every y >= 0.
fn log1p(y: f32) -> f32 {
    if (y <= 1.0) {
        return log1p_unit(y);
    }
    return log(1.0 + y);
}

// log(1 + exp(x)): never overflows, and keeps its relative accuracy where it goes to 0.
fn softplus(x: f32) -> f32 {
    return max(x, 0.0) + log1p_unit(exp(-abs(x)));
}

// 1 / (1 + exp(-x)), by the exponential that cannot overflow.
fn sigmoid(x: f32) -> f32 {
    let e = exp(-abs(x));
    return select(e, 1.0, x >= 0.0) / (1.0 + e);
}

// on softplus(-x) + off softplus(x), the two costs of a logit: what they share is computed once.
fn logit_cost(x: f32, on: f32, off: f32) -> f32 {
    let curve = log1p_unit(exp(-abs(x)));
    return on * (max(-x, 0.0) + curve) + off * (max(x, 0.0) + curve);
}

// off sigmoid(x) - on sigmoid(-x), its derivative.
fn logit_slope(x: f32, on: f32, off: f32) -> f32 {
    let e = exp(-abs(x));
    let sides = select(vec2<f32>(e, 1.0), vec2<f32>(1.0, e), x >= 0.0);
    return (off * sides.x - on * sides.y) / (1.0 + e);
}

// y^power for y in [0, 1] and power >= 0, with 0^0 = 1, from y and its logarithm (-inf allowed).
// Small whole powers are products: exact at 0 and free of the error of exp(power log y).
fn pow_unit(y: f32, log_y: f32, power: f32) -> f32 {
    if (power == 0.0) {
        return 1.0;
    }
    if (power == 1.0) {
        return y;
    }
    if (power == 2.0) {
        return y * y;
    }
    // A logarithm rounded to above 0 would overflow for a large power.
    return exp(power * min(log_y, 0.0));
}

// A number m 2^k above 0, with m in [sqrt(1/2), sqrt(2)).
struct Scaled {
    k: f32,
    rest: f32, // m - 1, exact
}

fn scaled(x: f32) -> Scaled {
    let bits = bitcast<i32>(x);
    let k = (bits - 0x3f3504f3) >> 23u; // the bits of sqrt(1/2)
    return Scaled(f32(k), bitcast<f32>(bits - (k << 23u)) - 1.0);
}

// log 2 = LOG_2 - LOG_2_EXCESS: a whole number of up to 15 bits times the first is exact.
const LOG_2: f32 = 0.693359375;
const LOG_2_EXCESS: f32 = 2.1219444e-4;

// log(2^k (1 + rest)) for |rest| <= 1/2, to three ulps of itself and those of the division. A compiler that joins the
// two parts of log 2 costs one ulp more: where k is not 0, the result is no smaller than a half of log 2.
fn log_scaled(s: Scaled) -> f32 {
    return s.k * LOG_2 + (twice_atanh(s.rest / (2.0 + s.rest)) - s.k * LOG_2_EXCESS);
}

// log(x) for x >= 0, with its relative accuracy near 1, not -inf where the adapter flushes a subnormal x, and -inf at
// 0, where WGSL leaves the value of `log` open and SwiftShader has -86. That is made of the bits of x, since a constant
// infinity is refused. NaN below 0. No branches: adapters that are the processor run both sides of each.
fn ln(x: f32) -> f32 {
    let bits = bitcast<u32>(x);
    let is_subnormal = bits < 0x00800000u; // its bits, signed or not, count units of 2^-149
    var s = scaled(select(x, f32(i32(bits)), is_subnormal));
    s.k -= select(0.0, 149.0, is_subnormal);
    let below = bitcast<f32>(bits | select(0x7fc00000u, 0xff800000u, (bits << 1u) == 0u)); // -inf of 0, NaN of what is less
    let edge = select(x, below, (bits >= 0x80000000u) | (bits == 0u)); // inf and NaN are their own
    return select(edge, log_scaled(s), bits - 1u < 0x7f7fffffu); // above 0 and finite
}

// log(1 - p) for p in [0, 1].
fn log1m(p: f32) -> f32 {
    let x = 1.0 - p; // exact from 1/2 on
    let is_near = p <= 0.5;
    var s = scaled(x);
    s.k = select(s.k, 0.0, is_near);
    s.rest = select(s.rest, -p, is_near);
    return select(bitcast<f32>(bitcast<u32>(x) | 0xff800000u), log_scaled(s), x > 0.0); // -inf at 1, NaN stays
}

// exp(x) - t, also where it nearly cancels; t = 1 makes it expm1.
fn exp_minus(x: f32, t: f32) -> f32 {
    return select(exp(x) - t, exp_minus_near(x, t), abs(x) < 80.0);
}

// The same for |x| < 80: beyond, 2^k and t might not be in range together, and what comes out means nothing. With
// x = k log 2 + head + rest,
//
//   exp(x) - t = (2^k - t) + 2^k head + 2^k (rest + (exp(r) - 1 - r)),   r = head + rest
//
// where the first two terms are exact and only the last, small one is rounded: as long as t stays with 2^k. (The others
// may be added first: that costs a quarter of an ulp of exp(x).)
fn exp_minus_near(x: f32, t: f32) -> f32 {
    let k = round(1.442695 * x);
    let head = x - k * LOG_2;
    let rest = k * LOG_2_EXCESS;
    let r = head + rest;
    let series = 1.0 / 24.0 + r * (1.0 / 120.0 + r * (1.0 / 720.0 + r * (1.0 / 5040.0 + r * (1.0 / 40320.0))));
    let tail = rest + r * r * (0.5 + r * (1.0 / 6.0 + r * series));
    let scale = bitcast<f32>((i32(k) + 127) << 23u);
    return (whole(scale - t) + scale * head) + scale * tail;
}

// log(t) - x for t >= 0, also where it nearly cancels: log(t) is then rounded to an ulp of x, exp(x) - t is not.
fn log_minus(t: f32, x: f32) -> f32 {
    let plain = ln(t) - x;
    let less = -exp_minus_near(x, t);
    return select(plain, twice_atanh(less / (2.0 * t - less)), (abs(plain) < 0.5) & (abs(x) < 80.0));
}

// tanh(u). Near 0 by its continued fraction, where (1 - e) / (1 + e) would lose the digits of u.
fn tanh_stable(u: f32) -> f32 {
    let a = abs(u);
    let v = u * u;
    let near = u / (1.0 + v / (3.0 + v / (5.0 + v / (7.0 + v / (9.0 + v / 11.0)))));
    let e = exp(-2.0 * a);
    let far = sign(u) * (1.0 - e) / (1.0 + e);
    return select(far, near, a < 0.7);
}

// 1 - tanh(u)^2 = 4 e / (1 + e)^2 with e = exp(-2 |u|): no cancellation where tanh goes to 1.
fn sech2(u: f32) -> f32 {
    let e = exp(-2.0 * abs(u));
    return 4.0 * e / ((1.0 + e) * (1.0 + e));
}

fn sum4(x: vec4<f32>) -> f32 {
    return (x.x + x.y) + (x.z + x.w);
}

// |x| as bits, which order as the numbers do, NaN above all. Signed: x86 compares no others before AVX-512.
fn abs_bits(x: vec4<f32>) -> vec4<i32> {
    return bitcast<vec4<i32>>(x) & vec4<i32>(0x7fffffff);
}

fn most_bits(b: vec4<i32>) -> u32 {
    return u32(max(max(b.x, b.y), max(b.z, b.w)));
}

// The largest |x| of four.
fn bits4(x: vec4<f32>) -> u32 {
    return most_bits(abs_bits(x));
}
