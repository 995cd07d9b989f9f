// logsumexp: y = log sum_c exp(x_c), dy / dx_c = exp(x_c - y), from the statistics apart: y itself is too coarse where
// it is large. Of nothing but -inf the gradient is 0: its share in any sum is.
struct Slope {
    peak: f32,
    share: f32,
}

fn row_loss(row: Row, s: State) -> f32 {
    return log_sum_exp(s);
}

fn row_slope(row: Row, s: State) -> Slope {
    if (marks_nan(s.bits)) {
        return Slope(s.peak, params.nan);
    }
    if (is_neg_inf(s.peak)) {
        return Slope(0.0, 0.0); // exp(-inf - 0) is 0
    }
    // exp(x - peak) is 0 beside an infinite peak, and NaN at it.
    return Slope(s.peak, select(1.0 / (1.0 + s.rest), 1.0, !is_finite(s.peak)));
}

fn row_grad4(row: Row, slope: Slope, column: u32, x: vec4<f32>, count: u32) -> vec4<f32> {
    return slope.share * exp(x - slope.peak);
}
