// Runs of RUN columns of a gradient whose entries are all below `eps` in magnitude become 0. A workgroup takes RUN rows
// of such a run, several at a time, and tells whether anything is left of them.
struct Params {
    rows: u32,
    cols: u32,
    end_tile: u32,
    groups_x: u32,
    row_tiles: u32, // runs of a row
    product_base: u32,
    product_stride: u32,
    filter_base: u32,
    eps: f32,
    pad0: u32,
    pad1: u32,
    pad2: u32,
}

@group(0) @binding(35) var<storage, read_write> filter_out: array<u32>; // (rows / RUN, runs) u32

const LANES: u32 = RUN / 4u; // of a row
const BESIDE: u32 = WIDTH / LANES; // rows at a time

var<workgroup> largest: array<f32, WIDTH>;

fn quad_at(row: u32, col: u32) -> vec4<f32> {
    let at = params.product_base + min(row, params.rows - 1u) * params.product_stride + col;
    let there = vec4<u32>(col) + vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>(params.cols);
    return select(vec4<f32>(0.0), product4(at, 1u), there);
}

@compute @workgroup_size(WIDTH)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    params = uniforms;
    let tile = group.y * uniforms.groups_x + group.x;
    if (tile >= uniforms.end_tile) {
        return; // the same for the whole workgroup: `tile` comes from workgroup_id and uniforms
    }
    let part = lane % LANES;
    let col = (tile % params.row_tiles) * RUN + 4u * part;
    var left = 0u;
    for (var turn = 0u; turn < RUN / BESIDE; turn++) {
        let row = (tile / params.row_tiles) * RUN + turn * BESIDE + lane / LANES;
        var x = vec4<f32>(0.0);
        if (col < params.cols) {
            x = quad_at(row, col);
        }
        // By their bits, so that NaN is below nothing on any compiler.
        let small = all((bitcast<vec4<u32>>(x) & vec4<u32>(0x7fffffffu)) < vec4<u32>(bitcast<u32>(params.eps)));
        largest[lane] = select(1.0, 0.0, small);
        workgroupBarrier(); // what all quads of the rows are
        var any = 0.0;
        for (var k = 0u; k < LANES; k++) {
            any = max(any, largest[lane - part + k]);
        }
        workgroupBarrier(); // all have read them
        if ((any == 0.0) & (col < params.cols) & (row < params.rows)) {
            put_product4(params.product_base + row * params.product_stride + col, 1u, vec4<f32>(0.0));
        }
        left = max(left, select(0u, 1u, any > 0.0));
    }
    largest[lane] = f32(left);
    workgroupBarrier(); // what is left of all rows
    if (lane == 0u) {
        var all = 0.0;
        for (var k = 0u; k < WIDTH; k++) {
            all = max(all, largest[k]);
        }
        filter_out[params.filter_base + tile] = u32(all);
    }
}
