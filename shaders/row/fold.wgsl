// A run of a row's columns, folded by LANES lanes. Lane p takes the quads p, p + LANES, p + 2 LANES, … of it: where a
// column goes depends on the column alone. Sixteen blocks of four quads are a run, folded on its own, and sixteen runs
// are merged on their own, so no sum is long.

// Blocks that are folded on their own.
const RUN: u32 = 16u;

// Blocks of four quads for each lane. Shorter rows have none, and no code for them: software adapters run a loop of no
// turns once, with lanes masked.
fn blocks_of(first: u32, end: u32) -> u32 {
    if (BLOCKS) {
        return ((end - first) / 4u) / (4u * LANES);
    }
    return 0u;
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

fn whole_quad(input_at: u32, column: u32) -> Columns {
    let raw = input4(input_at + column * col_step(), col_step());
    return Columns(column, 4u, raw, mapped4(raw));
}

fn any_quad(input_at: u32, column: u32) -> Columns {
    let count = min(params.cols - column, 4u);
    if (QUADS | (count == 4u)) {
        return whole_quad(input_at, column);
    }
    let raw = tail(input_at + column * col_step(), col_step(), count);
    return Columns(column, count, raw, mapped_tail(raw, count));
}

// row/ahead.wgsl has another way of it, in another order behind the blocks.
// default
fn fold_columns(row: Row, input_at: u32, part: u32, first: u32, end: u32) -> State {
    let step = col_step();
    let quads = (end - first + 3u) / 4u;
    let blocks = blocks_of(first, end);
    var state = identity();
    if (BLOCKS) {
        var runs = identity();
        for (var outer = 0u; outer < blocks; outer += RUN) {
            var run = identity();
            for (var b = outer; b < min(outer + RUN, blocks); b++) {
                let c0 = first + 4u * (b * 4u * LANES + part);
                let c1 = c0 + 4u * LANES;
                let c2 = c1 + 4u * LANES;
                let c3 = c2 + 4u * LANES;
                run = row_push16(
                    row, run, c0, c1, c2, c3,
                    mapped4(input4(input_at + c0 * step, step)), mapped4(input4(input_at + c1 * step, step)),
                    mapped4(input4(input_at + c2 * step, step)), mapped4(input4(input_at + c3 * step, step)),
                );
            }
            runs = merge(runs, run);
            if ((outer / RUN + 1u) % RUN == 0u) {
                state = merge(state, runs);
                runs = identity();
            }
        }
        state = merge(state, runs);
    }
    for (var quad = blocks * 4u * LANES + part; quad < quads; quad += LANES) {
        let q = any_quad(input_at, first + 4u * quad);
        state = row_push4(row, state, q.column, q.x, q.count);
    }
    return state;
}
