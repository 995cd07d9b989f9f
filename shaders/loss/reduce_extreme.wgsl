// max and min: equals share the gradient, 1 / ties for each, as PyTorch's amax and amin. A NaN makes all of it NaN.
struct Slope {
    value: f32,
    share: f32,
    rest: f32, // of the elements that are not extreme: 0, or NaN
}

// Columns are fewer than 2^32.
fn item_high(item: u32) -> u32 {
    return 0u;
}

fn row_push4(row: Row, s: State, column: u32, x: vec4<f32>, count: u32) -> State {
    return push_quad(s, column, x, count);
}

fn row_loss(row: Row, s: State) -> f32 {
    return s.value;
}

fn index_of(s: State) -> u32 {
    return s.item;
}

fn row_slope(row: Row, s: State) -> Slope {
    let rest = select(0.0, params.nan, s.seen == 2u);
    return Slope(s.value, 1.0 / f32(s.ties) + rest, rest);
}

fn row_grad4(row: Row, slope: Slope, column: u32, x: vec4<f32>, count: u32) -> vec4<f32> {
    return select(vec4<f32>(slope.rest), vec4<f32>(slope.share), x == vec4<f32>(slope.value));
}
