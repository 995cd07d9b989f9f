// Each row's result is the place of a column, as an i64: two words, low first. A state supplies index_of.
@group(0) @binding(6) var<storage, read_write> loss_out: array<vec2<u32>>; // (rows) i64

fn put_row(tile: u32, lane: u32, index: u32, live: bool, leads: bool, row: Row, s: State) {
    if (live & leads) {
        loss_out[params.loss_base + (index - params.first_row)] = vec2<u32>(index_of(s), 0u);
    }
}
