// The sum of a tile as textbooks write it: lanes stride over the tile element by element, then a tree with a barrier
// for each of its levels. A baseline of `bench`, which shares nothing with the kernels that it is compared with.
var<workgroup> sums: array<f32, WIDTH>;

@compute @workgroup_size(WIDTH)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    params = uniforms;
    let tile = uniforms.first_tile + group.y * uniforms.groups_x + group.x;
    if (tile >= uniforms.end_tile) {
        return; // the same for the whole workgroup: `tile` comes from workgroup_id and uniforms
    }
    let start = tile * TILE;
    let count = min(params.len - start, TILE);
    var sum = 0.0;
    for (var i = lane; i < count; i += WIDTH) {
        sum += input1(params.base + (start - params.first_item) + i);
    }
    sums[lane] = sum;
    workgroupBarrier();
    for (var half = WIDTH / 2u; half > 0u; half = half / 2u) {
        if (lane < half) {
            sums[lane] += sums[lane + half];
        }
        workgroupBarrier();
    }
    if (lane == 0u) {
        put_loss_out1(params.states_base + (tile - params.first_tile), sums[0]);
    }
}
