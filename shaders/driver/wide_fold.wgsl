// Wide rows, second pass: one workgroup folds a tile of columns into a state.

@group(0) @binding(6) var<storage, read_write> states_out: array<Folded>; // (tiles) Folded

@compute @workgroup_size(WIDTH)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    params = uniforms;
    let tile = uniforms.first_tile + group.y * uniforms.groups_x + group.x;
    if (tile >= uniforms.end_tile) {
        return; // the same for the whole workgroup: `tile` comes from workgroup_id and uniforms
    }
    let own = tile_at(tile);
    let input_at = input_row(own.slab);
    let row = row_of(own.place, own.slab, input_at);
    var state = identity();
    if (READS_ROWS & row_reads(row)) {
        state = fold_columns(row, input_at, lane, own.first, own.end);
    }
    let all = tree(lane, state);
    if (lane == 0u) {
        states_out[params.states_base + (tile - params.first_tile)].state = all;
    }
}
