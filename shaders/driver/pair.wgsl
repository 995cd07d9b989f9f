// Rows of two or three arrays of the same (rows, cols) shape, one row of each to LANES lanes of a workgroup: forward,
// backward or both, as the output pieces say. A row is read once for its statistics and, where gradients are wanted,
// once more for those.
//
// Lane p of a row takes the quads p, p + LANES, p + 2 LANES, … of its columns, whatever the window: so the order of
// every sum depends on the column alone.
//
// A loss supplies: `State`, identity, merge, row_push4, row_loss, `Slope`, row_slope, row_grad_a4, row_grad_b4,
// row_grad_c4. Missing columns of a quad are 0 in all arrays, which is not always nothing: row_push4 has their count.

// In elements and rows; `PairParams` in src/layout.rs is the Rust side.
struct Params {
    rows: u32,          // of the whole problem
    cols: u32,          // elements of a row
    first_tile: u32,    // this dispatch folds tiles first_tile .. end_tile
    end_tile: u32,
    groups_x: u32,      // workgroups along x, to join x and y into one index
    first_row: u32,     // the row that the windows begin with
    input_base: u32,    // where the window's first element lies in its binding
    input_stride: u32,  // from one row to the next
    second_base: u32,
    second_stride: u32,
    third_base: u32,
    third_stride: u32,
    targets_base: u32,
    targets_step: u32,  // 0: one target for all rows
    grad_input_base: u32,
    grad_input_stride: u32,
    grad_second_base: u32,
    grad_second_stride: u32,
    grad_third_base: u32,
    grad_third_stride: u32,
    loss_base: u32,
    states_base: u32,   // where the state of first_tile goes
    grad_output_base: u32,
    grad_output_step: u32, // 0: one upstream gradient for all rows
    scale: f32,         // of the reduction
    neg_inf: f32,       // WGSL has no literal for these two, and a constant bitcast is refused by some compilers
    nan: f32,
    zero: u32,          // see math/guard.wgsl
    scalars_0_3: vec4<f32>, // the loss's own, read by their names (src/scalars.rs)
    scalars_4_7: vec4<f32>,
}

// The columns of a quad, to mask those beyond the last.
const QUAD: vec4<u32> = vec4<u32>(0u, 1u, 2u, 3u);

// What the pieces that write losses hand back to weighted_loss.
struct Row {
    t: f32, // the target
}

fn weighted_loss(index: u32, row: Row, s: State) -> f32 {
    return row_loss(s, row.t);
}

// Where rows lie: in the operands, or in their gradients.
struct Places {
    a: u32,
    b: u32,
    c: u32,
}

fn behind(p: Places, columns: u32) -> Places {
    return Places(p.a + columns, p.b + columns, p.c + columns);
}

// Up to four columns of each row.
struct Quads {
    a: vec4<f32>,
    b: vec4<f32>,
    c: vec4<f32>,
}

fn read_whole(p: Places) -> Quads {
    return Quads(input4(p.a, 1u), second4(p.b, 1u), third4(p.c, 1u));
}

fn read_quad(p: Places, count: u32) -> Quads {
    if (count == 4u) {
        return read_whole(p);
    }
    var q = Quads(vec4<f32>(input1(p.a), 0.0, 0.0, 0.0), vec4<f32>(second1(p.b), 0.0, 0.0, 0.0),
        vec4<f32>(third1(p.c), 0.0, 0.0, 0.0));
    if (count > 1u) {
        q.a.y = input1(p.a + 1u);
        q.b.y = second1(p.b + 1u);
        q.c.y = third1(p.c + 1u);
    }
    if (count > 2u) {
        q.a.z = input1(p.a + 2u);
        q.b.z = second1(p.b + 2u);
        q.c.z = third1(p.c + 2u);
    }
    return q;
}

fn push_whole(s: State, at: Places, quad: u32) -> State {
    let q = read_whole(behind(at, 4u * quad));
    return row_push4(s, q.a, q.b, q.c, 4u);
}

fn put_whole(slope: Slope, scale: f32, at: Places, grad_at: Places, quad: u32) {
    let q = read_whole(behind(at, 4u * quad));
    let to = behind(grad_at, 4u * quad);
    if (WANTS_GRAD_A) { put_grad_input4(to.a, 1u, scale * row_grad_a4(slope, q.a, q.b, q.c)); }
    if (WANTS_GRAD_B) { put_grad_second4(to.b, 1u, scale * row_grad_b4(slope, q.a, q.b, q.c)); }
    if (WANTS_GRAD_C) { put_grad_third4(to.c, 1u, scale * row_grad_c4(slope, q.a, q.b, q.c)); }
}

// No loop here: a software adapter runs a loop in a branch not taken once, with all lanes masked, and counts that
// towards the iterations it allows an invocation.
fn put_quad(slope: Slope, scale: f32, at: Places, grad_at: Places, quad: u32, count: u32) {
    if (count == 4u) {
        put_whole(slope, scale, at, grad_at, quad);
        return;
    }
    let q = read_quad(behind(at, 4u * quad), count);
    let to = behind(grad_at, 4u * quad);
    if (WANTS_GRAD_A) {
        let g = scale * row_grad_a4(slope, q.a, q.b, q.c);
        put_grad_input1(to.a, g.x);
        if (count > 1u) { put_grad_input1(to.a + 1u, g.y); }
        if (count > 2u) { put_grad_input1(to.a + 2u, g.z); }
    }
    if (WANTS_GRAD_B) {
        let g = scale * row_grad_b4(slope, q.a, q.b, q.c);
        put_grad_second1(to.b, g.x);
        if (count > 1u) { put_grad_second1(to.b + 1u, g.y); }
        if (count > 2u) { put_grad_second1(to.b + 2u, g.z); }
    }
    if (WANTS_GRAD_C) {
        let g = scale * row_grad_c4(slope, q.a, q.b, q.c);
        put_grad_third1(to.c, g.x);
        if (count > 1u) { put_grad_third1(to.c + 1u, g.y); }
        if (count > 2u) { put_grad_third1(to.c + 2u, g.z); }
    }
}

@compute @workgroup_size(WIDTH)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    params = uniforms;
    let tile = uniforms.first_tile + group.y * uniforms.groups_x + group.x;
    if (tile >= uniforms.end_tile) {
        return; // the same for the whole workgroup: `tile` comes from workgroup_id and uniforms
    }
    let index = tile * ROWS + lane / LANES;
    let live = index < params.rows;
    let part = lane % LANES;
    let nth = index - params.first_row;
    let at = Places(
        params.input_base + nth * params.input_stride,
        params.second_base + nth * params.second_stride,
        params.third_base + nth * params.third_stride);

    // A lane without a row has no quads, so that no loop stands in a branch.
    let quads = select(0u, (params.cols + 3u) / 4u, live);
    let blocks = select(0u, params.cols / (16u * LANES), live);
    var state = identity();
    var runs = identity();
    // In runs of 16 blocks, each folded by itself, and 16 runs by themselves: no sum is long.
    for (var first = 0u; first < blocks; first += 16u) {
        var run = identity();
        for (var b = first; b < min(first + 16u, blocks); b++) {
            let quad = b * 4u * LANES + part;
            run = push_whole(run, at, quad);
            run = push_whole(run, at, quad + LANES);
            run = push_whole(run, at, quad + 2u * LANES);
            run = push_whole(run, at, quad + 3u * LANES);
        }
        runs = merge(runs, run);
        if ((first / 16u + 1u) % 16u == 0u) {
            state = merge(state, runs);
            runs = identity();
        }
    }
    state = merge(state, runs);
    for (var quad = blocks * 4u * LANES + part; quad < quads; quad += LANES) {
        let count = min(params.cols - 4u * quad, 4u);
        let q = read_quad(behind(at, 4u * quad), count);
        state = row_push4(state, q.a, q.b, q.c, count);
    }
    state = tree(lane, state);

    var row = Row(0.0);
    if (live) {
        row.t = targets1(params.targets_base + nth * params.targets_step);
    }
    put_row(tile, lane, index, live, part == 0u, row, state);
    put_tile(tile, lane);

    if (WANTS_GRAD_A | WANTS_GRAD_B | WANTS_GRAD_C) {
        var scale = 0.0;
        if (live) {
            scale = reduction_scale() * grad_output1(params.grad_output_base + nth * params.grad_output_step);
        }
        let slope = row_slope(state, row.t);
        let grad_at = Places(
            params.grad_input_base + nth * params.grad_input_stride,
            params.grad_second_base + nth * params.grad_second_stride,
            params.grad_third_base + nth * params.grad_third_stride);
        for (var b = 0u; b < blocks; b++) {
            let quad = b * 4u * LANES + part;
            put_whole(slope, scale, at, grad_at, quad);
            put_whole(slope, scale, at, grad_at, quad + LANES);
            put_whole(slope, scale, at, grad_at, quad + 2u * LANES);
            put_whole(slope, scale, at, grad_at, quad + 3u * LANES);
        }
        for (var quad = blocks * 4u * LANES + part; quad < quads; quad += LANES) {
            put_quad(slope, scale, at, grad_at, quad, min(params.cols - 4u * quad, 4u));
        }
    }
}
