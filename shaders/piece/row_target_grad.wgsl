// The gradient of a target of the input's shape. A loss supplies row_grad_target(row, s, column, x).
fn put_target_grad(row: Row, s: State, scale: f32, at: u32, q: Columns) {
    let step = col_step();
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
