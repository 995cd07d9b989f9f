// Copies one column of the rows' records to an output of its own.
@group(0) @binding(10) var<storage, read> records: array<u32>; // (rows, 8) words: `Record` of outcome/row.wgsl
@group(0) @binding(11) var<storage, read_write> result_out: array<u32>; // (rows) words

@compute @workgroup_size(WIDTH)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    params = uniforms;
    let tile = uniforms.first_tile + group.y * uniforms.groups_x + group.x;
    if (tile >= uniforms.end_tile) {
        return; // the same for the whole workgroup: `tile` comes from workgroup_id and uniforms
    }
    let start = tile * TILE;
    let len = min(params.len - start, TILE);
    for (var k = lane; k < len; k += WIDTH) {
        let at = start + k - params.first_item;
        result_out[params.states_base + at] = records[params.base + 8u * at + COLUMN];
    }
}
