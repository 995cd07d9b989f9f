// A loss has no row of results.
fn put_value(row: Row, slope: Slope, at: u32, q: Columns) {}
