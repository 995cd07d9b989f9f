// A wide row's state and slope, for the pass that writes its columns.
@group(0) @binding(22) var<storage, read_write> merged_out: array<Merged>; // (rows) Merged

fn keep(place: u32, index: u32, row: Row, s: State) {
    merged_out[params.merged_base + (place - params.first_row)] = Merged(s, row_slope(row, s), row_scale(index));
}
