// The results of a map, a row for each row. A map supplies row_value4.
fn put_value(row: Row, slope: Slope, at: u32, q: Columns) {
    let step = col_step();
    let first = at + q.column * step;
    let y = row_value4(row, slope, q.column, q.x, q.count);
    if (q.count == 4u) {
        put_loss_out4(first, step, y);
        return;
    }
    put_loss_out1(first, y.x);
    if (q.count > 1u) { put_loss_out1(first + step, y.y); }
    if (q.count > 2u) { put_loss_out1(first + 2u * step, y.z); }
}
