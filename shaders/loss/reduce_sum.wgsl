// sum: y = sum_c x_c, dy / dx_c = 1; for a mean both times 1 / n, which comes in the params.
struct Slope {
    step: f32,
}

fn row_push4(row: Row, s: State, column: u32, x: vec4<f32>, count: u32) -> State {
    return push_quad(s, column, select(vec4<f32>(0.0), x, QUAD < vec4<u32>(count)), count);
}

fn row_loss(row: Row, s: State) -> f32 {
    return s.sum * share();
}

fn row_slope(row: Row, s: State) -> Slope {
    return Slope(share());
}

fn row_grad4(row: Row, slope: Slope, column: u32, x: vec4<f32>, count: u32) -> vec4<f32> {
    return vec4<f32>(slope.step);
}
