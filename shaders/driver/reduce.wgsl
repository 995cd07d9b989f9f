// Folds items into one state per tile: elements, the labels of a batch, or the states of an earlier level.
// A workgroup folds a tile of TILE items: lane p takes the quads p, p + WIDTH, … of it. Sixteen quads are folded on
// their own and then merged, so no sum runs long; the lanes' states meet in a fixed tree.
//
// A source piece supplies: push_items(state, item, count). A monoid supplies: State, identity, merge and what the
// source needs. A sink piece supplies: put_state(tile, state).

@compute @workgroup_size(WIDTH)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let tile = params.first_tile + group.y * params.groups_x + group.x;
    if (tile >= params.end_tile) {
        return; // the same for the whole workgroup: `tile` comes from workgroup_id and uniforms
    }
    let start = tile * TILE;
    let len = min(params.len - start, TILE);
    var state = identity();
    for (var outer = 0u; outer < TILE / (64u * WIDTH); outer++) {
        var part = identity();
        for (var quad = 0u; quad < 16u; quad++) {
            let at = 4u * ((outer * 16u + quad) * WIDTH + lane);
            if (at < len) {
                part = push_items(part, start + at, min(len - at, 4u));
            }
        }
        state = merge(state, part);
    }
    let all = tree(lane, state);
    if (lane == 0u) {
        put_state(tile, all);
    }
}
