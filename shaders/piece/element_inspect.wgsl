// The elementwise driver inspects its input on the way: a fault per tile, for driver/reduce.wgsl to join.
@group(0) @binding(21) var<storage, read_write> faults_out: array<Fault>; // (tiles) Fault

var<workgroup> tile_faults: array<Fault, WIDTH>;
var<private> lane_fault: Fault = Fault(0u, 0xffffffffu, 0xffffffffu, 0u);

// Elements from element e of the dispatch on.
fn inspect_input(e: u32, count: u32, x: vec4<f32>) {
    lane_fault = join_faults(lane_fault, placed(seen4(x, count), params.first_place, e));
}

// Whichever lane has the first, the result is the same.
fn put_tile_fault(tile: u32, lane: u32) {
    tile_faults[lane] = lane_fault;
    workgroupBarrier(); // every lane comes here
    for (var half = WIDTH / 2u; half > 0u; half = half / 2u) {
        if (lane < half) {
            tile_faults[lane] = join_faults(tile_faults[lane], tile_faults[lane + half]);
        }
        workgroupBarrier(); // this level's faults before the next level reads them
    }
    if (lane == 0u) {
        faults_out[params.faults_base + (tile - params.first_tile)] = tile_faults[0];
    }
}
