// Wide rows, third pass: one workgroup merges the states of a row's tiles. Lane p takes the tiles p, p + WIDTH, …, in
// runs of 16 that are merged on their own; the lanes' states meet in a fixed tree. A tile of this pass is a row.

@group(0) @binding(10) var<storage, read> states_in: array<Folded>; // (rows, block_tiles) Folded

@compute @workgroup_size(WIDTH)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    params = uniforms;
    let place = uniforms.first_tile + group.y * uniforms.groups_x + group.x;
    if (place >= uniforms.end_tile) {
        return; // the same for the whole workgroup: `place` comes from workgroup_id and uniforms
    }
    let index = row_at(place);
    let nth = place - params.first_row;
    let tiles = params.block_tiles;
    let first = params.states_in_base + nth * tiles;
    let row = row_of(place, nth, 0u);
    let end = select(0u, tiles, is_folded(place));
    var state = identity();
    for (var outer = lane; outer < end; outer += RUN * WIDTH) {
        var run = identity();
        for (var tile = outer; tile < min(outer + RUN * WIDTH, end); tile += WIDTH) {
            run = merge(run, states_in[first + tile].state);
        }
        state = merge(state, run);
    }
    let all = tree(lane, state);
    put_row(index, lane, index, true, lane == 0u, row, all);
    put_tile(index, lane);
    if (lane == 0u) {
        keep(place, index, row, all);
    }
}
