// Rows whose quads stay in the registers of their lanes, HELD to a lane, from the fold to what is written: they are
// read once. The order of additions is that of row/fold.wgsl. HELD is a multiple of 4; the loops are for compilers to
// unroll.
var<private> held: array<vec4<f32>, HELD>;

// Quad k of a lane; of one past the row's end, count is 0.
fn held_quad(part: u32, k: u32) -> Columns {
    let column = 4u * (k * LANES + part);
    let count = min(params.cols - min(column, params.cols), 4u);
    return Columns(column, count, held[k], mapped_tail(held[k], count));
}

// Past the row's end the last columns are read again, for nothing.
fn hold(input_at: u32, part: u32) {
    let step = col_step();
    for (var k = 0u; k < HELD; k++) {
        let column = 4u * (k * LANES + part);
        if (QUADS | (column + 4u <= params.cols)) {
            held[k] = input4(input_at + min(column, max(params.cols, 4u) - 4u) * step, step);
        } else {
            let own = min(column, params.cols - 1u);
            held[k] = tail(input_at + own * step, step, params.cols - own);
        }
    }
}

fn push_held(row: Row, s: State, q: Columns) -> State {
    if (q.count == 0u) {
        return s;
    }
    return row_push4(row, s, q.column, q.x, q.count);
}

fn fold_row(row: Row, input_at: u32, part: u32) -> State {
    hold(input_at, part);
    let blocks = blocks_of(0u, params.cols);
    var state = identity();
    for (var k = 0u; k < HELD; k += 4u) {
        let q0 = held_quad(part, k);
        let q1 = held_quad(part, k + 1u);
        let q2 = held_quad(part, k + 2u);
        let q3 = held_quad(part, k + 3u);
        if (k < 4u * blocks) {
            state = row_push16(row, state, q0.column, q1.column, q2.column, q3.column, q0.x, q1.x, q2.x, q3.x);
        } else {
            state = push_held(row, push_held(row, push_held(row, push_held(row, state, q0), q1), q2), q3);
        }
    }
    return state;
}

fn write_row(
    row: Row, state: State, slope: Slope, scale: f32, places: Places, writes: bool, input_at: u32, part: u32,
) {
    for (var k = 0u; k < HELD; k++) {
        let q = held_quad(part, k);
        if (q.count > 0u) {
            put_quad(row, state, slope, scale, places, q, writes);
        }
    }
}
