// Rows of a (slab, class, inner) array, one row to LANES lanes of a workgroup: forward, backward or both,
// as the output pieces say. A row is read once for its statistics and, where a gradient is wanted, once more for
// that; nothing of the input's size lies in between.
//
// Lane p of a row takes the quads p, p + LANES, p + 2 LANES, … of its columns, whatever the window: so the order of
// every sum depends on the column alone.
//
// A loss supplies: `Row`, row_open, row_reads, coefs4, row_loss, `Slope`, row_slope, row_grad.

// Where a quad's columns are missing (the last one of a row), a logit of -inf with coefficient 0 says nothing.
fn input_tail(i: u32, step: u32, count: u32) -> vec4<f32> {
    var x = vec4<f32>(params.neg_inf);
    x.x = input1(i);
    if (count > 1u) { x.y = input1(i + step); }
    if (count > 2u) { x.z = input1(i + 2u * step); }
    if (count > 3u) { x.w = input1(i + 3u * step); }
    return x;
}

// Writes the gradients of one quad's columns. No loop here: a software adapter runs a loop in a branch not taken once,
// with all lanes masked, and counts that towards the iterations it allows an invocation.
fn put_grad_quad(at: u32, step: u32, count: u32, g: vec4<f32>) {
    if (count == 4u) {
        put_grad_input4(at, step, g);
        return;
    }
    put_grad_input1(at, g.x);
    if (count > 1u) { put_grad_input1(at + step, g.y); }
    if (count > 2u) { put_grad_input1(at + 2u * step, g.z); }
}

fn grad4(row: Row, slope: Slope, scale: f32, column: u32, x: vec4<f32>, q: vec4<f32>) -> vec4<f32> {
    return scale * vec4<f32>(
        row_grad(row, slope, column, x.x, q.x), row_grad(row, slope, column + 1u, x.y, q.y),
        row_grad(row, slope, column + 2u, x.z, q.z), row_grad(row, slope, column + 3u, x.w, q.w));
}

// The gradients of a whole quad of a row that is read.
fn grad_whole(row: Row, s: State, slope: Slope, scale: f32, input_at: u32, grad_at: u32, quad: u32) {
    let step = params.col_stride;
    let column = 4u * quad;
    let x = input4(input_at + column * step, step);
    put_grad_input4(grad_at + column * step, step, grad4(row, slope, scale, column, x, coefs4(row, column, 4u)));
    put_grad_target4(row, s, scale, column, 4u, x);
}

// The gradients of any quad of any row.
fn grad_quad(row: Row, s: State, slope: Slope, scale: f32, input_at: u32, grad_at: u32, quad: u32) {
    let step = params.col_stride;
    let column = 4u * quad;
    let count = min(params.cols - column, 4u);
    let at = grad_at + column * step;
    if (!row_reads(row)) {
        put_grad_quad(at, step, count, vec4<f32>(0.0));
        return;
    }
    var x: vec4<f32>;
    if (count == 4u) {
        x = input4(input_at + column * step, step);
    } else {
        x = input_tail(input_at + column * step, step, count);
    }
    put_grad_quad(at, step, count, grad4(row, slope, scale, column, x, coefs4(row, column, count)));
    put_grad_target4(row, s, scale, column, count, x);
}

@compute @workgroup_size(WIDTH)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let tile = params.first_tile + group.y * params.groups_x + group.x;
    if (tile >= params.end_tile) {
        return; // the same for the whole workgroup: `tile` comes from workgroup_id and uniforms
    }
    let within = (tile % params.block_tiles) * ROWS + lane / LANES;
    let index = (tile / params.block_tiles) * params.block_rows + within;
    let live = within < params.block_rows && index < params.rows;
    let part = lane % LANES;

    let slab = index / params.inner - params.first_slab;
    let inner = index % params.inner - params.first_inner;
    let input_at = params.input_base + slab * params.input_stride + inner;
    let step = params.col_stride;

    var row: Row;
    if (live) {
        row = row_open(index, slab, inner, input_at);
    }
    let reads = live && row_reads(row);

    let quads = (params.cols + 3u) / 4u;
    let blocks = (params.cols / 4u) / (4u * LANES);
    var state = identity();
    if (reads) {
        for (var b = 0u; b < blocks; b++) {
            let c0 = 4u * (b * 4u * LANES + part);
            let c1 = c0 + 4u * LANES;
            let c2 = c1 + 4u * LANES;
            let c3 = c2 + 4u * LANES;
            state = push16(
                state,
                input4(input_at + c0 * step, step), input4(input_at + c1 * step, step),
                input4(input_at + c2 * step, step), input4(input_at + c3 * step, step),
                coefs4(row, c0, 4u), coefs4(row, c1, 4u), coefs4(row, c2, 4u), coefs4(row, c3, 4u),
            );
        }
        for (var quad = blocks * 4u * LANES + part; quad < quads; quad += LANES) {
            let column = 4u * quad;
            let count = min(params.cols - column, 4u);
            if (count == 4u) {
                state = push4(state, input4(input_at + column * step, step), coefs4(row, column, 4u));
            } else {
                state = push4(state, input_tail(input_at + column * step, step, count), coefs4(row, column, count));
            }
        }
    }
    state = tree(lane, state);

    var loss = 0.0;
    if (live) {
        loss = row_loss(row, state);
    }
    put_row_loss(tile, lane, index, live, part == 0u, loss);

    if (live && WANTS_GRAD) {
        let grad_at = params.grad_input_base + slab * params.grad_input_stride + inner;
        let scale = reduction_scale() * grad_output_of(index);
        let slope = row_slope(row, state);
        // Four quads a turn, so that a row of 2^25 classes stays under the loop limit that the plan keeps.
        for (var b = 0u; b < blocks; b++) {
            let quad = b * 4u * LANES + part;
            if (reads) {
                grad_whole(row, state, slope, scale, input_at, grad_at, quad);
                grad_whole(row, state, slope, scale, input_at, grad_at, quad + LANES);
                grad_whole(row, state, slope, scale, input_at, grad_at, quad + 2u * LANES);
                grad_whole(row, state, slope, scale, input_at, grad_at, quad + 3u * LANES);
            } else {
                put_grad_input4(grad_at + 4u * quad * step, step, vec4<f32>(0.0));
                put_grad_input4(grad_at + 4u * (quad + LANES) * step, step, vec4<f32>(0.0));
                put_grad_input4(grad_at + 4u * (quad + 2u * LANES) * step, step, vec4<f32>(0.0));
                put_grad_input4(grad_at + 4u * (quad + 3u * LANES) * step, step, vec4<f32>(0.0));
            }
        }
        for (var quad = blocks * 4u * LANES + part; quad < quads; quad += LANES) {
            grad_quad(row, state, slope, scale, input_at, grad_at, quad);
        }
    }
}
