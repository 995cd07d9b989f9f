// The sums of columns, each by a lane, row after row from 0 or from what is there (ADDS): the gradient of a layer's
// bias. Cuts of the rows whose dispatches add to each other have the bits of one.
struct Params {
    rows: u32,
    cols: u32,
    end_tile: u32,
    groups_x: u32,
    from_base: u32,
    from_stride: u32,
    into_base: u32,
    into_step: u32,
    order_base: u32, // of product/taking.wgsl
    first_place: u32,
    pad0: u32,
    pad1: u32,
}

// Rows that take part.
// default
fn rows_there() -> u32 {
    return params.rows;
}

@compute @workgroup_size(WIDTH)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    params = uniforms;
    let tile = group.y * params.groups_x + group.x;
    let col = tile * WIDTH + lane;
    if ((tile >= params.end_tile) | (col >= params.cols)) {
        return;
    }
    let at = params.into_base + col * params.into_step;
    var sum = 0.0;
    if (ADDS) {
        sum = product1(at);
    }
    for (var row = 0u; row < rows_there(); row++) {
        sum += input1(params.from_base + row * params.from_stride + col);
    }
    put_product1(at, sum);
}
