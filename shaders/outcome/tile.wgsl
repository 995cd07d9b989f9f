// Reduction mean or sum: one partial sum per tile. A lane adds its rows' losses up in runs of four, and tile_sum
// those of the lanes that lead.
@group(0) @binding(6) var<storage, read_write> states_out: array<f32>; // (tiles) f32: `State` of state/sum.wgsl

var<private> rows_taken: u32;
var<private> of_4: f32;
var<private> of_runs: f32;

// Also for a lane that does not lead and a row that is not there, whose loss is computed for nothing: it is selected
// away.
fn put_row(tile: u32, lane: u32, index: u32, live: bool, leads: bool, row: Row, s: State) {
    of_4 += select(0.0, weighted_loss(index, row, s), live & leads);
    count_row(row, index, live & leads);
    rows_taken++;
    if (rows_taken % 4u == 0u) {
        of_runs += of_4;
        of_4 = 0.0;
    }
}

// Counts of two lanes: their sums, and the least of the last.
fn joined(a: vec4<u32>, b: vec4<u32>) -> vec4<u32> {
    return vec4<u32>(a.xyz + b.xyz, min(a.w, b.w));
}

fn put_tile(tile: u32, lane: u32) {
    let sum = tile_sum(lane, of_runs + of_4);
    if (lane == 0u) {
        states_out[params.states_base + (tile - params.first_tile)] = sum;
    }
    put_counts(tile, lane);
}
