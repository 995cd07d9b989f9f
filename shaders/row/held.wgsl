// Rows whose quads stay in the registers of their lanes, HELD to a lane, from the fold to what is written: they are
// read once. The order of additions is that of row/ahead.wgsl. HELD is a multiple of 4, or one more. Its loops are
// written out: not every compiler does, and an array at an index that is no constant is memory.
var<private> held: array<vec4<f32>, HELD>;

// Quad k of a lane, of which there may be no column. Of a row that was not read, zeros.
fn held_quad(part: u32, k: u32) -> Columns {
    let column = 4u * (k * LANES + part);
    let count = min(params.cols - min(column, params.cols), 4u);
    let own = select(column, params.cols - min(params.cols, 4u), count == 0u); // as row/ahead.wgsl has read it
    return Columns(own, count, held[k], mapped_tail(held[k], count));
}

fn fold_row(row: Row, input_at: u32, part: u32) -> State {
    for (var k = 0u; k < HELD; k++) { // unrolled
        held[k] = masked_quad(input_at, 4u * (k * LANES + part), 0u, params.cols).raw;
    }
    var state = identity();
    for (var k = 0u; k < HELD; k += 4u) { // unrolled
        let q0 = held_quad(part, k);
        if (k + 1u == HELD) {
            state = push_masked(row, state, q0);
        } else {
            let q1 = held_quad(part, min(k + 1u, HELD - 1u));
            let q2 = held_quad(part, min(k + 2u, HELD - 1u));
            let q3 = held_quad(part, min(k + 3u, HELD - 1u));
            state = row_push16_masked(
                row, state, q0.column, q1.column, q2.column, q3.column, q0.x, q1.x, q2.x, q3.x,
                vec4<u32>(q0.count, q1.count, q2.count, q3.count));
        }
    }
    return state;
}

fn write_row(
    row: Row, state: State, slope: Slope, scale: f32, places: Places, writes: bool, input_at: u32, part: u32,
) {
    for (var k = 0u; k < HELD; k++) { // unrolled
        put_masked(row, state, slope, scale, places, held_quad(part, k), writes);
    }
}
