// The losses are not wanted.
fn put_row(tile: u32, lane: u32, index: u32, live: bool, leads: bool, row: Row, s: State) {}

fn put_tile(tile: u32, lane: u32) {}
