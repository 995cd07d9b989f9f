// Where each row comes, once the tiles have counted (driver/order_count.wgsl).
@group(0) @binding(34) var<storage, read> taking: array<u32>; // (tiles) u32
@group(0) @binding(11) var<storage, read_write> result_out: array<u32>; // u32: how many take part, then (rows) u32

var<workgroup> sums: array<vec2<u32>, WIDTH>;
var<workgroup> ranks: array<u32, WIDTH>;

@compute @workgroup_size(WIDTH)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    params = uniforms;
    let tile = group.y * uniforms.groups_x + group.x;
    if (tile >= uniforms.end_tile) {
        return; // the same for the whole workgroup: `tile` comes from workgroup_id and uniforms
    }
    // Of all tiles, and of those before this one.
    var sum = vec2<u32>(0u, 0u);
    for (var t = lane; t < params.end_tile; t += WIDTH) {
        let count = taking[params.taking_base + t];
        sum += vec2<u32>(count, select(0u, count, t < tile));
    }
    for (var half = WIDTH / 2u; half > 0u; half = half / 2u) {
        sums[lane] = sum;
        workgroupBarrier(); // the sums of this level
        sum += sums[(lane + half) % WIDTH];
        workgroupBarrier(); // all have read them
    }
    let input = tile * WIDTH + lane;
    let takes = takes_part(input);
    // Of the rows of this tile, up to a lane's own.
    var rank = select(0u, 1u, takes);
    for (var step = 1u; step < WIDTH; step = 2u * step) {
        ranks[lane] = rank;
        workgroupBarrier(); // the ranks of this level
        rank += select(0u, ranks[max(lane, step) - step], lane >= step);
        workgroupBarrier(); // all have read them
    }
    if (input < params.inputs) {
        let before = sum.y + rank - select(0u, 1u, takes);
        let place = select(sum.x + (input - before), before, takes);
        result_out[params.order_base + 1u + place] = params.first_input + input;
    }
    if (input == 0u) {
        result_out[params.order_base] = sum.x;
    }
}
