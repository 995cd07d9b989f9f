// Log-softmax of a row x, with the statistics of state/softmax_dot.wgsl and p = softmax(x):
//
//   y_c    = (x_c - peak) - log1p(rest)
//   grad_c = g_c - p_c sum_j g_j                                        since d y_j / d x_c = [j = c] - p_c
//   at the peak, where 1 - p_c = rest / (1 + rest):
//   grad_c = (g_c rest - sum_{j != c} g_j) / (1 + rest)

struct Slope {
    peak: f32,
    above: f32,  // log1p(rest)
    share: f32,  // 1 / (1 + rest)
    rest: f32,
    at: f32,
    others: f32,
}

fn row_slope(row: Row, s: State) -> Slope {
    let share = select(1.0 / (1.0 + s.rest), params.nan, is_poisoned(s));
    return Slope(s.peak, select(log1p(s.rest), params.nan, is_poisoned(s)), share, s.rest, s.at, s.others);
}

fn row_value4(row: Row, slope: Slope, column: u32, x: vec4<f32>, count: u32) -> vec4<f32> {
    return (x - vec4<f32>(slope.peak)) - vec4<f32>(slope.above);
}

fn row_grad4(row: Row, slope: Slope, column: u32, x: vec4<f32>, count: u32) -> vec4<f32> {
    let g = upstream4(row, column, count);
    let p = slope.share * exp(x - vec4<f32>(slope.peak));
    let beside = vec4<f32>(slope.others) + (vec4<f32>(slope.at) - g); // sum_{j != c} g_j
    return select(
        g - p * (slope.others + slope.at),
        slope.share * (g * slope.rest - beside),
        x == vec4<f32>(slope.peak));
}
