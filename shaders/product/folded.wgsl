// The sums of a product are logits: those of a tile's columns go into a state for each row, as driver/wide_fold.wgsl
// makes one of columns in memory, and none is stored, but in a scratch where they are wanted again (KEEPS). Sums end
// with the bias of their column. Where rows have class targets (OPENED), the lane that has the label's logit keeps it.
//
// The product of one place of a head: its rows are `row_step` apart among those of the call.
@group(0) @binding(6) var<storage, read_write> states_out: array<Folded>; // (rows, tiles of columns) Folded
@group(0) @binding(21) var<storage, read_write> rows_out: array<Opened>; // (rows) Opened // where OPENED

fn first_of(row: u32, col: u32) -> vec4<f32> {
    return vec4<f32>();
}

// Lines beyond the last are the last.
fn opened_at(line: u32) -> u32 {
    return params.rows_base + line * params.row_step;
}

fn row_of_line(line: u32) -> Row {
    if (OPENED) {
        return rows_out[opened_at(line)].row;
    }
    return row_open(0u, line * params.row_step, 0u, 0u);
}

fn keep_hit(line: u32, row: Row, column: u32, x: vec4<f32>, count: u32) {
    let nth = row.label - column;
    if ((row.kind == KEPT) & (nth < count)) {
        rows_out[opened_at(line)].row.x_hit = x[nth];
    }
}

fn keep_logits(line: u32, col: u32, x: vec4<f32>, count: u32) {
    let at = params.product_base + line * params.product_stride + col;
    if (count == 4u) {
        put_product4(at, 1u, x);
        return;
    }
    put_product1(at, x.x);
    if (count > 1u) { put_product1(at + 1u, x.y); }
    if (count > 2u) { put_product1(at + 2u, x.z); }
}

fn pushed(s: State, line: u32, is_there: bool, row: Row, col: u32, raw: vec4<f32>) -> State {
    if (col >= params.right_lines) {
        return s;
    }
    let count = min(params.right_lines - col, 4u);
    let x = mapped_tail(raw, count);
    let column = params.first_col + col;
    if (is_there) {
        if (OPENED) {
            keep_hit(line, row, column, x, count);
        }
        if (KEEPS) {
            keep_logits(line, col, raw, count);
        }
    }
    return row_push4(row, s, column, x, count);
}

fn end_sums(lane: u32, row: u32, col: u32, down: u32, across: u32) {
    for (var r = 0u; r < LINES; r++) { // unrolled
        let line = min(row + line_of(down, r), params.left_lines - 1u);
        let is_there = row + line_of(down, r) < params.left_lines;
        let own = row_of_line(line);
        var state = identity();
        for (var j = 0u; j < ACROSS; j++) { // unrolled
            let own_col = col + 4u * (across + j * LANES_ACROSS);
            state = pushed(state, line, is_there, own, own_col, with_bias(sums[r][j], own_col));
        }
        workgroupBarrier(); // what lanes have read of the memory that the tree goes through, before it is written
        let all = tree(lane, state);
        if ((across == 0u) & is_there) {
            states_out[params.states_base + line * params.row_step * params.row_states + col / TILE_COLS].state = all;
        }
    }
}
