// The gradient where every class may have a coefficient of its own: probability targets and label smoothing.

// What the gradients of a row have in common, computed once.
struct Slope {
    peak: f32,
    beside: f32, // sum_j b_j + 2 z lse, less `hit`
    share: f32, // with it, over sum_j exp(x_j - peak)
    top: f32,   // share times `rest`: what a probability at the peak is short of 1
    sure: u32,  // 1 where the peak has more than half of the probability
}

fn row_slope(row: Row, s: State) -> Slope {
    let beside = slope_beside_hit(s);
    let share = (row.hit + beside) / (1.0 + s.rest);
    return Slope(s.peak, beside, share, share * s.rest, select(0u, 1u, s.rest < 1.0));
}

// At the peak, exp(x - lse) = 1 - rest / (1 + rest), so a confident row's gradient does not cancel; that of a row of many
// peaks would, which keep the quotient.
fn row_grad4(row: Row, slope: Slope, column: u32, x: vec4<f32>, count: u32) -> vec4<f32> {
    let q = coefs4(row, column, count);
    let hit = vec4<f32>(row.hit);
    let is_label = at4(column, row.label);
    let below = slope.share * exp(x - slope.peak) - (q + select(vec4<f32>(0.0), hit, is_label));
    let at_peak = ((slope.beside - q) + select(hit, vec4<f32>(0.0), is_label)) - slope.top;
    return select(below, at_peak, (x == vec4<f32>(slope.peak)) & vec4<bool>(slope.sure == 1u));
}
