// Long rows that lie across, second pass: one workgroup folds a tile of columns of BESIDE rows into a state of each.
// driver/wide_merge.wgsl merges those of a row.

@group(0) @binding(6) var<storage, read_write> states_out: array<Folded>; // (rows, block_tiles) Folded

@compute @workgroup_size(WIDTH)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    params = uniforms;
    let tile = uniforms.first_tile + group.y * uniforms.groups_x + group.x;
    if (tile >= uniforms.end_tile) {
        return; // the same for the whole workgroup: `tile` comes from workgroup_id and uniforms
    }
    let own = share_of(tile, lane % BESIDE, lane / BESIDE);
    var state = identity();
    if (own.live) {
        let input_at = input_place(own.spot);
        let row = row_of(own.index, own.spot.x, input_at);
        if (row_reads(row)) {
            state = fold_columns(row, input_at, own.part, own.first, own.end);
        }
    }
    let all = tree(lane, state);
    if (own.live & (own.part == 0u)) {
        let at = (own.index - params.first_row) * params.block_tiles + own.nth;
        states_out[params.states_base + at].state = all;
    }
}
