// Reduction mean or sum: one partial sum per tile, added by a fixed tree over the tile's rows.
@group(0) @binding(6) var<storage, read_write> states_out: array<f32>; // (tiles) f32: `State` of monoid/sum.wgsl

var<workgroup> row_losses: array<f32, ROWS>;

fn put_row(tile: u32, lane: u32, index: u32, live: bool, leads: bool, row: Row, s: State) {
    if (leads) {
        var loss = 0.0;
        if (live) {
            loss = weighted_loss(index, row, s);
        }
        row_losses[lane / LANES] = loss;
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
