// A record of each row, for driver/column.wgsl and the sums of its columns: the loss, and the statistics that the same
// pass over the logits has found. A loss supplies row_record(row, s, loss, weight).
struct Record {
    loss: f32,
    z_loss: f32,
    lse: f32,
    entropy: f32,
    correct: f32, // 1 where a row kept has its class as arg-max
    top: u32,     // the arg-max
    pad0: u32,
    pad1: u32,
}

@group(0) @binding(6) var<storage, read_write> records_out: array<Record>; // (rows) Record

fn put_row(tile: u32, lane: u32, index: u32, live: bool, leads: bool, row: Row, s: State) {
    if (live && leads) {
        let weight = sample_weight1(params.sample_weight_base + index - params.first_row);
        records_out[params.loss_base + (index - params.first_row)] =
            row_record(row, s, weighted_loss(index, row, s), weight);
    }
}
