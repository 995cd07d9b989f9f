// A reduction of a row, as a row "loss": no target, nothing ignored. loss/reduce_*.wgsl says which.
struct Row {
    kind: u32,
}

fn row_open(index: u32, slab: u32, inner: u32, input_at: u32) -> Row {
    return Row(0u);
}

fn row_reads(row: Row) -> bool {
    return true;
}
