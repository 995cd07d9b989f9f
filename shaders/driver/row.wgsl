// Rows of a (slab, column, inner) array, one row to LANES lanes of a workgroup: forward, backward or both, as the
// output pieces say. A row is read once for its statistics and, where a gradient or a row of results is wanted and its
// lanes cannot hold it, once more for that; nothing of the input's size lies in between. Rows of very many columns are
// folded by driver/wide_fold.wgsl instead, many short ones by software/pack.wgsl, and longer ones side by side by
// software/strip.wgsl. fold_row and write_row come from row/held.wgsl, row/staged.wgsl or
// row/streamed.wgsl, tree from lanes/.
//
// A loss supplies: `Row` (of class targets with their `kind`), row_open, row_reads, row_push4 and row_push16 (with a
// state), row_loss, `Slope`, row_slope, row_grad4; a map row_value4 instead of row_loss.

// Brings a workgroup's rows to where its lanes take them from, before and after: of row/staged.wgsl.
// default
fn stage_rows(tile: u32, lane: u32) {}

// default
fn unstage_rows(tile: u32, lane: u32) {}

// Row `within` of a tile's block. Every lane of the workgroup comes here.
fn take_row(tile: u32, lane: u32, within: u32) {
    let index = (tile / params.block_tiles) * params.block_rows + within;
    let live = (within < params.block_rows) & (index < params.rows);
    let part = lane % LANES;

    let spot = spot_of(index);
    let input_at = input_place(spot);

    var row: Row;
    if (live) {
        row = row_open(index, spot.x, spot.y, input_at);
    }
    let reads = live & READS_ROWS & row_reads(row);
    let writes = live & row_writes(row);

    var state = identity();
    if (reads) {
        state = fold_row(row, input_at, part);
    }
    state = tree(lane, state);

    put_row(tile, lane, index, live, part == 0u, row, state);

    if (live & WRITES_ROWS) {
        if (STATS_GRADS) { row = with_stats_grads(row, index, state); }
        let slope = row_slope(row, state);
        write_row(row, state, slope, row_scale(index), places_of(spot.x, spot.y), writes, input_at, part);
    }
}

@compute @workgroup_size(WIDTH)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    params = uniforms;
    let tile = uniforms.first_tile + group.y * uniforms.groups_x + group.x;
    if (tile >= uniforms.end_tile) {
        return; // the same for the whole workgroup: `tile` comes from workgroup_id and uniforms
    }
    // A workgroup of one lane for each row takes TURNS of them, one after the other: few rows would not be worth
    // starting one on a software adapter.
    for (var turn = 0u; turn < TURNS; turn++) {
        let within = (tile % params.block_tiles) * ROWS + turn * (WIDTH / LANES) + lane / LANES;
        stage_rows(tile, lane);
        take_row(tile, lane, within);
        unstage_rows(tile, lane);
    }
    put_tile(tile, lane);
}
