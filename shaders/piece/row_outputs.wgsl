// What every quad of a row has in the outputs of the input's shape: a gradient, or a map's results.

// Where the rows of the outputs begin.
struct Places {
    grad: u32,
    target_grad: u32,
    value: u32,
}

fn places_of(slab: u32, inner: u32) -> Places {
    return Places(
        params.grad_input_base + slab * params.grad_input_stride + inner,
        params.grad_targets_base + slab * params.grad_targets_stride + inner,
        params.loss_base + slab * params.loss_stride + inner,
    );
}

// The gradient of a quad's columns; a row that is not read has gradient 0.
fn grad_of(row: Row, slope: Slope, scale: f32, q: Columns, writes: bool) -> vec4<f32> {
    let g = scale * row_grad4(row, slope, q.column, q.x, q.count) * map_slope4(q.raw);
    return select(vec4<f32>(0.0), g, writes);
}

// What else is wanted of a quad's columns.
fn put_others(row: Row, s: State, slope: Slope, scale: f32, places: Places, q: Columns) {
    if (WANTS_GRAD) {
        put_target_grad(row, s, scale, places.target_grad, q);
    }
    put_value(row, slope, places.value, q);
}
