// What the lanes of a workgroup that lead, every LANES-th, come to, by a fixed tree through workgroup memory. Every
// lane comes here.
var<workgroup> lane_losses: array<f32, WIDTH / LANES>;
var<workgroup> lane_counts: array<vec4<u32>, WIDTH / LANES>;

fn tile_sum(lane: u32, mine: f32) -> f32 {
    if (lane % LANES == 0u) {
        lane_losses[lane / LANES] = mine;
    }
    workgroupBarrier(); // makes the lanes' sums visible to the tree
    for (var half = WIDTH / LANES / 2u; half > 0u; half = half / 2u) {
        if (lane < half) {
            lane_losses[lane] = lane_losses[lane] + lane_losses[lane + half];
        }
        workgroupBarrier(); // this level's sums before the next level reads them
    }
    return lane_losses[0];
}

fn tile_counts(lane: u32, mine: vec4<u32>) -> vec4<u32> {
    if (lane % LANES == 0u) {
        lane_counts[lane / LANES] = mine;
    }
    workgroupBarrier();
    for (var half = WIDTH / LANES / 2u; half > 0u; half = half / 2u) {
        if (lane < half) {
            lane_counts[lane] = joined(lane_counts[lane], lane_counts[lane + half]);
        }
        workgroupBarrier();
    }
    return lane_counts[0];
}
