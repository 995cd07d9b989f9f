// Reduction mean or sum: one partial sum per tile, for driver/reduce.wgsl to add up.
@group(0) @binding(6) var<storage, read_write> states_out: array<f32>; // (tiles) f32: `State` of state/sum.wgsl

fn put_tile_loss(tile: u32, lane: u32, total: f32) {
    let all = tree(lane, State(total));
    if (lane == 0u) {
        states_out[params.states_base + (tile - params.first_tile)] = all.sum;
    }
}
