// A record of each row, for driver/column.wgsl and the sums of its columns. A loss supplies row_record(row, s, loss,
// weight).
@group(0) @binding(6) var<storage, read_write> records_out: array<Record>; // (rows) Record

fn put_row(tile: u32, lane: u32, index: u32, live: bool, leads: bool, row: Row, s: State) {
    if (live & leads) {
        let weight = sample_weight1(params.sample_weight_base + index - params.first_row);
        records_out[params.loss_base + (index - params.first_row)] =
            row_record(row, s, weighted_loss(index, row, s), weight);
    }
}
