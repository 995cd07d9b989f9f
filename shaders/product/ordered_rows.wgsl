// Of rows in the order of product/taking.wgsl.
fn rows_there() -> u32 {
    return min(params.rows, taking());
}

fn rounded_row(row: u32) -> u32 {
    return ordered_row(row);
}
