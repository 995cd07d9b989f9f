// Copies `input` to `grad_input`: the ceiling that a kernel of one read and one write is measured against. The length
// is a multiple of four.
@compute @workgroup_size(WIDTH)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    params = uniforms;
    let tile = uniforms.first_tile + group.y * uniforms.groups_x + group.x;
    if (tile >= uniforms.end_tile) {
        return; // the same for the whole workgroup: `tile` comes from workgroup_id and uniforms
    }
    let len = min(params.len - tile * TILE, TILE);
    let start = params.base + tile * TILE - params.first_item + 4u * lane;
    let runs = len / (16u * WIDTH);
    for (var run = 0u; run < runs; run++) {
        let at = start + run * 16u * WIDTH;
        let a = input4(at, 1u);
        let b = input4(at + 4u * WIDTH, 1u);
        let c = input4(at + 8u * WIDTH, 1u);
        let d = input4(at + 12u * WIDTH, 1u);
        put_grad_input4(at, 1u, a);
        put_grad_input4(at + 4u * WIDTH, 1u, b);
        put_grad_input4(at + 8u * WIDTH, 1u, c);
        put_grad_input4(at + 12u * WIDTH, 1u, d);
    }
    for (var at = runs * 16u * WIDTH; at < len; at += 4u * WIDTH) {
        if (at + 4u * lane < len) {
            put_grad_input4(start + at, 1u, input4(start + at, 1u));
        }
    }
}
