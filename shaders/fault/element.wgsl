// The elementwise driver inspects its input on the way: a fault per tile, for driver/reduce.wgsl to join. While it
// computes, a lane only keeps whether it saw anything else than the plain numbers of fault/rule.wgsl; if so, it looks
// again. (The input is still there: where the gradient goes over it, the plan has it inspected before.)
@group(0) @binding(23) var<storage, read_write> faults_out: array<Fault>; // (tiles) Fault

var<private> largest_bits: u32 = 0u;

fn glance(x: vec4<f32>) {
    let bits = bitcast<vec4<u32>>(x);
    largest_bits = max(largest_bits, max(max(bits.x, bits.y), max(bits.z, bits.w)));
}

fn put_tile_fault(tile: u32, lane: u32, start: u32, len: u32) {
    var fault = no_fault();
    // A loop of no quads, not a branch around a loop: adapters may run that in any case.
    let quads = select(0u, TILE / (4u * WIDTH), largest_bits > PLAIN_BITS);
    for (var quad = 0u; quad < quads; quad++) {
        let e = 4u * (quad * WIDTH + lane);
        if (e < len) {
            let count = min(len - e, 4u);
            let x = read_input(start + e, count);
            fault = join_faults(fault, placed(seen4(x, count), params.first_place, start + e));
        }
    }
    fault = tile_fault(lane, fault); // every lane comes here
    if (lane == 0u) {
        faults_out[params.faults_base + (tile - params.first_tile)] = fault;
    }
}
