// A wide row of which nothing has to be read before its columns.
fn row_of(index: u32, slab: u32, input_at: u32) -> Row {
    return row_open(index, slab, 0u, input_at);
}
