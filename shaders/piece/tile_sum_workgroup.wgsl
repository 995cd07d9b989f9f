// The sum over the lanes of a workgroup that lead, every LANES-th, by a fixed tree through workgroup memory.
var<workgroup> lane_losses: array<f32, WIDTH / LANES>;

fn tile_sum(lane: u32, mine: f32) -> f32 {
    if (lane % LANES == 0u) {
        lane_losses[lane / LANES] = mine;
    }
    // Every lane comes here. The barrier makes the lanes' sums visible to the tree.
    workgroupBarrier();
    for (var half = WIDTH / LANES / 2u; half > 0u; half = half / 2u) {
        if (lane < half) {
            lane_losses[lane] = lane_losses[lane] + lane_losses[lane + half];
        }
        workgroupBarrier(); // this level's sums before the next level reads them
    }
    return lane_losses[0];
}
