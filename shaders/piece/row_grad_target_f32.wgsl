// Output `grad_target` of a target of the input's shape: f32. A loss supplies row_grad_target.
@group(0) @binding(8) var<storage, read_write> grad_target: array<f32>; // (rows, cols) f32

fn put_grad_target1(row: Row, s: State, scale: f32, column: u32, x: f32) {
    grad_target[row.grad_target_at + column * params.col_stride] = scale * row_grad_target(s, column, x);
}

fn put_grad_target4(row: Row, s: State, scale: f32, column: u32, count: u32, x: vec4<f32>) {
    put_grad_target1(row, s, scale, column, x.x);
    if (count > 1u) { put_grad_target1(row, s, scale, column + 1u, x.y); }
    if (count > 2u) { put_grad_target1(row, s, scale, column + 2u, x.z); }
    if (count > 3u) { put_grad_target1(row, s, scale, column + 3u, x.w); }
}
