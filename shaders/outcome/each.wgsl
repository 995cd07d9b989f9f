// Reduction none: each row's loss is an output.
fn put_row(tile: u32, lane: u32, index: u32, live: bool, leads: bool, row: Row, s: State) {
    if (live & leads) {
        put_loss_out1(params.loss_base + (index - params.first_row), weighted_loss(index, row, s));
    }
}
