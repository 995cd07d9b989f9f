// Folds items into one state per tile: elements, the labels of a batch, or the states of an earlier level.
// A workgroup folds a tile of TILE items: lane p takes the quads p, p + WIDTH, … of it, four at a time, then four such
// runs, and so on up: no sum runs longer than four, and the lanes' states meet in a fixed tree. See src/precision.rs.
//
// Where items come from, what they go into and where that goes: total/README.md.

// Items of a run: four quads for each lane. TILE is a multiple of sixteen.
const RUN: u32 = 16u * WIDTH;

// Four items that are all there, of a source that has no shorter way for them.
// default
fn push_four(s: State, item: u32) -> State {
    return push_items(s, item, 4u);
}

// The first item of a lane's four, of the 4 WIDTH that lanes take together: a quad each, but for sources whose lanes
// take items side by side.
// default
fn lead(lane: u32) -> u32 {
    return 4u * lane;
}

// Four quads, WIDTH apart, that are all there: no condition stands between their loads.
fn of_4(first: u32) -> State {
    var s = push_four(identity(), first);
    s = push_four(s, first + 4u * WIDTH);
    s = push_four(s, first + 8u * WIDTH);
    return push_four(s, first + 12u * WIDTH);
}

@compute @workgroup_size(WIDTH)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    params = uniforms;
    let tile = uniforms.first_tile + group.y * uniforms.groups_x + group.x;
    if (tile >= uniforms.end_tile) {
        return; // the same for the whole workgroup: `tile` comes from workgroup_id and uniforms
    }
    let start = tile * TILE;
    let len = min(params.len - start, TILE);
    let runs = len / RUN;
    var state = identity();
    var of_64 = identity();
    var of_16 = identity();
    for (var run = 0u; run < runs; run++) {
        of_16 = merge(of_16, of_4(start + run * RUN + lead(lane)));
        if ((run & 3u) == 3u) {
            of_64 = merge(of_64, of_16);
            of_16 = identity();
        }
        if ((run & 15u) == 15u) {
            state = merge(state, of_64);
            of_64 = identity();
        }
    }
    // Up to four quads of the last tile, the last of them short; in others no turn, unless tiles are shorter than a
    // run.
    var last = identity();
    for (var at = runs * RUN + 4u * lane; at < len; at += 4u * WIDTH) {
        last = push_items(last, start + at, min(len - at, 4u));
    }
    state = merge(state, merge(of_64, merge(of_16, last)));
    let all = tree(lane, state);
    if (lane == 0u) {
        put_state(tile, all);
    }
}
