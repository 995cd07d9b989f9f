// Softmax of a row x, with the statistics of state/softmax_dot.wgsl:
//
//   y_c    = exp(x_c - peak) / (1 + rest)
//   grad_c = y_c (g_c - sum_j g_j y_j) = y_c ((g_c - at) - dot / (1 + rest))     since sum_j y_j = 1

struct Slope {
    peak: f32,
    share: f32, // 1 / (1 + rest)
    at: f32,
    mean: f32,  // of g - at, weighted by y
}

fn row_slope(row: Row, s: State) -> Slope {
    let share = select(1.0 / (1.0 + s.rest), params.nan, is_poisoned(s));
    return Slope(s.peak, share, s.at, s.dot * share);
}

fn row_value4(row: Row, slope: Slope, column: u32, x: vec4<f32>, count: u32) -> vec4<f32> {
    return slope.share * exp(x - vec4<f32>(slope.peak));
}

fn row_grad4(row: Row, slope: Slope, column: u32, x: vec4<f32>, count: u32) -> vec4<f32> {
    let g = upstream4(row, column, count);
    return row_value4(row, slope, column, x, count) * ((g - vec4<f32>(slope.at)) - vec4<f32>(slope.mean));
}
