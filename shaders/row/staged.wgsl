// Rows of one lane each, by way of workgroup memory. Side by side, short rows lie apart by their own length, and halves
// of a word belong to two lanes where rows lie across; so a workgroup reads its rows as they lie in memory, each lane
// folds its own and writes the gradient over it, and the workgroup writes that as it has read the rows. The order of
// additions is that of row/fold.wgsl.
//
// A lane reads and writes TAKES elements at a time: four of a run of whole, aligned quads, the two halves of a word, or
// one.
var<workgroup> staged: array<f32, STAGED>;

var<private> own_lane: u32;

// Where element e of the workgroup's rows lies. One word in 32 is left out: rows of 2^n columns would begin in the same
// banks of the memory.
fn cell(e: u32) -> u32 {
    return e + (e >> 5u);
}

// That of a column of the lane's row.
fn own_cell(column: u32) -> u32 {
    if (INNERMOST) {
        return cell(own_lane * params.cols + column);
    }
    return cell(column * WIDTH + own_lane);
}

// The rows of a workgroup, of which a block's last one has fewer.
struct RowBlock {
    first: u32,
    rows: u32,
}

fn block_of(tile: u32) -> RowBlock {
    let within = (tile % params.block_tiles) * ROWS;
    let first = (tile / params.block_tiles) * params.block_rows + within;
    return RowBlock(first, min(min(params.block_rows - within, params.rows - first), ROWS));
}

fn stage(i: u32, e: u32) {
    if (TAKES == 4u) {
        let x = input4(i, 1u);
        staged[cell(e)] = x.x;
        staged[cell(e + 1u)] = x.y;
        staged[cell(e + 2u)] = x.z;
        staged[cell(e + 3u)] = x.w;
    }
    if (TAKES == 2u) {
        let x = input2(i);
        staged[cell(e)] = x.x;
        staged[cell(e + 1u)] = x.y;
    }
    if (TAKES == 1u) {
        staged[cell(e)] = input1(i);
    }
}

fn unstage(i: u32, e: u32) {
    if (TAKES == 4u) {
        put_grad_input4(i, 1u, vec4<f32>(
            staged[cell(e)], staged[cell(e + 1u)], staged[cell(e + 2u)], staged[cell(e + 3u)]));
    }
    if (TAKES == 2u) {
        put_grad_input2(i, vec2<f32>(staged[cell(e)], staged[cell(e + 1u)]));
    }
    if (TAKES == 1u) {
        put_grad_input1(i, staged[cell(e)]);
    }
}

// Every lane of the workgroup comes here.
fn stage_rows(tile: u32, lane: u32) {
    own_lane = lane;
    let block = block_of(tile);
    if (INNERMOST) {
        let at = input_place(spot_of(block.first));
        let end = block.rows * params.cols;
        for (var e = TAKES * lane; e + TAKES <= end; e += TAKES * WIDTH) {
            stage(at + e, e);
        }
        if (TAKES == 2u) {
            // An odd number of halves: the last one is a part of a word.
            if ((lane == 0u) & ((end & 1u) == 1u)) {
                staged[cell(end - 1u)] = input1(at + end - 1u);
            }
        }
    } else {
        let beside = TAKES * (lane % (WIDTH / TAKES));
        if (beside < block.rows) {
            let at = input_place(spot_of(block.first + beside));
            for (var column = lane / (WIDTH / TAKES); column < params.cols; column += TAKES) {
                stage(at + column * params.col_stride, column * WIDTH + beside);
            }
        }
    }
    workgroupBarrier(); // the rows before their lanes take them
}

// Every lane comes here, too.
fn unstage_rows(tile: u32, lane: u32) {
    if (WRITES_ROWS) {
        workgroupBarrier(); // what the lanes have written, before others take it
        let block = block_of(tile);
        if (INNERMOST) {
            let at = places_of(spot_of(block.first).x, 0u).grad;
            let end = block.rows * params.cols;
            for (var e = TAKES * lane; e + TAKES <= end; e += TAKES * WIDTH) {
                unstage(at + e, e);
            }
            if (TAKES == 2u) {
                if ((lane == 0u) & ((end & 1u) == 1u)) {
                    put_grad_input1(at + end - 1u, staged[cell(end - 1u)]);
                }
            }
        } else {
            let beside = TAKES * (lane % (WIDTH / TAKES));
            if (beside < block.rows) {
                let spot = spot_of(block.first + beside);
                let at = places_of(spot.x, spot.y).grad;
                for (var column = lane / (WIDTH / TAKES); column < params.cols; column += TAKES) {
                    unstage(at + column * params.col_stride, column * WIDTH + beside);
                }
            }
        }
    }
}

fn column1(input_at: u32, column: u32) -> f32 {
    return mapped1(staged[own_cell(column)]);
}

// Past the row's end its last column is read again, for nothing.
fn own_quad(column: u32) -> Columns {
    let last = params.cols - 1u;
    let raw = vec4<f32>(
        staged[own_cell(column)], staged[own_cell(min(column + 1u, last))],
        staged[own_cell(min(column + 2u, last))], staged[own_cell(min(column + 3u, last))]);
    let count = min(params.cols - column, 4u);
    return Columns(column, count, raw, mapped_tail(raw, count));
}

fn fold_row(row: Row, input_at: u32, part: u32) -> State {
    var state = identity();
    for (var column = 0u; column < params.cols; column += 4u) {
        let q = own_quad(column);
        state = row_push4(row, state, q.column, q.x, q.count);
    }
    return state;
}

fn write_row(
    row: Row, state: State, slope: Slope, scale: f32, places: Places, writes: bool, input_at: u32, part: u32,
) {
    for (var column = 0u; column < params.cols; column += 4u) {
        let q = own_quad(column);
        let g = grad_of(row, slope, scale, q, writes);
        staged[own_cell(column)] = g.x;
        if (q.count > 1u) { staged[own_cell(column + 1u)] = g.y; }
        if (q.count > 2u) { staged[own_cell(column + 2u)] = g.z; }
        if (q.count > 3u) { staged[own_cell(column + 3u)] = g.w; }
    }
}
