// The gradient where every class may have a coefficient of its own: probability targets and label smoothing.

// What the gradients of a row have in common, computed once.
struct Slope {
    peak: f32,
    all: f32,
    share: f32, // all / sum_j exp(x_j - peak)
    top: f32,   // all times 1 - exp(peak - lse)
    sure: u32,  // 1 where the peak has more than half of the probability
}

fn row_slope(row: Row, s: State) -> Slope {
    let all = slope_of(row, s);
    let share = all / (1.0 + s.rest);
    return Slope(s.peak, all, share, share * s.rest, select(0u, 1u, s.rest < 1.0));
}

// At the peak, exp(x - lse) = 1 - rest / (1 + rest), so a confident row's gradient does not cancel; that of a row of many
// peaks would, which keep the quotient.
fn row_grad4(row: Row, slope: Slope, column: u32, x: vec4<f32>, count: u32) -> vec4<f32> {
    let b = coefs4(row, column, count) + select(vec4<f32>(0.0), vec4<f32>(row.hit), at4(column, row.label));
    let below = slope.share * exp(x - slope.peak) - b;
    return select(below, (slope.all - b) - slope.top, (x == vec4<f32>(slope.peak)) & vec4<bool>(slope.sure == 1u));
}
