// Reduction mean or sum: one partial sum per tile, added by a fixed tree over the tile's rows.
@group(0) @binding(6) var<storage, read_write> states_out: array<f32>; // (tiles) f32: `State` of monoid/sum.wgsl

var<workgroup> row_losses: array<f32, ROWS>;

fn put_row_loss(tile: u32, lane: u32, row: u32, live: bool, leads: bool, loss: f32) {
    if (leads) {
        row_losses[lane / LANES] = select(0.0, loss, live);
    }
    // Every lane comes here. The barrier makes the rows' losses visible to the tree.
    workgroupBarrier();
    for (var half = ROWS / 2u; half > 0u; half = half / 2u) {
        if (lane < half) {
            row_losses[lane] = row_losses[lane] + row_losses[lane + half];
        }
        workgroupBarrier(); // this level's sums before the next level reads them
    }
    if (lane == 0u) {
        states_out[params.states_base + (tile - params.first_tile)] = row_losses[0];
    }
}
