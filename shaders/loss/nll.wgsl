// Negative log-likelihood of a row of log-probabilities x with target t:
//
//   loss   = -w_t x_t
//   grad_c = -w_t [c = t]
//
// One column is all that the loss reads, and the gradient reads none.

fn row_push4(row: Row, s: State, column: u32, x: vec4<f32>, count: u32) -> State {
    return s;
}

fn row_loss(row: Row, s: State) -> f32 {
    if (row.kind == IGNORED) {
        return 0.0;
    }
    return select(-row.weight * row.x_label, params.nan, row.kind == BAD);
}

struct Slope {
    hit: f32, // the gradient of the target's column
}

fn row_slope(row: Row, s: State) -> Slope {
    return Slope(-row.weight);
}

fn row_grad4(row: Row, slope: Slope, column: u32, x: vec4<f32>, count: u32) -> vec4<f32> {
    return select(vec4<f32>(0.0), vec4<f32>(slope.hit), at4(column, row.label));
}
