// Folds items into one state per tile: elements, the labels of a batch, or the states of an earlier level.
// A workgroup folds a tile of TILE items: lane p takes the quads p, p + WIDTH, … of it, four at a time, then four such
// runs, and so on up: no sum runs longer than four, and the lanes' states meet in a fixed tree. See src/precision.rs.
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
    // TILE is a multiple of the items of 16 quads for each lane.
    let quads = TILE / (4u * WIDTH);
    var state = identity();
    for (var c = 0u; c < quads; c += 64u) {
        var of_64 = identity();
        for (var b = c; b < min(c + 64u, quads); b += 16u) {
            var of_16 = identity();
            for (var a = b; a < b + 16u; a += 4u) {
                var of_4 = identity();
                for (var quad = a; quad < a + 4u; quad++) {
                    let at = 4u * (quad * WIDTH + lane);
                    if (at < len) {
                        of_4 = push_items(of_4, start + at, min(len - at, 4u));
                    }
                }
                of_16 = merge(of_16, of_4);
            }
            of_64 = merge(of_64, of_16);
        }
        state = merge(state, of_64);
    }
    let all = tree(lane, state);
    if (lane == 0u) {
        put_state(tile, all);
    }
}
