// logsumexp: y = log sum_c exp(x_c), dy / dx_c = exp(x_c - y), from the statistics apart: y itself is too coarse where it
// is large. Of nothing but -inf the gradient is NaN, as -inf + inf is.
struct Slope {
    peak: f32,
    share: f32,
    rest: f32,
}

fn row_loss(row: Row, s: State) -> f32 {
    return log_sum_exp(s);
}

fn row_slope(row: Row, s: State) -> Slope {
    let poisoned = s.bits > 0x7f800000u || !is_finite(s.peak);
    let share = select(1.0 / (1.0 + s.rest), params.nan, poisoned);
    return Slope(s.peak, share, s.rest);
}

fn row_grad4(row: Row, slope: Slope, column: u32, x: vec4<f32>, count: u32) -> vec4<f32> {
    return slope.share * exp(x - slope.peak);
}
