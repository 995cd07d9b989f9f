// Multi-class margin loss of a row of scores x over C classes with target t; p is 1 or, with SQUARED, 2:
//
//   z_c    = margin + (x_c - x_t)
//   loss   = w_t / C sum_{c != t} max(0, z_c)^p
//   grad_c = w_t / C p max(0, z_c)^(p - 1)     c != t, where z_c > 0; else 0
//   grad_t = -(the sum of the others)

// w_t / C
fn share_of(row: Row) -> f32 {
    return row.weight / f32(params.cols);
}

// z of four columns; below 0 at the target and beyond the last class.
fn short4(row: Row, column: u32, x: vec4<f32>, count: u32) -> vec4<f32> {
    let skipped = (QUAD >= vec4<u32>(count)) | at4(column, row.label);
    return select(margin() + (x - vec4<f32>(row.x_label)), vec4<f32>(-1.0), skipped);
}

// The derivative of max(0, z)^p.
fn slope4(z: vec4<f32>) -> vec4<f32> {
    if (SQUARED) {
        return 2.0 * max(z, vec4<f32>(0.0));
    }
    return select(vec4<f32>(0.0), vec4<f32>(1.0), z > vec4<f32>(0.0));
}

fn row_push4(row: Row, s: State, column: u32, x: vec4<f32>, count: u32) -> State {
    let z = short4(row, column, x, count);
    let h = max(z, vec4<f32>(0.0));
    var cost = h;
    if (SQUARED) {
        cost = h * h;
    }
    return State(s.sum + sum4(cost), s.slope + sum4(slope4(z)), max(s.bits, bits4(z)));
}

fn row_loss(row: Row, s: State) -> f32 {
    return select(share_of(row) * s.sum, params.nan, (row.kind == BAD) | marks_nan(s.bits));
}

struct Slope {
    share: f32,
    hit: f32, // the gradient of the target
}

fn row_slope(row: Row, s: State) -> Slope {
    let share = select(share_of(row), params.nan, marks_nan(s.bits));
    return Slope(share, -share * s.slope);
}

fn row_grad4(row: Row, slope: Slope, column: u32, x: vec4<f32>, count: u32) -> vec4<f32> {
    let others = slope.share * slope4(short4(row, column, x, count));
    return select(others, vec4<f32>(slope.hit), at4(column, row.label));
}
