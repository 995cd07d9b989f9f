// A run of a row's columns for adapters that wait for memory: a block of four quads to a lane is read before the one in
// front of it is folded or written, and what is behind the last whole block is a block, too, whose missing columns
// count nothing. Columns go to lanes and blocks into runs as in row/fold.wgsl.

// Four quads as they are stored, LANES apart.
struct Block {
    a: vec4<f32>,
    b: vec4<f32>,
    c: vec4<f32>,
    d: vec4<f32>,
}

// The first column of a lane's block b.
fn block_column(first: u32, b: u32, part: u32) -> u32 {
    return first + 4u * (b * 4u * LANES + part);
}

fn read_block(input_at: u32, column: u32) -> Block {
    let step = col_step();
    let at = input_at + column * step;
    let next = 4u * LANES * step;
    return Block(
        input4(at, step), input4(at + next, step), input4(at + 2u * next, step), input4(at + 3u * next, step));
}

// The columns of a run from `column` on of which there are any before `end`, and -inf for the others. No load waits for
// a condition between lanes: where columns are missing, others are read again, and a quad without any counts as one of
// those.
fn masked_quad(input_at: u32, column: u32, first: u32, end: u32) -> Columns {
    let step = col_step();
    let count = min(end - min(column, end), 4u);
    if (!QUADS) {
        if (end - first < 4u) { // the same on all lanes
            let own = min(column, end - 1u);
            let raw = tail(input_at + own * step, step, end - own);
            return Columns(own, count, raw, mapped_tail(raw, count));
        }
    }
    let at = min(column, end - 4u);
    var raw = input4(input_at + at * step, step);
    if (!QUADS) {
        let by = column - at;
        raw = select(select(select(raw, raw.yzww, by == 1u), raw.zwww, by == 2u), raw.wwww, by == 3u);
    }
    return Columns(select(column, at, count == 0u), count, raw, mapped_tail(raw, count));
}

// A quad that may have no columns.
fn push_masked(row: Row, s: State, q: Columns) -> State {
    if (q.count == 0u) {
        return s;
    }
    return row_push4(row, s, q.column, q.x, q.count);
}

// The columns from `start` on, which are less than a block of LANES lanes, or one.
fn push_behind(row: Row, s: State, input_at: u32, part: u32, start: u32, first: u32, end: u32) -> State {
    let left = end - start; // the same on all lanes, as is what follows from it
    if (left == 0u) {
        return s;
    }
    let column = start + 4u * part;
    let q0 = masked_quad(input_at, column, first, end);
    if (left <= 4u * LANES) {
        return push_masked(row, s, q0);
    }
    let q1 = masked_quad(input_at, column + 4u * LANES, first, end);
    let q2 = masked_quad(input_at, column + 8u * LANES, first, end);
    let q3 = masked_quad(input_at, column + 12u * LANES, first, end);
    return row_push16_masked(
        row, s, q0.column, q1.column, q2.column, q3.column, q0.x, q1.x, q2.x, q3.x,
        vec4<u32>(q0.count, q1.count, q2.count, q3.count));
}

fn fold_columns(row: Row, input_at: u32, part: u32, first: u32, end: u32) -> State {
    let blocks = blocks_of(first, end);
    var state = identity();
    if (BLOCKS) {
        if (blocks > 0u) {
            var next = read_block(input_at, block_column(first, 0u, part));
            var runs = identity();
            for (var outer = 0u; outer < blocks; outer += RUN) {
                var run = identity();
                for (var b = outer; b < min(outer + RUN, blocks); b++) {
                    let own = next;
                    if (b + 1u < blocks) {
                        next = read_block(input_at, block_column(first, b + 1u, part));
                    }
                    let c0 = block_column(first, b, part);
                    run = row_push16(
                        row, run, c0, c0 + 4u * LANES, c0 + 8u * LANES, c0 + 12u * LANES,
                        mapped4(own.a), mapped4(own.b), mapped4(own.c), mapped4(own.d));
                }
                runs = merge(runs, run);
                if ((outer / RUN + 1u) % RUN == 0u) {
                    state = merge(state, runs);
                    runs = identity();
                }
            }
            state = merge(state, runs);
        }
    }
    return push_behind(row, state, input_at, part, first + 16u * LANES * blocks, first, end);
}

fn put_raw(
    row: Row, state: State, slope: Slope, scale: f32, places: Places, column: u32, raw: vec4<f32>, writes: bool,
) {
    put_quad(row, state, slope, scale, places, Columns(column, 4u, raw, mapped4(raw)), writes);
}

fn put_masked(row: Row, state: State, slope: Slope, scale: f32, places: Places, q: Columns, writes: bool) {
    if (q.count > 0u) {
        put_quad(row, state, slope, scale, places, q, writes);
    }
}

// Backwards, since what was read last is what a cache still has. A row that is not kept is not read again.
fn put_columns(
    row: Row, state: State, slope: Slope, scale: f32, places: Places, writes: bool,
    input_at: u32, part: u32, first: u32, end: u32,
) {
    let blocks = blocks_of(first, end);
    let behind = first + 16u * LANES * blocks;
    if (!writes) {
        // A row that is not kept. Blocks, as where it is: a row of 2^25 columns has to stay under the loop limit.
        for (var b = 0u; b < blocks; b++) {
            let c0 = block_column(first, b, part);
            put_zeros(places.grad, c0);
            put_zeros(places.grad, c0 + 4u * LANES);
            put_zeros(places.grad, c0 + 8u * LANES);
            put_zeros(places.grad, c0 + 12u * LANES);
        }
        for (var column = behind + 4u * part; column < end; column += 4u * LANES) {
            put_zeros(places.grad, column);
        }
        return;
    }
    if (behind < end) {
        let column = behind + 4u * part;
        let q0 = masked_quad(input_at, column, first, end);
        if (end - behind > 4u * LANES) {
            let q1 = masked_quad(input_at, column + 4u * LANES, first, end);
            let q2 = masked_quad(input_at, column + 8u * LANES, first, end);
            let q3 = masked_quad(input_at, column + 12u * LANES, first, end);
            put_masked(row, state, slope, scale, places, q3, true);
            put_masked(row, state, slope, scale, places, q2, true);
            put_masked(row, state, slope, scale, places, q1, true);
        }
        put_masked(row, state, slope, scale, places, q0, true);
    }
    if (BLOCKS) {
        if (blocks > 0u) {
            var next = read_block(input_at, block_column(first, blocks - 1u, part));
            for (var left = blocks; left > 0u; left--) {
                let own = next;
                if (left > 1u) {
                    next = read_block(input_at, block_column(first, left - 2u, part));
                }
                let c0 = block_column(first, left - 1u, part);
                put_raw(row, state, slope, scale, places, c0, own.a, true);
                put_raw(row, state, slope, scale, places, c0 + 4u * LANES, own.b, true);
                put_raw(row, state, slope, scale, places, c0 + 8u * LANES, own.c, true);
                put_raw(row, state, slope, scale, places, c0 + 12u * LANES, own.d, true);
            }
        }
    }
}
