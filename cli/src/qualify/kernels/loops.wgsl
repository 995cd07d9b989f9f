// Loops whose turns hang on each other: lane l of 64 takes `turns - l` of them, one after the other or nested in
// `outer`. `flip`: bits of what lane 5 counts that are turned over.

struct Params {
    turns: u32,
    outer: u32,
    flip: u32,
    spare: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> out: array<u32>;

@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) lane: u32) {
    var count = 0u;
    var mixed = lane;
    for (var o = 0u; o < params.outer; o++) {
        for (var i = lane; i < params.turns; i++) {
            mixed = mixed * 1664525u + 1013904223u + i;
            count += 1u;
        }
    }
    out[2u * lane] = count ^ select(0u, params.flip, lane == 5u);
    out[2u * lane + 1u] = mixed;
}
