// Rows of which a lane has more than its registers hold: what is written of them is computed from a second reading.

fn fold_row(row: Row, input_at: u32, part: u32) -> State {
    return fold_columns(row, input_at, part, 0u, params.cols);
}

fn write_row(
    row: Row, state: State, slope: Slope, scale: f32, places: Places, writes: bool, input_at: u32, part: u32,
) {
    put_columns(row, state, slope, scale, places, writes, input_at, part, 0u, params.cols);
}
