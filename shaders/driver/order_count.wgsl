// How many rows of each tile take part.
@group(0) @binding(34) var<storage, read_write> taking_out: array<u32>; // (tiles) u32

var<workgroup> counts: array<u32, WIDTH>;

@compute @workgroup_size(WIDTH)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    params = uniforms;
    let tile = group.y * uniforms.groups_x + group.x;
    if (tile >= uniforms.end_tile) {
        return; // the same for the whole workgroup: `tile` comes from workgroup_id and uniforms
    }
    var count = select(0u, 1u, takes_part(tile * WIDTH + lane));
    // Lanes go round, so that each has what all have.
    for (var half = WIDTH / 2u; half > 0u; half = half / 2u) {
        counts[lane] = count;
        workgroupBarrier(); // the counts of this level
        count += counts[(lane + half) % WIDTH];
        workgroupBarrier(); // all have read them
    }
    if (lane == 0u) {
        taking_out[params.taking_base + tile] = count;
    }
}
