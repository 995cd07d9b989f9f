// What every quad of a row has in the outputs of the input's shape: a gradient, or a map's results.

// Where the rows of the outputs begin.
struct Places {
    grad: u32,
    target_grad: u32,
    value: u32,
}

// default
fn grad_targets_at(slab: u32, inner: u32) -> u32 {
    return params.grad_targets_base + slab * params.grad_targets_stride + inner;
}

fn places_of(slab: u32, inner: u32) -> Places {
    return Places(
        params.grad_input_base + slab * params.grad_input_stride + inner,
        grad_targets_at(slab, inner),
        params.loss_base + slab * params.loss_stride + inner,
    );
}

// The gradient of a quad's columns; a row that is not read has gradient 0.
fn grad_of(row: Row, slope: Slope, scale: f32, q: Columns, writes: bool) -> vec4<f32> {
    if (STATS_GRADS) {
        // Of a row that is not kept, the loss has none.
        let of_loss = scale * row_grad4(row, slope, q.column, q.x, q.count);
        let of_stats = stats_grad4(row, slope.peak, q.x);
        let all = select(vec4<f32>(0.0), of_loss, row.kind == KEPT) + of_stats;
        // 0 also where a soft cap has no slope, at a logit of NaN.
        let nothing = (row.kind != KEPT) & ((bitcast<u32>(row.of_p) | bitcast<u32>(row.of_heat)) == 0u);
        return select(vec4<f32>(0.0), all * map_slope4(q.raw), writes & !nothing);
    }
    let g = scale * row_grad4(row, slope, q.column, q.x, q.count) * map_slope4(q.raw);
    return select(vec4<f32>(0.0), g, writes);
}

// Rows of which something is written; the others have gradient 0. Those read for their statistics alone, because their
// label is ignored or out of range, are not among them, unless their statistics have gradients.
fn row_writes(row: Row) -> bool {
    if (STATS_GRADS) {
        return true;
    }
    if (WANTS_STATS) {
        return row.kind == KEPT;
    }
    return row_reads(row);
}

// The derivative of a row's loss by a target of the input's shape, at column `column` of logit x.
// default
fn row_grad_target(row: Row, s: State, column: u32, x: f32) -> f32 {
    return 0.0;
}

fn put_target_grad(row: Row, s: State, scale: f32, at: u32, q: Columns) {
    let step = target_step();
    let first = at + q.column * step;
    let last = params.cols - 1u;
    let g = scale * vec4<f32>(
        row_grad_target(row, s, q.column, q.x.x), row_grad_target(row, s, min(q.column + 1u, last), q.x.y),
        row_grad_target(row, s, min(q.column + 2u, last), q.x.z), row_grad_target(row, s, min(q.column + 3u, last), q.x.w));
    if (q.count == 4u) {
        put_grad_targets4(first, step, g);
        return;
    }
    put_grad_targets1(first, g.x);
    if (q.count > 1u) { put_grad_targets1(first + step, g.y); }
    if (q.count > 2u) { put_grad_targets1(first + 2u * step, g.z); }
}

// The results of a map at four columns, of which the first `count` are there.
// default
fn row_value4(row: Row, slope: Slope, column: u32, x: vec4<f32>, count: u32) -> vec4<f32> {
    return x;
}

fn put_value(row: Row, slope: Slope, at: u32, q: Columns) {
    let step = col_step();
    let first = at + q.column * step;
    let y = row_value4(row, slope, q.column, q.x, q.count);
    if (q.count == 4u) {
        put_loss_out4(first, step, y);
        return;
    }
    put_loss_out1(first, y.x);
    if (q.count > 1u) { put_loss_out1(first + step, y.y); }
    if (q.count > 2u) { put_loss_out1(first + 2u * step, y.z); }
}

// What else is wanted of a quad's columns.
fn put_others(row: Row, s: State, slope: Slope, scale: f32, places: Places, q: Columns) {
    if (WANTS_TARGET_GRAD) {
        put_target_grad(row, s, scale, places.target_grad, q);
    }
    if (WANTS_VALUES) {
        put_value(row, slope, places.value, q);
    }
}
