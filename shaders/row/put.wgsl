// A run of a row's columns, written by LANES lanes as row/fold.wgsl has folded it: gradients, or a map's results.

// Writes what is wanted of a quad's columns. No loop here: a software adapter runs a loop in a branch not taken once,
// with all lanes masked, and counts that towards the iterations it allows an invocation.
fn put_grad_quad(at: u32, count: u32, g: vec4<f32>) {
    let step = col_step();
    if (QUADS | (count == 4u)) {
        put_grad_input4(at, step, g);
        return;
    }
    put_grad_input1(at, g.x);
    if (count > 1u) { put_grad_input1(at + step, g.y); }
    if (count > 2u) { put_grad_input1(at + 2u * step, g.z); }
}

fn put_quad(row: Row, s: State, slope: Slope, scale: f32, places: Places, q: Columns, writes: bool) {
    if (WANTS_GRAD) {
        put_grad_quad(places.grad + q.column * col_step(), q.count, grad_of(row, slope, scale, q, writes));
    }
    if (writes) {
        put_others(row, s, slope, scale, places, q);
    }
}

// A row that is not read has no gradient.
fn put_zeros(at: u32, column: u32) {
    put_grad_quad(at + column * col_step(), min(params.cols - column, 4u), vec4<f32>(0.0));
}

// default
fn put_columns(
    row: Row, state: State, slope: Slope, scale: f32, places: Places, writes: bool,
    input_at: u32, part: u32, first: u32, end: u32,
) {
    let quads = (end - first + 3u) / 4u;
    if (!BLOCKS) {
        for (var quad = part; quad < quads; quad += LANES) {
            put_quad(row, state, slope, scale, places, any_quad(input_at, first + 4u * quad), writes);
        }
        return;
    }
    let blocks = blocks_of(first, end);
    // Loops of no turns, not branches around them: software adapters run both sides of a branch.
    let none = vec2<u32>(0u, 0u);
    let put = select(none, vec2<u32>(blocks, quads), writes);
    let zeroed = select(vec2<u32>(blocks, quads), none, writes);
    let behind = blocks * 4u * LANES + part;
    // Four quads a turn, so that a row of 2^25 columns stays under the loop limit that the plan keeps. They are read
    // before the first is written.
    for (var b = 0u; b < put.x; b++) {
        let c0 = first + 4u * (b * 4u * LANES + part);
        let q0 = whole_quad(input_at, c0);
        let q1 = whole_quad(input_at, c0 + 4u * LANES);
        let q2 = whole_quad(input_at, c0 + 8u * LANES);
        let q3 = whole_quad(input_at, c0 + 12u * LANES);
        put_quad(row, state, slope, scale, places, q0, true);
        put_quad(row, state, slope, scale, places, q1, true);
        put_quad(row, state, slope, scale, places, q2, true);
        put_quad(row, state, slope, scale, places, q3, true);
    }
    for (var quad = behind; quad < put.y; quad += LANES) {
        put_quad(row, state, slope, scale, places, any_quad(input_at, first + 4u * quad), true);
    }
    for (var b = 0u; b < zeroed.x; b++) {
        let c0 = first + 4u * (b * 4u * LANES + part);
        put_zeros(places.grad, c0);
        put_zeros(places.grad, c0 + 4u * LANES);
        put_zeros(places.grad, c0 + 8u * LANES);
        put_zeros(places.grad, c0 + 12u * LANES);
    }
    for (var quad = behind; quad < zeroed.y; quad += LANES) {
        put_zeros(places.grad, first + 4u * quad);
    }
}
