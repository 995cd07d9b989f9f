// Wide rows, first pass, where they have class targets: looks at each row's label, and at its logit and weight.

@compute @workgroup_size(1)
fn main(@builtin(workgroup_id) group: vec3<u32>) {
    params = uniforms;
    let tile = uniforms.first_tile + group.y * uniforms.groups_x + group.x;
    if (tile >= uniforms.end_tile) {
        return;
    }
    let own = tile_at(tile);
    open_in_tile(own.place, own.index, vec2<u32>(own.slab, 0u), input_row(own.slab), own.first, own.end);
}
