// One state per tile, for the next level.
@group(0) @binding(6) var<storage, read_write> states_out: array<State>; // (tiles) State

fn put_state(tile: u32, s: State) {
    states_out[params.states_base + (tile - params.first_tile)] = s;
}
