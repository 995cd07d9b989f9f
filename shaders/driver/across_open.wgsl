// Long rows that lie across, first pass: looks at each row's label, and at its logit and weight.

@compute @workgroup_size(BESIDE)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    params = uniforms;
    let tile = uniforms.first_tile + group.y * uniforms.groups_x + group.x;
    if (tile >= uniforms.end_tile) {
        return;
    }
    let own = share_of(tile, lane, 0u);
    if (own.live) {
        open_in_tile(own.index, own.index, own.spot, input_place(own.spot), own.first, own.end);
    }
}
