// One operand is a gradient of which driver/filter.wgsl has found runs that are 0: slabs of which all rows' runs are,
// are passed over.
@group(0) @binding(35) var<storage, read> filter_in: array<u32>; // (rows / RUN, columns / RUN) u32: 0 where all are 0

// Of the tile's lines from `line` on, and the place of the depth.
fn is_wanted(line: u32, depth: u32) -> bool {
    let first = (uniforms.first_run + line) / RUN;
    let last = (uniforms.first_run + uniforms.left_lines - 1u) / RUN; // a tile may reach further
    let across = (uniforms.first_depth + depth) / RUN;
    var wanted = 0u;
    for (var k = 0u; k < TILE_ROWS / RUN; k++) {
        let run = min(first + k, last);
        if (BY_ROWS) {
            wanted |= filter_in[run * uniforms.run_stride + across];
        } else {
            wanted |= filter_in[across * uniforms.run_stride + run];
        }
    }
    return wanted != 0u;
}

fn next_depth(line: u32, depth: u32, end: u32) -> u32 {
    var at = depth;
    while (at < end) {
        if (is_wanted(line, at)) {
            return at;
        }
        at += 4u * SLAB;
    }
    return end;
}
