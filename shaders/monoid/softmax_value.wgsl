// The logarithm of the sum of the exponentials: NaN if one was, -inf of nothing but -inf, +inf of a +inf.
fn log_sum_exp(s: State) -> f32 {
    if (s.bits > 0x7f800000u) {
        return params.nan;
    }
    if (!is_finite(s.peak)) {
        return s.peak;
    }
    return s.peak + log1p(s.rest);
}
