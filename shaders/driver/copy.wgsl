// Copies `input` to `grad_input`: the ceiling that a kernel of one read and one write is measured against.
@compute @workgroup_size(WIDTH)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let tile = params.first_tile + group.y * params.groups_x + group.x;
    if (tile >= params.end_tile) {
        return; // the same for the whole workgroup: `tile` comes from workgroup_id and uniforms
    }
    let start = tile * TILE;
    let len = min(params.len - start, TILE);
    for (var quad = 0u; quad < TILE / (4u * WIDTH); quad++) {
        let at = 4u * (quad * WIDTH + lane);
        if (at + 3u < len) {
            put_grad_input4(params.base + start + at - params.first_item, 1u,
                input4(params.base + start + at - params.first_item, 1u));
        }
    }
}
