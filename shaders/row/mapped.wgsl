// A row of a function of rows: the gradient that comes from above lies beside it, and its statistics are those of
// state/softmax_dot.wgsl.
struct Row {
    kind: u32,           // KEPT
    grad_output_at: u32, // where the row of the upstream gradient begins
}

fn row_open(index: u32, slab: u32, inner: u32, input_at: u32) -> Row {
    return Row(KEPT, grad_output_at(slab, inner));
}

fn row_reads(row: Row) -> bool {
    return true;
}

// g of four columns; 0 past the last one, and where no gradient is wanted.
fn upstream4(row: Row, column: u32, count: u32) -> vec4<f32> {
    let step = col_step();
    let at = row.grad_output_at + column * step;
    if (!WANTS_GRAD) {
        return vec4<f32>(0.0);
    }
    if (count == 4u) {
        return grad_output4(at, step);
    }
    var g = vec4<f32>(grad_output1(at), 0.0, 0.0, 0.0);
    if (count > 1u) { g.y = grad_output1(at + step); }
    if (count > 2u) { g.z = grad_output1(at + 2u * step); }
    return g;
}

fn row_push4(row: Row, s: State, column: u32, x: vec4<f32>, count: u32) -> State {
    return push_map4(s, x, upstream4(row, column, count));
}
