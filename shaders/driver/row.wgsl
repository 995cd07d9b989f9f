// Rows of a (slab, column, inner) array, one row to LANES lanes of a workgroup: forward, backward or both,
// as the output pieces say. A row is read once for its statistics and, where a gradient or a row of results is wanted,
// once more for that; nothing of the input's size lies in between.
//
// Lane p of a row takes the quads p, p + LANES, p + 2 LANES, … of its columns, whatever the window: so the order of
// every sum depends on the column alone. Sixteen blocks of four quads are folded on their own and then merged, so no sum
// runs long.
//
// A loss supplies: `Row`, row_open, row_reads, row_push4 and row_push16 (with a monoid), row_loss, `Slope`, row_slope,
// row_grad4; a map row_value4 instead of row_loss.

// The columns of a quad, to mask those beyond the last.
const QUAD: vec4<u32> = vec4<u32>(0u, 1u, 2u, 3u);

// Blocks that are folded on their own.
const RUN: u32 = 16u;

// What a quad has in every output of the input's shape: its numbers, as they are stored and as the loss sees them.
struct Columns {
    column: u32,
    count: u32,
    raw: vec4<f32>,
    x: vec4<f32>,
}

fn targets_at(slab: u32, inner: u32) -> u32 {
    return params.targets_base + slab * params.targets_stride + inner;
}

// The upstream gradient of a map has a row for each row.
fn grad_output_at(slab: u32, inner: u32) -> u32 {
    return params.grad_output_base + slab * params.grad_output_step + inner;
}

// Where a quad's columns are missing (the last one of a row), -inf stands.
fn tail(i: u32, step: u32, count: u32) -> vec4<f32> {
    var x = vec4<f32>(params.neg_inf);
    x.x = input1(i);
    if (count > 1u) { x.y = input1(i + step); }
    if (count > 2u) { x.z = input1(i + 2u * step); }
    if (count > 3u) { x.w = input1(i + 3u * step); }
    return x;
}

fn mapped_tail(raw: vec4<f32>, count: u32) -> vec4<f32> {
    return select(vec4<f32>(params.neg_inf), mapped4(raw), QUAD < vec4<u32>(count));
}

fn whole_quad(input_at: u32, column: u32) -> Columns {
    let raw = input4(input_at + column * params.col_stride, params.col_stride);
    return Columns(column, 4u, raw, mapped4(raw));
}

fn any_quad(input_at: u32, column: u32) -> Columns {
    let count = min(params.cols - column, 4u);
    if (count == 4u) {
        return whole_quad(input_at, column);
    }
    let raw = tail(input_at + column * params.col_stride, params.col_stride, count);
    return Columns(column, count, raw, mapped_tail(raw, count));
}

// Writes what is wanted of a quad's columns. No loop here: a software adapter runs a loop in a branch not taken once,
// with all lanes masked, and counts that towards the iterations it allows an invocation.
fn put_grad_quad(at: u32, count: u32, g: vec4<f32>) {
    let step = params.col_stride;
    if (count == 4u) {
        put_grad_input4(at, step, g);
        return;
    }
    put_grad_input1(at, g.x);
    if (count > 1u) { put_grad_input1(at + step, g.y); }
    if (count > 2u) { put_grad_input1(at + 2u * step, g.z); }
}

// Where the rows of the outputs begin.
struct Places {
    grad: u32,
    target_grad: u32,
    value: u32,
}

fn put_quad(row: Row, s: State, slope: Slope, scale: f32, places: Places, q: Columns) {
    if (WANTS_GRAD) {
        let g = scale * row_grad4(row, slope, q.column, q.x, q.count) * map_slope4(q.raw);
        put_grad_quad(places.grad + q.column * params.col_stride, q.count, g);
        put_target_grad(row, s, scale, places.target_grad, q);
    }
    put_value(row, slope, places.value, q);
}

// A row that is not read has no gradient.
fn put_zeros(at: u32, column: u32) {
    put_grad_quad(at + column * params.col_stride, min(params.cols - column, 4u), vec4<f32>(0.0));
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
    let reads = live && READS_ROWS && row_reads(row);
    let writes = live && row_writes(row);

    let quads = (params.cols + 3u) / 4u;
    let blocks = (params.cols / 4u) / (4u * LANES);
    var state = identity();
    if (reads) {
        for (var outer = 0u; outer < blocks; outer += RUN) {
            var run = identity();
            for (var b = outer; b < min(outer + RUN, blocks); b++) {
                let c0 = 4u * (b * 4u * LANES + part);
                let c1 = c0 + 4u * LANES;
                let c2 = c1 + 4u * LANES;
                let c3 = c2 + 4u * LANES;
                run = row_push16(
                    row, run, c0, c1, c2, c3,
                    mapped4(input4(input_at + c0 * step, step)), mapped4(input4(input_at + c1 * step, step)),
                    mapped4(input4(input_at + c2 * step, step)), mapped4(input4(input_at + c3 * step, step)),
                );
            }
            state = merge(state, run);
        }
        for (var quad = blocks * 4u * LANES + part; quad < quads; quad += LANES) {
            let q = any_quad(input_at, 4u * quad);
            state = row_push4(row, state, q.column, q.x, q.count);
        }
    }
    state = tree(lane, state);

    put_row(tile, lane, index, live, part == 0u, row, state);

    if (live && WRITES_ROWS) {
        let places = Places(
            params.grad_input_base + slab * params.grad_input_stride + inner,
            params.grad_targets_base + slab * params.grad_targets_stride + inner,
            params.loss_base + slab * params.loss_stride + inner,
        );
        let scale = row_scale(index);
        let slope = row_slope(row, state);
        // Four quads a turn, so that a row of 2^25 columns stays under the loop limit that the plan keeps.
        for (var b = 0u; b < blocks; b++) {
            let c0 = 4u * (b * 4u * LANES + part);
            let c1 = c0 + 4u * LANES;
            let c2 = c1 + 4u * LANES;
            let c3 = c2 + 4u * LANES;
            if (writes) {
                put_quad(row, state, slope, scale, places, whole_quad(input_at, c0));
                put_quad(row, state, slope, scale, places, whole_quad(input_at, c1));
                put_quad(row, state, slope, scale, places, whole_quad(input_at, c2));
                put_quad(row, state, slope, scale, places, whole_quad(input_at, c3));
            } else {
                put_zeros(places.grad, c0);
                put_zeros(places.grad, c1);
                put_zeros(places.grad, c2);
                put_zeros(places.grad, c3);
            }
        }
        for (var quad = blocks * 4u * LANES + part; quad < quads; quad += LANES) {
            if (writes) {
                put_quad(row, state, slope, scale, places, any_quad(input_at, 4u * quad));
            } else {
                put_zeros(places.grad, 4u * quad);
            }
        }
    }
}
