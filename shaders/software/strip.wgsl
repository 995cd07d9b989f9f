// Rows of many classes that are not innermost, where they are many: a strip of PACKS times four rows to a lane, COLUMNS
// columns of all of them in its registers at a time. So a column is read and written in runs of some length (with eight
// lanes and four packs, 512 bytes); row by row, memory is slow: as many places as there are columns, a few bytes from
// each. Rows are read once for their statistics and, where a gradient is wanted, once more for that. Marked loops are
// written out (src/shader/unroll.rs): an array at an index that is no constant is memory to software adapters, lane by
// lane.
//
// Bits do not depend on how a strip is read: FLAT says that its quads, a column of four rows each, are quads of memory,
// all there and aligned; else it is read and written element by element.
//
// A loss supplies what driver/row.wgsl says.

// What the gradient takes of a row besides.
struct GradOf {
    slope: Slope,
    scale: f32,
    writes: bool,
}

// Columns that are folded on their own, and columns whose runs are merged on their own: no sum is long.
const RUN: u32 = 64u;
const RUNS: u32 = 16u * RUN;

// From a lane's pack to its next: between them lie those of its neighbours.
const PACK_STEP: u32 = WIDTH * PACK;

var<private> columns: array<vec4<f32>, PACKS * COLUMNS>; // those of the first pack, of the second, …
var<private> rows: array<Row, STRIP>;
var<private> run: array<State, STRIP>;
var<private> runs: array<State, STRIP>;
var<private> states: array<State, STRIP>;
var<private> grads: array<GradOf, STRIP>;

// COLUMNS columns of the rows from `index` on, and of those of the packs beside; past `last` rows up to it again, past
// the last column that one again.
fn read_columns(index: u32, last: u32, column: u32) {
    let own = min(index, select(last, last - 3u, FLAT));
    let at = input_place(spot_of(own));
    for (var c = 0u; c < COLUMNS; c++) { // unrolled
        let there = at + min(column + c, params.cols - 1u) * col_step();
        for (var p = 0u; p < PACKS; p++) { // unrolled
            if (FLAT) {
                columns[p * COLUMNS + c] = input4(there + min(p * PACK_STEP, last - 3u - own), 1u);
            } else {
                for (var r = 0u; r < PACK; r++) { // unrolled
                    columns[p * COLUMNS + c][r] = input1(there + min(p * PACK_STEP + r, last - own));
                }
            }
        }
    }
}

// Their gradients, which have taken the place of the logits.
fn put_columns(index: u32, last: u32, column: u32) {
    let spot = spot_of(min(index, last));
    let at = places_of(spot.x, spot.y).grad + column * col_step();
    for (var c = 0u; c < COLUMNS; c++) { // unrolled
        for (var p = 0u; p < PACKS; p++) { // unrolled
            if (FLAT) {
                if ((index + p * PACK_STEP <= last) & (column + c < params.cols)) {
                    put_grad_input4(at + p * PACK_STEP + c * col_step(), 1u, columns[p * COLUMNS + c]);
                }
            } else {
                for (var r = 0u; r < PACK; r++) { // unrolled
                    if ((index + p * PACK_STEP + r <= last) & (column + c < params.cols)) {
                        put_grad_input1(at + p * PACK_STEP + r + c * col_step(), columns[p * COLUMNS + c][r]);
                    }
                }
            }
        }
    }
}

// The columns at hand of row r of pack p.
fn quad_of(p: u32, r: u32, column: u32) -> Columns {
    let at = p * COLUMNS;
    let count = min(params.cols - column, 4u);
    let raw = vec4<f32>(columns[at][r], columns[at + 1u][r], columns[at + 2u][r], columns[at + 3u][r]);
    return Columns(column, count, raw, mapped_tail(raw, count));
}

fn set_quad(p: u32, r: u32, values: vec4<f32>) {
    let at = p * COLUMNS;
    columns[at][r] = values.x;
    columns[at + 1u][r] = values.y;
    columns[at + 2u][r] = values.z;
    columns[at + 3u][r] = values.w;
}

// The statistics of all rows of a strip.
fn fold_strip(index: u32, last: u32) {
    for (var s = 0u; s < STRIP; s++) { // unrolled
        states[s] = identity();
    }
    for (var outer = 0u; outer < params.cols; outer += RUNS) {
        for (var s = 0u; s < STRIP; s++) { // unrolled
            runs[s] = identity();
        }
        for (var first = outer; first < min(outer + RUNS, params.cols); first += RUN) {
            for (var s = 0u; s < STRIP; s++) { // unrolled
                run[s] = identity();
            }
            for (var column = first; column < min(first + RUN, params.cols); column += COLUMNS) {
                read_columns(index, last, column);
                for (var p = 0u; p < PACKS; p++) { // unrolled
                    for (var r = 0u; r < PACK; r++) { // unrolled
                        let s = p * PACK + r;
                        let q = quad_of(p, r, column);
                        run[s] = row_push4(rows[s], run[s], column, q.x, q.count);
                    }
                }
            }
            for (var s = 0u; s < STRIP; s++) { // unrolled
                runs[s] = merge(runs[s], run[s]);
            }
        }
        for (var s = 0u; s < STRIP; s++) { // unrolled
            states[s] = merge(states[s], runs[s]);
        }
    }
}

fn open_row(index: u32, last: u32, s: u32) {
    let own = min(index, last);
    let spot = spot_of(own);
    rows[s] = row_open(own, spot.x, spot.y, input_place(spot));
}

// The loss of a row, number s of the strip, and what its gradient takes.
fn take_row(tile: u32, lane: u32, index: u32, last: u32, s: u32) {
    let own = min(index, last);
    let live = index <= last;
    let row = rows[s];
    var state = identity();
    if (live & row_reads(row)) {
        state = states[s];
    }
    put_row(tile, lane, own, live, true, row, state);
    if (WANTS_GRAD) {
        if (STATS_GRADS) { rows[s] = with_stats_grads(row, own, state); }
        grads[s] = GradOf(row_slope(row, state), row_scale(own), live & row_writes(row));
    }
}

fn write_strip(index: u32, last: u32) {
    for (var column = 0u; column < params.cols; column += COLUMNS) {
        read_columns(index, last, column);
        for (var p = 0u; p < PACKS; p++) { // unrolled
            for (var r = 0u; r < PACK; r++) { // unrolled
                let s = p * PACK + r;
                let grad = grads[s];
                set_quad(p, r, grad_of(rows[s], grad.slope, grad.scale, quad_of(p, r, column), grad.writes));
            }
        }
        put_columns(index, last, column);
    }
}

@compute @workgroup_size(WIDTH)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    params = uniforms;
    let tile = uniforms.first_tile + group.y * uniforms.groups_x + group.x;
    if (tile >= uniforms.end_tile) {
        return; // the same for the whole workgroup: `tile` comes from workgroup_id and uniforms
    }
    let block = (tile / params.block_tiles) * params.block_rows;
    let last = block + params.block_rows - 1u;
    let first = block + (tile % params.block_tiles) * ROWS;
    for (var turn = 0u; turn < TURNS / STRIP; turn++) {
        let index = first + (turn * PACKS * WIDTH + lane) * PACK;
        for (var p = 0u; p < PACKS; p++) { // unrolled
            for (var r = 0u; r < PACK; r++) { // unrolled
                open_row(index + p * PACK_STEP + r, last, p * PACK + r);
            }
        }
        fold_strip(index, last);
        for (var p = 0u; p < PACKS; p++) { // unrolled
            for (var r = 0u; r < PACK; r++) { // unrolled
                take_row(tile, lane, index + p * PACK_STEP + r, last, p * PACK + r);
            }
        }
        if (WANTS_GRAD) {
            write_strip(index, last);
        }
    }
    put_tile(tile, lane);
}
