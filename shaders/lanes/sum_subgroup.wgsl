// The trees of lanes/sum_workgroup.wgsl where the workgroup is one subgroup, from register to register: the same bits
// on lane 0. What other lanes come to is read by nobody.
fn tile_sum(lane: u32, mine: f32) -> f32 {
    var sum = mine;
    for (var half = WIDTH / 2u; half >= LANES; half = half / 2u) {
        sum += subgroupShuffle(sum, (lane + half) % WIDTH);
    }
    return sum;
}

fn tile_counts(lane: u32, mine: vec4<u32>) -> vec4<u32> {
    var counts = mine;
    for (var half = WIDTH / 2u; half >= LANES; half = half / 2u) {
        counts = joined(counts, subgroupShuffle(counts, (lane + half) % WIDTH));
    }
    return counts;
}
