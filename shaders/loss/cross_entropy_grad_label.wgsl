// The gradient of class targets without label smoothing: only the labelled class has a coefficient, `hit`.

// What the gradients of a row have in common, computed once.
struct Slope {
    peak: f32,
    share: f32, // (sum_j b_j + 2 z lse) / sum_j exp(x_j - peak)
    hit: f32,   // the gradient of the labelled class
}

fn row_slope(row: Row, s: State) -> Slope {
    let beside = slope_beside_hit(s);
    let share = (row.hit + beside) / (1.0 + s.rest);
    // Of the class at the peak, exp(x - lse) = 1 - rest / (1 + rest), so a confident row's gradient of its label does not
    // cancel. Where the rest is below a half, no other class is as near to the peak. The difference of near numbers is
    // exact, however large they are.
    let sure = (s.rest < 0.5) & (s.peak - row.x_hit < 0.5);
    let below = share * exp(row.x_hit - s.peak) - row.hit;
    return Slope(s.peak, share, select(below, beside - share * s.rest, sure));
}

fn row_grad4(row: Row, slope: Slope, column: u32, x: vec4<f32>, count: u32) -> vec4<f32> {
    return select(slope.share * exps4(x, slope.peak), vec4<f32>(slope.hit), at4(column, row.label));
}
