// Rows of f32 as rows of another dtype, or added to these: gradients that are sums, once all is added up. A workgroup
// takes WIDTH quads of a row; what is read may reach over its end, up to a whole quad.
struct Params {
    end_tile: u32,
    groups_x: u32,
    row_tiles: u32, // of a row
    cols: u32,
    from_base: u32,
    from_stride: u32,
    into_base: u32,
    into_stride: u32,
    order_base: u32, // of product/taking.wgsl
    first_place: u32,
    pad0: u32,
    pad1: u32,
}

// Where a row goes.
// default
fn rounded_row(row: u32) -> u32 {
    return row;
}

@compute @workgroup_size(WIDTH)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    params = uniforms;
    let tile = group.y * params.groups_x + group.x;
    let row = tile / params.row_tiles;
    let col = 4u * ((tile % params.row_tiles) * WIDTH + lane);
    if ((tile >= params.end_tile) | (col >= params.cols)) {
        return;
    }
    let count = min(params.cols - col, 4u);
    let x = input4(params.from_base + row * params.from_stride + col, 1u);
    let at = params.into_base + rounded_row(row) * params.into_stride + col;
    if (count == 4u) {
        put_grad_input4(at, 1u, x);
        return;
    }
    put_grad_input1(at, x.x);
    if (count > 1u) { put_grad_input1(at + 1u, x.y); }
    if (count > 2u) { put_grad_input1(at + 2u, x.z); }
}
