// No pass follows.
fn keep(index: u32, row: Row, s: State) {}
