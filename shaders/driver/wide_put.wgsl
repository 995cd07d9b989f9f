// Wide rows, last pass: one workgroup writes a tile of columns, of the gradient or of a map's results.

@group(0) @binding(22) var<storage, read> merged_in: array<Merged>; // (rows) Merged

@compute @workgroup_size(WIDTH)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    params = uniforms;
    let tile = uniforms.first_tile + group.y * uniforms.groups_x + group.x;
    if (tile >= uniforms.end_tile) {
        return;
    }
    let own = tile_at(tile);
    let input_at = input_row(own.slab);
    var row = row_of(own.place, own.slab, input_at);
    if (!is_folded(own.place)) {
        return;
    }
    let all = merged_in[params.merged_base + (own.place - params.first_row)];
    if (STATS_GRADS) {
        row = with_stats_grads(row, own.index, all.state);
    }
    put_columns(
        row, all.state, all.slope, all.scale, places_of(own.slab, 0u), row_writes(row),
        input_at, lane, own.first, own.end);
}
