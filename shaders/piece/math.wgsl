// Stable scalar functions, each written once. Nothing here names a buffer.

// The most negative finite f32, to its nearest decimal that every compiler accepts.
const LOWEST: f32 = -3.4028234e38;

// NaN is told by its bits: compilers may assume that no value is NaN, so `x != x` can fold to false.
fn is_nan(x: f32) -> bool {
    return (bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u;
}

fn is_finite(x: f32) -> bool {
    return (bitcast<u32>(x) & 0x7f800000u) != 0x7f800000u;
}

// log(1 + y) for y in [0, 1], to a few ulps also where 1 + y rounds to 1.
// log(1 + y) = 2 atanh(z), z = y / (2 + y) <= 1/3; the series in z^2 <= 1/9 ends below 2^-26 at z^15.
// No `(1 + y) - 1` appears, which fast math would fold away.
fn log1p_unit(y: f32) -> f32 {
    let z = y / (2.0 + y);
    let v = z * z;
    let tail = 1.0 / 9.0 + v * (1.0 / 11.0 + v * (1.0 / 13.0 + v * (1.0 / 15.0)));
    return 2.0 * z * (1.0 + v * (1.0 / 3.0 + v * (1.0 / 5.0 + v * (1.0 / 7.0 + v * tail))));
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
